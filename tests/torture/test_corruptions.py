"""Files damaged after a crash, as a power cut or a careless hand does: no cell is ever wrong, a launch mends all."""

from __future__ import annotations

import random
import shutil

import pytest
from toy import CRASHED
from world import case, damage

from bench.sweep.job import Exit

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


def test_f31_a_checkpoint_of_another_run_or_under_another_epochs_name_is_set_aside(world):
    one = world()
    folders = [one.store.run(run.run_id) for run in one.truth.runs]
    for run in one.truth.runs:
        assert one.launch([run], stop_after=1) == Exit.INTERRUPTED
    ((_, foreign),), ((_, own),) = [folder.checkpoints() for folder in folders]
    shutil.copy(foreign, folders[1].path / foreign.name.replace("000001", "000003"))
    own.rename(own.with_name(own.name.replace("000001", "000002")))
    one.finish(extra=1, whole=False)
    assert [start["from_epoch"] for start, _ in folders[1].attempts()] == [0, 3]  # by its name
    assert folders[1].result().provenance["epochs_this_attempt"] == one.truth.epochs // 2
    assert len(list((folders[1].path / "quarantine").glob("ckpt-*"))) == 2
    one.remove()
