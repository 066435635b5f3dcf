"""Exact tests of paired differences that assume no normal distribution, and what they can't show with few pairs.

Both ask how often differences as large come up where each sign is a coin toss. Neither can give a p below 2 / 2^n,
whatever the data: with 5 pairs no result is significant at 0.05, and the text of a result says so in place of a p.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.evidence.statistics import ALPHA, NO_SPREAD, floor_text, holm, rank_floor

if TYPE_CHECKING:
    import pandas as pd

ALL_SIGNS = 20  # pairs up to which every pattern of signs is looked at: 2^20 sums
RANDOM_SIGNS = 99_999
EXACT_RANKS = 100  # pairs up to which the distribution of the rank sum is counted
SIGN_FLIP, WILCOXON = "sign-flip", "Wilcoxon"


@dataclass(frozen=True)
class Exact:
    """The test of n differences a - b; `p` is None where all of them are zero, or there are none.

    `zeros` of the n are zero: Wilcoxon's test drops these, the sign-flip test keeps them. `floor` is the smallest p
    that so many other differences can give. `exact` is False for a normal approximation or random signs.
    """

    test: str
    n: int
    zeros: int
    difference: float | None
    p: float | None
    floor: float
    exact: bool = True
    adjusted: float | None = None  # p after Holm's correction, where the test is one of several
    tests: int = 1  # of a family so large that none of its p can survive the correction

    @property
    def text(self) -> str:
        """Return p, or that none could be small enough; never a p that the number of pairs can't support."""
        zeros = f"{self.zeros} of {self.n} differences are zero"
        fate = "dropped" if self.test == WILCOXON else "kept"
        aside = f", {zeros} ({fate})" if self.zeros else ""
        if self.p is None:
            return f"{self.test}: not tested, " + ("no pairs" if not self.n else f"all {self.n} differences are zero")
        if short := floor_text(self.n - self.zeros, self.tests):
            return f"{self.test}: {short}{aside}"
        p = f"p = {self.p:.2g}" if self.adjusted is None else f"p = {self.adjusted:.2g} after Holm's correction"
        return f"{self.test}: {p}, n = {self.n}{aside}{'' if self.exact else ', approximate'}"


@dataclass(frozen=True)
class Pair:
    """Method a against method b over the settings in which both have a number."""

    a: str
    b: str
    result: Exact


def sign_flip(a: ArrayLike, b: ArrayLike) -> Exact:
    """Test the mean of a - b, paired by position: the share of all 2^n patterns of signs with a mean as far from 0.

    Pairs with a NaN are left out. Above 20 pairs, 99,999 random patterns (seeded) stand for all.
    """
    d, zeros = _differences(a, b)
    if zeros == len(d):
        return _result(SIGN_FLIP, d, zeros, None)
    bar = abs(d.sum()) - 1e-9 * np.abs(d).sum()  # sums in another order differ in their last bits
    if len(d) <= ALL_SIGNS:
        sums = np.zeros(1)
        for size in d:
            sums = np.concatenate([sums + size, sums - size])
        return _result(SIGN_FLIP, d, zeros, float(np.mean(np.abs(sums) >= bar)))
    rng = np.random.default_rng(0)
    hits = sum(
        int((np.abs(rng.choice([-1.0, 1.0], size=(rows, len(d))) @ d) >= bar).sum())
        for rows in _portions(RANDOM_SIGNS, len(d))
    )
    return _result(SIGN_FLIP, d, zeros, (1 + hits) / (1 + RANDOM_SIGNS), exact=False)


def wilcoxon(a: ArrayLike, b: ArrayLike) -> Exact:
    """Test a - b by Wilcoxon's signed ranks, paired by position; pairs with a NaN are left out, and so are zeros.

    Exact up to 100 differences that are not zero, be some of them tied, which `scipy.stats.wilcoxon` is not; above
    that its normal approximation.
    """
    from scipy import stats

    d, zeros = _differences(a, b)
    if zeros == len(d):
        return _result(WILCOXON, d, zeros, None)
    other = d[np.abs(d) > NO_SPREAD]
    if len(other) > EXACT_RANKS:
        return _result(WILCOXON, d, zeros, float(stats.wilcoxon(other).pvalue), exact=False)
    twice = (2 * stats.rankdata(np.round(np.abs(other), 12))).astype(int)  # whole numbers: ties have half ranks
    chances = np.ones(1)  # of each sum of the ranks that have a plus
    for rank in twice:
        without = np.concatenate([chances, np.zeros(rank)])
        chances = (without + np.concatenate([np.zeros(rank), chances])) / 2
    least = min(twice[other > 0].sum(), twice[other < 0].sum())
    return _result(WILCOXON, d, zeros, min(1.0, 2 * float(chances[: least + 1].sum())))


def across_settings(means: pd.DataFrame, baseline: str | None = None) -> list[Pair]:
    """Compare methods by Wilcoxon's test over settings, with Holm's correction over all comparisons made.

    `means` has a row for each setting and a column for each method, NaN where there is no number. Every pair is
    compared, or with a `baseline` that one with every other, as b. Unlike Nemenyi's test of mean ranks, a comparison
    doesn't depend on who else is in the table, but for the size of the family.
    """
    names = [str(name) for name in means]
    if baseline is not None and baseline not in names:
        raise ValueError(f"baseline {baseline!r} is none of the methods: {', '.join(names) or 'there are none'}")
    wanted: Sequence[tuple[str, str]] = (
        list(combinations(names, 2)) if baseline is None else [(name, baseline) for name in names if name != baseline]
    )
    results = [wilcoxon(means[a], means[b]) for a, b in wanted]
    tested = [result for result in results if result.p is not None]
    hopeless = bool(tested) and len(tested) * min(result.floor for result in tested) > ALPHA
    adjusted = iter(holm([result.p for result in tested if result.p is not None]))
    return [
        Pair(a, b, result)
        if result.p is None
        else Pair(a, b, replace(result, adjusted=next(adjusted), tests=len(tested) if hopeless else 1))
        for (a, b), result in zip(wanted, results, strict=True)
    ]


def _differences(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], int]:
    first, second = np.asarray(a, float), np.asarray(b, float)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"pairs need two rows of equal length, got {first.shape} and {second.shape}")
    d = first - second
    d = d[~np.isnan(d)]
    return d, int((np.abs(d) <= NO_SPREAD).sum())


def _result(test: str, d: NDArray[np.float64], zeros: int, p: float | None, exact: bool = True) -> Exact:
    difference = float(d.mean()) if d.size else None
    return Exact(test, d.size, zeros, difference, p, rank_floor(d.size - zeros), exact)


def _portions(total: int, width: int) -> list[int]:
    """Split `total` rows so that a block of them and `width` columns has no more than a million numbers."""
    rows = max(1, 10**6 // width)
    return [rows] * (total // rows) + ([total % rows] if total % rows else [])
