"""Statistics for few seeds: sample spread, paired t tests and Holm's correction.

Functions of arrays alone. `scipy.special` gives the t distribution: importing `scipy.stats` costs half a second more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from bench.evidence.power import ALPHA, minimum_detectable_effect

if TYPE_CHECKING:
    import pandas as pd

NO_SPREAD = 1e-12  # differences of accuracies are multiples of 1 / (size of the test set): below this is rounding


@dataclass(frozen=True)
class Paired:
    """The difference a - b over n shared seeds; `t`, `p` and the interval are None where no test exists."""

    n: int
    difference: float | None
    t: float | None = None
    p: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Comparison(Paired):
    """A method minus the baseline; `adjusted` is p after Holm's correction over all methods tested."""

    adjusted: float | None = None


class Welch(NamedTuple):
    """The difference a - b of two methods that share no seeds; `t`, `df` and `p` are None where no test exists."""

    difference: float
    t: float | None = None
    df: float | None = None
    p: float | None = None


def mean(values: ArrayLike) -> float | None:
    """Return the mean, or None of nothing."""
    x = np.asarray(values, float)
    return float(x.mean()) if x.size else None


def sample_sd(values: ArrayLike) -> float | None:
    """Return the sample standard deviation (n - 1 in the denominator), or None for fewer than two values."""
    x = np.asarray(values, float)
    return float(x.std(ddof=1)) if x.size > 1 else None


def t_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float] | None:
    """Return the t interval of a mean, or None for fewer than two values."""
    x = np.asarray(values, float)
    if x.size < 2:
        return None
    half = float(stdtrit(x.size - 1, (1 + level) / 2)) * float(x.std(ddof=1)) / np.sqrt(x.size)
    return float(x.mean() - half), float(x.mean() + half)


def paired_t(a: ArrayLike, b: ArrayLike) -> Paired:
    """Test a - b, paired by position; pairs with a NaN are left out.

    Fewer than two pairs, or differences without spread, give the difference and no test.
    """
    d = np.asarray(a, float) - np.asarray(b, float)
    d = d[~np.isnan(d)]
    difference, sd, n = mean(d), sample_sd(d), d.size
    if difference is None or sd is None or sd <= NO_SPREAD:
        return Paired(n, difference)
    se = sd / np.sqrt(n)
    t = difference / se
    half = float(stdtrit(n - 1, 1 - ALPHA / 2)) * se
    p = 2 * float(stdtr(n - 1, -abs(t)))
    return Paired(n, difference, float(t), p, float(difference - half), float(difference + half))


def welch_from_summary(
    mean_a: float, sd_a: float | None, n_a: int | None, mean_b: float, sd_b: float | None, n_b: int | None
) -> Welch:
    """Test a - b from means, sample sds and numbers of runs alone, as published tables have them.

    A mean without sd or n, or of fewer than two runs, gives the difference and no test, and so do two sds of zero.
    """
    difference = mean_a - mean_b
    if sd_a is None or sd_b is None or n_a is None or n_b is None or min(n_a, n_b) < 2:
        return Welch(difference)
    if min(sd_a, sd_b) < 0:
        raise ValueError(f"a standard deviation cannot be negative, got {sd_a:g} and {sd_b:g}")
    error_a, error_b = sd_a**2 / n_a, sd_b**2 / n_b
    error = error_a + error_b
    if error**0.5 <= NO_SPREAD:
        return Welch(difference)
    t = difference / error**0.5
    df = error**2 / (error_a**2 / (n_a - 1) + error_b**2 / (n_b - 1))
    return Welch(difference, t, df, 2 * float(stdtr(df, -abs(t))))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted by Holm's step-down method, in the order given."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    stepped = np.minimum(1.0, (p.size - np.arange(p.size)) * p[order])
    adjusted = np.empty(p.size)
    adjusted[order] = np.maximum.accumulate(stepped) if p.size else stepped
    return [float(x) for x in adjusted]


