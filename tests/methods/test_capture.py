"""A step can be recorded once in a pass and replayed: of every method. That none waits is a check of the contract.

The environment variable LNBENCH_METHODS="path/to/file.py:Class ..." puts methods from elsewhere to the same test.
"""

import functools
import os
from pathlib import Path

import pytest
import torch

from bench.training.recorders import Graphs, Tape
from methods import registry

OUTSIDE = Path(__file__).parent / "outside.py"
SPECS = [
    *registry.available(),
    f"{OUTSIDE}:Remembering",
    f"{OUTSIDE}:TwoPhases",
    *os.environ.get("LNBENCH_METHODS", "").split(),
]
# by what they keep, and in which order they do it
VARIED = ["ce", "cmd_p", "cdr", "co_teaching", "dividemix", "elr_plus", "meta_weight_net", "pes", "sop", "volminnet"]
CLIPPED = {
    "optimizer": {"name": "sgd", "lr": 0.05, "clip_norm": 5.0},
    "schedule": {"name": "linear", "start": 0.3, "momentum_after": 0.5},
}
SLOW = set(registry.available()) - set(VARIED)  # whole runs: the others stand for these
REPLAYED = [pytest.param(spec, marks=pytest.mark.slow) if spec in SLOW else spec for spec in SPECS]


def named(spec: str) -> str:
    return spec.rpartition("/")[2]


every_method = pytest.mark.parametrize("spec", SPECS, ids=named)


def settings_of(spec, **more) -> dict:
    """Four full batches in a pass and a smaller one: one to note, one to check, two to replay, and the tail."""
    return {"batch_size": 12, "epochs": max(3, registry.describe(spec).shortest), **more}


@pytest.fixture(scope="module")
def written(world):
    """The bits of a run whose steps run as they are written."""

    @functools.cache
    def run(spec):
        return world.bits(world.finish(world.trainer(spec, **settings_of(spec))))

    return run


def recorded(world, spec, recorder, **settings):
    """A finished run with a recorder, and what it said."""
    trainer, said = world.trainer(spec, recorder=recorder, **settings), []
    trainer.capture.say = said.append
    return world.finish(trainer), said


@pytest.mark.parametrize("spec", REPLAYED, ids=named)
def test_replayed_steps_give_every_bit_that_steps_as_written_give(spec, world, written):
    if not registry.load(spec)[0].capturable:
        return  # its steps are never recorded
    trainer, said = recorded(world, spec, Tape(), **settings_of(spec))
    assert not [line for line in said if line.startswith("not captured")]
    seldom = {(phase, name) for (phase, name, train, _), kind in trainer.capture.kinds.items() if not kind.checked}
    often = {(phase, name) for (phase, name, train, _), kind in trainer.capture.kinds.items() if kind.checked}
    assert often - seldom, "no kind of pass was long enough to be replayed"
    assert sum(trainer.capture.replayed.values()) >= 2 * trainer.task.epochs
    found = world.bits(trainer)
    wanted = written(spec)
    assert [name for name in wanted if found[name] != wanted[name]] == []
    assert found.keys() == wanted.keys()


@pytest.mark.parametrize("spec", VARIED)
def test_with_momentum_a_clipped_gradient_and_a_changing_rate_too(spec, world):
    settings = settings_of(spec, **CLIPPED)
    whole = world.bits(world.finish(world.trainer(spec, **settings)))
    trainer, _ = recorded(world, spec, Tape(), **settings)
    assert sum(trainer.capture.replayed.values()) >= 2 * trainer.task.epochs
    assert world.bits(trainer) == whole


def test_every_built_in_method_can_be_recorded_and_none_is_unless_it_says_so():
    assert [name for name in registry.available() if not registry.load(name)[0].capturable] == []
    assert not registry.load(f"{OUTSIDE}:TwoPhases")[0].capturable


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.filterwarnings("default")  # a GPU lacks deterministic versions of some operations
@every_method
def test_on_a_gpu_a_graph_gives_the_bits_of_the_steps_as_written(spec, world, monkeypatch):
    if not registry.load(spec)[0].capturable:
        return
    monkeypatch.setattr(Graphs, "timed", False)  # else the slower way is left, and nothing of it to see
    monkeypatch.setattr(Graphs, "warm_up", 1)
    device = torch.device("cuda")
    settings = settings_of(spec, device=device)
    whole = world.bits(world.finish(world.trainer(spec, **settings)))
    trainer, said = recorded(world, spec, Graphs(device), **settings)
    assert not [line for line in said if line.startswith("not captured")]
    assert world.bits(trainer) == whole
