"""Compiled networks: which batches go through compiled code, and that it computes what the plain code computes."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.func import functional_call

from bench.data import datasets
from bench.training import network as module
from bench.training import networks
from bench.training.network import Network
from methods import registry

DIGITS = datasets.info("digits")
ROOT = Path(module.__file__).resolve().parents[2]


class Fake:
    """Stands in for torch.compile: counts what is compiled and what goes through it, and computes as before."""

    def __init__(self) -> None:
        self.settings: list[dict] = []
        self.sizes: list[int] = []

    def __call__(self, function, **settings):
        self.settings.append(settings)

        def called(network, x):
            self.sizes.append(len(x))
            return function(network, x)

        return called


@pytest.fixture
def fake(monkeypatch):
    fake = Fake()
    monkeypatch.setattr(torch, "compile", fake)
    module._compiled.cache_clear()
    yield fake
    module._compiled.cache_clear()


def built(seed: int = 0) -> Network:
    network = networks.build("digits_cnn", DIGITS, seed=seed).train()
    network.compiled_batch = 8
    return network


def images(size: int = 8) -> torch.Tensor:
    return torch.rand(size, *DIGITS.shape, generator=torch.Generator().manual_seed(size))


def test_training_batches_of_the_whole_size_alone_are_compiled(fake):
    network = built()
    network(images()).sum().backward()
    assert fake.sizes == [8]
    network(images(5))  # the tail
    network(images(16))  # two views at once
    network.features(images())
    with torch.no_grad():
        network(images())
    network.eval()(images())
    assert fake.sizes == [8]


def test_nothing_is_compiled_unless_asked_for_and_then_once_in_a_process_with_static_shapes(fake):
    networks.build("digits_cnn", DIGITS, seed=0).train()(images())
    assert fake.settings == []
    for seed in (0, 1):
        built(seed)(images())
    (settings,) = fake.settings
    assert (settings["dynamic"], settings["fullgraph"]) == (False, True)
    assert settings["options"]["fallback_random"] is True


def test_a_compiled_network_is_still_a_network(fake):
    network, plain = built(), networks.build("digits_cnn", DIGITS, seed=0)
    assert list(network.state_dict()) == list(plain.state_dict())
    seen = []
    network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    twin = copy.deepcopy(network)
    network.reinit_tail(1)
    for one in (network, twin):
        one(images()).sum().backward()
    assert seen == [8, 8]
    assert fake.sizes == [8, 8]
    assert not torch.equal(network.head.weight, twin.head.weight)
    assert twin.head.weight.grad is not None


def test_weights_that_are_lent_go_through_the_plain_pass(fake):
    network = built()
    lent = {name: value.detach().clone() for name, value in network.named_parameters()}
    functional_call(network, lent, (images(),))
    assert fake.sizes == []
    network(images())
    assert fake.sizes == [8]


def test_a_run_compiles_for_the_batches_of_its_own_size(fake, world):
    run = world.trainer("ce", batch_size=10, compile=True)
    assert run.task.make_network(0).compiled_batch == 10
    assert world.trainer("ce", batch_size=10).task.make_network(0).compiled_batch is None
    world.finish(run)  # 54 samples: five whole batches and a tail
    assert fake.sizes == [10] * 5 * 3


def test_a_compiled_run_does_the_same_as_a_plain_one(fake, world):
    """But for how it rounds, which the stand-in leaves alone: every number, and how many images went forward."""
    for name in ("co_teaching", "elr_plus", "meta_weight_net", "pes"):
        plain, compiled = (world.finish(world.trainer(name, compile=on)) for on in (False, True))
        here, there = plain.outcome.payload, compiled.outcome.payload
        assert here["history"] == there["history"]
        assert here["forward_samples"] == there["forward_samples"]
    assert fake.sizes


def test_tf32_is_refused_on_the_cpu_by_a_trainer_too(world):
    with pytest.raises(ValueError, match="precision tf32 is a format of NVIDIA GPUs, and this run is on the cpu"):
        world.trainer("ce", precision="tf32")


def test_a_trainer_leaves_no_tf32_on(world):
    torch.backends.cudnn.allow_tf32 = True
    world.trainer("ce")
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("highest", False)


TRAIN = """
import sys
import torch
from torch._dynamo.utils import counters
from bench.data import datasets
from bench.training import networks

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)

def losses(name, compiled, steps, size=8):
    info = datasets.info("digits" if name == "digits_cnn" else "cifar10")
    nets = [networks.build(name, info, seed=k).train() for k in range(2)]
    optimizer = torch.optim.SGD([p for net in nets for p in net.parameters()], lr=0.02, momentum=0.9, fused=True)
    draws, found = torch.Generator().manual_seed(0), []
    torch.manual_seed(0)
    for step in range(steps):
        x = torch.rand(size if step % 4 else size - 3, *info.shape, generator=draws)
        y = torch.randint(10, (len(x),), generator=draws)
        for net in nets:
            net.compiled_batch = size if compiled else None
        loss = sum(torch.nn.functional.cross_entropy(net(x), y) for net in nets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.detach())
        with torch.no_grad():
            nets[0](x)
            nets[0].eval()(x)
            nets[0].train()
    return torch.stack(found)

name, steps = sys.argv[1], int(sys.argv[2])
plain, compiled = (losses(name, on, steps) for on in (False, True))
print(float((plain - compiled).abs().max()), counters["stats"]["unique_graphs"])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "steps", "tolerance"), [("digits_cnn", 12, 1e-4), ("cnn9", 3, 1e-3)])
def test_compiled_code_agrees_with_the_plain_one_and_two_networks_of_one_shape_share_it(
    name, steps, tolerance, tmp_path
):
    """In a process of its own, with its own cache: one graph for two networks, tail and evaluation left alone.

    A step of cnn9 on eight images makes ten times of any difference; its dropout draws the same. The bars leave room
    for how other processors round: 1.1e-5 and 1.3e-4 have been seen.
    """
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", TRAIN, name, str(steps)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    difference, graphs = done.stdout.split()
    assert float(difference) < tolerance
    assert int(graphs) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.available())
def test_every_method_can_be_traced_whole(name, world, monkeypatch):
    """By the front end alone, which needs no compiler and rounds as the plain pass: the same bits."""
    torch._dynamo.reset()
    traced = torch.compile(Network.logits, backend="aot_eager", dynamic=False, fullgraph=True)
    monkeypatch.setattr(module, "_compiled", lambda: traced)
    plain, compiled = (world.finish(world.trainer(name, compile=on)) for on in (False, True))
    assert plain.outcome.payload["history"] == compiled.outcome.payload["history"]
    same = zip(plain.method.parameters(), compiled.method.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in same)
    torch._dynamo.reset()
