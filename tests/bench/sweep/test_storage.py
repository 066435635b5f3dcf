"""A results folder that cannot be written for a while costs time alone."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import cli
from bench.devices import Slot
from bench.files import canonical
from bench.sweep.records.store import State, Store
from bench.sweep.supervision import executor, storage
from bench.sweep.supervision.storage import Storage
from bench.sweep.supervision.sweep import Sweep

ROOT = Path(cli.__file__).resolve().parents[1]


@pytest.fixture
def fails(monkeypatch):
    """Let tries to write fail, by their number from 1; returns the list of those that were made."""
    publish = storage.publish
    monkeypatch.setattr(storage, "PROBE_SECONDS", 0.05)

    def make(which: Callable[[int], bool]) -> list[Path]:
        tried = []

        def write(path, data, replace):
            tried.append(path)
            if which(len(tried)):
                raise OSError(28, "No space left on device")
            return publish(path, data, replace)

        monkeypatch.setattr(storage, "publish", write)
        return tried

    return make


def always(number: int) -> bool:
    return True


class Reports:
    def __init__(self):
        self.heard = []

    def started(self, run, slot):
        self.heard.append(("started", run.run_id))

    def requeued(self, run):
        self.heard.append(("requeued", run.run_id))

    def ended(self, run, outcome):
        self.heard.append(("ended", run.run_id))


@pytest.fixture
def sweep(forked, tmp_path):
    def make(wait: float = 60.0, slots: int = 1) -> Sweep:
        places = [Slot(None, number) for number in range(slots)]
        return Sweep(Store(tmp_path / "results"), places, None, "fork", storage_wait=wait)

    return make


def classes_of(sweep, run):
    return [end["class"] for _, end in sweep.store.run(run.run_id).attempts()]


def test_f22_a_full_disk_pauses_the_sweep_which_goes_on_by_itself_and_counts_no_try(plan, sweep, fails, capsys):
    tried = fails(lambda number: number % 2 == 1)
    sweep = sweep()
    (broken,), good = plan(order="full disk", times=4), plan("ce")  # more often than a run is tried
    outcomes = executor.execute(sweep, [broken, *good], Reports())
    assert [outcome.state for outcome in outcomes] == [State.DONE] * 2
    assert classes_of(sweep, broken) == ["io"] * 4 + ["done"]
    assert len(tried) == 2 * 4
    paused = f"paused: {sweep.store.root}: No space left on device; trying again every 0 s, for 60 s at most"
    assert capsys.readouterr().err.splitlines() == [paused, "going on: results can be written again, after 0 s"] * 4


def test_nothing_is_started_while_nothing_can_be_written(plan, sweep, fails, monkeypatch):
    tried, spawned, spawn = fails(always), [], Sweep.spawn
    monkeypatch.setattr(Sweep, "spawn", lambda *what: spawned.append((time.monotonic(), len(tried))) or spawn(*what))
    sweep = sweep(wait=3.0, slots=2)
    runs = [*plan(order="full disk", at=0), *plan("ce", seeds=range(20))]
    outcomes = executor.execute(sweep, runs, Reports())
    ended = time.monotonic()
    assert sweep.reason == "storage"
    assert sweep.halted == f"stopped: for 3 s nothing could be written: {sweep.store.root}: No space left on device"
    assert outcomes[0].state is State.INTERRUPTED
    assert outcomes[-1].state is State.PLANNED
    # what was under way went on; nothing was begun after that
    assert ended - spawned[-1][0] > 2
    assert spawned[-1][1] <= 1
    assert not list(sweep.store.root.glob("probe*"))


def test_a_signal_ends_the_wait_at_once(plan, sweep, fails):
    tried = fails(always)
    sweep = sweep()

    def interrupt() -> None:
        while not tried:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    started = time.monotonic()
    (outcome,) = executor.execute(sweep, plan(order="full disk"), Reports())
    thread.join()
    assert (outcome.state, sweep.reason) == (State.INTERRUPTED, "signal")
    assert time.monotonic() - started < 30


def test_f25_a_run_that_alone_cannot_write_fails_alone(plan, sweep, capsys):
    sweep = sweep()
    runs = [*plan(order="full disk", times=9), *plan("ce", seeds=(0, 1))]
    outcomes = executor.execute(sweep, runs, Reports())
    assert [outcome.state for outcome in outcomes] == [State.FAILED, State.DONE, State.DONE]
    assert (outcomes[0].failure, outcomes[0].message) == ("io", "OSError: [Errno 28] No space left on device")
    assert classes_of(sweep, runs[0]) == ["io"] * 3
    assert capsys.readouterr().err == ""  # the storage works: no pause


def test_f32_a_run_whose_folder_is_taken_away_fails_alone_and_is_not_made_again(plan, sweep, tmp_path):
    sweep = sweep()
    (run,), good = plan(order="wait"), plan("ce")
    folder = sweep.store.run(run.run_id).path

    def take_away() -> None:
        while not list(tmp_path.glob("done-wait/*")):
            time.sleep(0.01)
        shutil.rmtree(folder)
        (tmp_path / "go on").touch()

    thread = threading.Thread(target=take_away)
    thread.start()
    outcomes = executor.execute(sweep, [run, *good], Reports())
    thread.join()
    assert [outcome.state for outcome in outcomes] == [State.FAILED, State.DONE]
    assert not folder.exists()


def test_a_try_is_as_large_as_what_could_not_be_written(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(storage, "publish", lambda path, data, replace: sizes.append(len(data)))
    place = Storage(tmp_path, 1.0, threading.Event(), lambda text: None)
    assert place.failed() == 0.0
    assert place.failed(5 * 2**20 + 1) == 0.0
    assert sizes[0] == 2**20
    assert 5 * 2**20 < sizes[1] <= 6 * 2**20


def test_with_no_patience_a_sweep_ends_at_once(tmp_path, fails):
    fails(always)
    said = []
    place = Storage(tmp_path, 0.0, threading.Event(), said.append)
    assert place.failed() is None
    assert said == [f"stopped: for 0 s nothing could be written: {tmp_path}: No space left on device"]


# a driver whose results lie on a disk of four megabytes, full but for `free` bytes until `room` appears
FULL_DISK = """
import os, sys, threading, time
from pathlib import Path
from bench import cli
from bench.sweep.upkeep import preflight
from bench.findings import figures
from bench.sweep.upkeep import ground
from bench.sweep.supervision import storage

