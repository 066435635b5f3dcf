"""Residual networks for small images (He et al., CVPR 2016, arXiv:1512.03385): a 3 x 3 stem of stride 1, no pooling.

Two families: 16 to 64 channels in three stages (section 4.2 there), and ImageNet's depths with 64 to 512 channels.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from bench.data.datasets import DatasetInfo
from bench.training.network import Builder, KaimingNetwork, Network

Block = Callable[[int, int, int], nn.Module]  # of channels before, channels after, and stride


class Subsample(nn.Module):
    """Every `stride`-th pixel, with `extra` channels of zeros, half of them in front."""

    def __init__(self, stride: int, extra: int) -> None:
        super().__init__()
        self.stride = stride
        self.extra = extra

    def forward(self, x: Tensor) -> Tensor:
        front = self.extra // 2
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, front, self.extra - front))


def _shortcut(before: int, after: int, stride: int, parameter_free: bool) -> nn.Module:
    """Return what lies beside a block's convolutions: nothing, unless the shape changes.

    Then it is a 1 x 1 convolution (type B), or with `parameter_free` (type A) every second pixel and channels of zeros.
    """
    if stride == 1 and before == after:
        return nn.Identity()
    if parameter_free:
        return Subsample(stride, after - before)
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut of type A (`parameter_free`) or B."""

    def __init__(self, before: int, after: int, stride: int, parameter_free: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut = _shortcut(before, after, stride, parameter_free)

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(out)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions, the 3 x 3 on a quarter of the channels and with the stride.

    The paper has the stride in the first 1 x 1; the code behind the published numbers has it here.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        inner = after // 4
        self.conv1 = nn.Conv2d(before, inner, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, after, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(after)
        self.shortcut = _shortcut(before, after, stride, parameter_free=False)

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.norm1(self.conv1(x)))
        out = functional.relu(self.norm2(self.conv2(out)))
        return functional.relu(self.norm3(self.conv3(out)) + self.shortcut(x))


def stem(channels: int, width: int, padding: int = 1) -> nn.Module:
    """Return a 3 x 3 convolution of stride 1 with BatchNorm and ReLU; unpadded it takes a pixel off each side."""
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=padding, bias=False), nn.BatchNorm2d(width), nn.ReLU())


def residual_stages(block: Block, before: int, first: int, depths: tuple[int, ...]) -> list[nn.Module]:
    """Return one stage of blocks per depth, the first with `first` channels and all pixels of a stem of width `before`.

    Each later stage has half the pixels of each side and twice the channels.
    """
    stages: list[nn.Module] = []
    for number, depth in enumerate(depths):
        after = first * 2**number
        blocks = [block(before, after, 1 if number == 0 else 2)]
        blocks += [block(after, after, 1) for _ in range(depth - 1)]
        stages.append(nn.Sequential(*blocks))
        before = after
    return stages


def _narrow(info: DatasetInfo, precision: str, *, blocks: int, parameter_free: bool) -> Network:
    block = partial(BasicBlock, parameter_free=parameter_free)
    stages = [stem(info.shape[0], 16), *residual_stages(block, 16, 16, (blocks, blocks, blocks))]
    return KaimingNetwork(stages, nn.Linear(64, info.num_classes), precision)


def _basic(info: DatasetInfo, precision: str, *, depths: tuple[int, ...], padding: int = 1) -> Network:
    block = partial(BasicBlock, parameter_free=False)
    stages = [stem(info.shape[0], 64, padding), *residual_stages(block, 64, 64, depths)]
    return Network(stages, nn.Linear(512, info.num_classes), precision)


def _bottleneck(info: DatasetInfo, precision: str, *, depths: tuple[int, ...], padding: int = 1) -> Network:
    stages = [stem(info.shape[0], 64, padding), *residual_stages(Bottleneck, 64, 256, depths)]
    return Network(stages, nn.Linear(2048, info.num_classes), precision)


BUILDERS: dict[str, Builder] = {
    "resnet32": partial(_narrow, blocks=5, parameter_free=True),
    "resnet32_b": partial(_narrow, blocks=5, parameter_free=False),
    "resnet44": partial(_narrow, blocks=7, parameter_free=True),
    "resnet44_b": partial(_narrow, blocks=7, parameter_free=False),
    "resnet18": partial(_basic, depths=(2, 2, 2, 2)),
    "resnet34": partial(_basic, depths=(3, 4, 6, 3)),
    "resnet50_cifar": partial(_bottleneck, depths=(3, 4, 6, 3)),
    "resnet18_valid": partial(_basic, depths=(2, 2, 2, 2), padding=0),
    "resnet34_valid": partial(_basic, depths=(3, 4, 6, 3), padding=0),
    "resnet50_valid": partial(_bottleneck, depths=(3, 4, 6, 3), padding=0),
}
