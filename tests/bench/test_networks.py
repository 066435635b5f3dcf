import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from bench.data import datasets
from bench.training import catalog, networks

pytestmark = pytest.mark.filterwarnings("ignore:torchvision .* was not built for torch:RuntimeWarning")  # once

CIFAR10 = datasets.info("cifar10")
DIGITS = datasets.info("digits")
SMALL = {"digits_cnn": DIGITS, "resnet32": replace(CIFAR10, shape=(3, 8, 8))}  # quick enough for every test


def weights_of(network: nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in network.state_dict().values()]


def equal(one: list[torch.Tensor], two: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    [
        ("cnn9", 10, 4_434_570),
        ("cnn9", 100, 4_446_180),
        ("resnet18", 10, 11_173_962),
        ("resnet18", 100, 11_220_132),
        ("resnet32", 10, 464_154),
        ("resnet32", 100, 470_004),
        ("resnet50", 1000, 25_557_032),
    ],
)
def test_parameters_are_as_many_as_the_papers_networks_have(name, classes, parameters) -> None:
    network = networks.build(name, replace(CIFAR10, num_classes=classes), seed=0)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_the_digits_network_has_its_parameters_by_hand() -> None:
    convolutions = 16 * 9 + 2 * 16 + 16 * 32 * 9 + 2 * 32
    linear = 32 * 4 * 4 * 64 + 64 + 64 * 10 + 10
    network = networks.build("digits_cnn", DIGITS, seed=0)
    assert sum(p.numel() for p in network.parameters()) == convolutions + linear == 38_330


@pytest.mark.parametrize("name", catalog.available())
@pytest.mark.parametrize("channels", [1, 3])
def test_every_network_gives_float32_logits_of_the_smallest_images_it_takes(name, channels) -> None:
    side = catalog.SMALLEST_SIDE[name]
    info = replace(CIFAR10, shape=(channels, side, side), num_classes=7)
    network = networks.build(name, info, seed=0).eval()
    with torch.no_grad():
        x = torch.rand(2, channels, side, side)
        logits = network(x)
        assert torch.equal(logits, network.head(network.features(x)))
    assert logits.shape == (2, 7)
    assert logits.dtype == torch.float32
    if side > 1:
        with pytest.raises(ValueError, match=rf"network '{name}' needs images of at least {side} x {side} pixels"):
            networks.build(name, replace(info, shape=(channels, side, side - 1)), seed=0)


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


def test_convolutions_of_resnet32_start_from_kaimings_normal_distribution() -> None:
    network = networks.build("resnet32", CIFAR10, seed=0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            num = layer.weight.numel()
            expected = (2 / (layer.in_channels * 9)) ** 0.5
            assert abs(float(layer.weight.detach().std()) / expected - 1) < 5 / (2 * num) ** 0.5


@pytest.mark.parametrize("name", SMALL)
def test_a_new_tail_is_fresh_and_the_rest_keeps_its_weights(name) -> None:
    network = networks.build(name, SMALL[name], seed=0)
    network.train()
    network(torch.rand(4, *SMALL[name].shape))  # moves the statistics of every BatchNorm
    for n in range(len(network.stages) + 1):
        before = [weights_of(part) for part in (*network.stages, network.head)]
        network.reinit_tail(n)
        after = [weights_of(part) for part in (*network.stages, network.head)]
        fresh = [not equal(b, a) for b, a in zip(before, after, strict=True)]
        assert fresh == [False] * (len(network.stages) - n) + [True] * (n + 1)
    assert all(
        layer.running_mean.count_nonzero() == 0 for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)
    )
    with pytest.raises(ValueError, match=rf"n must be in 0 \.\. {len(network.stages)}"):
        network.reinit_tail(len(network.stages) + 1)


@pytest.mark.parametrize("name", SMALL)
def test_bf16_computes_coarsely_and_answers_in_float32(name) -> None:
    x = torch.rand(4, *SMALL[name].shape)
    fine = networks.build(name, SMALL[name], seed=0).eval()
    coarse = networks.build(name, SMALL[name], seed=0, precision="bf16").eval()
    seen = []
    coarse.head.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    with torch.no_grad():
        logits = coarse(x)
    assert seen == [torch.bfloat16]
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, fine(x))
    assert torch.allclose(logits, fine(x), atol=0.1 * float(fine(x).detach().abs().max()))


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_gets_a_gradient(name) -> None:
    network = networks.build(name, SMALL[name], seed=0)
    network(torch.rand(4, *SMALL[name].shape)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_shortcut_takes_every_second_pixel_and_pads_channels_by_zeros_on_both_sides() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4) + 1
    out = networks.Subsample(stride=2, extra=3)(x)
    assert out.shape == (1, 4, 2, 2)
    assert out[0, 1].tolist() == [[1, 3], [9, 11]]
    assert out[0, [0, 2, 3]].abs().sum() == 0


def test_a_block_with_silent_convolutions_is_its_shortcut() -> None:
    block = networks.BasicBlock(2, 2, 1, parameter_free=True).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(block(x), x.clamp(min=0))


def test_each_stage_of_a_resnet_halves_the_pixels_and_doubles_the_channels() -> None:
    network = networks.build("resnet32", CIFAR10, seed=0).eval()
    x, shapes = torch.zeros(1, 3, 32, 32), []
    with torch.no_grad():
        for stage in network.stages:
            x = stage(x)
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [(16, 32, 32), (16, 32, 32), (32, 16, 16), (64, 8, 8)]


@pytest.mark.parametrize("name", SMALL)
def test_the_memory_layout_changes_results_by_rounding_alone(name) -> None:
    network = networks.build(name, SMALL[name], seed=0).eval()
    x = torch.rand(4, *SMALL[name].shape)
    with torch.no_grad():
        straight = network(x)
        network.to(memory_format=torch.channels_last)
        assert torch.allclose(network(x.to(memory_format=torch.channels_last)), straight, atol=1e-5)


def test_the_catalogue_needs_no_torch_and_names_every_network() -> None:
    code = "import sys; from bench.training import catalog; catalog.available(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
    assert set(catalog.NETWORKS) == set(catalog.SMALLEST_SIDE) == set(networks._BUILDERS)
