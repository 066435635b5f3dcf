"""ShuffleNet V2 for small images (Ma et al., ECCV 2018, arXiv:1807.11164), as ProSelfLC trains it on CIFAR-100."""

import torch
from torch import Tensor, nn

from bench.data.datasets import DatasetInfo
from bench.training.network import Builder, Network


class ShuffleUnit(nn.Module):
    """Two branches that give half the channels each, then both shuffled (Figure 3 c and d).

    With stride 2 both branches see all channels; with stride 1 the first half of the channels passes as it is and the
    second half is convolved. All convolutions have biases, unlike the paper's.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.split = stride == 1
        half = after // 2
        seen = half if self.split else before
        self.left = (
            nn.Identity() if self.split else nn.Sequential(*_depthwise(before, stride), *_pointwise(before, half))
        )
        self.right = nn.Sequential(*_pointwise(seen, seen), *_depthwise(seen, stride), *_pointwise(seen, half))

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=1) if self.split else (x, x)
        # channel i of the left, channel i of the right, and so on: the branches in a row, shuffled in two groups
        return torch.stack((self.left(left), self.right(right)), dim=2).flatten(1, 2)


def _pointwise(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 1), nn.BatchNorm2d(after), nn.ReLU()]


def _depthwise(channels: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels), nn.BatchNorm2d(channels)]


def _shufflenetv2(info: DatasetInfo, precision: str) -> Network:
    """The network of width 1, with a 3 x 3 stem of stride 1 without ReLU and no pooling."""
    stages: list[nn.Module] = [nn.Sequential(nn.Conv2d(info.shape[0], 24, 3, padding=1), nn.BatchNorm2d(24))]
    before = 24
    for after, depth in ((116, 4), (232, 8), (464, 4)):
        units = [ShuffleUnit(before, after, 2), *(ShuffleUnit(after, after, 1) for _ in range(depth - 1))]
        stages.append(nn.Sequential(*units))
        before = after
    stages.append(nn.Sequential(*_pointwise(464, 1024)))
    return Network(stages, nn.Linear(1024, info.num_classes), precision)


BUILDERS: dict[str, Builder] = {"shufflenetv2": _shufflenetv2}
