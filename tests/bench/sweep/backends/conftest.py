"""Sweeps on real clusters, small: the same commands as a person's, and the local sweep that they must equal."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from bench import cli
from bench.files import canonical
from bench.sweep.records.store import Store

from ..conftest import ODD

ROOT = Path(cli.__file__).resolve().parents[1]
PLOTS = (".png", ".svg")
DRIVER = """
import sys
from bench import cli
from bench.sweep.upkeep import preflight
from bench.findings import figures
preflight.check_methods = lambda todo: None
figures.write_all = lambda found, folder: []
sys.exit(cli.main())
"""


def words(odd: Path, results: str, *more: str, order: str = "", seeds: str = "0-1", epochs: int = 3) -> list[str]:
    """The command, to be given beside the method, for runs that do what they are told in their second epoch."""
    small = ["--seeds", seeds, "--epochs", str(epochs), "--train-limit", "64", "--test-limit", "64"]
    settings = ["--set", "trace_samples=32", "batch_size=16", f"odd.Odd.order={order}"]
    where = ["--results", str(odd.parent / results), "--devices", "cpu"]
    return [
        "--dataset",
        "digits",
        "--noise",
        "symmetric:0.5",
        "--methods",
        f"{odd}:Odd",
        *small,
        *settings,
        *where,
        *more,
    ]


class Command:
    """`run_bench.py ...` as a process of its own, short of the checks and plots that only take time here."""

    def __init__(self, argv: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, *argv],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, timeout: float = 240) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, out, err


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    commands: list[Command] = []

    def go(argv: list[str], **environment: str) -> Command:
        commands.append(Command(argv, tmp_path, environment))
        return commands[-1]

    yield go
    for started in commands:
        if started.process.poll() is None:
            started.process.kill()
        started.process.communicate()


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The results of a local sweep that nothing has disturbed, by what its runs were told to do."""
    done: dict[str, Path] = {}

    def results(order: str) -> Path:
        if order not in done:
            folder = tmp_path_factory.mktemp("local")
            (folder / "odd.py").write_text(ODD, encoding="utf-8")
            (folder / "go on").touch()  # for whom nobody else tells
            code, _, err = Command(words(folder / "odd.py", "results", order=order), folder, {}).end()
            assert code == 0, err
            done[order] = folder / "results"
        return done[order]

    return results


def equal(ours: Path, theirs: Path) -> bool:
    """Whether two folders hold the same: payloads, and every table of the first."""
    return payloads(ours) == payloads(theirs) and _tables(ours) <= _tables(theirs)


def payloads(root: Path) -> dict[str, bytes]:
    """What the finished runs of a folder came to."""
    store = Store(root)
    return {run_id: canonical(store.run(run_id).result().payload) for run_id in store.run_ids()}


def _tables(root: Path) -> set[tuple[str, bytes]]:
    """Names and contents, but for the name of the suite: it tells the folder that the method lies in."""
    found = [path for path in root.glob("tables/*/accuracy*") if path.suffix not in PLOTS]
    assert found, root
    return {(path.name, path.read_bytes().replace(path.parent.name.encode(), b"SUITE")) for path in found}


def wait_for(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def waiting_run(root: Path) -> tuple[str, int]:
    """A run that waits in its second epoch, two if they came to it at one instant, and the pid of its process."""
    deadline, waiting, since = time.monotonic() + 120, list[str](), 0.0
    while time.monotonic() < deadline:
        found = _in_second_epoch(root)
        if found != waiting:  # any other run is through that epoch in a fraction of a second
            waiting, since = found, time.monotonic()
        if waiting and time.monotonic() - since > 1:
            return waiting[0], int(Store(root).run(waiting[0]).attempts()[-1][0]["pid"])
        time.sleep(0.05)
    raise AssertionError("no run waits in its second epoch")


def _in_second_epoch(root: Path) -> list[str]:
    folders = [Store(root).run(run_id) for run_id in Store(root).run_ids()]
    return [folder.run_id for folder in folders if folder.epochs_done() == 1 and folder.locked()]


def ancestors(pid: int) -> list[int]:
    """The processes that a process descends from."""
    found = []
    while pid > 1:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        pid = int(stat.rpartition(")")[2].split()[1])
        found.append(pid)
    return found


def processes_of(folder: Path) -> list[int]:
    """Living processes that were started for runs under `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:  # it ended meanwhile
                continue
            if b"bench.sweep.run.worker" in line and str(folder).encode() in line:
                found.append(int(entry.name))
    return found
