"""The networks against others of the same shape, written another way, with the same weights."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.data import datasets
from bench.training import networks
from bench.vision import torchvision

pytestmark = pytest.mark.filterwarnings("ignore:torchvision .* was not built for torch:RuntimeWarning")  # once

CIFAR10 = datasets.info("cifar10")


def conv3(before: int, after: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=bias)


class PlainPreact(nn.Module):
    """Pre-activation blocks one by one, of the given widths, with a stride of 2 where the width doubles."""

    def __init__(self, stem: int, widths: list[int], norm_of_stem: bool, norm_at_end: bool, raw: bool) -> None:
        super().__init__()
        self.raw = raw  # whether an unchanged shortcut takes the block's input before BatchNorm and ReLU
        self.stem = conv3(3, stem)
        self.stem_norm = nn.BatchNorm2d(stem) if norm_of_stem else None
        self.blocks = nn.ModuleList()
        for before, after in pairwise([stem, *widths]):
            stride = 1 if before == after else 2
            block = [nn.BatchNorm2d(before), conv3(before, after, stride), nn.BatchNorm2d(after), conv3(after, after)]
            if before != after:
                block.append(nn.Conv2d(before, after, 1, 2, bias=False))
            self.blocks.append(nn.ModuleList(block))
        self.end_norm = nn.BatchNorm2d(widths[-1]) if norm_at_end else None
        self.linear = nn.Linear(widths[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if self.stem_norm is not None:
            x = F.relu(self.stem_norm(x))
        for norm1, conv1, norm2, conv2, *projection in self.blocks:
            active = F.relu(norm1(x))
            side = projection[0](active) if projection else x if self.raw else active
            x = side + conv2(F.relu(norm2(conv1(active))))
        if self.end_norm is not None:
            x = F.relu(self.end_norm(x))
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


class PlainResNet44(nn.Module):
    """6n + 2 layers with n = 7; where the width doubles, zeros in front and behind instead of a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = conv3(3, 16), nn.BatchNorm2d(16)
        self.blocks = nn.ModuleList()
        before = 16
        for after in [16] * 7 + [32] * 7 + [64] * 7:
            stride = after // before
            parts = [conv3(before, after, stride), nn.BatchNorm2d(after), conv3(after, after), nn.BatchNorm2d(after)]
            self.blocks.append(nn.ModuleList(parts))
            before = after
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem_norm(self.stem(x)))
        for conv1, norm1, conv2, norm2 in self.blocks:
            out = norm2(conv2(F.relu(norm1(conv1(x)))))
            if out.shape != x.shape:
                x = x[:, :, ::2, ::2]
                x = torch.cat([torch.zeros_like(x[:, ::2]), x, torch.zeros_like(x[:, ::2])], dim=1)
            x = F.relu(out + x)
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


