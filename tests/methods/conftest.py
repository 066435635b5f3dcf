from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

from bench.contract import world as small_world


@pytest.fixture(scope="session")
def world() -> ModuleType:
    """Tiny data and real trainers on them."""
    return small_world


@pytest.fixture(autouse=True)
def _torch_as_found() -> Iterator[None]:
    """One thread, and a trainer's settings of torch taken back afterwards."""
    with small_world.torch_as_found():
        yield


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> torch.Generator:
    """A generator seeded by the test's own name."""
    return torch.Generator().manual_seed(int.from_bytes(request.node.name.encode()[-7:], "little"))
