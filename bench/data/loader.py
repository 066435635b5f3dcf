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
from bench.data import image_ops
from bench.data.augment import Crops, Draws
from bench.data.datasets import DatasetInfo
from bench.data.padded import Form
from bench.data.store import Store
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
        order = self._order[: self._used].clone()  # a method may write into its batch
        given = self._samples.given[order]
        starts = range(0, self._used, self._batch_size)
        cuts = [slice(start, min(start + self._batch_size, self._used)) for start in starts]
        for cut, views in zip(cuts, self._samples.views(order, cuts, self._draws), strict=True):
            yield Batch(order[cut], views, given[cut])


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
        if not 0 <= rotate <= 180:
            raise ValueError(f"rotate must be in [0, 180] degrees, got {rotate}")
        self.device = torch.device(device)
        self.given = torch.tensor(given, dtype=torch.int64, device=self.device)
        self._info = info
        self._augment = augment
        self._rotate = rotate
        self._strong = Strong(strong, *info.shape[1:], self.device)
        self._channels_last = channels_last
        self._form = form_of(info, augment, channels_last)
        self._slack = info.margin or 2 * self._form.padding
        known = (info.mean, info.std) if normalise else ((0.0,) * info.shape[0], (1.0,) * info.shape[0])
        mean, std = torch.tensor(known, dtype=torch.float64)
        scale, shift = (1 / (info.pixel_max * std)).to(torch.float32), (-mean / std).to(torch.float32)
        # strong policies see pixels up to 255, and what they give is scaled back
        whitened = scale if info.pixel_max == _WHITE else scale * (info.pixel_max / _WHITE)
        self._scale, self._whitened, self._shift = (
            augmentation.per_channel(values, channels_last, info.shape[2]).to(self.device)
            for values in (scale, whitened, shift)
        )

    def __len__(self) -> int:
        return len(self.given)

    @abstractmethod
    def views(self, order: Tensor, cuts: Sequence[slice], draws: tuple[Draws, ...]) -> Iterator[tuple[Tensor, ...]]:
        """Yield, for each batch `order[cut]` (B,) of a pass, one float32 (B, A, H, W) tensor per draw."""

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

    def _finished(self, crops: Crops, begin: Tensor, draws: Draws, cut: slice) -> Tensor:
        """Return the samples that lie at `cut` in `begin` and `draws` as float32 (B, A, H, W), augmented as drawn."""
        pixels = crops.take(begin[cut], None if draws.flip is None else draws.flip[cut])
        if draws.turn is not None:
            pixels = image_ops.turn(pixels, draws.turn[cut])
        scale = self._scale
        if draws.strong is not None:
            if self._info.pixel_max != _WHITE:
                pixels = (pixels.float() * (_WHITE / self._info.pixel_max)).round_().byte()
            pixels, scale = self._strong.apply(pixels, draws.strong.of(cut)), self._whitened
        return augmentation.normalise(pixels, scale, self._shift)

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


def form_of(info: DatasetInfo, augment: str, channels_last: bool) -> Form:
    """Return how images are stored that are augmented so: larger ones leave room for a crop, others are padded.

    Raises ValueError for an unknown augmentation, and for images too small for what it needs.
    """
    wanted = augmentation.padding_of(augment)
    padding = 0 if info.margin else wanted
    reflect = padding > 0 and augmentation.reflects(augment)
    height, width = info.shape[1:]
    if reflect and min(height, width) <= padding:
        raise ValueError(
            f"{info.name}: {augment!r} reflects {padding} pixels, so images need {padding + 1} a side; "
            f"they have {height} x {width}"
        )
    return Form(padding, reflect, channels_last)


class Resident(Samples):
    """Images as uint8 on the device, padded once for all who share them, with the given labels."""

    def __init__(
        self,
        images: NDArray[np.uint8] | Store,
        given: NDArray[np.int64],
        info: DatasetInfo,
        device: torch.device | str,
        channels_last: bool,
        augment: str,
        normalise: bool = True,
        strong: str = "randaugment",
        rotate: float = 0.0,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        """Take the images `rows` (n,), or all, of (N, H, W, A) or of a store, and their (n,) labels.

        An array is copied. A store must be of the form that the augmentation needs, and on the device. The rest is as
        for `Samples`.
        """
        count = len(images) if rows is None else len(rows)
        if count != len(given):
            raise ValueError(f"{info.name}: {count} images, but {len(given)} labels")
        super().__init__(given, info, device, channels_last, augment, normalise, strong, rotate)
        self.store = images if isinstance(images, Store) else Store.of(images, self._form, self.device)
        assert self.store.form == self._form
        assert self.store.pixels.device.type == self.device.type
        all_in_order = rows is None or np.array_equal(rows, np.arange(len(images)))
        self._rows = None if all_in_order else torch.tensor(rows, device=self.device)
        self._crops = Crops(self.store.pixels, self._slack, channels_last)

    def views(self, order: Tensor, cuts: Sequence[slice], draws: tuple[Draws, ...]) -> Iterator[tuple[Tensor, ...]]:
        """Yield the views of each batch; nothing is copied to the host."""
        ready = [(self._begin(order, drawn), drawn) for drawn in (drawn.of(order) for drawn in draws)]
        for cut in cuts:
            yield tuple(self._finished(self._crops, begin, drawn, cut) for begin, drawn in ready)

    def view(self, index: Tensor, draws: Draws) -> Tensor:
        """Return the samples `index` (B,) as float32 (B, A, H, W), augmented as drawn for all n."""
        drawn = draws.of(index)
        return self._finished(self._crops, self._begin(index, drawn), drawn, slice(None))

    def _begin(self, index: Tensor, drawn: Draws) -> Tensor:
        return self._crops.begin(index if self._rows is None else self._rows[index], drawn)
