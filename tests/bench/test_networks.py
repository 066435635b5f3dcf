import copy
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import nn

from bench.data import datasets
from bench.data.datasets import DatasetInfo
from bench.training import catalog, networks, plain_cnns
from bench.training.network import Network

pytestmark = pytest.mark.filterwarnings("ignore:torchvision .* was not built for torch:RuntimeWarning")  # once

CIFAR10 = datasets.info("cifar10")
DIGITS = datasets.info("digits")
CIFAR_LIKE = replace(CIFAR10, shape=(3, 8, 8))
SMALL = {  # quick enough to be built again and again
    "digits_cnn": DIGITS,
    **dict.fromkeys(("cnn6", "cnn8", "mlp", "preact_narrow", "resnet32", "shufflenetv2"), CIFAR_LIKE),
    "lenet_small": replace(CIFAR10, shape=(3, 16, 16)),
}
DRAWN = [name for name in catalog.available() if name != "resnet50_imagenet"]  # which needs a file: its own test file
PLAIN = tuple(plain_cnns.BUILDERS)


class Drawn(NamedTuple):
    name: str
    info: DatasetInfo
    network: Network  # a copy of one's own

    def images(self, batch: int = 4) -> torch.Tensor:
        return torch.rand(batch, *self.info.shape, generator=torch.Generator().manual_seed(0))


def heavy(name: str) -> object:
    """The largest share their blocks with smaller ones, and every test of them takes seconds."""
    return pytest.param(name, marks=pytest.mark.slow) if name.startswith(("resnet50", "resnet34", "shuffle")) else name


@pytest.fixture(scope="module", params=[heavy(name) for name in DRAWN])
def built(request: pytest.FixtureRequest) -> Drawn:
    side = max(8, catalog.SMALLEST_SIDE[request.param])
    info = replace(CIFAR10, shape=(3, side, side), num_classes=7)
    return Drawn(request.param, info, networks.build(request.param, info, seed=0))


@pytest.fixture
def drawn(built: Drawn) -> Drawn:
    return built._replace(network=copy.deepcopy(built.network))


def weights_of(network: nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in network.state_dict().values()]


