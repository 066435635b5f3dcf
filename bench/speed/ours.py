"""The harness's side: real trainers on random images, with what a run takes by default or with other settings."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import noise
from bench import hardware
from bench.config import (
    DatasetConfig,
    MethodConfig,
    NoiseConfig,
    OptimizerConfig,
    RunConfig,
    ScheduleConfig,
    TrainConfig,
)
from bench.data.augment import Draws
from bench.data.datasets import Dataset
from bench.data.loader import Batches, Resident
from bench.data.noisy import frozen
from bench.data.prepare import Prepared, assemble
from bench.devices import visible_gpus
from bench.seeds import derive
from bench.speed.images import dataset as random_images
from bench.speed.images import shape_for
from bench.speed.peer import Crops, Items, Peer, Recipe
from bench.sweep.planning import grid
from bench.sweep.planning.recipes import uniform
from bench.training import networks
from bench.training.trainer import Trainer
from methods import registry
from methods.base import Batch

# methods by their classes: no other file than their own calls them by name
CO_TEACHING = "methods.co_teaching:CoTeaching"
CROSS_ENTROPY = "methods.cross_entropy:CrossEntropy"
TITLES = {CO_TEACHING: "Co-teaching", CROSS_ENTROPY: "cross entropy"}
NOISE = "symmetric:0.4"
LR = 0.001
EPOCHS = 200  # of the run of which rounds are epochs: as many as papers train


def taken_by_default(network: str, device: str) -> dict[str, Any]:
    """The precision and the layout that a run of a network's usual images gets on a device when nobody asks for any."""
    precision = uniform(images_for(network, 1, 1).info).get("precision", TrainConfig.precision)
    chosen = hardware.choose(in_our_words(device)).precision if precision == grid.AUTO else precision
    return {"precision": chosen, "channels_last": TrainConfig.channels_last}


def in_our_words(device: str) -> str:
    """How `--devices` names a device that torch counts among those it is shown."""
    kind, _, number = device.partition(":")
    return device if kind == "cpu" else f"cuda:{visible_gpus()[int(number)]}"


def config(spec: str, network: str, data: Dataset, *, batch: int, seed: int = 0, **train: Any) -> RunConfig:
    """A run of the method `spec` on all training images; `train` are its settings, float32 if they say nothing."""
    info = registry.describe(spec)
    how: dict[str, Any] = {
        "epochs": EPOCHS,
        "augment": data.info.augment,
        "optimizer": OptimizerConfig("adam", LR, 0.9, 0.0),
        "schedule": ScheduleConfig("constant"),
        # memorisation is measured on 10,000 of 50,000 by default: the same share here
        "trace_samples": max(1, len(data.train_labels) // 5),
        **train,
    }
    return RunConfig(
        DatasetConfig(data.info.name, data.info.digest, val=0.0),
        NoiseConfig(**noise.NoiseSpec.parse(NOISE).to_dict(), seed=seed),
        MethodConfig(info.name, info.resolve(how.pop("params", {}))),
        TrainConfig(network=network, batch_size=batch, **how),
        seed,
    ).checked()


def prepared(run: RunConfig, data: Dataset, device: str) -> Prepared:
    return assemble(run, data, frozen(data, run.noise, None), torch.device(device))


def trainer(spec: str, run: RunConfig, data: Prepared, device: str) -> Trainer:
    """A trainer that has trained nothing yet."""
    return Trainer(run, data, registry.create(spec, **run.method.params), torch.device(device))


def peer(spec: str, run: RunConfig, data: Dataset, device: str, recipe: Recipe, crops: Crops | None = None) -> Peer:
    """The peer of a run: the same images, wrong labels, settings and initial weights."""
    info, given = data.info, frozen(data, run.noise, None).given
    wrong = float((given != data.train_labels).mean())
    items = [
        Items(np.asarray(images), labels, info.mean, info.std, augment, crops if augment else None)
        for images, labels, augment in (
            (data.train_images, given, run.train.augment != "none"),
            (data.test_images, data.test_labels, False),
        )
    ]
    made = [
        networks.build(run.train.network, info, seed=derive(run.seed, "init", k))
        for k in range(registry.describe(spec).num_networks)
    ]
    return Peer(items[0], items[1], made, replace(recipe, forget_rate=wrong), device)


def images_for(network: str, train: int, test: int, seed: int = 0) -> Dataset:
    """Random images of the size on which `network` is measured."""
    return random_images(train, test, shape_for(network), seed)


class Fed(Resident):
    """Samples whose training pass is given: order, crops and flips are somebody else's."""

    fed: list[Batch]

    def feed(self, order: NDArray[np.int64], crops: Crops, batch: int) -> None:
        """Let every training pass be the samples in this order, cropped and flipped so."""
        dy, dx, flip = (torch.from_numpy(part).to(self.device) for part in crops)
        draws = Draws(dy, dx, flip)
        parts = torch.from_numpy(order).to(self.device).split(batch)
        self.fed = [Batch(index, (self.view(index, draws),), self.given[index]) for index in parts]

    def batches(self, **asked: Any) -> Batches:
        return self.fed  # type: ignore[return-value]   # sized and iterable, as a pass is
