"""From a run's config to what it trains on: data, frozen wrong labels, split, and the facts a method may ask for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import noise
from bench.config import RunConfig
from bench.data.datasets import Dataset, DatasetInfo, load
from bench.data.loader import Resident
from bench.data.noisy import frozen
from bench.data.split import Split, split
from bench.seeds import derive


@dataclass
class Prepared:
    """Data of one run. `clean` and the test labels are for the trainer's eyes alone."""

    info: DatasetInfo
    splits: dict[str, Resident]  # train, test, trace, and val where one was held out
    clean: dict[str, Tensor]  # true labels of train, val and trace
    test_labels: Tensor  # (test,)
    trace_index: Tensor  # positions in the training split on which memorisation is measured
    facts: dict[str, Any]  # by field of Needs
    noise_id: str

    @property
    def given_trace(self) -> Tensor:
        return self.splits["train"].given[self.trace_index]

    @property
    def totals(self) -> dict[str, int]:
        """What the counts of a record are counts of."""
        wrong = self.splits["train"].given != self.clean["train"]
        return {
            "test": len(self.test_labels),
            "val": len(self.clean["val"]),
            "train": len(wrong),
            "train_wrong": int(wrong.sum()),
            "trace": len(self.trace_index),
            "trace_wrong": int(wrong[self.trace_index].sum()),
        }


def prepare(config: RunConfig, data_dir: Path | None, noise_folder: Path | None, device: torch.device) -> Prepared:
    """Load, corrupt, split and put on the device; ValueError if the data are not those of the config."""
    dataset = load(config.dataset.name, data_dir)
    if dataset.info.digest != config.dataset.digest:
        raise ValueError(
            f"{config.dataset.name} has digest {dataset.info.digest[:12]}, the run wants {config.dataset.digest[:12]}"
        )
    return assemble(config, dataset, frozen(dataset, config.noise, noise_folder), device)


def assemble(config: RunConfig, dataset: Dataset, corruption: noise.Corruption, device: torch.device) -> Prepared:
    """Split corrupted data and make it resident. Clean labels enter nothing but `clean` and the granted facts."""
    parts = split(
        corruption.given,
        dataset.info.num_classes,
        val=config.dataset.val,
        limit=config.dataset.train_limit,
        digest=config.dataset.digest,
        noise_seed=config.noise.seed,
    )
    num_test = min(config.dataset.test_limit or len(dataset.test_labels), len(dataset.test_labels))

    def resident(images: np.ndarray, labels: np.ndarray) -> Resident:
        return Resident(
            images,
            labels,
            dataset.info,
            device,
            channels_last=config.train.channels_last,
            augment=config.train.augment,
            normalise=config.train.normalise,
        )

    def training(index: np.ndarray) -> Resident:
        return resident(dataset.train_images[index], corruption.given[index])

    trace = _trace_positions(config, len(parts.train_index))
    splits = {
        "train": training(parts.train_index),
        "test": resident(dataset.test_images[:num_test], dataset.test_labels[:num_test]),
    }
    splits["trace"] = splits["train"] if len(trace) == len(parts.train_index) else training(parts.train_index[trace])
    if len(parts.val_index):
        splits["val"] = training(parts.val_index)
    if not len(trace):
        del splits["trace"]
    positions = {"train": parts.train_index, "val": parts.val_index, "trace": parts.train_index[trace]}
    clean = {name: torch.from_numpy(corruption.clean[index]).to(device) for name, index in positions.items()}
    return Prepared(
        dataset.info,
        splits,
        clean,
        torch.from_numpy(dataset.test_labels[:num_test].copy()).to(device),
        torch.from_numpy(trace).to(device),
        _facts(config, corruption, parts, device),
        corruption.noise_id,
    )


def _trace_positions(config: RunConfig, num_train: int) -> np.ndarray:
    """Sorted positions in the training split; all of it where it is small enough."""
    size = min(config.train.trace_samples, num_train)
    rng = np.random.default_rng(derive(config.noise.seed, "trace", config.dataset.digest))
    return np.sort(rng.permutation(num_train)[:size])


def _facts(config: RunConfig, corruption: noise.Corruption, parts: Split, device: torch.device) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "noise_rate": float(corruption.wrong[parts.train_index].mean()),  # the effective rate: of what is trained on
        "noise_type": config.noise.family,
    }
    if corruption.transition is not None:
        facts["transition"] = torch.from_numpy(corruption.transition.astype(np.float32)).to(device)
    return facts
