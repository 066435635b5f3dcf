"""Random images to train on, of the size of CIFAR's or of the digits': never zeros, which are quicker to multiply."""

import numpy as np

from bench.data.datasets import Dataset, DatasetInfo
from bench.data.digits import INFO as DIGITS

CLASSES = 10
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of CIFAR-10, per channel
DIGIT_NETWORKS = ("digits_cnn",)  # seen on images of their own size


def dataset(train: int, test: int, shape: tuple[int, int, int] = (3, 32, 32), seed: int = 0) -> Dataset:
    """Draw `train` + `test` uint8 images of `shape` (A, H, W) and labels of ten classes."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    images = rng.integers(0, 256, (train + test, height, width, channels), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, train + test)
    mean, std = (MEAN, STD) if channels == 3 else ((0.5,) * channels, (0.25,) * channels)
    names = tuple(f"class {number}" for number in range(CLASSES))
    info = DatasetInfo(
        "random", CLASSES, train, test, shape, 255, mean, std, names, "0" * 64, "crop_flip", "drawn by bench.speed"
    )
    return Dataset(info, images[:train], labels[:train], images[train:], labels[train:])


def shape_for(network: str) -> tuple[int, int, int]:
    """The (A, H, W) on which a network is measured."""
    return DIGITS.shape if network in DIGIT_NETWORKS else (3, 32, 32)
