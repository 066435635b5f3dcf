"""Made-up data in the shape of a run's, so that a run can be tried where nothing but its speed matters.

Every class has an image of its own, around which its samples scatter: a network tells them apart within some steps,
so what a method does with samples that it has seen through is tried too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from bench.config import RunConfig
from bench.data.datasets import Dataset, DatasetInfo
from bench.data.noisy import spec_of
from bench.data.prepare import Prepared, assemble
from noise import Corruption

WRONG = 0.3  # share of wrong labels where the run does not say
SCATTER = 40  # standard deviation of a pixel around its class's image


def stand_in(
    config: RunConfig, info: DatasetInfo, *, train: int, scored: int, device: torch.device
) -> tuple[RunConfig, Prepared]:
    """The run with about `train` samples of training and `scored` after each epoch, and such data on the device.

    Wrong labels are uniform, as many as the run's noise asks for. A class has at least two samples of training.
    """
    classes = info.num_classes
    trusted = min(config.dataset.trusted, max(1, train // classes) * classes)
    kept = max(train, 2 * classes)
    total = round((kept + trusted) / (1 - config.dataset.val))
    test = max(scored // 2, 2)
    trace = max(scored - test, 2)
    seen = replace(info, train_size=total, test_size=test, val_size=0, margin=0, resident=True, epoch_size=None)
    data = replace(config.dataset, train_limit=None, test_limit=None, trusted=trusted)
    settings = replace(config.train, trace_samples=trace)
    small = replace(config, dataset=data, train=settings)
    rng = np.random.default_rng(0)
    dataset, corruption = _blobs(seen, rng), _wrong(small, total, classes, rng)
    return small, assemble(small, dataset, corruption, device)


def _blobs(info: DatasetInfo, rng: np.random.Generator) -> Dataset:
    channels, height, width = info.shape
    centres = rng.integers(40, 216, (info.num_classes, height, width, channels), dtype=np.int16)
    labels = np.arange(info.train_size + info.test_size) % info.num_classes
    scatter = rng.integers(-SCATTER, SCATTER, (len(labels), height, width, channels), dtype=np.int16)
    images = (centres[labels] + scatter).clip(0, 255).astype(np.uint8)
    cut = info.train_size
    return Dataset(info, images[:cut], labels[:cut], images[cut:], labels[cut:])


def _wrong(config: RunConfig, total: int, classes: int, rng: np.random.Generator) -> Corruption:
    rate = WRONG if config.noise.rate is None else config.noise.rate
    clean = np.arange(total) % classes
    moved = (clean + rng.integers(1, classes, total)) % classes
    given = np.where(rng.random(total) < rate, moved, clean)
    transition = np.full((classes, classes), rate / (classes - 1))
    np.fill_diagonal(transition, 1 - rate)
    return Corruption(
        given, clean, classes, spec_of(config.noise), config.noise.seed, transition, None, "stand-in", rate
    )
