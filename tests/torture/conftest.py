"""The toy's fork server, its truth and fresh results folders; and the real sweeps of tests/bench/sweep."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from bench.sweep.run.forkserver import ForkServer

HERE = Path(__file__).resolve().parent
REAL = HERE.parent / "bench" / "sweep"


def _module(name: str, path: Path) -> ModuleType:
    """A module that the test files of this folder import by its name."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


_module("toy", HERE / "toy.py")
world_module = _module("world", HERE / "world.py")
_real = _module("real_sweeps", REAL / "conftest.py")
odd, plan, launch, forked, server = _real.odd, _real.plan, _real.launch, _real.forked, _real.server
drive, command = _real.drive, _real.command


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is one: a kill, unlike a power cut, does not ask whether a disk has synced."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path_factory.mktemp("torture")
        return
    path = Path(tempfile.mkdtemp(prefix="torture-", dir=memory))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def toys(room: Path) -> Iterator[ForkServer]:
    """Forks launches of the toy: a process without torch. They end before their folder goes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])))
        toys = ForkServer("toy:main", preload=("warmed",))
        toys.start()
    yield toys
    toys.close()


@pytest.fixture(scope="session")
def world(toys: ForkServer, room: Path) -> Callable[..., object]:
    """`world(runs, epochs)`: a fresh results folder, and what an uninterrupted sweep of that size found."""

    @cache
    def truth(runs: int, epochs: int) -> object:
        return world_module.Truth(toys, room / f"{runs} runs of {epochs} epochs" / "results", runs, epochs)

    def make(runs: int = 2, epochs: int = 3) -> object:
        return world_module.World(toys, truth(runs, epochs), Path(tempfile.mkdtemp(dir=room)) / "results")

    return make
