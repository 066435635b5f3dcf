"""Augmentation of whole batches, by numbers drawn for each sample before the epoch begins.

n samples in the store, B in a batch, A channels, H x W pixels. What is stored is higher and wider by the slack s, by
padding (p pixels on each side: s = 2p) or because larger images are stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.names import unknown

_PADDING = {"none": 0, "crop_flip": 4}


@dataclass(frozen=True, slots=True)
class Draws:
    """What happens to each sample in one view of one pass: the window's corner, and whether it is mirrored."""

    dy: Tensor  # (n,) int64 in 0 .. s
    dx: Tensor  # (n,) int64 in 0 .. s
    flip: Tensor | None  # (n,) bool; None: no sample

    def to(self, device: torch.device) -> Draws:
        return Draws(self.dy.to(device), self.dx.to(device), None if self.flip is None else self.flip.to(device))


def available() -> tuple[str, ...]:
    """Return the names of the augmentations, sorted."""
    return tuple(sorted(_PADDING))


def padding_of(name: str) -> int:
    """Return how many pixels of padding the augmentation `name` crops from."""
    if name not in _PADDING:
        raise unknown("augmentation", name, _PADDING)
    return _PADDING[name]


def draw(seed_stream: int, num: int, name: str, slack: int) -> Draws:
    """Draw for `num` samples, on the CPU, from a seed that names pass, view and epoch.

    The numbers belong to samples, not to places in a batch, so they don't depend on order, batch size or device.
    `none` is the centre of the stored image, whatever the seed.
    """
    if name == "none":
        centre = torch.full((num,), slack // 2, dtype=torch.int64)
        return Draws(centre, centre, None)
    padding_of(name)
    rng = np.random.default_rng(seed_stream)
    corner = torch.from_numpy(rng.integers(0, slack + 1, size=(2, num)))
    return Draws(corner[0], corner[1], torch.from_numpy(rng.random(num) < 0.5))


def padded_store(images: Tensor, padding: int, channels_last: bool) -> Tensor:
    """Return (n, H, W, A) images zero-padded by p and contiguous: (n, A, H+2p, W+2p), or (n, H+2p, W+2p, A)."""
    n, height, width, channels = images.shape
    tall, wide = height + 2 * padding, width + 2 * padding
    shape = (n, tall, wide, channels) if channels_last else (n, channels, tall, wide)
    store = images.new_zeros(shape)
    inner = store if channels_last else store.permute(0, 2, 3, 1)
    inner[:, padding : padding + height, padding : padding + width].copy_(images)
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


def normalise(images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return pixels * scale + shift as float32, `scale` and `shift` per channel (A, 1, 1)."""
    return images.float() * scale + shift