def highest(accuracies: pd.DataFrame) -> str | None:
    """Return the column with the highest mean over the runs it has, the first one of equals (but for rounding)."""
    means = {str(name): mean(accuracies[name].dropna()) for name in accuracies}
    known = {name: value for name, value in means.items() if value is not None}
    top = max(known.values(), default=0.0) - NO_SPREAD
    return next((name for name, value in known.items() if value >= top), None)


def not_separable(accuracies: pd.DataFrame) -> set[str]:
    """Return the methods that a paired t test cannot tell from the highest mean, that one included.

    `accuracies` holds one row per seed and one column per method, NaN where a run is missing. Holm's correction runs
    over all pairs of methods that can be tested, because the best is chosen by looking. A method whose differences to
    the best have no spread is in the set only if the differences are zero. Empty when the best has fewer than two
    seeds, or when nothing could be compared with it.
    """
    best = highest(accuracies)
    if best is None:
        return set()
    names = [str(name) for name in accuracies if accuracies[name].notna().any()]
    tests = {frozenset(pair): paired_t(accuracies[pair[0]], accuracies[pair[1]]) for pair in combinations(names, 2)}
    tested = [(pair, test.p) for pair, test in tests.items() if test.p is not None]
    adjusted = dict(zip([pair for pair, _ in tested], holm([p for _, p in tested]), strict=True))
    others = {frozenset((best, name)): name for name in names if name != best}
    if accuracies[best].notna().sum() < 2 or all(tests[pair].n < 2 for pair in others):
        return set()
    tied = {best}
    for pair, name in others.items():
        test = tests[pair]
        identical = test.n >= 2 and test.p is None and abs(test.difference or 0.0) <= NO_SPREAD
        if identical or adjusted.get(pair, 0.0) > ALPHA:
            tied.add(name)
    return tied


def compare_to(accuracies: pd.DataFrame, baseline: str) -> dict[str, Comparison]:
    """Compare every other method (a column of `accuracies`, one row per seed) with one fixed beforehand."""
    others = [str(name) for name in accuracies if name != baseline]
    tests = {name: paired_t(accuracies[name], accuracies[baseline]) for name in others}
    tested = [(name, test.p) for name, test in tests.items() if test.p is not None]
    adjusted = dict(zip([name for name, _ in tested], holm([p for _, p in tested]), strict=True))
    return {
        name: Comparison(test.n, test.difference, test.t, test.p, test.low, test.high, adjusted.get(name))
        for name, test in tests.items()
    }


def rank_floor(n: int) -> float:
    """Return the smallest two-sided p that a sign-flip or Wilcoxon signed-rank test can give for n pairs."""
    return min(1.0, math.ldexp(2.0, -n))


def floor_text(n: int, tests: int = 1) -> str | None:
    """Say that a sign-flip or Wilcoxon test of n pairs, the first of `tests` under Holm, has no p <= 0.05; else None.

    Where this says something, a star would claim what no data of this size can show.
    """
    floor = rank_floor(n)
    if floor * tests <= ALPHA:
        return None
    adjusted = f", {min(1.0, floor * tests):.4g} as the first of {tests} tests" if tests > 1 else ""
    return f"cannot reach {ALPHA} at n = {n} (its smallest p is {floor:.4g}{adjusted})"


def limits_text(n: int, comparisons: int) -> str:
    """Say what n seeds can show when `comparisons` methods or pairs are tested together."""
    if n < 2:
        return f"n = {n}: fewer than two seeds have no spread, so nothing is tested and nothing is marked"
    effect = f"{minimum_detectable_effect(n):.1f} sd of the differences"
    if comparisons > 1:
        effect += f" ({minimum_detectable_effect(n, ALPHA / comparisons):.1f} sd as the first of {comparisons} tests)"
    text = f"n = {n}: a paired t test finds, 4 times in 5, a true difference of {effect}"
    if floor := floor_text(n):
        text += f"; a rank test {floor}"
    return text
