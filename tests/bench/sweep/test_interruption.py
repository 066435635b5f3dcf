"""A sweep that is asked to end, by a signal or a file, or whose driver is killed: the same command goes on."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from bench.devices import Slot
from bench.fingerprint import ROOT
from bench.sweep.job import Exit
from bench.sweep.records.store import State, Store
from bench.sweep.supervision import attempts as attempting
from bench.sweep.supervision import executor, interruption, watchdog
from bench.sweep.supervision.sweep import Sweep
from tests.bench.sweep.conftest import Hearer
from tests.bench.sweep.drivers import children_of, classes_of, epochs_of, wait_for, words


def test_f6_a_run_that_somebody_else_asks_to_stop_goes_on_and_not_for_ever(plan, launch, tmp_path, capsys):
    once, often = (plan(order="signal 15", at=1, times=times)[0] for times in (1, 9))
    outcomes = launch([once, often], slots=1)  # one after the other: they share the count of what was done
    assert [outcome.state for outcome in outcomes] == [State.DONE, State.INTERRUPTED]
    store = Store(tmp_path / "results")
    assert classes_of(store, once.run_id) == ["interrupted", "done"]
    assert classes_of(store, often.run_id) == ["interrupted"] * 3
    assert f"{once.run_id} was asked to stop, not by this sweep" in capsys.readouterr().err


def test_a_stop_file_ends_a_sweep_in_order_wherever_its_thread_is_and_it_goes_on_without(
    plan, forked, tmp_path, monkeypatch
):
    monkeypatch.setattr(interruption, "LOOK_SECONDS", 0.05)
    runs, stop = plan(order="wait", seeds=(0, 1)), tmp_path / "stop"

    def launched() -> Sweep:
        sweep = Sweep(Store(tmp_path / "results"), [Slot(None, 0)], None, "fork", stop_file=stop)
        thread = threading.Thread(target=lambda: outcomes.append(executor.execute(sweep, runs, Hearer())))
        outcomes = sweep.outcomes = []
        thread.start()
        sweep.thread = thread
        return sweep

    sweep = launched()
    wait_for(tmp_path, "wait")
    stop.touch()
    sweep.thread.join(20)
    assert (sweep.reason, sweep.halted) == ("signal", "asked to stop by stop")
    assert [outcome.state for outcome in sweep.outcomes[0]] == [State.INTERRUPTED, State.PLANNED]
    assert classes_of(sweep.store, runs[0].run_id) == ["interrupted"]
    # while it lies there, nothing is begun
    with monkeypatch.context() as watched:
        watched.setattr(Sweep, "spawn", lambda *_: pytest.fail("begun"))
        sweep = launched()
        sweep.thread.join(20)
    assert [outcome.state for outcome in sweep.outcomes[0]] == [State.INTERRUPTED, State.PLANNED]
    stop.unlink()
    sweep = launched()
    sweep.thread.join(20)
    assert [outcome.state for outcome in sweep.outcomes[0]] == [State.DONE] * 2


def test_a_stop_file_kills_what_does_not_end_in_its_grace_time(plan, launch, forked, tmp_path, monkeypatch):
    monkeypatch.setattr(interruption, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(watchdog, "GRACE_SECONDS", 0.3)
    stop = tmp_path / "stop"
    sweep = Sweep(Store(tmp_path / "results"), [Slot(None, 0)], None, "fork", stop_file=stop)
    thread = threading.Thread(target=lambda: (wait_for(tmp_path, "sleep"), stop.touch()))
    thread.start()
    started = time.monotonic()
    (outcome,) = executor.execute(sweep, plan(order="sleep"), Hearer())
    thread.join()
    assert outcome.state is State.INTERRUPTED
    assert time.monotonic() - started < 20


def test_f4_runs_end_with_their_killed_driver_and_the_same_command_finishes(drive, command, odd, tmp_path, capsys):
    argv = words(odd, "odd.Odd.order=sleep", "--seeds", "0-1")
    driver = drive(argv)
    wait_for(tmp_path, "sleep")
    assert children_of(tmp_path / "results")
    driver.process.kill()
    driver.process.wait()
    deadline = time.monotonic() + 1.5
    while (alive := children_of(tmp_path / "results")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive == []
    assert command(*argv) == 0
    assert "(2)" in capsys.readouterr().out
    assert len(epochs_of(tmp_path)) <= 2 * 3 + 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_f5_f7_the_first_signal_ends_the_sweep_in_order_with_75_and_the_same_command_goes_on(
    command, odd, tmp_path, capsys, number
):
    argv = words(odd, "odd.Odd.order=wait", "odd.Odd.at=2", "--seeds", "0-1", "--per-device", "1")

    def interrupt() -> None:
        wait_for(tmp_path, "wait")
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    code = command(*argv)
    thread.join()
    err = capsys.readouterr().err
    assert code == Exit.INTERRUPTED
    assert f"interrupted by {number.name}; the same command goes on where it stopped" in err
    assert "Traceback" not in err
    store = Store(tmp_path / "results")
    assert [store.run(run_id).state() for run_id in store.run_ids()] == [State.INTERRUPTED]
    assert command(*argv) == 0
    assert epochs_of(tmp_path)[:4] == ["wait0", "wait1", "wait2", "wait2"]
    assert len(epochs_of(tmp_path)) == 2 * 3 + 1


def test_f7_a_second_ctrl_c_kills_the_runs_at_once_and_ends_with_130(drive, odd, tmp_path):
    driver = drive(words(odd, "odd.Odd.order=sleep", "--seeds", "0"))
    wait_for(tmp_path, "sleep")
    driver.process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert driver.process.poll() is None
    driver.process.send_signal(signal.SIGINT)
    started = time.monotonic()
    code, _, err = driver.end()
    assert code == 130
    assert time.monotonic() - started < 5
    assert "Traceback" not in err
    assert children_of(tmp_path / "results") == []


HANGING = """
import sys, time
from types import SimpleNamespace
from bench.sweep.supervision.interruption import stopped_by_signals

sweep = SimpleNamespace(signals=0, signal_number=0, reason="", halted="", children=[1], stop=lambda *_: time.sleep(60))
with stopped_by_signals(sweep):
    print("ready", flush=True)
    while True:
        time.sleep(0.01)
        print(sweep.signals, flush=True)
"""


def test_f7_a_third_signal_leaves_at_once_although_nothing_ends_the_runs():
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING], env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    for number in range(1, 3):
        process.send_signal(signal.SIGTERM)
        while process.stdout.readline() != f"{number}\n":
            assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.stdout.close()
    assert process.wait(10) == 128 + signal.SIGTERM


def test_runs_that_somebody_else_keeps_stopping_end_with_75_and_a_line_that_says_so(
    command, odd, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(attempting, "HEARSAY_SECONDS", 0.01)
    argv = words(odd, f"odd.Odd.order=signal {int(signal.SIGTERM)}", "odd.Odd.times=9", "--seeds", "0")
    assert command(*argv) == Exit.INTERRUPTED
    said = "1 run is not done: something else than this sweep keeps stopping them; the same command goes on"
    assert said in capsys.readouterr().err
    assert command(*argv) == Exit.INTERRUPTED  # and is no failure
