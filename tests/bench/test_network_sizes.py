"""The sizes of the networks: parameters, maps, and the very weights of those behind committed tables."""

import hashlib
import platform
from dataclasses import replace

import pytest
import torch
from torch import nn

from bench.data import datasets
from bench.data.datasets import DatasetInfo
from bench.training import catalog, networks
from bench.training.resnets import BasicBlock, Subsample

pytestmark = pytest.mark.filterwarnings("ignore:torchvision .* was not built for torch:RuntimeWarning")  # once

CIFAR10 = datasets.info("cifar10")
DIGITS = datasets.info("digits")
DRAWN = [name for name in catalog.available() if name != "resnet50_imagenet"]  # which needs a file: its own test file
PARAMETERS = {  # at 10 classes, and at 100
    "cnn6": (518_150, 541_280),
    "cnn8": (1_639_794, 1_662_924),
    "cnn9": (4_434_570, 4_446_180),
    "digits_cnn": (38_330, 44_180),
    "lenet_small": (62_006, 69_656),
    "mlp": (203_530, 226_660),
    "preact_narrow": (1_860_138, 1_871_748),
    "preact_resnet18": (11_171_274, 11_217_444),
    "resnet18": (11_173_962, 11_220_132),
    "resnet18_valid": (11_173_962, 11_220_132),
    "resnet32": (464_154, 470_004),
    "resnet32_b": (466_906, 472_756),
    "resnet34": (21_282_122, 21_328_292),
    "resnet34_imagenet_stem": (21_289_802, 21_335_972),
    "resnet34_valid": (21_282_122, 21_328_292),
    "resnet44": (658_586, 664_436),
    "resnet44_b": (661_338, 667_188),
    "resnet50": (23_528_522, 23_712_932),
    "resnet50_cifar": (23_520_842, 23_705_252),
    "resnet50_valid": (23_520_842, 23_705_252),
    "shufflenetv2": (1_268_646, 1_360_896),
}
MADE_FOR = {"digits_cnn": (1, 8, 8), "mlp": (1, 28, 28)}


def parameters(name: str, classes: int) -> int:
    info = replace(CIFAR10, shape=MADE_FOR.get(name, CIFAR10.shape), num_classes=classes)
    with torch.device("meta"):  # counted, not drawn
        return sum(p.numel() for p in networks.build(name, info, seed=0).parameters())


@pytest.mark.parametrize("name", DRAWN)
def test_parameters_are_as_many_as_the_papers_networks_have(name) -> None:
    assert (parameters(name, 10), parameters(name, 100)) == PARAMETERS[name]


def test_torchvisions_networks_have_its_published_number_of_parameters() -> None:
    assert parameters("resnet34_imagenet_stem", 1000) == 21_797_672
    assert parameters("resnet50", 1000) == 25_557_032


def test_the_digits_network_has_its_parameters_by_hand() -> None:
    convolutions = 16 * 9 + 2 * 16 + 16 * 32 * 9 + 2 * 32
    linear = 32 * 4 * 4 * 64 + 64 + 64 * 10 + 10
    assert convolutions + linear == PARAMETERS["digits_cnn"][0]


def test_shortcuts_of_type_b_add_their_convolutions_and_statistics_alone() -> None:
    more = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    for name in ("resnet32", "resnet44"):
        assert PARAMETERS[f"{name}_b"][0] - PARAMETERS[name][0] == more


PINS = {  # of float32 weights at seed 0; plain and vector instructions differ in the last bits
    "cnn9": {"DEFAULT": "7d01c140536a91be", "AVX2": "28fc66a82641d245"},
    "digits_cnn": {"DEFAULT": "31e6b2c773f791d2", "AVX2": "5b092da2b04562eb"},
    "resnet18": {"DEFAULT": "86117245bba657f3", "AVX2": "c5ebe560355014f6"},
    "resnet32": {"DEFAULT": "139ff38d7601cc5e", "AVX2": "6b5e91c2019bb2f6"},
    "resnet50": {"DEFAULT": "b53494a527f492f2", "AVX2": "562bf07044b9613e"},
}


@pytest.mark.parametrize("name", PINS)
def test_the_weights_behind_committed_tables_stay_what_they_were(name) -> None:
    instructions = torch.backends.cpu.get_cpu_capability().replace("AVX512", "AVX2")
    if platform.machine() not in ("x86_64", "AMD64") or instructions not in PINS[name]:
        pytest.skip(f"weights are pinned for x86-64, not for {platform.machine()} with {instructions}")
    digest = hashlib.sha256()
    network = networks.build(name, DIGITS if name == "digits_cnn" else CIFAR10, seed=0)
    for key, tensor in network.state_dict().items():
        digest.update(key.encode() + str(tuple(tensor.shape)).encode() + tensor.numpy().tobytes())
    assert digest.hexdigest()[:16] == PINS[name][instructions]


def shapes_of_maps(name: str, info: DatasetInfo) -> list[tuple[int, ...]]:
    network = networks.build(name, info, seed=0).eval()
    x, shapes = torch.zeros(1, *info.shape), []
    with torch.no_grad():
        for stage in network.stages:
            x = stage(x)
            shapes.append(tuple(x.shape[1:]))
    return shapes


def test_the_shortcut_takes_every_second_pixel_and_pads_channels_by_zeros_on_both_sides() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4) + 1
    out = Subsample(stride=2, extra=3)(x)
    assert out.shape == (1, 4, 2, 2)
    assert out[0, 1].tolist() == [[1, 3], [9, 11]]
    assert out[0, [0, 2, 3]].abs().sum() == 0


def test_a_block_with_silent_convolutions_is_its_shortcut() -> None:
    block = BasicBlock(2, 2, 1, parameter_free=True).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(block(x), x.clamp(min=0))


@pytest.mark.parametrize(
    ("name", "maps"),
    [
        ("resnet32", [(16, 32, 32), (16, 32, 32), (32, 16, 16), (64, 8, 8)]),
        ("resnet18", [(64, 32, 32), (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]),
        ("resnet18_valid", [(64, 30, 30), (64, 30, 30), (128, 15, 15), (256, 8, 8), (512, 4, 4)]),
        ("resnet34_valid", [(64, 30, 30), (64, 30, 30), (128, 15, 15), (256, 8, 8), (512, 4, 4)]),
        ("resnet50_valid", [(64, 30, 30), (256, 30, 30), (512, 15, 15), (1024, 8, 8), (2048, 4, 4)]),
        ("resnet34_imagenet_stem", [(64, 8, 8), (64, 8, 8), (128, 4, 4), (256, 2, 2), (512, 1, 1)]),
        ("preact_narrow", [(32, 32, 32), (32, 32, 32), (64, 16, 16), (128, 8, 8)]),
        ("shufflenetv2", [(24, 32, 32), (116, 16, 16), (232, 8, 8), (464, 4, 4), (1024, 4, 4)]),
        ("cnn9", [(128, 16, 16), (256, 8, 8), (128, 2, 2)]),
        ("cnn6", [(64, 16, 16), (128, 8, 8), (256,)]),
        ("cnn8", [(64, 16, 16), (128, 8, 8), (196, 4, 4), (256,)]),
        ("lenet_small", [(6, 14, 14), (16, 5, 5), (120,), (84,)]),
    ],
)
def test_each_stage_gives_maps_of_the_papers_size(name, maps) -> None:
    assert shapes_of_maps(name, CIFAR10) == maps
