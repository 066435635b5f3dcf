"""Batches of a data set, cut by draws that belong to samples: what ran before, device and batch size change none.

n samples in the set, B in a batch, A channels, H x W pixels. `Resident` keeps its images on the device.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data import augment as augmentation
from bench.data.augment import Draws
from bench.data.datasets import DatasetInfo
from bench.data.strong import Strong
from bench.names import unknown
from bench.seeds import derive
from methods.base import Batch

_VIEWS = ("plain", "weak", "strong")  # as it is; with the augmentation of the run; that and a strong policy after it
_WHITE = 255  # of the images that a strong policy changes


class Batches:
    """One pass over the samples `order`: sized, and the same each time it is iterated."""

    def __init__(
        self, samples: "Samples", order: Tensor, draws: tuple[Draws, ...], batch_size: int, drop_single: bool
    ) -> None:
        self._samples = samples
        self._order = order
        self._draws = draws
        self._batch_size = batch_size
        tail = len(order) % batch_size
        self._used = len(order) - tail if drop_single and tail == 1 else len(order)

    def __len__(self) -> int:
        return -(-self._used // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        parts = [
            self._order[start : min(start + self._batch_size, self._used)]
            for start in range(0, self._used, self._batch_size)
        ]
        for index, views in zip(parts, self._samples.views(parts, self._draws), strict=True):
            yield Batch(index, views, self._samples.given[index])


class Samples(ABC):
    """n labelled images from which passes are cut; `index` of a batch is the position in here."""

    def __init__(
        self,
        given: NDArray[np.int64],
        info: DatasetInfo,
        device: torch.device | str,
        channels_last: bool,
        augment: str,
        normalise: bool = True,
        strong: str = "randaugment",
        rotate: float = 0.0,
    ) -> None:
        """Take the (n,) given labels; without `normalise`, batches are pixel / pixel_max.

        Weak and strong views are turned by up to `rotate` degrees; `strong` names the policy of strong views. Raises
        ValueError for an unknown name, an angle outside [0, 180], and images too small for what `augment` needs.
        """
        _check(info, augment, rotate)
        self.device = torch.device(device)
        self.given = torch.tensor(given, dtype=torch.int64, device=self.device)
        self._info = info
        self._augment = augment
        self._rotate = rotate
        self._strong = Strong(strong, *info.shape[1:], self.device)
        self._channels_last = channels_last
        # stored images that are larger than what is seen leave room for a window; others are padded with zeros
        self._padding = 0 if info.margin else augmentation.padding_of(augment)
        self._slack = info.margin or 2 * self._padding
        mean, std = (info.mean, info.std) if normalise else ((0.0,) * info.shape[0], (1.0,) * info.shape[0])
        per_channel = torch.tensor([mean, std], dtype=torch.float64)[:, :, None, None]
        self._scale = (1 / (info.pixel_max * per_channel[1])).to(self.device, torch.float32)
        self._shift = (-per_channel[0] / per_channel[1]).to(self.device, torch.float32)

    def __len__(self) -> int:
        return len(self.given)

    @abstractmethod
    def views(self, parts: Sequence[Tensor], draws: tuple[Draws, ...]) -> Iterator[tuple[Tensor, ...]]:
        """Yield, for each batch of positions (B,) in `parts`, one float32 (B, A, H, W) tensor per draw."""

    def batches(
        self,
        *,
        batch_size: int,
        views: tuple[str, ...] = ("weak",),
        subset: Tensor | None = None,
        shuffle: bool,
        seed: int,
        stream: str,
        epoch: int,
        drop_single: bool,
    ) -> Batches:
        """Return one pass for training over all samples, or over the positions `subset` (int64).

        Order and augmentation depend on seed, stream and epoch alone: what ran before, the device and the batch size
        change no sample. Views are "weak" (the augmentation of the run), "strong" (after it, the run's policy) and
        "plain" (none); equal names at different places draw differently. With `drop_single` a last batch of one is
        left out, as BatchNorm can't train on it; a set of fewer than two samples raises a ValueError then, an empty or
        single `subset` gives no batch. Where the data set says how many samples an epoch has, a shuffled pass over all
        draws so many, balanced by given class.
        """
        if batch_size < 1 + drop_single:
            raise ValueError(f"batch_size must be at least {1 + drop_single}, got {batch_size}")
        if drop_single and len(self) < 2:
            raise ValueError(f"{self._info.name}: training needs at least 2 samples, got {len(self)}")
        order = self._positions(subset)
        if shuffle and subset is None and self._info.epoch_size is not None:
            order = self._balanced(self._info.epoch_size, derive(seed, "epoch", stream, epoch))
        if shuffle:
            shuffled = np.random.default_rng(derive(seed, "order", stream, epoch)).permutation(len(order))
            order = order[torch.from_numpy(shuffled).to(self.device)]
        draws = tuple(
            self._drawn(view, derive(seed, "augment", stream, number, epoch)) for number, view in enumerate(views)
        )
        return Batches(self, order, draws, batch_size, drop_single)

    def plain(self, batch_size: int) -> Batches:
        """Return one pass for evaluation: every sample once, in order, not augmented."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        return Batches(self, self._positions(None), (self._drawn("plain", 0),), batch_size, drop_single=False)

    def _all_windows(self, images: Tensor) -> Tensor:
        """Pad (n, H, W, A) uint8 images as the augmentation needs, and view them as all of their crops."""
        reflect = augmentation.reflects(self._augment)
        store = augmentation.padded_store(images, self._padding, self._channels_last, reflect)
        return augmentation.windows(store, self._slack, self._channels_last)

    def _finished(self, windows: Tensor, index: Tensor, draws: Draws) -> Tensor:
        """Return the samples `index` (B,) of `windows` as float32 (B, A, H, W), augmented as drawn."""
        pixels = augmentation.crop(windows, index, draws, self._channels_last)
        pixels = augmentation.turn(augmentation.mirror(pixels, index, draws), index, draws)
        scale = self._scale
        if draws.strong is not None:
            if self._info.pixel_max != _WHITE:
                pixels = (pixels.float() * (_WHITE / self._info.pixel_max)).round_().byte()
                scale = scale * (self._info.pixel_max / _WHITE)
            pixels = self._strong.apply(pixels, draws.strong.of(index))
        images = augmentation.normalise(pixels, scale, self._shift)
        return images.contiguous(memory_format=torch.channels_last) if self._channels_last else images

    def _positions(self, subset: Tensor | None) -> Tensor:
        if subset is None:
            return torch.arange(len(self), device=self.device)
        if subset.dtype != torch.int64 or subset.ndim != 1:
            raise ValueError(f"subset must be a row of int64 positions, got {subset.dtype} {tuple(subset.shape)}")
        return subset.to(self.device)

    def _balanced(self, size: int, seed: int) -> Tensor:
        """Return `size` positions, at most size / C (rounded up) of every given class; fewer if classes have fewer.

        As in DivideMix's code, the set is gone through in random order, and a full class is passed over.
        """
        key = np.random.default_rng(seed).random(len(self))
        given, most = self.given.cpu().numpy(), -(-size // self._info.num_classes)
        ranked = np.argsort(key, kind="stable")
        allowed = np.concatenate(
            [np.flatnonzero(given[ranked] == label)[:most] for label in range(self._info.num_classes)]
        )
        return torch.from_numpy(np.sort(ranked[np.sort(allowed)[:size]])).to(self.device)

    def _drawn(self, view: str, seed_stream: int) -> Draws:
        if view not in _VIEWS:
            raise unknown("view", view, _VIEWS)
        name, rotate = ("none", 0.0) if view == "plain" else (self._augment, self._rotate)
        draws = augmentation.draw(seed_stream, len(self), name, self._slack, rotate)
        if view == "strong":
            draws = replace(draws, strong=self._strong.draw(derive(seed_stream, "strong"), len(self)))
        return draws.to(self.device)


def _check(info: DatasetInfo, augment: str, rotate: float) -> None:
    if not 0 <= rotate <= 180:
        raise ValueError(f"rotate must be in [0, 180] degrees, got {rotate}")
    padding = augmentation.padding_of(augment)
    if augmentation.reflects(augment) and not info.margin and min(info.shape[1:]) <= padding:
        height, width = info.shape[1:]
        raise ValueError(
            f"{info.name}: {augment!r} reflects {padding} pixels, so images need {padding + 1} a side; "
            f"they have {height} x {width}"
        )


class Resident(Samples):
    """Images as uint8 on the device, padded once, with the given labels."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        given: NDArray[np.int64],
        info: DatasetInfo,
        device: torch.device | str,
        channels_last: bool,
        augment: str,
        normalise: bool = True,
        strong: str = "randaugment",
        rotate: float = 0.0,
    ) -> None:
        """Copy (n, H, W, A) images and their (n,) labels; the rest is as for `Samples`."""
        if len(images) != len(given):
            raise ValueError(f"{info.name}: {len(images)} images, but {len(given)} labels")
        super().__init__(given, info, device, channels_last, augment, normalise, strong, rotate)
        # torch.tensor copies: a data set's arrays are read-only, and torch can't mark a tensor so.
        self._windows = self._all_windows(torch.tensor(np.ascontiguousarray(images), device=self.device))

    def views(self, parts: Sequence[Tensor], draws: tuple[Draws, ...]) -> Iterator[tuple[Tensor, ...]]:
        """Yield the views of each batch; nothing is copied to the host."""
        for index in parts:
            yield tuple(self.view(index, drawn) for drawn in draws)

    def view(self, index: Tensor, draws: Draws) -> Tensor:
        """Return the samples `index` (B,) as float32 (B, A, H, W), augmented as drawn."""
        return self._finished(self._windows, index, draws)