def equal(one: list[torch.Tensor], two: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", [heavy(name) for name in DRAWN])
def test_every_network_trains_on_and_scores_the_smallest_images_it_takes_and_refuses_smaller_ones(
    name, channels
) -> None:
    side = catalog.SMALLEST_SIDE[name]
    info = replace(CIFAR10, shape=(channels, side, side), num_classes=7)
    network = networks.build(name, info, seed=0)
    x = torch.rand(2, channels, side, side)
    network.train()(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    with torch.no_grad():
        logits = network.eval()(x)
        assert torch.equal(logits, network.head(network.features(x)))
    assert logits.shape == (2, 7)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    if side > 1:
        for shape in ((channels, side, side - 1), (channels, side - 1, side)):
            with pytest.raises(ValueError, match=rf"network '{name}' needs images of at least {side} x {side} pixels"):
                networks.build(name, replace(info, shape=shape), seed=0)


@pytest.mark.parametrize("name", [name for name in DRAWN if catalog.SMALLEST_SIDE[name] not in (1, 32)])
def test_on_a_pixel_less_a_network_has_nothing_left_to_see(name, monkeypatch) -> None:
    """Left out: 32 of the networks for photographs, which is their total stride and not the least that runs."""
    side = catalog.SMALLEST_SIDE[name] - 1
    monkeypatch.setitem(catalog.SMALLEST_SIDE, name, 1)
    info = replace(CIFAR10, shape=(3, side, side))
    with pytest.raises((RuntimeError, UserWarning), match=r"too small|can't be greater|zero-element"):
        networks.build(name, info, seed=0)(torch.rand(2, *info.shape))


@pytest.mark.parametrize("name", [*PLAIN, "resnet32", "preact_narrow", "shufflenetv2", "resnet18_valid"])
def test_images_need_not_be_square(name) -> None:
    info = replace(CIFAR10, shape=(3, 29, 41))
    with torch.no_grad():
        assert networks.build(name, info, seed=0).eval()(torch.rand(2, *info.shape)).shape == (2, 10)


def test_images_too_small_for_a_network_are_named() -> None:
    with pytest.raises(
        ValueError, match="network 'cnn9' needs images of at least 28 x 28 pixels, but digits has 8 x 8"
    ):
        networks.build("cnn9", DIGITS, seed=0)


def test_an_unknown_name_meets_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"unknown network 'resnet-18'; did you mean 'resnet18'\?"):
        networks.build("resnet-18", CIFAR10, seed=0)
    with pytest.raises(ValueError, match=r"unknown precision 'bf-16'; did you mean 'bf16'\?"):
        networks.build("digits_cnn", DIGITS, seed=0, precision="bf-16")


@pytest.mark.parametrize("name", SMALL)
def test_initial_weights_depend_on_the_seed_alone(name) -> None:
    torch.manual_seed(1)
    first = weights_of(networks.build(name, SMALL[name], seed=5))
    torch.manual_seed(2)
    networks.build("digits_cnn", DIGITS, seed=9)
    assert equal(first, weights_of(networks.build(name, SMALL[name], seed=5)))
    assert not equal(first, weights_of(networks.build(name, SMALL[name], seed=6)))
    assert equal(first, weights_of(networks.build(name, SMALL[name], seed=5, precision="bf16")))


def test_building_leaves_the_global_generator_as_it_was() -> None:
    state = torch.get_rng_state()
    networks.build("digits_cnn", DIGITS, seed=2**63 - 1)
    assert torch.equal(torch.get_rng_state(), state)


KAIMING_NORMAL = ("resnet32", "resnet32_b", "resnet44", "resnet44_b", "resnet50")


def check_draw(name: str, layer: nn.Conv2d | nn.Linear) -> None:
    """Compare the spread of a layer's weights with that of the distribution they should come from."""
    fan_in, fan_out = layer.weight[0].numel(), layer.weight[:, 0].numel()
    weight, count = layer.weight.detach(), layer.weight.numel()
    if name in KAIMING_NORMAL:
        assert abs(float(weight.std()) / math.sqrt(2 / fan_in) - 1) < 5 / math.sqrt(2 * count)
        if count > 2000:
            assert float(weight.abs().max()) > 2.5 * math.sqrt(2 / fan_in)  # a uniform one of this spread ends at 1.73
        return
    bound = 1 / math.sqrt(fan_in)
    if name == "cnn8":
        bound = math.sqrt(6 / fan_in) if isinstance(layer, nn.Conv2d) else math.sqrt(6 / (fan_in + fan_out))
    assert (1 - 20 / count) * bound < float(weight.abs().max()) < (1 + 1e-6) * bound


def test_weights_come_from_the_distribution_of_the_papers_code(drawn: Drawn) -> None:
    """He et al.'s normal one for resnet32, resnet44 and resnet50, APL's uniform ones for cnn8, torch's for the rest."""
    layers = [layer for layer in drawn.network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in layers:
        check_draw(drawn.name, layer)
        nn.init.zeros_(layer.weight)
    drawn.network.reinit_tail(len(drawn.network.stages))
    for layer in layers:
        check_draw(drawn.name, layer)


def test_a_new_tail_is_fresh_and_the_rest_keeps_its_weights(drawn: Drawn) -> None:
    network, x = drawn.network.train(), drawn.images()
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    parts = (*network.stages, network.head)
    for n in (0, 1, 2, len(network.stages)):
        if n > len(network.stages):
            continue
        with torch.no_grad():
            network(x)  # moves the statistics of every BatchNorm
        before = [weights_of(part) for part in parts]
        network.reinit_tail(n)
        fresh = [not equal(b, weights_of(part)) for b, part in zip(before, parts, strict=True)]
        assert fresh == [False] * (len(network.stages) - n) + [True] * (n + 1)
    assert all(norm.running_mean.count_nonzero() == norm.num_batches_tracked == 0 for norm in norms)
    with pytest.raises(ValueError, match=rf"n must be in 0 \.\. {len(network.stages)}"):
        network.reinit_tail(len(network.stages) + 1)


def test_every_pass_gives_the_same_bits(drawn: Drawn) -> None:
    found = []
    for _ in range(2):
        network = copy.deepcopy(drawn.network)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # of the dropout
            torch.use_deterministic_algorithms(True)
            try:
                logits = network(drawn.images())
                logits.square().sum().backward()
            finally:
                torch.use_deterministic_algorithms(False)
        found.append([logits.detach(), *(p.grad for p in network.parameters())])
    assert equal(*found)


def test_bf16_computes_coarsely_and_answers_in_float32(drawn: Drawn) -> None:
    network, x, seen = drawn.network.eval(), drawn.images(), []
    with torch.no_grad():
        fine = network(x)
        network.precision = "bf16"
        hook = network.head.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
        logits = network(x)
        hook.remove()
    assert seen == [torch.bfloat16]
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, fine)
    assert torch.allclose(logits, fine, atol=0.1 * float(fine.abs().max()))


def test_tf32_is_a_permission_of_the_process_and_changes_nothing_in_a_network(drawn: Drawn) -> None:
    network, x = drawn.network.eval(), drawn.images()
    with torch.no_grad():
        fine = network(x)
        network.precision = "tf32"
        assert torch.equal(network(x), fine)


def step_of(network: Network, x: torch.Tensor) -> list[torch.Tensor]:
    """Logits, gradients and statistics of a step, with the same dropout each time."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        logits = network.train()(x)
        logits.square().sum().backward()
    return [logits.detach(), *(p.grad for p in network.parameters()), *weights_of(network)]


def test_activations_in_place_move_no_bit(drawn: Drawn) -> None:
    _moves_no_bit(drawn.network, drawn.images())


@pytest.mark.parametrize("built", ["cnn9"], indirect=True)  # of ours it alone has them; emulated, bf16 is slow
def test_nor_do_they_in_bf16(drawn: Drawn) -> None:
    drawn.network.precision = "bf16"
    _moves_no_bit(drawn.network, drawn.images())


def _moves_no_bit(network: Network, x: torch.Tensor) -> None:
    other = copy.deepcopy(network)
    for layer in other.modules():
        if isinstance(layer, nn.ReLU | nn.LeakyReLU):
            layer.inplace = False
    assert equal(step_of(network, x), step_of(other, x))


@pytest.mark.parametrize("name", SMALL)
def test_bf16_trains_float32_weights(name) -> None:
    network = networks.build(name, SMALL[name], seed=0, precision="bf16")
    network(torch.rand(4, *SMALL[name].shape)).square().sum().backward()
    assert all(p.dtype == p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in network.parameters())


def test_the_memory_layout_changes_results_by_rounding_alone(drawn: Drawn) -> None:
    network, x = drawn.network.eval(), drawn.images()
    with torch.no_grad():
        straight = network(x)
        network.to(memory_format=torch.channels_last)
        last = network(x.to(memory_format=torch.channels_last))
    assert torch.allclose(last, straight, atol=1e-5 * float(straight.abs().max()), rtol=1e-5)
    network.train()(x.to(memory_format=torch.channels_last)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_features_are_the_input_of_the_head(drawn: Drawn) -> None:
    with torch.no_grad():
        features = drawn.network.eval().features(drawn.images())
    assert features.shape == (4, drawn.network.head.in_features)
    assert drawn.network.head.out_features == 7


def test_the_catalogue_needs_no_torch_and_names_every_network() -> None:
    code = "import sys; from bench.training import catalog; catalog.available(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
    assert set(catalog.NETWORKS) == set(catalog.SMALLEST_SIDE) == set(networks._BUILDERS)


@pytest.mark.parametrize("name", catalog.available())
def test_the_catalogue_says_which_images_a_network_takes(name) -> None:
    side = catalog.SMALLEST_SIDE[name]
    assert catalog.NETWORKS[name].endswith("any size" if side == 1 else f"{side} x {side} or more")
