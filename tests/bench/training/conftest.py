from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from bench.contract import world as small_world

SHARED = Path(__file__).parents[2] / "methods"


@pytest.fixture(scope="session")
def world() -> ModuleType:
    """Tiny data and real trainers on them."""
    return small_world


@pytest.fixture(scope="session")
def two_phases() -> str:
    """A method with two phases, fresh weights and an optimiser in each, and an evaluation pass between two others."""
    return f"{SHARED / 'outside.py'}:TwoPhases"


@pytest.fixture(autouse=True)
def _torch_as_found() -> Iterator[None]:
    """One thread, and a trainer's settings of torch taken back afterwards."""
    with small_world.torch_as_found():
        yield
