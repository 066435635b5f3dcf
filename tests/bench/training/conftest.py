import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

SHARED = Path(__file__).parents[2] / "methods"


@pytest.fixture(scope="session")
def world() -> ModuleType:
    """The module tests/methods/world.py: tiny data and real trainers on them."""
    spec = importlib.util.spec_from_file_location("training_test_world", SHARED / "world.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def two_phases() -> str:
    """A method with two phases, fresh weights and an optimiser in each, and an evaluation pass between two others."""
    return f"{SHARED / 'outside.py'}:TwoPhases"


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
