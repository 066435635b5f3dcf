"""Part of the training set is held out for validation, by the labels that training sees.

N samples in the official training set. Labels are made wrong before the split, so the wrong labels do not depend on it.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.seeds import derive


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Sorted, disjoint positions in the official training set; the arrays are read-only."""

    train_index: NDArray[np.int64]
    val_index: NDArray[np.int64]


def split(given: ArrayLike, num_classes: int, *, val: float, limit: int | None, digest: str, noise_seed: int) -> Split:
    """Hold out a random `val` of every given class, no clean label being asked.

    `given` holds the N labels of the official training set. A `limit` first keeps so many of the N at random, and
    those are split. round(val * kept) samples are held out, shared among the classes by largest remainder. The draw
    depends on the data set's digest and the noise seed alone; a smaller `limit` or `val` takes a part of what a
    larger one takes, as far as the shares of the classes allow.
    """
    labels = np.asarray(given)
    _validate(labels, num_classes, val, limit)
    rng = np.random.default_rng(derive(noise_seed, "split", digest))
    kept = np.sort(rng.permutation(len(labels))[:limit])
    key = rng.random(len(labels))[kept]  # one per sample, so that it does not depend on the limit
    labels = labels[kept]
    held_out = np.zeros(len(kept), dtype=bool)
    for label, count in enumerate(_shares(np.bincount(labels, minlength=num_classes), val)):
        members = np.flatnonzero(labels == label)
        held_out[members[np.argsort(key[members], kind="stable")[:count]]] = True
    parts = kept[~held_out], kept[held_out]
    for part in parts:
        part.setflags(write=False)
    return Split(*parts)


def _shares(counts: NDArray[np.int64], val: float) -> list[int]:
    """Split round(val * sum) among the classes in proportion to `counts`, leaving at least one sample in all."""
    rate = Fraction(repr(float(val)))  # 0.1 * 30 is 3, not 3.0000000000000004
    exact = [rate * int(count) for count in counts]
    shares = [int(share) for share in exact]
    wanted = min(round(sum(exact)), int(counts.sum()) - 1)
    by_remainder = sorted(range(len(shares)), key=lambda label: shares[label] - exact[label])  # a tie: the first class
    for label in by_remainder[: wanted - sum(shares)]:
        shares[label] += 1
    return shares


def _validate(labels: NDArray[np.generic], num_classes: int, val: float, limit: int | None) -> None:
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) < 2:
        raise ValueError(f"given labels must be a row of at least 2 integers, got {labels.dtype} {labels.shape}")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"given labels must lie in 0 .. {num_classes - 1}, got {labels.min()} .. {labels.max()}")
    if not 0 <= val < 1:
        raise ValueError(f"val must be in [0, 1), got {val}; for 10 % write 0.1")
    if limit is not None and not 2 <= limit <= len(labels):
        raise ValueError(f"train_limit must be between 2 and {len(labels)}, got {limit}")
