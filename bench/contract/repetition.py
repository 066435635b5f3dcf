"""The same numbers again: after whatever ran before, and after an interruption."""

from __future__ import annotations

import torch

from bench.contract import world
from bench.contract.checks import about, listed, require
from bench.contract.identity import generators, moved
from bench.contract.outputs import member
from bench.contract.world import SmallTrainer

check = about("the same numbers again")


@check("generators", "the global generators of Python and numpy are left alone")
def untouched(spec: str) -> None:
    before = generators()
    trainer = world.finish(world.trainer(spec))
    drawn = [name for name in moved(before) if name != "torch"]  # which the trainer seeds in every epoch
    change = "draw from self.task.rng(stream, clock), which depends on the run's seed, epoch and step alone"
    require(not drawn, f"a run drew from {listed(drawn)}", change, member(trainer))


def _differ(one: dict[str, bytes], two: dict[str, bytes]) -> list[str]:
    return [name for name in dict.fromkeys([*one, *two]) if one.get(name) != two.get(name)]


@check(
    "repetition",
    "one seed gives the same bits after whatever ran before, another seed other losses",
    after=("generators", "record"),
)
def repetition(spec: str) -> None:
    alone = world.bits(world.finish(world.trainer(spec)))
    other = world.finish(world.trainer(spec, seed=1))
    torch.manual_seed(99)
    again = world.finish(world.trainer(spec))
    differ = _differ(world.bits(again), alone)
    change = "keep nothing in the module, the class or a global, and draw from self.task.rng(stream, clock)"
    require(not differ, f"a second run of one seed differs in {listed(differ)}", change, member(again))
    change = "let networks come from task.make_network and batches from task.loader, which depend on the seed"
    same = other.history[0]["loss"] == again.history[0]["loss"]
    require(not same, "two seeds have the same losses", change, member(again))


@check(
    "resumption",
    "a run cut after any epoch and resumed is the uninterrupted one, bit for bit",
    after=("repetition", "state", "predict"),
)
def resumption(spec: str) -> None:
    finished: SmallTrainer = world.finish(world.trainer(spec))
    whole = world.bits(finished)
    change = (
        "keep what a later epoch needs in buffers (register_buffer in setup) or in optimisers of task.make_optimizer, "
        "and make what belongs to a phase anew in on_phase"
    )
    for cut in range(1, finished.task.epochs + 1):
        differ = _differ(world.bits(world.resumed(spec, cut)), whole)
        require(not differ, f"cut after epoch {cut} and resumed, {listed(differ)} differ", change, "setup")
