"""A run that hangs is found out and ended; one that is slow, or waits for its turn, is not."""

import signal
import time

import pytest

from bench.devices import Slot
from bench.sweep.records.store import State, Store
from bench.sweep.run.heartbeat import NAME, Beat
from bench.sweep.supervision import executor, watchdog
from bench.sweep.supervision.sweep import Sweep
from bench.sweep.supervision.watchdog import Limits, Pace


def verdicts(pace, *looks):
    """What is said at each look: (seconds, epochs, batches), or (seconds,) where no beat can be read."""
    return [pace.overdue(Beat(*rest) if rest else None, seconds) for seconds, *rest in looks]


def test_without_limits_a_run_hangs_after_ten_minutes_without_a_batch():
    pace = Pace(Limits(), 0.0)
    assert verdicts(pace, (1, 0, 0), (2, 0, 1), (601, 0, 1)) == ["", "", ""]
    assert verdicts(pace, (603, 0, 1)) == ["it gave no sign of life for 600 s"]


def test_batches_are_signs_of_life_and_slow_epochs_allow_for_more():
    pace = Pace(Limits(), 0.0)
    assert verdicts(pace, (1, 0, 0), *((10 + 500 * n, 0, 1 + n) for n in range(11))) == [""] * 12
    # 5000 s into its first epoch: scoring may take long too, and 20 such epochs are not
    assert verdicts(pace, (5010 + 20 * 5000, 0, 11)) == [""]
    assert verdicts(pace, (5011 + 20 * 5000, 0, 11)) == ["it gave no sign of life for 100000 s"]


def test_the_longest_epoch_so_far_is_the_measure():
    pace = Pace(Limits(), 0.0)
    assert verdicts(pace, (1, 0, 0), (100, 0, 1), (150, 1, 2), (250, 2, 3), (300, 3, 4)) == [""] * 5
    assert verdicts(pace, (300 + 20 * 100, 3, 4)) == [""]
    assert verdicts(pace, (301 + 20 * 100, 3, 4)) == ["it gave no sign of life for 2000 s"]


def test_making_ready_is_allowed_an_hour_and_counts_for_no_epoch():
    pace = Pace(Limits(), 0.0)
    assert verdicts(pace, (1, 0, 0), (3600, 0, 0)) == ["", ""]
    assert verdicts(Pace(Limits(), 0.0), (1, 0, 0), (3602, 0, 0)) == ["", "it gave no sign of life for 3600 s"]
    assert verdicts(pace, (3601, 0, 1), (3602, 1, 1)) == ["", ""]
    assert verdicts(pace, (3602 + 601, 1, 1)) == ["it gave no sign of life for 600 s"]


def test_a_limit_that_is_given_counts_finished_epochs_alone():
    pace = Pace(Limits(stall=30.0), 0.0)
    assert verdicts(pace, (5, 0, 0), (25, 0, 1), (35, 0, 900), (35, 1, 900), (65, 1, 1800)) == [""] * 5
    assert verdicts(pace, (66, 1, 1801)) == ["no epoch was finished for 30 s"]


def test_an_attempt_has_so_many_seconds_from_its_beginning_however_well_it_goes():
    pace = Pace(Limits(run=100.0), 0.0)
    assert verdicts(pace, (50,), (55, 0, 0), (150, 40, 4000)) == ["", "", ""]
    assert verdicts(pace, (156, 41, 4100)) == ["it took more than 100 s"]


def test_a_process_that_waits_for_its_lock_or_imports_its_packages_is_within_every_limit():
    pace = Pace(Limits(run=1.0, stall=1.0), 0.0)
    assert verdicts(pace, (2,), (59,), (60,)) == [""] * 3
    assert verdicts(pace, (62,)) == ["it took more than 1 s"]  # a minute is enough for either


@pytest.fixture
def hurry(forked, tmp_path, monkeypatch):
    """Execute runs with limits of seconds, four at a time."""
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(watchdog, "GRACE_SECONDS", 0.5)

    class Deaf:
        def started(self, *_): ...
        def requeued(self, *_): ...
        def ended(self, *_): ...

    def go(runs, **limits):
        sweep = Sweep(Store(tmp_path / "results"), [Slot(None, n) for n in range(4)], None, "fork", **limits)
        return executor.execute(sweep, runs, Deaf())

    return go


def ends(store, run):
    return [(end["class"], end["final"]) for _, end in store.run(run.run_id).attempts()]


def test_f11_a_run_that_sleeps_or_is_stopped_or_waits_for_ever_is_ended_and_goes_on_from_its_checkpoint(
    plan, hurry, tmp_path
):
    orders = ("sleep", f"signal {signal.SIGSTOP.value}", "wait")
    hanging = {order: plan(order=order, at=1)[0] for order in orders}
    (slow,) = plan(order="dawdle", epochs=5)
    started = time.monotonic()
    outcomes = hurry([slow, *hanging.values()], stall_limit=3.0)
    assert time.monotonic() - started < 25  # each of them hangs for half a minute or more by itself
    assert [(outcome.state, outcome.failure) for outcome in outcomes] == [(State.DONE, "")] * 4
    store = Store(tmp_path / "results")
    assert ends(store, slow) == [("done", True)]  # it took longer, but no epoch of it did
    for order, run in hanging.items():
        assert ends(store, run) == [("timeout", False), ("done", True)], order
        (_, first), _ = store.run(run.run_id).attempts()
        assert first["message"] == "no epoch was finished for 3 s", order
        # from its checkpoint: epoch 0 was trained once
        assert (tmp_path / "epochs").read_text().split(" ").count(f"{order.split()[-1]}0") == 1, order
        assert not (store.run(run.run_id).path / NAME).exists()


def test_a_run_that_takes_too_long_has_one_more_attempt_and_has_failed_then(plan, hurry, tmp_path):
    (endless,), (quick,) = plan(order="dawdle", epochs=30), plan("ce")
    outcome, other = hurry([endless, quick], run_limit=2.5)
    assert other.state is State.DONE
    assert (outcome.state, outcome.failure, outcome.message) == (State.FAILED, "timeout", "it took more than 2.5 s")
    store = Store(tmp_path / "results")
    assert ends(store, endless) == [("timeout", False), ("timeout", True)]
    folder = store.run(endless.run_id)
    assert folder.state() is State.FAILED
    assert folder.epochs_done() >= 2  # what it has trained is kept for a launch with another limit
