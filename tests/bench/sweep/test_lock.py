"""One process at a time holds a run, and none that has died."""

import fcntl
import os
import signal
import time

import pytest

from bench.sweep.records.store import Busy, RunFolder, State, Store
from tests.bench.sweep.stored import RUN_ID, spawn

HOLDER = """
    import os, sys, time
    from pathlib import Path
    from bench.sweep.records.store import RunFolder
    with RunFolder(Path(sys.argv[1])).lock():
        child = 0
        if sys.argv[2] == "fork":
            child = os.fork()
            if child == 0:
                os.close(0); os.close(1)
                time.sleep(30)
                os._exit(0)
        print(child, flush=True)
        sys.stdin.readline()
"""


@pytest.mark.parametrize("child", ["alone", "fork"])
def test_a_killed_holder_frees_its_lock_at_once_even_with_a_child_alive(tmp_path, child):
    run = Store(tmp_path).run(RUN_ID)
    with spawn(HOLDER, run.path, child) as holder:
        forked = int(holder.stdout.readline())
        assert run.state() is State.RUNNING
        with pytest.raises(Busy, match=f"run {RUN_ID} is held by another process"), run.lock(wait=0.1):
            pass
        holder.kill()
        holder.wait()
        assert not run.locked()
        with run.lock(wait=0):
            assert run.locked()
        assert run.state() is State.PLANNED
        if forked:
            os.kill(forked, signal.SIGKILL)  # raises if it was not there


def test_a_lock_waits_for_its_holder_to_leave(run):
    with spawn(HOLDER, run.path, "alone") as holder:
        holder.stdout.readline()
        before = time.monotonic()
        holder.stdin.close()
        with run.lock(wait=5):
            assert time.monotonic() - before < 4


def test_a_lock_on_a_folder_that_was_cleaned_away_is_taken_again(tmp_path, monkeypatch):
    run = Store(tmp_path).run(RUN_ID)
    flock, cleaned = fcntl.flock, []

    def clean_first(fd, operation):
        if not cleaned:
            cleaned.append(True)
            (run.path / "lock").unlink()
            run.path.rmdir()
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", clean_first)
    with run.lock():
        assert run.locked()
    assert cleaned


def test_f37_a_link_in_the_place_of_a_run_folder_is_not_locked(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / RUN_ID).symlink_to(tmp_path / "real")
    with pytest.raises(ValueError, match="links are not followed"), RunFolder(tmp_path / RUN_ID).lock():
        pass
    assert os.listdir(tmp_path / "real") == []
