"""Several launchers of one suite: each run is trained once, and what another holds is waited for."""

import subprocess
import sys
import threading
import time

from bench.fingerprint import ROOT
from bench.sweep.records.store import State, Store
from tests.bench.sweep.drivers import classes_of, epochs_of, wait_for, words


def test_f38_a_run_that_another_launcher_holds_is_waited_for_and_no_failure(plan, launch, tmp_path):
    (run,) = plan()
    folder = Store(tmp_path / "results").run(run.run_id)
    hold = (
        "import sys, time; from pathlib import Path; from bench.sweep.records.store import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).lock():\n"
        "    print('held', flush=True); time.sleep(3)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(folder.path)], env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    (outcome,) = launch([run])
    holder.communicate()
    assert (outcome.state, outcome.failure) == (State.DONE, "")
    assert [ended["class"] for _, ended in folder.attempts()] == ["done"]


def test_f38_two_launchers_of_one_suite_train_each_run_once_and_both_exit_0(drive, command, odd, tmp_path, capsys):
    argv = words(odd, "odd.Odd.order=slow", "--seeds", "0-3", "--per-device", "1")
    other = drive(argv)
    wait_for(tmp_path, "slow")
    assert command(*argv) == 0
    code, out, err = other.end()
    assert code == 0, err
    assert out == capsys.readouterr().out
    assert len(epochs_of(tmp_path)) == 4 * 3
    store = Store(tmp_path / "results")
    assert [classes_of(store, run_id) for run_id in store.run_ids()] == [["done"]] * 4


def test_a_held_run_is_left_for_later_and_keeps_no_slot_from_the_others(plan, launch, tmp_path):
    held, *others = plan("ce", seeds=(0, 1, 2))
    folder = Store(tmp_path / "results").run(held.run_id)
    order = []
    with folder.lock():
        thread = threading.Thread(target=lambda: order.extend(launch([held, *others])))
        thread.start()
        deadline = time.monotonic() + 30
        while any(Store(tmp_path / "results").run(run.run_id).state() is not State.DONE for run in others):
            assert time.monotonic() < deadline, "the others waited for the held run"
            time.sleep(0.02)
        assert folder.result() is None
    thread.join(30)
    assert [outcome.state for outcome in order] == [State.DONE] * 3
