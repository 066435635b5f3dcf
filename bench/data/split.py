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
    trusted_index: NDArray[np.int64]


def split(
    given: ArrayLike,
    num_classes: int,
    *,
    val: float,
    limit: int | None,
    digest: str,
    noise_seed: int,
    trusted: int = 0,
    clean: ArrayLike | None = None,
) -> Split:
    """Hold out a random `val` of every given class, no clean label being asked.

    `given` holds the N labels of the official training set. A `limit` first keeps so many of the N at random, and
    those are split. round(val * kept) samples are held out, shared among the classes by largest remainder. The draw
    depends on the data set's digest and the noise seed alone; a smaller `limit` or `val` takes a part of what a
    larger one takes, as far as the shares of the classes allow. Then `trusted` samples, equally many of every true
    class in `clean` (N,), leave the training part: that alone needs true labels.
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
    train_index = kept[~held_out]
    chosen = np.zeros(len(train_index), dtype=bool)
    if trusted:
        if clean is None:
            raise ValueError("trusted samples need true labels, and nobody knows those of these data")
        chosen = _equal_per_class(np.asarray(clean)[train_index], key[~held_out], trusted, num_classes)
    parts = train_index[~chosen], kept[held_out], train_index[chosen]
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


def _equal_per_class(
    truth: NDArray[np.int64], key: NDArray[np.float64], trusted: int, num_classes: int
) -> NDArray[np.bool_]:
    """Return the mask of the trusted / C samples of every true class with the largest keys.

    The smallest keys of a class went to validation, so a larger `val` does not change who is trusted at first.
    """
    if trusted % num_classes:
        raise ValueError(f"trusted must be a multiple of the {num_classes} classes, got {trusted}")
    chosen = np.zeros(len(truth), dtype=bool)
    for label in range(num_classes):
        members = np.flatnonzero(truth == label)
        if len(members) <= trusted // num_classes:
            raise ValueError(f"trusted {trusted} takes all {len(members)} training samples of class {label}")
        chosen[members[np.argsort(-key[members], kind="stable")[: trusted // num_classes]]] = True
    return chosen


def _validate(labels: NDArray[np.generic], num_classes: int, val: float, limit: int | None) -> None:
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) < 2:
        raise ValueError(f"given labels must be a row of at least 2 integers, got {labels.dtype} {labels.shape}")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"given labels must lie in 0 .. {num_classes - 1}, got {labels.min()} .. {labels.max()}")
    if not 0 <= val < 1:
        raise ValueError(f"val must be in [0, 1), got {val}; for 10 % write 0.1")
    if limit is not None and not 2 <= limit <= len(labels):
        raise ValueError(f"train_limit must be between 2 and {len(labels)}, got {limit}")
