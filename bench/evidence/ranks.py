"""Methods ranked within each setting: mean ranks, Friedman's test, Nemenyi's critical difference.

N settings (blocks), each with one number a method, its mean over seeds; k methods. Rank 1 is the highest number, ties
share the mean of their ranks. Demšar, JMLR 7 (2006); F form: Iman and Davenport, 1980. Ranks of different sets of
methods don't compare, so where a method has no number in a setting, one of the two is left out: see `comparable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc, fdtrc

from bench.evidence.statistics import ALPHA

if TYPE_CHECKING:
    import pandas as pd

FEWEST_SETTINGS = 3
FEWEST_METHODS = 3
SHUFFLES = 9_999
SAME = 1e-9  # mean ranks are multiples of 1 / (2 N): below this is rounding


@dataclass(frozen=True)
class Friedman:
    """Do k methods differ anywhere, over n settings?

    `chi2` is corrected for ties. Its p is too large and that of `f` too small where settings are few; `p` is neither:
    it counts how often ranks shuffled within each setting differ as much (9,999 times, seeded).
    """

    chi2: float
    p_chi2: float
    f: float
    p_f: float
    p: float
    n: int
    k: int

    @property
    def text(self) -> str:
        """Say the result in one line."""
        df = self.k - 1
        return (
            f"Friedman, {self.k} methods over {self.n} settings: p = {self.p:.2g} by shuffled ranks; "
            f"chi2({df}) = {self.chi2:.3g}, p = {self.p_chi2:.2g}; "
            f"F({df}, {df * (self.n - 1)}) = {self.f:.3g}, p = {self.p_f:.2g}"
        )


def complete(means: pd.DataFrame) -> pd.DataFrame:
    """Return the settings (rows) in which every method (column) has a number."""
    return means.dropna(axis="index", how="any")


def average_ranks(means: pd.DataFrame) -> pd.Series[float]:
    """Return each method's mean rank over the complete settings, best first; NaN if there is none."""
    return _ranks(means).mean(axis="index").sort_values(kind="stable")


def comparable(means: pd.DataFrame) -> pd.DataFrame:
    """Return settings (rows) and methods (columns) of which each method has a number in each setting.

    As long as numbers are missing, the setting or the method is left out that lacks the largest share of its own; of
    equals the setting, and the first one.
    """
    kept = means
    while (missing := kept.isna()).to_numpy().any():
        settings, methods = missing.mean(axis="columns"), missing.mean(axis="index")
        if settings.max() >= methods.max() - SAME:
            kept = kept.drop(index=settings.index[int(settings.to_numpy().argmax())])
        else:
            kept = kept.drop(columns=methods.index[int(methods.to_numpy().argmax())])
    return kept


def within(means: pd.DataFrame) -> pd.DataFrame:
    """Return the ranks of those methods in each of those settings, if they are two or more; 1 is the highest number."""
    found = comparable(means)
    return _ranks(found if len(found.columns) > 1 else found.iloc[:, :0])


def friedman(means: pd.DataFrame) -> Friedman:
    """Test whether k methods (columns) rank alike over the complete settings (rows).

    Raises ValueError with what `refusal` says for fewer than three of either.
    """
    ranks = _ranks(means).to_numpy(float)
    n, k = ranks.shape
    if said := refusal(n, k):
        raise ValueError(said)
    total = float(((ranks - (k + 1) / 2) ** 2).sum())
    if total == 0:  # every setting is one tie
        return Friedman(0.0, 1.0, 0.0, 1.0, 1.0, n, k)
    spread = float(_spread(ranks))
    chi2 = (k - 1) * n * spread / total
    rest = n * (k - 1) - chi2
    f = (n - 1) * chi2 / rest if rest > SAME else float("inf")
    shuffled = np.random.default_rng(0).permuted(np.broadcast_to(ranks, (SHUFFLES, n, k)), axis=2)
    hits = int((_spread(shuffled) >= spread - SAME).sum())
    p_f = float(fdtrc(k - 1, (k - 1) * (n - 1), f)) if np.isfinite(f) else 0.0
    return Friedman(chi2, float(chdtrc(k - 1, chi2)), f, p_f, (1 + hits) / (1 + SHUFFLES), n, k)


def critical_difference(k: int, n: int, alpha: float = ALPHA) -> float:
    """Return by how much two mean ranks of k methods over n settings must differ for Nemenyi's test."""
    from scipy.stats import studentized_range

    if k < 2 or n < 1 or not 0 < alpha < 1:
        raise ValueError(f"needs at least 2 methods, 1 setting and 0 < alpha < 1, got {k}, {n} and {alpha}")
    q = float(studentized_range.ppf(1 - alpha, k, np.inf)) / 2**0.5
    return q * (k * (k + 1) / (6 * n)) ** 0.5


def groups(mean_ranks: pd.Series[float] | Mapping[str, float], cd: float) -> list[tuple[str, ...]]:
    """Return the largest sets of two or more methods whose mean ranks lie within `cd`, best first in and among them.

    They are the bars of a critical-difference diagram: methods that no bar joins differ.
    """
    ordered = sorted(((str(name), float(rank)) for name, rank in mean_ranks.items()), key=lambda item: item[1])
    found: list[tuple[str, ...]] = []
    reached = 0  # how many of the best methods are in a set already
    for start, (_, best) in enumerate(ordered):
        end = sum(rank <= best + cd + SAME for _, rank in ordered)
        if end > max(reached, start + 1):
            found.append(tuple(name for name, _ in ordered[start:end]))
            reached = end
    return found


def settings_text(n: int, datasets: int) -> str:
    """Say how many settings there are on how many data sets, and that rates of one data set go together."""
    text = f"{n} setting{'' if n == 1 else 's'} on {datasets} data set{'' if datasets == 1 else 's'}"
    return text if datasets >= n else f"{text}, and settings of one data set are not independent"


def refusal(n: int, k: int, datasets: int | None = None) -> str | None:
    """Say why n complete settings of k methods allow no test of ranks, or return None where they do."""
    if k < FEWEST_METHODS:
        methods = "1 method" if k == 1 else f"{k} methods"
        return f"ranks compare at least {FEWEST_METHODS} methods, got {methods}; two are compared by a paired test"
    if n < FEWEST_SETTINGS:
        where = f"{n} setting{'' if n == 1 else 's'}" if datasets is None else settings_text(n, datasets)
        return (
            f"ranks need at least {FEWEST_SETTINGS} settings in which every method has a number, got {where}: "
            "with fewer, even perfect agreement separates nobody"
        )
    return None


def _ranks(means: pd.DataFrame) -> pd.DataFrame:
    return complete(means).round(12).rank(axis="columns", ascending=False)  # equal means may differ in their last bit


def _spread(ranks: np.ndarray) -> np.ndarray:
    """Return n times the sum of squares of the mean ranks around their middle, of one or many (..., n, k) tables."""
    n, k = ranks.shape[-2:]
    result: np.ndarray = n * ((ranks.mean(axis=-2) - (k + 1) / 2) ** 2).sum(axis=-1)
    return result
