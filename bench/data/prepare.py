"""From a run's config to what it trains on: data, frozen wrong labels, split, and the facts a method may ask for."""

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import noise
from bench.config import RunConfig
from bench.data.datasets import Dataset, DatasetInfo, Images
from bench.data.loader import Resident, Samples, form_of
from bench.data.noisy import FOREIGN, frozen, split_of, truth_of, with_foreign
from bench.data.shared import load
from bench.data.split import Split
from bench.data.store import Store, pad
from bench.data.streamed import Streamed
from bench.seeds import derive


@dataclass
class Prepared:
    """Data of one run. `clean` and the test labels are for the trainer's eyes alone."""

    info: DatasetInfo
    splits: dict[str, Samples]  # train, test, and where there are such: val, val_clean, trusted, trace
    clean: dict[str, Tensor]  # true labels of train, val, val_clean and trace; -1 for foreign images
    truth: bool  # whether the true labels of training samples are known; if not, `clean` holds the given ones
    test_labels: Tensor  # (test,)
    trace_index: Tensor  # positions in the training split on which memorisation is measured
    facts: dict[str, Any]  # by field of Needs
    noise_id: str

    @property
    def given_trace(self) -> Tensor:
        return self.splits["train"].given[self.trace_index]

    @property
    def totals(self) -> dict[str, int | None]:
        """What the counts of a record are counts of; None where the true labels would have to be known."""
        totals: dict[str, int | None] = {
            "test": len(self.test_labels),
            "val": len(self.clean["val"]),
            "val_clean": len(self.clean["val_clean"]),
            "train": len(self.clean["train"]),
            "trace": len(self.trace_index),
        }
        own, wrong = self.clean["train"] != FOREIGN, self.splits["train"].given != self.clean["train"]
        totals["train_foreign"] = int((~own).sum()) if self.truth else None
        totals["train_wrong"] = int((wrong & own).sum()) if self.truth else None
        totals["trace_wrong"] = int((wrong & own)[self.trace_index].sum()) if self.truth else None
        totals["trace_foreign"] = int((~own)[self.trace_index].sum()) if self.truth else None
        return totals


def prepare(config: RunConfig, data_dir: Path | None, noise_folder: Path | None, device: torch.device) -> Prepared:
    """Load, corrupt, split and put on the device; ValueError if the data are not those of the config."""
    form = partial(form_of, augment=config.train.augment, channels_last=config.train.channels_last)
    dataset = load(config.dataset.name, data_dir, form, pad)
    if dataset.info.digest != config.dataset.digest:
        raise ValueError(
            f"{config.dataset.name} has digest {dataset.info.digest[:12]}, the run wants {config.dataset.digest[:12]}"
        )
    corruption = frozen(dataset, config.noise, noise_folder, data_dir)
    return assemble(config, with_foreign(dataset, corruption, data_dir), corruption, device)


def assemble(config: RunConfig, dataset: Dataset, corruption: noise.Corruption, device: torch.device) -> Prepared:
    """Split corrupted data and make it ready. Clean labels enter nothing but `clean` and the granted facts."""
    info, test = _known_classes(dataset, corruption.known_classes)
    settings = config.dataset
    parts = split_of(corruption, asdict(settings), config.noise.seed)
    test = test[: settings.test_limit or len(test)]
    make = partial(_placed, config, info, device)
    trace = _trace_positions(config, len(parts.train_index))
    known = truth_of(corruption)
    truth = corruption.given if known is None else known
    train = partial(make, _stored(config, info, device, dataset.train_images))
    splits: dict[str, Samples] = {
        "train": train(parts.train_index, corruption.given),
        "test": make(_stored(config, info, device, dataset.test_images), test, dataset.test_labels),
    }
    whole = len(trace) == len(parts.train_index)
    if len(trace):
        splits["trace"] = splits["train"] if whole else train(parts.train_index[trace], corruption.given)
    if len(parts.val_index):
        splits["val"] = train(parts.val_index, corruption.given)
    if len(parts.trusted_index):
        splits["trusted"] = train(parts.trusted_index, truth)
    positions = {"train": parts.train_index, "val": parts.val_index, "trace": parts.train_index[trace]}
    clean = {name: torch.from_numpy(truth[index]).to(device) for name, index in positions.items()}
    clean["val_clean"] = clean["val"] if corruption.clean is not None else clean["val"][:0]
    if dataset.val_images is not None and dataset.val_labels is not None:
        official = np.arange(len(dataset.val_labels))
        val_images = _stored(config, info, device, dataset.val_images)
        splits["val_clean"] = make(val_images, official, dataset.val_labels)
        clean["val_clean"] = torch.from_numpy(dataset.val_labels.copy()).to(device)
    return Prepared(
        info,
        splits,
        clean,
        corruption.clean is not None,
        torch.from_numpy(dataset.test_labels[test]).to(device),
        torch.from_numpy(trace).to(device),
        _facts(config, corruption, parts, device),
        corruption.noise_id,
    )


def _stored(config: RunConfig, info: DatasetInfo, device: torch.device, images: Images) -> Images | Store:
    """All images of a part on the device, for every split that takes some of them; as they are if they stay on disk."""
    if not info.resident:
        return images
    return Store.of(images, form_of(info, config.train.augment, config.train.channels_last), device)


def _placed(
    config: RunConfig,
    info: DatasetInfo,
    device: torch.device,
    images: Images | Store,
    index: NDArray[np.int64],
    labels: NDArray[np.int64],
) -> Samples:
    """The samples `index` of images and their labels: on the device, or read from disk batch by batch."""
    train = config.train
    how = (info, device, train.channels_last, train.augment, train.normalise, train.strong, train.rotate)
    if isinstance(images, Store):
        return Resident(images, labels[index], *how, rows=index)
    return Streamed(images, index, labels[index], *how)


def _known_classes(dataset: Dataset, known: int | None) -> tuple[DatasetInfo, NDArray[np.int64]]:
    """The facts, and the test images, without foreign classes: a network tells only the others apart."""
    if known is None:
        return dataset.info, np.arange(len(dataset.test_labels))
    info = replace(dataset.info, num_classes=known, class_names=dataset.info.class_names[:known])
    return info, np.flatnonzero(dataset.test_labels < known)


def _trace_positions(config: RunConfig, num_train: int) -> np.ndarray:
    """Sorted positions in the training split; all of it where it is small enough."""
    size = min(config.train.trace_samples, num_train)
    rng = np.random.default_rng(derive(config.noise.seed, "trace", config.dataset.digest))
    return np.sort(rng.permutation(num_train)[:size])


def _facts(config: RunConfig, corruption: noise.Corruption, parts: Split, device: torch.device) -> dict[str, Any]:
    facts: dict[str, Any] = {"noise_type": config.noise.family}
    if corruption.clean is not None:
        facts["noise_rate"] = float(corruption.wrong[parts.train_index].mean())  # effective: of what is trained on
    elif corruption.expected is not None:
        facts["noise_rate"] = corruption.expected  # what somebody believes
    if corruption.transition is not None:
        facts["transition"] = torch.from_numpy(corruption.transition.astype(np.float32)).to(device)
    return facts
