"""What a sweep will cost: by the times of its finished runs, else by a few steps of each network on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from bench.devices import Slot, describe_gpu, shown
from bench.fingerprint import ROOT
from bench.sweep.planning import timings
from bench.sweep.planning.grid import Planned
from bench.sweep.planning.timings import Past, Setup
from bench.sweep.records.store import Store
from bench.sweep.run.forkserver import environment

OUTSIDE = 1.0  # seconds of a run that are not training, where no record tells


@dataclass(frozen=True)
class Cost:
    """`seconds` on one slot, None where nothing tells; `basis` says what the figure rests on."""

    seconds: float | None
    basis: str


@dataclass(frozen=True)
class Work:
    """A run by what it computes: its parts in forward passes of one sample, and how often its method repeats them."""

    trained: float
    scored: float
    factor: float

    @property
    def size(self) -> float:
        """Forward passes, or what costs as much."""
        return timings.FORWARDS * self.factor * self.trained + self.scored


def by_kind(slots: Sequence[Slot]) -> dict[str | None, list[Slot]]:
    """Slots by the names of their GPUs, as far as nvidia-smi tells; all under None where there is one kind alone."""
    named = {gpu: describe_gpu(gpu) for gpu in {slot.gpu for slot in slots} if gpu is not None}
    kinds: dict[str | None, list[Slot]] = {}
    for slot in slots:
        gpu = named.get(slot.gpu or "")
        kinds.setdefault(gpu.name if gpu else None, []).append(slot)
    return kinds if len(kinds) > 1 else {None: list(slots)}


def expected(
    store: Store, runs: Sequence[Planned], todo: Sequence[Planned], slots: Sequence[Slot], kind: str | None = None
) -> Cost:
    """Seconds of one slot for `todo`; with `kind`, on a device of this name, to which all the slots belong.

    A run whose like is finished costs what that took. The others cost their arithmetic, counted for their method and
    timed for their network: in finished runs of other methods, or else in a few steps now.
    """
    past = timings.read(store, runs, "cpu" if slots[0].gpu is None else "cuda", kind)
    seconds, known = 0.0, []
    for run in todo:
        told = _recorded(past, run)
        seconds += told or 0.0
        known.append(told is not None)
    count = sum(len(past.by_method[key]) for key in {_of_method(run) for run in todo} & past.by_method.keys())
    bases = [f"the times of {count} finished runs"] if any(known) else []
    strange = [run for run, is_known in zip(todo, known, strict=True) if not is_known]
    if strange:
        others = _counted(past, runs, strange, slots[0])
        if others.seconds is None:
            return others
        seconds += others.seconds
        bases.append(others.basis)
    return Cost(seconds, "; for the others by ".join(bases))


def _of_method(run: Planned) -> tuple[Setup, str]:
    kind = timings.kind_of(run)
    return kind.setup, kind.method


def _recorded(past: Past, run: Planned) -> float | None:
    """What runs of the same kind took, else runs of the same method scaled by epochs and samples."""
    kind = timings.kind_of(run)
    if same := past.same.get(kind):
        return median(same)
    if rates := past.by_method.get((kind.setup, kind.method)):
        return (past.outside or 0.0) + median(rates) * timings.size_of(kind, run.networks)
    return None


def _counted(past: Past, runs: Sequence[Planned], todo: Sequence[Planned], slot: Slot) -> Cost:
    """The cost of runs whose method has no record here."""
    factors = _factors(past, runs, todo)
    total = len(todo) * (OUTSIDE if past.outside is None else past.outside)
    figures: dict[Setup, dict[str, float] | None] = {}
    by_records = False
    for run in todo:
        work, setup = _work(run, factors), timings.kind_of(run).setup
        rates = _plain_rates(past, setup, factors)
        if rates:
            by_records = True
            total += median(rates) * work.size
            continue
        if setup not in figures:
            print(f"measuring a few steps of {setup.network} ...", file=sys.stderr)
            figures[setup] = _probe(run, slot)
        timed = figures[setup]
        if timed is None:
            return Cost(None, "the probe of a network failed; start the sweep to learn more")
        total += work.factor * work.trained * timed["train"] + work.scored * timed["evaluate"]
    steps = ["finished runs of other methods"] if by_records else []
    steps += ["a few steps of each network here, just now"] if figures else []
    return Cost(total, f"{' and '.join(steps)}, and {_said(todo, factors)}")


def _said(todo: Sequence[Planned], factors: dict[str, float | None]) -> str:
    lost = sorted({run.config.method.name for run in todo if factors.get(run.spec) is None})
    text = "the arithmetic of each method counted on a small set"
    return f"{text} (not of {', '.join(lost)}: taken for one pass over the data)" if lost else text


def _work(run: Planned, factors: dict[str, float | None]) -> Work:
    passes = run.networks * run.config.train.epochs
    trained, scored = timings.samples_of(run.config, run.info)
    return Work(float(passes * trained), float(passes * scored), factors.get(run.spec) or 1.0)


def _plain_rates(past: Past, setup: Setup, factors: dict[str, float | None]) -> list[float]:
    """Seconds per forward pass in finished runs of methods whose arithmetic has been counted."""
    found = []
    for timing in past.timings:
        factor = factors.get(timing.kind.method)
        if timing.kind.setup == setup and factor is not None:
            trained, scored = timing.kind.samples
            plain = timings.FORWARDS * trained + scored
            found.append(timing.rate * plain / (timings.FORWARDS * factor * trained + scored))
    return found


def _factors(past: Past, runs: Sequence[Planned], todo: Sequence[Planned]) -> dict[str, float | None]:
    """How much arithmetic each method of `todo`, and each that has records, takes: by its spec and by its name."""
    recorded = {timing.kind.method for timing in past.timings}
    asked: dict[str, Planned] = {run.spec: run for run in todo}
    for run in runs:
        if run.config.method.name in recorded:
            asked.setdefault(run.spec, run)
    print(f"counting the arithmetic of {len(asked)} methods ...", file=sys.stderr)
    jobs = [[spec, run.config.to_dict(), asdict(run.info)] for spec, run in asked.items()]
    counted = _ask("bench.training.work", [], Slot(None, 0), json.dumps(jobs))
    if not isinstance(counted, list):
        counted = [None] * len(asked)
    factors = dict(zip(asked, counted, strict=True))
    return {run.config.method.name: factors[spec] for spec, run in asked.items()} | factors


def _probe(run: Planned, slot: Slot) -> dict[str, float] | None:
    job = json.dumps([run.config.to_dict(), asdict(run.info)])
    device = "cpu" if slot.gpu is None else "cuda:0"
    figures: dict[str, float] | None = _ask("bench.training.probe", [job, device], slot)
    return figures


def _ask(module: str, words: Sequence[str], slot: Slot, text: str = "") -> Any:
    """The JSON that a module of ours prints in a process of its own, given `text` to read; None if it died."""
    command = [sys.executable, "-P", "-m", module, *words]
    variables = environment({**shown(slot.gpu), "OMP_NUM_THREADS": "1"})
    done = subprocess.run(command, cwd=ROOT, env=variables, input=text, capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return None
