"""Right before fast: what must hold before a level is timed; each check returns nothing, or raises CheckFailed."""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.data.datasets import Dataset
from bench.speed import ours
from bench.speed.images import dataset as random_images
from bench.speed.options import CheckFailed
from bench.speed.peer import PADDING, Crops, Items, Peer, Recipe
from bench.training.trainer import Trainer
from methods.base import Clock

STEPS = 4
ONE_STEP, FOUR_STEPS = 1e-6, 1e-4  # a weight may be so far off, as a share of the largest weight
FIRST_LOSS, LOSS = 1e-5, 1e-4  # and a loss, as a share of itself: at first rounding of the forward pass alone
# networks fresh from their initial weights turn rounding into 1e-3 of a gradient; steps so small that this stays below
# the tolerance move the weights ten times as far as the tolerance, and another choice of samples shows in the losses
LR = 2e-5
# pixels are divided by 255 and the standard deviation there, multiplied by a reciprocal here: float32 rounding of ~ 2
PIXEL = 2e-6


def given_crops(num: int, seed: int = 1) -> Crops:
    """Crops and flips drawn for `num` images."""
    rng = np.random.default_rng(seed)
    dy, dx = rng.integers(0, 2 * PADDING + 1, (2, num))
    return Crops(dy, dx, rng.random(num) < 0.5)


def same_pixels(device: str) -> None:
    """Our batches hold the peer's pixels when both cut and flip alike, in both layouts, in training and evaluation."""
    data, crops = random_images(40, 8), given_crops(40)
    info, order = data.info, np.random.default_rng(2).permutation(40)
    for augment in (True, False):
        theirs = Items(np.asarray(data.train_images), data.train_labels, info.mean, info.std, augment, crops)
        wanted = torch.stack([theirs[int(index)][0] for index in order])
        for channels_last in (True, False):
            samples = ours.Fed(
                np.asarray(data.train_images), data.train_labels, info, device, channels_last, info.augment
            )
            samples.feed(order, crops if augment else _centred(40), 16)
            found = torch.cat([batch.x for batch in samples.batches()]).cpu()
            worst = float((found - wanted).abs().max())
            if worst > PIXEL:
                what = "augmented" if augment else "plain"
                raise CheckFailed(f"input: {what} pixels differ from the peer's by up to {worst:.2g}")


def _centred(num: int) -> Crops:
    middle = np.full(num, PADDING, dtype=np.int64)
    return Crops(middle, middle, np.zeros(num, dtype=bool))


def follows_the_peer(spec: str, network: str, device: str, batch: int = 4) -> None:
    """Our float32 steps, on the peer's order and crops, follow its losses and weights, with SGD and with Adam.

    Weights are compared after SGD alone: Adam divides a gradient that is nothing but rounding, such as that of a bias
    before BatchNorm, by its own size. Dropout is off, so that both see the same network.
    """
    data, crops = ours.images_for(network, STEPS * batch, batch), given_crops(STEPS * batch)
    order = np.random.default_rng(3).permutation(STEPS * batch)
    names: tuple[Literal["sgd", "adam"], ...] = ("sgd", "adam")
    for name in names:
        own, theirs = _both(spec, network, data, device, batch, name, crops)
        samples = own.data.splits["train"]
        assert isinstance(samples, ours.Fed)
        samples.feed(order, crops, batch)
        _compare(own, theirs, name, f"{ours.TITLES[spec]}, {network}, {name}", order)


def _both(
    spec: str, network: str, data: Dataset, device: str, batch: int, name: Literal["sgd", "adam"], crops: Crops
) -> tuple[Trainer, Peer]:
    run = ours.config(
        spec,
        network,
        data,
        batch=batch,
        precision="float32",
        optimizer=ours.OptimizerConfig(name, LR, 0.9, 0.0),
        params={"ramp_epochs": 1} if ours.registry.describe(spec).num_networks > 1 else {},
    )
    placed = ours.prepared(run, data, device)
    train = run.train
    given = placed.splits["train"].given.cpu().numpy()
    placed.splits["train"] = ours.Fed(
        np.asarray(data.train_images), given, data.info, device, train.channels_last, train.augment
    )
    recipe = Recipe(batch, workers=0, lr=LR, optimizer=name, ramp_epochs=1)
    own = ours.trainer(spec, run, placed, device)
    theirs = ours.peer(spec, run, data, device, recipe, crops)
    for module in (own.method, *theirs.networks):
        _without_dropout(module)
        module.train()
    return own, theirs


def _without_dropout(network: nn.Module) -> None:
    for module in network.modules():
        if "Dropout" in type(module).__name__:
            module.p = 0.0  # type: ignore[assignment]   # of every kind of dropout, torch's and ours


def _compare(own: Trainer, theirs: Peer, name: str, what: str, order: NDArray[np.int64]) -> None:
    clock = Clock(0, ours.EPOCHS, 0, STEPS, 1 / ours.EPOCHS, "train", 0, ours.EPOCHS)
    own.task.clock = clock
    passes = next(iter(own.method.epoch(clock)))
    pairs = zip(passes.batches, theirs.batches(order.tolist()), strict=True)
    for step, (batch, (images, labels, _)) in enumerate(pairs):
        done = passes.step(batch, replace(clock, step=step))
        wanted = theirs.learn(images.to(theirs.device), labels.to(theirs.device))
        assert done is not None
        allowed = FIRST_LOSS if step == 0 else LOSS
        for loss, target in zip(done.losses.tolist(), wanted, strict=True):
            if not abs(loss - target) <= allowed * abs(target):
                raise CheckFailed(f"{what}: step {step + 1} has loss {loss:.7f}, the peer's {target:.7f}")
        if name == "sgd" and step in (0, STEPS - 1):
            _compare_weights(own, theirs, ONE_STEP if step == 0 else FOUR_STEPS, f"{what}: after step {step + 1}")


def _compare_weights(own: Trainer, theirs: Peer, allowed: float, what: str) -> None:
    pairs = [
        (mine.detach(), other.detach())
        for net, peer in zip(own.method.nets, theirs.networks, strict=True)
        for mine, other in zip(net.parameters(), peer.parameters(), strict=True)
    ]
    largest = max(float(other.abs().max()) for _, other in pairs)
    distance = max(float((mine - other).abs().max()) for mine, other in pairs)
    if not distance <= allowed * largest:
        raise CheckFailed(f"{what} a weight is {distance:.2g} off, {allowed:g} of {largest:.2g} is allowed")
