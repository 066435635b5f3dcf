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
from bench.data.strong import StrongDraws
from bench.names import unknown
from bench.seeds import derive

_PADDING = {"none": 0, "crop_flip": 4, "crop_flip_reflect": 4}
_REFLECTING = frozenset({"crop_flip_reflect"})  # the others pad with black


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

    def of(self, index: Tensor) -> Draws:
        """The draws of the samples `index` (B,), in that order."""
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


def padded_store(images: Tensor, padding: int, channels_last: bool, reflect: bool = False) -> Tensor:
    """Return (n, H, W, A) images padded by p and contiguous: (n, A, H+2p, W+2p), or (n, H+2p, W+2p, A).

    The padding is 0, or with `reflect` the image mirrored at its outermost pixels; H and W must then be more than p.
    """
    n, height, width, channels = images.shape
    tall, wide = height + 2 * padding, width + 2 * padding
    shape = (n, tall, wide, channels) if channels_last else (n, channels, tall, wide)
    store = images.new_zeros(shape)
    inner = store if channels_last else store.permute(0, 2, 3, 1)
    inner[:, padding : padding + height, padding : padding + width].copy_(images)
    if reflect:
        for along in (inner, inner.transpose(1, 2)):  # rows first, then columns with the rows just filled
            first, last = padding, along.shape[1] - padding - 1
            for step in range(1, padding + 1):
                along[:, first - step].copy_(along[:, first + step])
                along[:, last + step].copy_(along[:, last - step])
    return store


def windows(store: Tensor, slack: int, channels_last: bool) -> Tensor:
    """View a store as all of its crops, without a copy.

    The result is (n, s+1, s+1, A, H, W), or (n, s+1, s+1, H, W, A) with `channels_last`.
    """
    steps = slack + 1
    if channels_last:
        n, height, width, channels = store.shape
        s0, s1, s2, s3 = store.stride()
        shape = (n, steps, steps, height - slack, width - slack, channels)
        return store.as_strided(shape, (s0, s1, s2, s1, s2, s3))
    n, channels, height, width = store.shape
    s0, s1, s2, s3 = store.stride()
    shape = (n, steps, steps, channels, height - slack, width - slack)
    return store.as_strided(shape, (s0, s2, s3, s1, s2, s3))


def crop(view: Tensor, index: Tensor, draws: Draws, channels_last: bool) -> Tensor:
    """Gather the crops of the samples `index` (B,) from `windows`: (B, A, H, W) uint8, not mirrored yet."""
    taken = view[index, draws.dy[index], draws.dx[index]]
    return taken.permute(0, 3, 1, 2) if channels_last else taken


def mirror(images: Tensor, index: Tensor, draws: Draws) -> Tensor:
    """Mirror left to right those of the (B, A, H, W) images whose sample is drawn for it."""
    if draws.flip is None:
        return images
    return torch.where(draws.flip[index][:, None, None, None], images.flip(-1), images)


def turn(images: Tensor, index: Tensor, draws: Draws) -> Tensor:
    """Turn the (B, A, H, W) images about their centre by the angles of their samples; corners become black."""
    return images if draws.turn is None else image_ops.turn(images, draws.turn[index])


def normalise(images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return pixels * scale + shift as float32, `scale` and `shift` per channel (A, 1, 1)."""
    return images.float() * scale + shift
