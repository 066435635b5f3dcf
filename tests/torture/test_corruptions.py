"""Files damaged after a crash, as a power cut or a careless hand does: no cell is ever wrong, a launch mends all."""

from __future__ import annotations

import random

import pytest
from toy import CRASHED
from world import case, damage

SEEDS = [*range(15), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(15, 100))]


@pytest.mark.parametrize("seed", SEEDS)
def test_f26_f31_a_file_is_damaged_after_a_crash(world, seed):
    rng, one = random.Random(seed), world()
    step = rng.randint(1, one.truth.steps)
    assert one.launch(crash_at=step) == CRASHED
    files = one.files()
    records = [path for path in files if path.name.startswith(("ckpt-", "result.json"))]
    chosen = rng.choice(records if records and rng.random() < 0.5 else files) if files else None
    what = "nothing was there" if chosen is None else damage(chosen, rng)
    with case(f"a kill at step {step}, then {what}"):
        one.look(damaged=True)
        # the kill costs an epoch, and the file the training of its run at most
        one.finish(extra=1 + one.truth.epochs // len(one.truth.runs), whole=False)
        one.remove()
