import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def world() -> ModuleType:
    """The module world.py beside this file."""
    spec = importlib.util.spec_from_file_location("methods_test_world", HERE / "world.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _torch_as_found() -> Iterator[None]:
    """One thread, and a trainer's settings of torch taken back afterwards."""
    torch.set_num_threads(1)
    deterministic, precision = torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()
    state = torch.get_rng_state()
    yield
    torch.use_deterministic_algorithms(deterministic)
    torch.set_float32_matmul_precision(precision)
    torch.set_rng_state(state)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> torch.Generator:
    """A generator seeded by the test's own name."""
    return torch.Generator().manual_seed(int.from_bytes(request.node.name.encode()[-7:], "little"))
