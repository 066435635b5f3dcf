"""Draws that several families share: the native generator, and loops of other people's code.

All are pure: they take their generator or their uniforms as an argument and return new labels.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]


def native_generator(
    seed: int, family: str, map: str | None, options: Mapping[str, Any], clean: Labels
) -> np.random.Generator:
    """Return the PCG64 stream of a label set.

    Neither the rate nor the kind of flips enters the key, so that label sets are nested over rates. The data enter
    through their clean labels: the same labels give the same noise on every machine.
    """
    digest = labels_sha256(clean)
    parts = ["noise", seed, family, map, dict(options), digest]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    key = int.from_bytes(hashlib.sha256(text.encode("ascii")).digest()[:16], "little")
    return np.random.Generator(np.random.PCG64(key))


def labels_sha256(labels: Labels) -> str:
    """Return the hex sha256 of labels as little-endian int64, whatever the machine."""
    return hashlib.sha256(np.ascontiguousarray(labels, dtype="<i8").tobytes()).hexdigest()


def wrong_samples(clean: Labels, flip: Floats, order: Floats, flips: str) -> NDArray[np.bool_]:
    """Return the (N,) mask of samples to flip, where `flip` (C,) is the wrong share of each class.

    "iid" flips sample i if order[i] < flip[class]; "exact" flips floor(flip * N_c + 1/2) samples of class c, those
    that come first in `order`, ties by index; "total" flips floor(1/2 + the sum of all samples' shares) samples, those
    with the smallest order / share.
    """
    if flips == "iid":
        return order < flip[clean]
    if flips == "total":
        return _first_in_total(flip[clean], order)
    wrong = np.zeros(len(clean), dtype=bool)
    for share, members in zip(flip, by_class(clean, len(flip)), strict=True):
        count = int(np.floor(share * len(members) + 0.5))
        wrong[members[np.argsort(order[members], kind="stable")[:count]]] = True
    return wrong


def by_class(labels: Labels, num_classes: int) -> list[Labels]:
    """Return the ascending indices of each class: one sort instead of a look at all N labels per class."""
    narrow = labels.astype(np.uint16) if num_classes <= 2**16 else labels  # 16 bits are sorted by radix
    sorted_index = np.argsort(narrow, kind="stable")
    return np.split(sorted_index, np.cumsum(np.bincount(labels, minlength=num_classes))[:-1])


def _first_in_total(share: Floats, order: Floats) -> NDArray[np.bool_]:
    """Return the mask of as many samples as expected, which "iid" would flip first if all shares grew alike."""
    wrong = np.zeros(len(share), dtype=bool)
    with np.errstate(over="ignore"):  # infinitely late is what a share of almost nothing means
        key = np.divide(order, share, out=np.full(len(share), np.inf), where=share > 0)
    wrong[np.argsort(key, kind="stable")[: int(np.floor(share.sum() + 0.5))]] = True
    return wrong


def first_above(cumulated: Floats, uniform: Floats) -> Labels:
    """Return per row of (n, C) sums the first class above its uniform, never past the last class with mass.

    Rounding can leave the last sum a hair below 1 and a uniform above it; the row then takes its last class.
    """
    last = np.argmax(cumulated == cumulated[:, -1:], axis=1)
    return np.minimum((cumulated <= uniform[:, None]).sum(axis=1), last).astype(np.int64)


def flip_by_class(rng: np.random.Generator, clean: Labels, transition: Floats, flip: Floats, flips: str) -> Labels:
    """Return given labels drawn from a (C, C) transition matrix whose wrong share of class c is flip[c].

    Two uniforms per sample are drawn, always both and always whole: who is wrong, and to which class.
    """
    who, where = rng.random(len(clean)), rng.random(len(clean))
    wrong = np.flatnonzero(wrong_samples(clean, flip, who, flips))
    others = transition.copy()
    np.fill_diagonal(others, 0.0)
    cumulated = np.cumsum(others, axis=1) / np.where(flip > 0, flip, 1.0)[:, None]
    last = np.argmax(cumulated == cumulated[:, -1:], axis=1)  # rounding can leave the last sum a hair below 1
    given = clean.copy()
    for c, members in enumerate(by_class(clean[wrong], len(flip))):
        moved = wrong[members]
        given[moved] = np.minimum(np.searchsorted(cumulated[c], where[moved], side="right"), last[c])
    return given


def expected_share(clean: Labels, transition: Floats) -> float:
    """Return the wrong share that a (C, C) transition matrix implies for these labels."""
    return float((1 - np.diag(transition))[clean].mean())


def multinomial_loop(state: np.random.RandomState, clean: Labels, transition: Floats) -> Labels:
    """Return one multinomial draw per sample from the row of its class, in sample order.

    Each draw takes a varying number of uniforms from the stream, so the loop cannot be vectorised.
    """
    rows, draw = list(transition), state.multinomial
    return np.array([draw(1, rows[y]).argmax() for y in clean.tolist()], dtype=np.int64)


def choice_loop(state: np.random.RandomState, rows: Floats) -> Labels:
    """Return what `state.choice(C, p=row)` returns for each of the (N, C) rows in turn: one uniform each."""
    cumulated = np.cumsum(rows, axis=1, dtype=np.float64)
    cumulated /= cumulated[:, -1:]
    return (cumulated <= state.random_sample(len(rows))[:, None]).sum(axis=1).astype(np.int64)


def choice_by_class(state: np.random.RandomState, labels: Labels, transition: Floats) -> Labels:
    """Return `choice_loop` of the rows `transition[labels]`, without a copy of a row for every label."""
    uniform = state.random_sample(len(labels))
    cumulated = np.cumsum(transition, axis=1)
    cumulated /= cumulated[:, -1:]
    given = np.empty_like(labels)
    for c, members in enumerate(by_class(labels, len(transition))):
        given[members] = np.searchsorted(cumulated[c], uniform[members], side="right")
    return given


def cells_in_order(state: np.random.RandomState, clean: Labels, transition: Floats) -> Labels:
    """Return labels of which int(T[c, t] N_c) samples go from c to t, chosen cell by cell from those still left.

    A cell that gets none draws nothing, as in the code of ANL; `state.choice` of none would shuffle all the same.
    """
    given = clean.copy()
    for c, left in enumerate(by_class(clean, len(transition))):
        total = len(left)
        for t in range(len(transition)):
            count = int(transition[c, t] * total)
            if t != c and count:
                places = state.choice(len(left), count, replace=False)
                given[left[places]] = t
                left = np.delete(left, places)
    return given


def released(seed: int) -> str:
    """Return the note of a dialect that takes the noise seed in place of the one in its authors' code."""
    return f"the released labels are drawn from seed {seed}"


def first_tenths(labels: Labels) -> int:
    """Return how many samples come before the last tenth: 45,000 of 50,000."""
    return len(labels) - len(labels) // 10
