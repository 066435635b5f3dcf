"""Sweeps as a person starts them, what they leave in a folder, and which of their processes live."""

import os
import subprocess
import sys
import time
from pathlib import Path

from bench.files import canonical
from bench.fingerprint import ROOT
from bench.sweep.records.store import Store


def epochs_of(folder: Path) -> list[str]:
    return (folder / "epochs").read_text().split()


def classes_of(store: Store, run_id: str) -> list[str]:
    return [end["class"] if end else "" for _, end in store.run(run_id).attempts()]


def results_of(root: Path) -> dict[str, tuple[int, int, bytes]]:
    paths = sorted(root.glob("runs/*/result.json"))
    return {path.parent.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def payloads(root: Path) -> dict[str, bytes]:
    store = Store(root)
    return {run_id: canonical(store.run(run_id).result().payload) for run_id in store.run_ids()}


def words(odd: Path, *more: str, methods: tuple[str, ...] = (), results: str = "results") -> list[str]:
    """The command that runs the misbehaving method beside others."""
    named = [*methods, f"{odd}:Odd"]
    small = ["--epochs", "3", "--train-limit", "64", "--test-limit", "64"]
    settings = ["--set", "trace_samples=32", "batch_size=16", *more]
    where = ["--results", str(odd.parent / results), "--devices", "cpu", "--per-device", "2"]
    return ["--dataset", "digits", "--noise", "symmetric:0.5", "--methods", *named, *small, *where, *settings]


def wait_for(folder: Path, order: str) -> None:
    """Wait until the method does what it was told."""
    deadline = time.monotonic() + 40
    while not list(folder.glob(f"done-{order}/*")):
        assert time.monotonic() < deadline, f"{order} did not come to pass"
        time.sleep(0.01)


DRIVER = """
import sys
from bench import cli
from bench.findings import figures
from bench.sweep.upkeep import preflight
preflight.check_methods = lambda todo: None
figures.write_all = lambda found, folder: []
sys.exit(cli.main())
"""


class Driver:
    """`run_bench.py ...` as a process of its own, short of the checks and plots that only take time here."""

    def __init__(self, argv: list[str], cwd: Path) -> None:
        words = [sys.executable, "-c", DRIVER, *argv]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            words, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def children_of(folder: Path) -> list[int]:
    """Living processes that have an open file under `folder`: runs hold their lock and their log."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                targets = [os.readlink(fd) for fd in (entry / "fd").iterdir()]
            except OSError:  # it ended meanwhile
                continue
            if any(target.startswith(str(folder)) for target in targets):
                found.append(int(entry.name))
    return found
