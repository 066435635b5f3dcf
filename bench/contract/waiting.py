"""No step makes the host wait for a GPU, as a CPU can tell by the operations, and as a GPU tells itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from bench.contract import world
from bench.contract.checks import DoesNotApply, Violation, about, listed
from bench.contract.outputs import member
from methods import registry
from methods.base import Clock, Pass

check = about("waiting for a GPU")


@check("waits", "no step of any pass makes the host wait for the device, as far as a CPU can tell", after=("steps",))
def waits(spec: str) -> None:
    trainer = world.trainer(spec, batch_size=12, epochs=max(3, registry.describe(spec).shortest))
    watch = world.watched(trainer)
    world.finish(trainer)
    if watch.seen:
        calls = list(dict.fromkeys(watch.seen))
        raise Violation(
            f"a step asks the device for numbers: {listed(calls)}",
            "use masks and sums in place of .item(), if and x[mask]: masked_mean(v, m), torch.where; what is to be "
            "logged goes into Step.scalars as a tensor",
            member(trainer),
            watch.calls,
        )


@check("gpu-waits", "no step of any pass waits on a GPU", after=("steps",))
def gpu_waits(spec: str) -> None:
    if not torch.cuda.is_available():
        raise DoesNotApply("no CUDA device")
    trainer = world.trainer(spec, device=torch.device("cuda"))
    passes = trainer.method.epoch

    def watched(clock: Clock) -> Iterator[Pass]:
        for part in passes(clock):

            def step(batch: Any, now: Clock, step: Any = part.step) -> Any:
                torch.cuda.set_sync_debug_mode("error")
                try:
                    return step(batch, now)
                finally:
                    torch.cuda.set_sync_debug_mode("default")

            yield part._replace(step=step)

    vars(trainer.method)["epoch"] = watched
    world.finish(trainer)
