"""Level `step`: Co-teaching on one batch that lies on the device, again and again.

Ours is the method's own update (masks, one fused optimiser) in the layout and precision of a run, beside plain
float32 NCHW and, where the processor multiplies it, bf16; the peer sorts on the host and has an optimiser a network.
"""

from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Any

from bench.speed import checks, machine
from bench.speed import ours as harness
from bench.speed.options import Options, Report
from bench.speed.pairs import Pair, paired
from bench.speed.peer import Recipe
from bench.speed.side import Request, Work, compared

NETWORKS_AT_WORK = 2


def measure(options: Options) -> Report:
    """Compare every variant of ours with the peer's step, network by network."""
    networks = options.networks or tuple(options.size.steps)
    for network in networks:
        checks.follows_the_peer(harness.CO_TEACHING, network, options.device)
    return Report.of([pair for network in networks for pair in _measured(network, options)])


def variants(options: Options, network: str) -> dict[str, dict[str, Any]]:
    """Settings of a run by what the table calls them, that of a run by default first."""
    asked = harness.taken_by_default(network, options.device)
    if options.precision is not None:
        asked["precision"] = options.precision
    found = {named(asked): asked}
    for precision, channels_last in (("float32", True), ("float32", False), ("bf16", True)):
        if options.quick and not options.every:
            break
        if precision == "float32" or options.every or machine.has_fast_bf16(options.device):
            settings = {"precision": precision, "channels_last": channels_last}
            found.setdefault(named(settings), settings)
    return found


def named(settings: Mapping[str, Any]) -> str:
    """What a table calls a precision and layout."""
    return f"{settings['precision']} {'channels_last' if settings['channels_last'] else 'NCHW'}"


def _measured(network: str, options: Options) -> list[Pair]:
    usual = next(iter(options.size.steps.values()))
    batch, steps = options.size.steps.get(network, usual)
    common = {"network": network, "batch": batch, "steps": steps, "device": options.device}
    requests = {
        name: Request("bench.speed.step:ours", {**common, "train": train}, device=options.device)
        for name, train in variants(options, network).items()
    }
    requests["peer"] = Request("bench.speed.step:peer", common, harness=False, device=options.device)
    rounds, facts = compared(requests, options.rounds, at_once=options.quick)
    pairs = [
        paired(
            f"step, {network}, B = {batch}, {name}",
            rounds[name],
            rounds["peer"],
            samples=batch * steps,
            peak_mib=facts[name]["peak_mib"],
            facts={"ours": facts[name], "peer": facts["peer"]},
        )
        for name in requests
        if name != "peer"
    ]
    settings = variants(options, network).values()
    return [
        with_share(pair, network, train["precision"], options, NETWORKS_AT_WORK)
        for pair, train in zip(pairs, settings, strict=True)
    ]


def with_share(pair: Pair, network: str, precision: str, options: Options, networks: int) -> Pair:
    """The pair with the share of the machine's matrix rate that ours reaches; training is three forward passes.

    Evaluation is not counted. On the CPU both rates are by CPU time, which other processes disturb less.
    """
    rate = machine.matrix_rate(options.device, precision, options.size.matrix)
    times = pair.ours if options.kind == "cuda" else pair.ours_cpu
    reached = 3 * networks * pair.samples * machine.forward_flops(network) / median(times) / 1e12
    more: dict[str, Any] = {"tflops": reached, "matrix_tflops": rate, "share_of_matrix_rate": reached / rate}
    if options.kind == "cuda":
        import torch

        datasheet = machine.datasheet_rate(torch.cuda.get_device_name(0), precision)
        more |= {"share_of_datasheet": None if datasheet is None else reached / datasheet}
    return replace(pair, facts={**pair.facts, **more})


def ours(network: str, batch: int, steps: int, device: str, train: dict[str, Any]) -> Work:
    data = harness.images_for(network, batch, batch)
    run = harness.config(harness.CO_TEACHING, network, data, batch=batch, **train)
    made = harness.trainer(harness.CO_TEACHING, run, harness.prepared(run, data, device), device)
    clock = made.task.clock
    (part,) = made.method.epoch(clock)
    (resident,) = part.batches
    made.method.train()

    def work() -> None:
        for _ in range(steps):
            part.step(resident, clock)

    return work


def peer(network: str, batch: int, steps: int, device: str) -> Work:
    data = harness.images_for(network, batch, batch)
    run = harness.config(harness.CO_TEACHING, network, data, batch=batch)
    made = harness.peer(harness.CO_TEACHING, run, data, device, Recipe(batch, workers=0))
    ((images, labels, _),) = made.batches()
    images, labels = images.to(device), labels.to(device)

    def work() -> None:
        for _ in range(steps):
            made.learn(images, labels)

    return work
