"""F46: checkpoints of another version of what computes: gone on from by default, set aside where asked."""

from __future__ import annotations

import pytest

from bench.sweep.job import Exit

OLD, NEW = {"versions": {"torch": "2.9"}}, {"versions": {"torch": "2.13"}}
STRICT = {"strict_env": True}


@pytest.fixture
def stopped(world):
    """`stopped(job)`: one more epoch of the first run of a folder, under what the job says."""
    one = world()

    def go(job: dict) -> None:
        assert one.launch(one.truth.runs[:1], stop_after=1, job=job) == Exit.INTERRUPTED

    go.world = one
    go.folder = one.store.run(one.truth.runs[0].run_id)
    yield go
    one.finish(extra=None, whole=False)
    one.remove()


def resumed_from(folder) -> list[int]:
    return [start["from_epoch"] for start, _ in folder.attempts()]


def test_f46_a_run_goes_on_from_a_checkpoint_of_another_version_and_tells_of_both(stopped):
    stopped(OLD)
    assert stopped.world.launch(job=NEW) == Exit.OK
    assert resumed_from(stopped.folder) == [0, 1]
    attempts = stopped.folder.result().provenance["attempts"]
    assert [start["torch"] for start in attempts] == ["2.9", "2.13"]


@pytest.mark.parametrize("name", ["python", "torch", "numpy", "cuda"])
def test_f46_where_asked_a_checkpoint_of_another_version_is_set_aside_and_the_log_says_why(stopped, name):
    stopped({"versions": {name: "1.0"}})
    assert stopped.world.launch(job={"versions": {name: "1.1"}, **STRICT}) == Exit.OK
    assert resumed_from(stopped.folder) == [0, 0]
    assert len(list((stopped.folder.path / "quarantine").glob("ckpt-*"))) == 1
    said = f"made under {name} 1.0, and this is 1.1: set aside the checkpoint after epoch 1"
    assert said in stopped.world.log().splitlines()


def test_f46_a_checkpoint_of_this_version_that_rests_on_one_of_another_is_set_aside_too(stopped):
    stopped(OLD)
    stopped(NEW)
    assert stopped.world.launch(job=NEW | STRICT) == Exit.OK
    assert resumed_from(stopped.folder) == [0, 1, 0]


def test_f46_checkpoints_of_this_version_alone_are_gone_on_from(stopped):
    stopped(OLD)
    stopped(NEW | STRICT)
    stopped(NEW)
    assert stopped.world.launch(job=NEW | STRICT) == Exit.OK
    assert resumed_from(stopped.folder) == [0, 0, 1, 2]
