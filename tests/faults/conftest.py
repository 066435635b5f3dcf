"""Real runs made tiny, as tests of the sweep have them, and a canary that no hostile input may wake."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import cli
from bench.findings import figures
from tests.bench.data.conftest import tiny_cifar, tiny_source, write_batch
from tests.bench.evidence.conftest import make
from tests.bench.sweep.conftest import forked, launch, odd, plan, server

__all__ = ["forked", "launch", "make", "odd", "plan", "server", "tiny_cifar", "tiny_source", "write_batch"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`run_bench.py ...` in this process and in an empty folder, without plots; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "write_all", lambda found, folder: [])

    def go(*words: str) -> int:
        try:
            return cli.main(list(words))
        except SystemExit as leaving:
            return int(leaving.code or 0)

    return go


class Canary:
    """A file that hostile code would make."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.command = f"touch {path}"

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        """What a pickle of this does when a trusting reader opens it."""
        return os.system, (self.command,)

    @property
    def awake(self) -> bool:
        return self.path.exists()


@pytest.fixture
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    """Asleep before the test and after it."""
    canary = Canary(tmp_path_factory.mktemp("canary") / "awake")
    yield canary
    assert not canary.awake


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder by its path, links by what they point to."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = os.readlink(path).encode()
        elif path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found
