"""Level `profile`: where the time of a step and of an epoch of Co-teaching goes, ours and the peer's side by side.

Own time of every operation in the main process by torch's profiler, in groups; the peer's input pipeline is then the
time that it waits for its workers, whose CPU time is told apart. What an operation serves is told by what it runs
under: the input pipeline, the optimiser and the evaluation are spans that hold all of their operations; what is left of
a step is grouped by the operation's name. Profiling slows what it watches: shares are meant, not seconds.
"""

import resource
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from bench.speed import ours as harness
from bench.speed.input import peer_workers
from bench.speed.options import Options, Report
from bench.speed.peer import Recipe
from bench.speed.step import named

INPUT, EVALUATION, OPTIMISER, LOSS = "input pipeline", "evaluation", "optimiser", "loss and selection"
RECORDS = "records and the loop around the steps"
# the first group of which a part occurs in an operation's name, such as aten::mkldnn_convolution_backward
GROUPS = {
    "convolution": ("conv",),
    "batch norm": ("batch_norm", "batchnorm"),
    LOSS: (
        *("softmax", "nll_loss", "cross_entropy", "sort", "gather", "topk", "stack", "cat", "where", "index", "item"),
        *("scalar_dense", "unbind", "flip", "lt", "eq", "sum", "div"),
    ),
    "activations, pooling, dropout": ("relu", "clamp_min", "pool", "dropout", "bernoulli", "threshold", "mean", "mul"),
    "linear": ("addmm", "mm", "linear", "matmul", "addmv"),
}
REST = "rest: additions, copies, Python"
ORDER = (*GROUPS, OPTIMISER, INPUT, EVALUATION, RECORDS, REST)
STEP, SPAN = "speed:step", "speed:"

Shares = dict[str, float]  # group -> microseconds


def measure(options: Options) -> Report:
    """Profile both sides in this process, one after the other, after a warm-up each."""
    network = (options.networks or (options.size.epoch_network,))[0]
    train = harness.taken_by_default(network, options.device)
    if options.precision is not None:
        train["precision"] = options.precision
    samples, batch = options.samples or options.size.epoch_samples, options.size.batch
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = {
            "ours": _profiled(_ours(network, samples, batch, options.device, train), options),
            "peer": _profiled(_peer(network, samples, batch, options), options),
        }
    finally:
        torch.set_num_threads(threads)
    title = f"Co-teaching, {network}, {samples:,} images, B = {batch}; ours {named(train)}"
    rows = _rows(found)
    data = {"network": network, "samples": samples, "batch": batch, "train": train, "microseconds": found}
    return Report((title, *_text(rows)), data, _markdown(title, rows))


def _ours(network: str, samples: int, batch: int, device: str, train: dict[str, Any]) -> Callable[[], object]:
    data = harness.images_for(network, samples, max(1, samples // 5))
    run = harness.config(harness.CO_TEACHING, network, data, batch=batch, **train)
    made = harness.trainer(harness.CO_TEACHING, run, harness.prepared(run, data, device), device)
    for split in made.data.splits.values():
        for name in ("batches", "plain"):
            _replace(split, name, _drawing(getattr(split, name)))
    _replace(made.method, "update", _spanned(STEP, made.method.update))
    _replace(made.method, "predict", _spanned(SPAN + EVALUATION, made.method.predict))
    return made.epoch


def _peer(network: str, samples: int, batch: int, options: Options) -> Callable[[], object]:
    data = harness.images_for(network, samples, max(1, samples // 5))
    run = harness.config(harness.CO_TEACHING, network, data, batch=batch)
    recipe = Recipe(batch, 0 if options.quick else peer_workers())
    made = harness.peer(harness.CO_TEACHING, run, data, options.device, recipe)
    _replace(made, "batches", _drawing(made.batches))
    _replace(made, "learn", _spanned(STEP, made.learn))
    _replace(made, "evaluate", _spanned(SPAN + EVALUATION, made.evaluate))
    return made.epoch


def _replace(owner: object, name: str, function: Callable[..., Any]) -> None:
    owner.__dict__[name] = function  # in front of the class's own, for this object alone


def _spanned(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def spanned(*args: Any, **kwargs: Any) -> Any:
        with record_function(name):
            return function(*args, **kwargs)

    return spanned


class _Drawn:
    """Batches whose making is a span."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        with record_function(SPAN + INPUT):
            batches = iter(self._batches)
        while True:
            with record_function(SPAN + INPUT):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def _drawing(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: _Drawn(_spanned(SPAN + INPUT, function)(*args, **kwargs))


def _profiled(epoch: Callable[[], object], options: Options) -> dict[str, Shares]:
    """Microseconds by group of one epoch, and of its steps alone."""
    epoch()  # what is made once only
    on_gpu = options.kind == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with profile(activities=activities) as watched, record_function(SPAN + RECORDS):
        epoch()
        if on_gpu:
            torch.cuda.synchronize()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    whole, steps = defaultdict[str, float](float), defaultdict[str, float](float)
    for event in watched.events():
        own = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        group, in_step = _group(event)
        whole[group] += own
        if in_step:
            steps[group] += own
    workers = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e6
    return {"step": dict(steps), "epoch": dict(whole), "workers": {"cpu": workers}}


def _group(event: Any) -> tuple[str, bool]:
    """The group of an event, and whether it is part of a step."""
    spans = [name for name in _ancestors(event) if name.startswith((SPAN, "Optimizer."))]
    in_step = STEP in spans
    for name in spans:
        if name.startswith("Optimizer."):
            return OPTIMISER, in_step
        if name == STEP:
            return _by_name(event.name), True
        return name.removeprefix(SPAN), in_step
    return (_by_name(event.name), True) if _is_backward(event) else (REST, False)


def _is_backward(event: Any) -> bool:
    """Whether it is the engine's, which on a GPU runs in a thread of its own, under no span of ours."""
    return any(name.startswith("autograd::engine") for name in _ancestors(event))


def _ancestors(event: Any) -> Iterator[str]:
    """The names of an event and of what it runs under, innermost first."""
    while event is not None:
        yield event.name
        event = event.cpu_parent


def _by_name(name: str) -> str:
    plain = name.lower()
    if not plain.startswith(("aten::", "autograd::")) or plain.startswith("autograd::engine"):
        return REST
    parts = plain.partition("::")[2]
    return next((group for group, words in GROUPS.items() if any(word in parts for word in words)), REST)


def _rows(found: dict[str, dict[str, Shares]]) -> list[tuple[str, ...]]:
    """Group by group: share of the step and of the epoch, ours and the peer's, in percent."""
    columns = [found[side][what] for what in ("step", "epoch") for side in ("ours", "peer")]
    totals = [sum(column.values()) for column in columns]
    rows: list[tuple[str, ...]] = [("group", "step, ours", "step, peer", "epoch, ours", "epoch, peer")]
    for group in ORDER:
        cells = [f"{100 * c.get(group, 0) / t:.1f}" if t else "-" for c, t in zip(columns, totals, strict=True)]
        if any(cell not in ("0.0", "-") for cell in cells):
            rows.append((group, *(f"{cell} %" for cell in cells)))
    rows.append(("in all, seconds", *(f"{total / 1e6:.3f}" for total in totals)))
    workers = [f"{found[side]['workers']['cpu'] / 1e6:.3f}" for side in ("ours", "peer")]
    rows.append(("worker processes, CPU-seconds", "", "", *workers))
    return rows


def _text(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _markdown(title: str, rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([title, "", lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"
