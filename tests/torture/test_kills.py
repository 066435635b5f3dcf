"""F3, F34, F38: launchers killed at random moments, one or three of them, with locks and without.

A seed fixes the order of runs, the victims and the delays; the moment of a kill also depends on the machine.
"""

from __future__ import annotations

import random
import signal
import time

import pytest
from world import METHODS, World, case

from bench.sweep.job import Exit

RUNS, EPOCHS = len(METHODS), 3
SLOW = 0.01  # seconds of an epoch


def shuffled(world: World, rng: random.Random) -> list:
    return rng.sample(world.truth.runs, len(world.truth.runs))


@pytest.mark.parametrize("kills", [pytest.param(10, id="some"), pytest.param(50, id="all", marks=pytest.mark.slow)])
def test_f3_a_launcher_killed_at_random_moments_repeats_an_epoch_for_each_kill(world, kills):
    rng, killed = random.Random(kills), 0
    while killed < kills:
        one, here = world(RUNS, EPOCHS), 0
        while killed < kills:
            child = one.begin(shuffled(one, rng), slow=SLOW)
            try:
                assert child.wait(rng.uniform(0.005, 0.15)) == Exit.OK, one.log()
                break
            except TimeoutError:
                child.send_signal(signal.SIGKILL)
            if child.wait(10) == Exit.OK:  # it was faster
                break
            killed, here = killed + 1, here + 1
            with case(f"kill {killed} of {kills}, the {here}. of this folder"):
                one.look()
        one.finish(extra=here)
        one.remove()


@pytest.mark.parametrize("locks", [True, False], ids=["locked", "without locks"])
@pytest.mark.parametrize("kills", [pytest.param(6, id="some"), pytest.param(20, id="all", marks=pytest.mark.slow)])
def test_f34_f38_three_launchers_of_one_suite_killed_at_random_moments(world, kills, locks):
    rng, killed = random.Random(kills), 0
    while killed < kills:
        one, here = world(RUNS, EPOCHS), 0
        children = [one.begin(shuffled(one, rng), slow=SLOW, locks=locks) for _ in range(3)]
        while killed < kills and children:
            time.sleep(rng.uniform(0.005, 0.1))
            victim = children.pop(rng.randrange(len(children)))
            victim.send_signal(signal.SIGKILL)
            code = victim.wait(10)
            with case(f"kill {killed} of {kills}"):
                one.look(files=locks)
                assert code in (Exit.OK, -signal.SIGKILL), one.log()
            if code != Exit.OK:
                killed, here = killed + 1, here + 1
                children.append(one.begin(shuffled(one, rng), slow=SLOW, locks=locks))
        assert [child.wait(30) for child in children] == [Exit.OK] * len(children), one.log()
        one.finish(extra=here if locks else None, whole=locks)
        one.remove()
