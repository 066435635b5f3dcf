"""Networks for small images: stages in order, then a linear head.

B samples in a batch, A channels, H x W pixels, C classes, F features.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.data.datasets import DatasetInfo
from bench.names import unknown
from bench.training.catalog import NETWORKS, SMALLEST_SIDE
from bench.vision import torchvision

_PRECISIONS = ("float32", "bf16")


class Network(nn.Module):
    """A classifier: `stages` one after the other, the mean over what is left of the pixels, and `head`."""

    def __init__(self, stages: list[nn.Module], head: nn.Linear, precision: str = "float32") -> None:
        super().__init__()
        if precision not in _PRECISIONS:
            raise unknown("precision", precision, _PRECISIONS)
        self.stages = nn.ModuleList(stages)
        self.head = head
        self.precision = precision

    def features(self, x: Tensor) -> Tensor:
        """Return the (B, F) input of the head, for images (B, A, H, W)."""
        for stage in self.stages:
            x = stage(x)
        # AdaptiveAvgPool2d has no deterministic gradient on CUDA; a mean has.
        return x.mean((2, 3)) if x.ndim == 4 else x

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 logits (B, C); with precision bf16, what lies between is computed in bfloat16."""
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            logits: Tensor = self.head(self.features(x))
        return logits.float()

    def reinit_tail(self, n: int) -> None:
        """Give the last `n` stages and the head fresh weights and statistics, from torch's global generator."""
        if not 0 <= n <= len(self.stages):
            raise ValueError(f"n must be in 0 .. {len(self.stages)}, the number of stages, got {n}")
        for part in (*list(self.stages)[len(self.stages) - n :], self.head):
            self.initialise(part)

    def initialise(self, part: nn.Module) -> None:
        """Draw the weights of all layers in `part`."""
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
                layer.reset_parameters()


class KaimingNetwork(Network):
    """A network whose convolutions and head start from He et al.'s normal distribution (arXiv:1502.01852)."""

    def initialise(self, part: nn.Module) -> None:
        super().initialise(part)
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al., CVPR 2016, arXiv:1512.03385).

    Where the shape changes, the shortcut is a 1 x 1 convolution, or with `parameter_free` (type A) every second pixel
    and new channels of zeros.
    """

    def __init__(self, before: int, after: int, stride: int, parameter_free: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = (
                Subsample(stride, after - before)
                if parameter_free
                else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
            )

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(out)) + self.shortcut(x))


class Subsample(nn.Module):
    """Every `stride`-th pixel, with `extra` channels of zeros, half of them in front."""

    def __init__(self, stride: int, extra: int) -> None:
        super().__init__()
        self.stride = stride
        self.extra = extra

    def forward(self, x: Tensor) -> Tensor:
        front = self.extra // 2
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, front, self.extra - front))


def build(name: str, info: DatasetInfo, *, seed: int, precision: str = "float32") -> Network:
    """Return the network `name` for the images and classes of `info`, on the CPU.

    Its weights depend on `seed` alone, and no generator of torch is left changed. Raises a ValueError for an unknown
    name, and for images too small for the network.
    """
    if name not in NETWORKS:
        raise unknown("network", name, NETWORKS)
    _, height, width = info.shape
    smallest = SMALLEST_SIDE[name]
    if min(height, width) < smallest:
        raise ValueError(
            f"network {name!r} needs images of at least {smallest} x {smallest} pixels, "
            f"but {info.name} has {height} x {width}; see: run_bench.py list networks"
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the accelerators as well
        network = _BUILDERS[name](info, precision)
        for part in network.children():
            network.initialise(part)
    return network


def _conv(before: int, after: int, activation: nn.Module, *, bias: bool, padding: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, padding=padding, bias=bias), nn.BatchNorm2d(after), activation]


def _digits_cnn(info: DatasetInfo, precision: str) -> Network:
    channels, height, width = info.shape
    flat = 32 * (height // 2) * (width // 2)
    stages: list[nn.Module] = [
        nn.Sequential(*_conv(channels, 16, nn.ReLU(), bias=False), nn.MaxPool2d(2)),
        nn.Sequential(*_conv(16, 32, nn.ReLU(), bias=False)),
        nn.Sequential(nn.Flatten(), nn.Linear(flat, 64), nn.ReLU()),
    ]
    return Network(stages, nn.Linear(64, info.num_classes), precision)


def _cnn9(info: DatasetInfo, precision: str) -> Network:
    """Han et al., NeurIPS 2018, arXiv:1804.06872, Table 2."""

    def layers(widths: tuple[int, ...], padding: int) -> list[nn.Module]:
        steps = pairwise(widths)
        return [layer for step in steps for layer in _conv(*step, nn.LeakyReLU(0.01), bias=True, padding=padding)]

    stages: list[nn.Module] = [
        nn.Sequential(*layers((info.shape[0], 128, 128, 128), 1), nn.MaxPool2d(2), nn.Dropout2d(0.25)),
        nn.Sequential(*layers((128, 256, 256, 256), 1), nn.MaxPool2d(2), nn.Dropout2d(0.25)),
        nn.Sequential(*layers((256, 512, 256, 128), 0)),
    ]
    return Network(stages, nn.Linear(128, info.num_classes), precision)


def _resnet_stages(channels: int, stem: int, depths: tuple[int, ...], parameter_free: bool) -> list[nn.Module]:
    """Return a 3 x 3 stem of stride 1 and one stage per depth, each with half the pixels and twice the channels."""
    stages: list[nn.Module] = [nn.Sequential(*_conv(channels, stem, nn.ReLU(), bias=False))]
    before = stem
    for number, depth in enumerate(depths):
        after = stem * 2**number
        blocks = [BasicBlock(before, after, 1 if number == 0 else 2, parameter_free)]
        blocks += [BasicBlock(after, after, 1, parameter_free) for _ in range(depth - 1)]
        stages.append(nn.Sequential(*blocks))
        before = after
    return stages


def _resnet18(info: DatasetInfo, precision: str) -> Network:
    stages = _resnet_stages(info.shape[0], 64, (2, 2, 2, 2), parameter_free=False)
    return Network(stages, nn.Linear(512, info.num_classes), precision)


def _resnet32(info: DatasetInfo, precision: str) -> Network:
    stages = _resnet_stages(info.shape[0], 16, (5, 5, 5), parameter_free=True)
    return KaimingNetwork(stages, nn.Linear(64, info.num_classes), precision)


def _resnet50(info: DatasetInfo, precision: str) -> Network:
    """He et al., CVPR 2016, arXiv:1512.03385, with the stem for photographs, in torchvision's form."""
    whole = torchvision().models.resnet50(weights=None, num_classes=info.num_classes)
    if info.shape[0] != 3:
        whole.conv1 = nn.Conv2d(info.shape[0], 64, 7, stride=2, padding=3, bias=False)
    stem = nn.Sequential(whole.conv1, whole.bn1, whole.relu, whole.maxpool)
    stages = [stem, whole.layer1, whole.layer2, whole.layer3, whole.layer4]
    return KaimingNetwork(stages, whole.fc, precision)


_BUILDERS: dict[str, Callable[[DatasetInfo, str], Network]] = {
    "cnn9": _cnn9,
    "digits_cnn": _digits_cnn,
    "resnet18": _resnet18,
    "resnet32": _resnet32,
    "resnet50": _resnet50,
}