class PlainShuffleNet(nn.Module):
    """ShuffleNet V2 with the split by slices, the concatenation and the shuffle in groups written out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = conv3(3, 24, bias=True), nn.BatchNorm2d(24)
        self.units = nn.ModuleList()
        before = 24
        for after, units in ((116, 4), (232, 8), (464, 4)):
            for unit in range(units):
                stride = 2 if unit == 0 else 1
                seen = before if unit == 0 else after // 2
                beside = [self.deep(before, 2), self.wide(before, after // 2)] if unit == 0 else []
                main = [self.wide(seen, seen), self.deep(seen, stride), self.wide(seen, after // 2)]
                self.units.append(nn.ModuleList([*beside, *main]))
                before = after
        self.last = self.wide(464, 1024)
        self.linear = nn.Linear(1024, 10)

    @staticmethod
    def wide(before: int, after: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(before, after, 1), nn.BatchNorm2d(after), nn.ReLU())

    @staticmethod
    def deep(width: int, stride: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(width, width, 3, stride, 1, groups=width), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem_norm(self.stem(x))
        for unit in self.units:
            *beside, wide1, deep, wide2 = unit
            if beside:
                left, right = beside[1](beside[0](x)), x
            else:
                left, right = x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]
            x = torch.cat([left, wide2(deep(wide1(right)))], dim=1)
            batch, channels, height, width = x.shape
            grouped = x.reshape(batch, 2, channels // 2, height, width)
            x = grouped.permute(0, 2, 1, 3, 4).reshape(batch, channels, height, width)
        return self.linear(F.adaptive_avg_pool2d(self.last(x), 1).flatten(1))


class PlainCNN(nn.Module):
    """Six convolutions with BatchNorm, pooled after each second, then linear layers on every pixel that is left."""

    def __init__(self, last: int, hidden: bool) -> None:
        super().__init__()
        widths = [3, 64, 64, 128, 128, 196, last]
        self.convs = nn.ModuleList()
        for before, after in pairwise(widths):
            self.convs += [conv3(before, after, bias=True), nn.BatchNorm2d(after)]
        self.hidden = nn.Linear(last * 16, 256) if hidden else None
        self.hidden_norm = nn.BatchNorm1d(256) if hidden else None
        self.linear = nn.Linear(256 if hidden else last * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        for number in range(6):
            x = F.relu(self.convs[2 * number + 1](self.convs[2 * number](x)))
            if number % 2:
                x = F.max_pool2d(x, kernel_size=2, stride=2)
        x = x.reshape(len(x), -1)
        if self.hidden is not None and self.hidden_norm is not None:
            x = F.relu(self.hidden_norm(self.hidden(x)))
        return self.linear(x)


class PlainLeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv2(F.max_pool2d(F.relu(self.conv1(x)), 2))), 2).reshape(-1, 400)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class PlainMLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(3072, 256), nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(x.reshape(-1, 3072))))


def torchvisions(name: str, padding: int | None = None) -> nn.Module:
    """A network of torchvision, with a stem for small images where its `padding` is given."""
    whole = getattr(torchvision().models, name)(weights=None, num_classes=10)
    if padding is not None:
        whole.conv1 = nn.Conv2d(3, 64, 3, padding=padding, bias=False)
        whole.maxpool = nn.Identity()
    return whole


OTHERS: dict[str, Callable[[], nn.Module]] = {
    "cnn6": lambda: PlainCNN(16, hidden=False),
    "cnn8": lambda: PlainCNN(196, hidden=True),
    "lenet_small": PlainLeNet,
    "mlp": PlainMLP,
    "preact_narrow": lambda: PlainPreact(32, [32] * 5 + [64] * 5 + [128] * 5, False, True, raw=True),
    "preact_resnet18": lambda: PlainPreact(64, [64] * 2 + [128] * 2 + [256] * 2 + [512] * 2, True, False, raw=False),
    "resnet18": lambda: torchvisions("resnet18", padding=1),
    "resnet18_valid": lambda: torchvisions("resnet18", padding=0),
    "resnet34": lambda: torchvisions("resnet34", padding=1),
    "resnet34_imagenet_stem": lambda: torchvisions("resnet34"),
    "resnet34_valid": lambda: torchvisions("resnet34", padding=0),
    "resnet44": PlainResNet44,
    "resnet50": lambda: torchvisions("resnet50"),
    "resnet50_cifar": lambda: torchvisions("resnet50", padding=1),
    "resnet50_valid": lambda: torchvisions("resnet50", padding=0),
    "shufflenetv2": PlainShuffleNet,
}


def shake(network: nn.Module) -> None:
    """Give every BatchNorm scales, shifts and statistics of its own: as drawn, it would do nothing in evaluation."""
    generator = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(layer.bias, std=0.2, generator=generator)
            nn.init.normal_(layer.running_mean, std=0.05, generator=generator)
            nn.init.uniform_(layer.running_var, 0.5, 1.5, generator=generator)


@pytest.mark.parametrize("name", OTHERS)
def test_a_network_computes_what_one_written_out_by_hand_or_by_torchvision_does(name) -> None:
    side = 48 if name in ("resnet50", "resnet34_imagenet_stem") else 32
    network = networks.build(name, replace(CIFAR10, shape=(3, side, side)), seed=0)
    shake(network)
    other = OTHERS[name]()
    other.load_state_dict(dict(zip(other.state_dict(), network.state_dict().values(), strict=True)))
    x = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for mode in (False, True):
            expected = other.train(mode)(x)
            atol = 1e-5 * max(1.0, float(expected.abs().max()))
            assert torch.allclose(network.train(mode)(x), expected, rtol=1e-5, atol=atol)


def test_the_blocks_of_dividemix_send_the_activated_maps_past_their_convolutions() -> None:
    """And those of GJS the raw ones, as He et al. do; both repositories' code."""
    for name, raw in (("preact_resnet18", False), ("preact_narrow", True)):
        block = networks.build(name, CIFAR10, seed=0).eval().stages[1][1]
        nn.init.zeros_(block.conv2.weight)
        x = torch.randn(2, block.conv1.in_channels, 4, 4, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            expected = x if raw else block.norm1(x).clamp(min=0)
            assert torch.equal(block(x), expected)


def test_a_shuffle_unit_passes_the_first_half_of_the_channels_on_at_even_places() -> None:
    unit = networks.build("shufflenetv2", CIFAR10, seed=0).eval().stages[1][1]
    x = torch.randn(2, 116, 3, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(unit(x)[:, ::2], x[:, :58])
        assert torch.equal(unit(x)[:, 1::2], unit.right(x[:, 58:]))
