"""F1, F4 to F10: the driver of real runs is killed or signalled, and some of many runs die.

What one signal does to one kind of start is tried beside the executor; here is every signal, once and twice, with both.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from bench.sweep.job import Exit
from bench.sweep.records.store import State, Store
from tests.bench.sweep.drivers import children_of, wait_for, words

LONG = ["--epochs", "400"]  # more than anybody waits for
slow = pytest.mark.slow


def until(true, seconds: float) -> float:
    """Wait until something is true; return the seconds that it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds
        time.sleep(0.01)
    return time.monotonic() - began


def snapshot(root: Path) -> dict[Path, tuple[int, int]]:
    stats = {path: path.lstat() for path in root.rglob("*")}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def under_way(root: Path, runs: int) -> bool:
    """Whether so many runs have each left a checkpoint."""
    store = Store(root)
    return sum(store.run(run_id).epochs_done() > 0 for run_id in store.run_ids()) == runs


@pytest.mark.parametrize("start", ["fork", pytest.param("exec", marks=slow)])
def test_f4_runs_end_within_a_second_of_their_killed_driver_and_write_no_more(drive, odd, tmp_path, start):
    results = tmp_path / "results"
    driver = drive([*words(odd, "odd.Odd.order=slow", "--seeds", "0-1"), *LONG, "--start", start])
    until(lambda: under_way(results, 2), 60)
    assert len(children_of(results)) >= 2
    driver.process.kill()
    driver.process.wait()
    assert until(lambda: not children_of(results), 5) <= 1.0
    before = snapshot(results)
    time.sleep(1.0)  # ten epochs
    assert snapshot(results) == before
    assert [Store(results).run(run_id).state() for run_id in Store(results).run_ids()] == [State.INTERRUPTED] * 2


ONCE = [(signal.SIGUSR1, "fork"), *(pytest.param(n, "fork", marks=slow) for n in (signal.SIGTERM, signal.SIGINT))]
ONCE += [pytest.param(n, "exec", marks=slow) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]


@pytest.mark.parametrize(("number", "start"), ONCE)
def test_f5_f6_f7_one_signal_ends_a_driver_with_75_its_runs_resumable(drive, odd, tmp_path, number, start):
    results = tmp_path / "results"
    driver = drive([*words(odd, "odd.Odd.order=slow", "--seeds", "0-1"), *LONG, "--start", start])
    until(lambda: under_way(results, 2), 60)
    driver.process.send_signal(number)
    code, _, err = driver.end()
    assert code == Exit.INTERRUPTED
    assert "Traceback" not in err
    assert children_of(results) == []
    for run_id in Store(results).run_ids():
        folder = Store(results).run(run_id)
        assert folder.state() is State.INTERRUPTED
        assert folder.epochs_done() > 0
        assert [end["class"] for _, end in folder.attempts()] == ["interrupted"]
        assert "Traceback" not in (folder.path / "log.txt").read_text(encoding="utf-8")


TWICE = [(signal.SIGTERM, "fork"), *(pytest.param(n, "fork", marks=slow) for n in (signal.SIGINT, signal.SIGUSR1))]
TWICE += [pytest.param(n, "exec", marks=slow) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]


@pytest.mark.parametrize(("number", "start"), TWICE)
def test_f7_a_second_signal_kills_runs_that_do_not_hear_the_first(drive, odd, tmp_path, number, start):
    results = tmp_path / "results"
    driver = drive([*words(odd, "odd.Odd.order=sleep", "--seeds", "0"), "--start", start])
    wait_for(tmp_path, "sleep")
    driver.process.send_signal(number)
    time.sleep(0.3)
    assert driver.process.poll() is None
    assert children_of(results)
    driver.process.send_signal(number)
    began = time.monotonic()
    code, _, err = driver.end()
    assert code == 128 + number
    assert time.monotonic() - began < 5
    assert "Traceback" not in err
    assert children_of(results) == []
    assert [Store(results).run(run_id).state() for run_id in Store(results).run_ids()] == [State.INTERRUPTED]


@slow
def test_f1_f8_f9_three_dying_runs_of_forty_leave_thirty_seven_results(plan, launch, tmp_path):
    dying = {order: plan(order=order, times=9)[0] for order in ("signal 9", "segfault", "leave 0")}
    runs = plan("ce", seeds=range(37))
    for place, run in zip((5, 18, 31), dying.values(), strict=True):
        runs.insert(place, run)
    states = {outcome.run_id: outcome.state for outcome in launch(runs, slots=2)}
    assert len(states) == 40
    assert {run_id for run_id, state in states.items() if state is State.FAILED} == {r.run_id for r in dying.values()}
    store = Store(tmp_path / "results")
    assert sum(store.run(run_id).result() is not None for run_id in store.run_ids()) == 37


def test_f2_the_same_command_removes_what_a_kill_after_the_commit_has_left(command, odd, tmp_path):
    argv = words(odd, "--seeds", "0")
    assert command(*argv) == 0
    store = Store(tmp_path / "results")
    (folder,) = [store.run(run_id) for run_id in store.run_ids()]
    before = snapshot(folder.path)
    folder.save_checkpoint(3, b"the last one, still there")
    (folder.path / ("result.json.tmp-" + "0" * 32)).write_bytes(b"linked, and not yet unlinked")
    assert command(*argv) == 0
    assert snapshot(folder.path).keys() == before.keys()
