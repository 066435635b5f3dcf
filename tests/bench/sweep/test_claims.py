"""Two launchers on one machine do not put two runs where one is meant to be."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench import cli
from bench.devices import Slot
from bench.sweep.supervision import claims, leases
from bench.sweep.supervision.claims import Claims
from bench.sweep.supervision.leases import Leases

ROOT = Path(cli.__file__).resolve().parents[1]
FOUR = [Slot(str(gpu), 0) for gpu in range(4)]

LAUNCHER = """
import sys, time
from pathlib import Path
from bench.sweep.supervision import claims
from bench.devices import Slot
from bench.sweep.supervision.leases import Leases

claims.home = lambda: Path(sys.argv[1])
leases, held = Leases([Slot(str(gpu), 0) for gpu in range(4)], claims=claims.Claims()), []
for _ in range(2):
    held.append(leases.lease())
    print(held[-1].__enter__().gpu, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def launcher(tmp_path):
    """Another launcher that holds two of four GPUs until it is killed."""
    command = [sys.executable, "-c", LAUNCHER, str(claims.home())]
    process = subprocess.Popen(
        command, env={"PYTHONPATH": str(ROOT), "PATH": ""}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.gpus = [process.stdout.readline().strip() for _ in range(2)]
    yield process
    process.kill()
    process.communicate()


def test_two_launchers_take_different_gpus_and_a_killed_ones_are_free_at_once(launcher, capsys):
    assert launcher.gpus == ["0", "1"]
    ours = Leases(FOUR, claims=Claims())
    with ours.lease() as first, ours.lease() as second:
        assert [first.gpu, second.gpu] == ["2", "3"]
        launcher.kill()
        launcher.wait()
        started = time.monotonic()
        with ours.lease() as third:
            assert third.gpu == "0"
            assert time.monotonic() - started < 0.5


def test_a_launcher_waits_for_a_gpu_that_another_holds_and_says_so_once(launcher, monkeypatch, capsys):
    monkeypatch.setattr(leases, "LOOK_SECONDS", 0.05)
    ours = Leases(FOUR[:2], claims=Claims())
    timer = threading.Timer(0.5, launcher.kill)
    timer.start()
    started = time.monotonic()
    with ours.lease() as slot:
        assert slot in FOUR[:2]
    assert time.monotonic() - started > 0.4
    timer.join()
    assert capsys.readouterr().err == "waiting: other launchers on this machine hold cuda:0, cuda:1\n"


def test_who_waits_for_another_launcher_leaves_when_the_sweep_is_over(launcher, monkeypatch):
    monkeypatch.setattr(leases, "LOOK_SECONDS", 0.05)
    ours, over = Leases(FOUR[:1], claims=Claims()), threading.Event()
    timer = threading.Timer(0.2, over.set)
    timer.start()
    with ours.lease(over.is_set) as slot:
        assert slot is None
    timer.join()
    launcher.kill()
    launcher.wait()
    with ours.lease() as slot:  # who left is not served any more
        assert slot == FOUR[0]


def test_a_place_is_given_back_and_places_on_one_gpu_are_several():
    first, second = Claims(), Claims()
    assert first.take(Slot("0", 0))
    assert first.take(Slot("0", 0))
    assert not second.take(Slot("0", 0))
    assert second.take(Slot("0", 1))
    first.give_back(Slot("0", 0))
    assert second.take(Slot("0", 0))
    assert first.take(Slot(None, 0))
    assert second.take(Slot(None, 0))  # a CPU has room for all


def test_a_gpu_has_one_name_whether_it_is_known_by_number_or_by_uuid(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho GPU-8a\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert Claims().take(Slot("0", 0))  # and let go with the object
    held, other = Claims(), Claims()
    assert held.take(Slot("0", 0))
    assert not other.take(Slot("GPU-8a", 0))


@pytest.mark.parametrize("spoilt", ["a file", "a link", "another user's"])
def test_without_a_folder_of_our_own_a_launcher_goes_without(spoilt, tmp_path, monkeypatch):
    home = tmp_path / "spoilt"
    monkeypatch.setattr(claims, "home", lambda: home)
    (tmp_path / "elsewhere").mkdir()
    if spoilt == "a file":
        home.touch()
    elif spoilt == "a link":
        home.symlink_to(tmp_path / "elsewhere")
    else:
        monkeypatch.setattr(claims.os, "getuid", lambda: os.geteuid() + 1)
    assert Claims().take(Slot("0", 0))
    assert [path for path in tmp_path.rglob("*") if path not in (home, tmp_path / "elsewhere")] == []


def test_a_lease_that_ends_lets_other_launchers_have_the_gpu():
    ours = Leases(FOUR[:1], claims=Claims())
    with ours.lease() as slot:
        assert not Claims().take(slot)
    assert Claims().take(slot)