results, room, free = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
preflight.check_methods = lambda todo: None
figures.write_all = lambda found, folder: []
ground.MARGIN = ground.COPIES = 0
storage.PROBE_SECONDS = 0.1
ballast = results / "ballast"
with ballast.open("wb") as file:
    disk = os.statvfs(results)
    file.write(bytes(disk.f_bavail * disk.f_frsize - free))

def give_room():
    while not room.exists():
        time.sleep(0.01)
    ballast.unlink()

threading.Thread(target=give_room, daemon=True).start()
code = cli.main(sys.argv[4:])
os.system(f"cp -r {results} {room.parent}/kept")
sys.exit(code)
"""


def may_mount(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    words = ["unshare", "-Urm", "mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_f22_on_a_disk_that_is_really_full_a_sweep_waits_and_ends_with_the_same_bytes(odd, tmp_path, launch, plan):
    results, room = tmp_path / "small", tmp_path / "room"
    results.mkdir()
    if not may_mount(results):
        pytest.skip("needs the right to mount a file system in a namespace of its own")
    small = ["--epochs", "3", "--train-limit", "64", "--test-limit", "64", "--seeds", "0", "--devices", "cpu"]
    small += ["--set", "trace_samples=32", "batch_size=16"]
    words = ["--dataset", "digits", "--noise", "symmetric:0.5", "--methods", f"{odd}:Odd", *small]
    script = f'mount -t tmpfs -o size=4m none {results} && exec "$@"'
    command = ["unshare", "-Urm", "sh", "-c", script, "sh", sys.executable, "-c", FULL_DISK, str(results), str(room)]
    with subprocess.Popen(
        [*command, "200000", *words, "--results", str(results)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as driver:
        said = []
        for line in driver.stderr:
            said.append(line)
            if line.startswith("paused: "):
                room.touch()
    assert driver.returncode == 0, "".join(said)
    assert [line.partition(":")[0] for line in said if line.startswith(("paused", "going on"))] == [
        "paused",
        "going on",
    ]
    (run,) = plan()
    launch([run], "whole")
    kept, whole = (Store(tmp_path / name).run(run.run_id).result().payload for name in ("kept", "whole"))
    assert canonical(kept) == canonical(whole)
