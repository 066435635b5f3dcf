"""Networks without shortcuts: a hidden layer, or convolutions and pooling, as papers on noisy labels train them.

B samples in a batch, A channels, H x W pixels, C classes.
"""

from itertools import pairwise

from torch import nn

from bench.data.datasets import DatasetInfo
from bench.training.network import Builder, Network


class UniformNetwork(Network):
    """A network whose convolutions start from He et al.'s uniform distribution and whose linear layers from Glorot's.

    The former is scaled by the fan-in; biases stay as torch draws them (Ma et al., ICML 2020, arXiv:2006.13554, code).
    """

    def initialise(self, part: nn.Module) -> None:
        super().initialise(part)
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            elif isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)


def _conv(before: int, after: int, activation: nn.Module, *, bias: bool, padding: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, padding=padding, bias=bias), nn.BatchNorm2d(after), activation]


def _halving(*widths: int) -> nn.Module:
    """Return 3 x 3 convolutions with bias, each with BatchNorm and ReLU, then half the pixels of each side."""
    layers = [layer for step in pairwise(widths) for layer in _conv(*step, nn.ReLU(), bias=True)]
    return nn.Sequential(*layers, nn.MaxPool2d(2))


def _mlp(info: DatasetInfo, precision: str) -> Network:
    """Yu et al., ICML 2019, arXiv:1901.04215: one hidden layer, for MNIST; JoCoR's as well."""
    channels, height, width = info.shape
    hidden = nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, 256), nn.ReLU())
    return Network([hidden], nn.Linear(256, info.num_classes), precision)


def _lenet_small(info: DatasetInfo, precision: str) -> Network:
    """Yu et al., ICML 2019, arXiv:1901.04215: two convolutions without BatchNorm, for CIFAR-10."""
    channels, height, width = info.shape
    left = [((side - 4) // 2 - 4) // 2 for side in (height, width)]  # twice 5 x 5 without padding, then every second
    stages: list[nn.Module] = [
        nn.Sequential(nn.Conv2d(channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Flatten(), nn.Linear(16 * left[0] * left[1], 120), nn.ReLU()),
        nn.Sequential(nn.Linear(120, 84), nn.ReLU()),
    ]
    return Network(stages, nn.Linear(84, info.num_classes), precision)


def _digits_cnn(info: DatasetInfo, precision: str) -> Network:
    channels, height, width = info.shape
    flat = 32 * (height // 2) * (width // 2)
    stages: list[nn.Module] = [
        nn.Sequential(*_conv(channels, 16, nn.ReLU(), bias=False), nn.MaxPool2d(2)),
        nn.Sequential(*_conv(16, 32, nn.ReLU(), bias=False)),
        nn.Sequential(nn.Flatten(), nn.Linear(flat, 64), nn.ReLU()),
    ]
    return Network(stages, nn.Linear(64, info.num_classes), precision)


def _cnn6(info: DatasetInfo, precision: str) -> Network:
    """Wei et al., CVPR 2020, arXiv:2003.02752, and Yu et al., ICML 2019, for CIFAR-100.

    The head sees the last maps pixel by pixel, 16 channels of 4 x 4 on CIFAR, and no mean of them.
    """
    channels, height, width = info.shape
    last = nn.Sequential(_halving(128, 196, 16), nn.Flatten())
    stages = [_halving(channels, 64, 64), _halving(64, 128, 128), last]
    return Network(stages, nn.Linear(16 * (height // 8) * (width // 8), info.num_classes), precision)


def _cnn8(info: DatasetInfo, precision: str) -> Network:
    """Ma et al., ICML 2020, arXiv:2006.13554: six convolutions and two linear layers, for CIFAR-10."""
    channels, height, width = info.shape
    flat = 196 * (height // 8) * (width // 8)
    hidden = nn.Sequential(nn.Flatten(), nn.Linear(flat, 256), nn.BatchNorm1d(256), nn.ReLU())
    stages = [_halving(channels, 64, 64), _halving(64, 128, 128), _halving(128, 196, 196), hidden]
    return UniformNetwork(stages, nn.Linear(256, info.num_classes), precision)


def _cnn9(info: DatasetInfo, precision: str) -> Network:
    """Han et al., NeurIPS 2018, arXiv:1804.06872, Table 2."""

    def layers(widths: tuple[int, ...], padding: int) -> list[nn.Module]:
        found: list[nn.Module] = []
        for before, after in pairwise(widths):
            # in place: backward keeps one map instead of two, a fifth of a run's memory, and no bit moves
            found += _conv(before, after, nn.LeakyReLU(0.01, inplace=True), bias=True, padding=padding)
        return found

    stages: list[nn.Module] = [
        nn.Sequential(*layers((info.shape[0], 128, 128, 128), 1), nn.MaxPool2d(2), nn.Dropout2d(0.25)),
        nn.Sequential(*layers((128, 256, 256, 256), 1), nn.MaxPool2d(2), nn.Dropout2d(0.25)),
        nn.Sequential(*layers((256, 512, 256, 128), 0)),
    ]
    return Network(stages, nn.Linear(128, info.num_classes), precision)


BUILDERS: dict[str, Builder] = {
    "mlp": _mlp,
    "lenet_small": _lenet_small,
    "digits_cnn": _digits_cnn,
    "cnn6": _cnn6,
    "cnn8": _cnn8,
    "cnn9": _cnn9,
}
