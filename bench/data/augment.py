"""Augmentation of whole batches, by numbers drawn for each sample before the epoch begins.

n samples in the store, B in a batch, A channels, H x W pixels. What is stored is higher and wider by the slack s, by
padding (p pixels on each side: s = 2p) or because larger images are stored. A view is cropped, then mirrored, then
turned, then changed by a strong policy, and what is not drawn for is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.data import image_ops
from bench.data.padded import Form
from bench.data.strong import StrongDraws
from bench.names import unknown
from bench.seeds import derive

_PADDING = {"none": 0, "crop_flip": 4, "crop_flip_reflect": 4}
_REFLECTING = frozenset({"crop_flip_reflect"})  # the others pad with black
_WORDS = (torch.int64, torch.int32, torch.int16, torch.uint8)


@dataclass(frozen=True, slots=True)
class Draws:
    """What happens to each sample in one view of one pass; None: to no sample."""

    dy: Tensor  # (n,) int64 in 0 .. s
    dx: Tensor  # (n,) int64 in 0 .. s
    flip: Tensor | None  # (n,) bool
    turn: Tensor | None = None  # (n, 2) int64, cosine and sine of the angle in fixed point
    strong: StrongDraws | None = None

    def to(self, device: torch.device) -> Draws:
        return Draws(
            self.dy.to(device),
            self.dx.to(device),
            None if self.flip is None else self.flip.to(device),
            None if self.turn is None else self.turn.to(device),
            None if self.strong is None else self.strong.to(device),
        )

    def of(self, index: Tensor | slice) -> Draws:
        """The draws of the samples `index` (B,), in that order, or of a stretch of samples."""
        return Draws(
            self.dy[index],
            self.dx[index],
            None if self.flip is None else self.flip[index],
            None if self.turn is None else self.turn[index],
            None if self.strong is None else self.strong.of(index),
        )


def available() -> tuple[str, ...]:
    """Return the names of the augmentations, sorted."""
    return tuple(sorted(_PADDING))


def padding_of(name: str) -> int:
    """Return how many pixels of padding the augmentation `name` crops from."""
    if name not in _PADDING:
        raise unknown("augmentation", name, _PADDING)
    return _PADDING[name]


def reflects(name: str) -> bool:
    """Return whether the augmentation `name` pads with the image mirrored at its edge."""
    return name in _REFLECTING


def draw(seed_stream: int, num: int, name: str, slack: int, rotate: float = 0.0) -> Draws:
    """Draw for `num` samples, on the CPU, from a seed that names pass, view and epoch.

    The numbers belong to samples, not to places in a batch, so they don't depend on order, batch size or device.
    `none` is the centre of the stored image, whatever the seed. Where `rotate` is not 0, a sample is turned by an angle
    between -rotate and rotate degrees; windows and mirroring are the same with and without.
    """
    turn = _turns(derive(seed_stream, "rotate"), num, rotate) if rotate else None
    if name == "none":
        centre = torch.full((num,), slack // 2, dtype=torch.int64)
        return Draws(centre, centre, None, turn)
    padding_of(name)
    rng = np.random.default_rng(seed_stream)
    corner = torch.from_numpy(rng.integers(0, slack + 1, size=(2, num)))
    return Draws(corner[0], corner[1], torch.from_numpy(rng.random(num) < 0.5), turn)


def _turns(seed: int, num: int, degrees: float) -> Tensor:
    angle = np.deg2rad(np.random.default_rng(seed).uniform(-degrees, degrees, num))
    return image_ops.fixed(np.stack([np.cos(angle), np.sin(angle)], axis=1))


def padded_store(images: Tensor, form: Form) -> Tensor:
    """Return (n, H, W, A) images padded by p and contiguous: (n, A, H+2p, W+2p), or (n, H+2p, W+2p, A).

    The padding is 0, or of a reflecting form the image mirrored at its outermost pixels; H and W must then be more
    than p.
    """
    n, height, width, channels = images.shape
    padding, channels_last = form.padding, form.channels_last
    shape = (n, *form.shape((channels, height, width)))
    store = images.new_zeros(shape)
    inner = store if channels_last else store.permute(0, 2, 3, 1)
    inner[:, padding : padding + height, padding : padding + width].copy_(images)
    if form.reflect:
        for along in (inner, inner.transpose(1, 2)):  # rows first, then columns with the rows just filled
            first, last = padding, along.shape[1] - padding - 1
            for step in range(1, padding + 1):
                along[:, first - step].copy_(along[:, first + step])
                along[:, last + step].copy_(along[:, last - step])
    return store


class Crops:
    """All crops of a store of images, cut line by line: what lies in one piece in the store is copied in one piece.

    Measured on one thread, that is three times as fast as gathering from a view of all windows.
    """

    def __init__(self, store: Tensor, slack: int, channels_last: bool) -> None:
        """Take contiguous uint8 images (n, A, H+s, W+s), or (n, H+s, W+s, A) with `channels_last`."""
        self._channels_last = channels_last
        tall, wide = store.shape[1:3] if channels_last else store.shape[2:4]
        height, width, channels = tall - slack, wide - slack, store.shape[3 if channels_last else 1]
        self._laid = (height, width, channels) if channels_last else (channels, height, width)
        if slack == 0:  # a crop is a whole image
            self._lines, self._steps, self._inside = store.flatten(1), (1, 0, 0), None
            return
        s0, s1, s2, s3 = store.stride()
        down = torch.arange(height, device=store.device)
        if channels_last:
            length, self._steps, self._inside = width * channels, (s0, s1, s2), down * s1
        else:
            planes = torch.arange(channels, device=store.device)[:, None] * s1
            length, self._steps, self._inside = width, (s0, s2, s3), (planes + down * s2).flatten()
        # line i begins at byte i of the store: a view in which lines overlap, without a copy
        self._lines = store.as_strided((max(0, store.numel() - length + 1), length), (1, 1))

    def begin(self, rows: Tensor, draws: Draws) -> Tensor:
        """Return where the crops of images `rows` (B,) begin, given the draws of as many samples: (B,) int64."""
        image, down, right = self._steps
        return rows if self._inside is None else rows * image + draws.dy * down + draws.dx * right

    def take(self, begin: Tensor, flip: Tensor | None) -> Tensor:
        """Copy the crops that begin there (B,), mirrored where `flip` (B,) says so: (B, A, H, W) uint8."""
        lines = begin if self._inside is None else (begin[:, None] + self._inside).flatten()
        pixels = self._lines.index_select(0, lines).view(len(begin), *self._laid)
        if flip is not None:
            pixels = mirror(pixels, flip, 2 if self._channels_last else 3)
        return pixels.permute(0, 3, 1, 2) if self._channels_last else pixels


def mirror(images: Tensor, flip: Tensor, along: int) -> Tensor:
    """Mirror those of B contiguous uint8 images for which `flip` (B,) is set, along one dimension."""
    flat = images.flatten(1)
    # eight bytes are chosen as quickly as one
    word = next(kind for kind in _WORDS if flat.shape[1] % kind.itemsize == 0)
    mirrored = images.flip(along).flatten(1).view(word)
    return torch.where(flip[:, None], mirrored, flat.view(word)).view(torch.uint8).view(images.shape)


def per_channel(values: Tensor, channels_last: bool, width: int) -> Tensor:
    """Lay out one number per channel (A,) as `normalise` wants it: (A, 1, 1), or for rows of pixels (W * A,).

    Channels that lie last are few and next to each other, so that a row is multiplied at once.
    """
    return values.repeat(width) if channels_last and len(values) > 1 else values[:, None, None]


def normalise(images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return (B, A, H, W) uint8 pixels * scale + shift as float32, with the numbers laid out by `per_channel`.

    Where channels are to be last, they are in the result, wherever they were.
    """
    if scale.ndim == 3:
        return images.float().mul_(scale).add_(shift)
    rows = images.permute(0, 2, 3, 1).contiguous()  # no copy where the images come from such a store
    scaled = rows.flatten(2).float().mul_(scale).add_(shift)
    return scaled.view(rows.shape).permute(0, 3, 1, 2)
