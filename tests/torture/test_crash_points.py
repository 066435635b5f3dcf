"""F2, F22: whatever step that changes the disk is the last one, no cell is ever wrong and the next launch mends all.

A step is a call of `bench.files.hook`: before and after whatever is made, written, renamed, linked, removed, set aside.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from toy import CRASHED
from world import case

from bench.sweep.job import Exit

CODES = {"exit": CRASHED, "EIO": Exit.IO, "ENOSPC": Exit.IO}
KILLS, STRIDE = 3, 6  # of the steps at which a run is killed, or a disk fails, every so many are tried by default


def crash_at_each(world, steps: Iterable[int], fault: str, runs: int = 2, epochs: int = 3) -> None:
    """Crash at each of these steps, in a fresh folder each time."""
    for step in steps:
        with case(f"{fault} at step {step} of {runs} runs of {epochs} epochs"):
            one = world(runs, epochs)
            code = one.launch(crash_at=step, fault=fault)
            # an error may hit what is no longer needed, and a full disk what only removes
            assert code == CODES[fault] or (fault != "exit" and code == Exit.OK), one.log()
            one.look()
            one.finish(extra=1)
            one.remove()


def starts(stride: int) -> list[object]:
    """From which steps on, that together all are tried; only the first of them by default."""
    return [1, *(pytest.param(first, marks=pytest.mark.slow) for first in range(2, stride + 1))]


@pytest.mark.parametrize("first", starts(KILLS))
def test_f2_a_kill_at_every_step_of_two_runs_of_three_epochs(world, first):
    steps = world().truth.steps
    assert steps > 150
    crash_at_each(world, range(first, steps + 1, KILLS), "exit")


@pytest.mark.parametrize("first", starts(STRIDE))
@pytest.mark.parametrize("fault", ["EIO", "ENOSPC"])
def test_f22_f25_a_disk_that_fails_at_a_step_and_works_again_at_the_next_launch(world, fault, first):
    crash_at_each(world, range(first, world().truth.steps + 1, STRIDE), fault)


@pytest.mark.parametrize("seed", [*range(12), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(12, 100))])
def test_f2_a_second_kill_while_the_first_is_being_mended(world, seed):
    rng, one = random.Random(seed), world()
    first = rng.randint(1, one.truth.steps)
    second = rng.randint(1, one.truth.steps - first // 2)
    with case(f"kills at step {first} of the first launch and at step {second} of the second"):
        assert one.launch(crash_at=first) == CRASHED
        assert one.launch(crash_at=second) in (CRASHED, Exit.OK)
        one.look()
        one.finish(extra=2)
        one.remove()


@pytest.mark.slow
def test_f2_a_kill_at_every_step_of_four_runs_of_six_epochs(world):
    crash_at_each(world, range(1, world(4, 6).truth.steps + 1), "exit", 4, 6)


def test_a_stop_after_every_epoch_keeps_each_even_where_checkpoints_are_rare(world):
    one, launches = world(), 0
    while one.launch(stop_after=1, job={"checkpoint_seconds": 1000.0}) == Exit.INTERRUPTED:
        launches += 1
        one.look()
        assert one.executed() == launches <= one.truth.epochs
    assert launches >= one.truth.epochs - 2  # the last epoch of a run is followed by its result
    one.finish(extra=0)
    one.remove()
