"""Tests on single test images: exact, but of trained networks rather than of methods.

S seeds, N test images. More images don't make up for few seeds: a difference between two networks may lie in their
seeds alone, so McNemar's test calls equal methods different far more often than its 5 % (see README.md). The interval
over seeds and images does not, and is on the wide side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, ndtri, stdtrit

from bench.evidence.power import ALPHA, POWER

FEWEST_DISCORDANT = 6  # five that all go one way have p = 2 / 2^5 = 0.0625


@dataclass(frozen=True)
class McNemar:
    """Two networks on n images: `b` are the images that only the first gets right, `c` only the second; p is exact."""

    b: int
    c: int
    p: float
    n: int

    @property
    def text(self) -> str:
        """Say the result, for whom it holds, or that so few discordant images can't show anything."""
        counts = f"McNemar on {self.n:,} images, for these two networks alone: {self.b} : {self.c}"
        if self.b + self.c < FEWEST_DISCORDANT:
            return f"{counts}; {self.b + self.c} discordant images cannot reach {ALPHA}"
        return f"{counts}, p = {self.p:.2g}"


def mcnemar(a_right: ArrayLike, b_right: ArrayLike) -> McNemar:
    """Test which of two networks gets more images right, from (N,) bools of the same images in the same order."""
    a, b = np.asarray(a_right), np.asarray(b_right)
    if a.dtype != bool or b.dtype != bool or a.ndim != 1 or a.shape != b.shape or not a.size:
        raise ValueError(f"two (N,) arrays of bools wanted, got {a.dtype} {a.shape} and {b.dtype} {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))
    return McNemar(only_a, only_b, p, a.size)


def two_way_interval(right_a: ArrayLike, right_b: ArrayLike, *, level: float = 0.95) -> tuple[float, float] | None:
    """Return a t interval of the accuracy of a minus b over new seeds and new images.

    Each is (S, N) bools, or (S, H, N) where the accuracy of a run is the mean over H heads; row s of both is the same
    seed. None for fewer than two seeds, which would leave their spread out.

    Its variance is that of the means of seeds plus that of the means of images, each as if it were alone, so it is
    never narrower than the t interval over seeds: a bootstrap of few seeds is, where they differ more than images do.
    """
    (a, heads_a), (b, heads_b) = _summed(right_a), _summed(right_b)
    if a.shape != b.shape or not a.size:
        raise ValueError(f"seeds and images of both must be equal in number, got {a.shape} and {b.shape}")
    difference = a / heads_a - b / heads_b
    num_seeds, images = difference.shape
    if num_seeds < 2:
        return None
    of_seeds = difference.mean(axis=1).var(ddof=1) / num_seeds
    of_images = difference.mean(axis=0).var(ddof=1) / images if images > 1 else 0.0
    half = float(stdtrit(num_seeds - 1, (1 + level) / 2)) * float(of_seeds + of_images) ** 0.5
    middle = float(difference.mean())
    return middle - half, middle + half


def discordant_share(right_a: ArrayLike, right_b: ArrayLike) -> float:
    """Return the share of images that exactly one of two networks gets right, averaged over seeds."""
    return float(np.mean(np.asarray(right_a, bool) ^ np.asarray(right_b, bool)))


def smallest_difference(discordant: float, images: int, alpha: float = ALPHA, power: float = POWER) -> float:
    """Return the difference in accuracy of two networks that so many images show with `power`; for them alone.

    By the normal approximation, whose standard error is sqrt(discordant / images).
    """
    if not 0 <= discordant <= 1 or images < 1:
        raise ValueError(f"a share in [0, 1] and at least 1 image wanted, got {discordant} and {images}")
    return float((ndtri(1 - alpha / 2) + ndtri(power)) * (discordant / images) ** 0.5)


def _summed(right: ArrayLike) -> tuple[NDArray[np.int64], int]:
    """Return how many heads get each image right (S, N), and how many heads there are."""
    array = np.asarray(right)
    if array.dtype != bool or array.ndim not in (2, 3):
        raise ValueError(f"bools (seeds, images) or (seeds, heads, images) wanted, got {array.dtype} {array.shape}")
    return (array.astype(np.int64), 1) if array.ndim == 2 else (array.sum(axis=1), array.shape[1])
