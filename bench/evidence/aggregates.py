"""One number for a method over many settings: the interquartile mean and the chance to be the better one.

A cell holds the accuracies of the runs of one method in one setting. Agarwal et al., NeurIPS 2021, arXiv:2108.13264.
Accuracies of easy and hard settings enter as they are: compare methods that ran in the same settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

CUT = 0.25  # share of the runs left out at either end
REPEATS = 50_000
AT_ONCE = 10**6  # numbers of a portion of the repeats

Cells = Sequence[ArrayLike]


def iqm(cells: Cells) -> float | None:
    """Return the mean of the middle half of all runs of all cells, None if there are none: of five, the middle three.

    A quarter of the runs, rounded down, is left out at either end.
    """
    from scipy.stats import trim_mean

    runs = np.concatenate([np.zeros(0), *_checked(cells)])
    return float(trim_mean(runs, CUT)) if runs.size else None


def iqm_interval(
    cells: Cells, *, level: float = 0.95, repeats: int = REPEATS, seed: int = 0
) -> tuple[float, float] | None:
    """Return the percentile interval of the interquartile mean, runs drawn again within each cell.

    None where a cell has fewer than two runs: its spread would count as zero. With few runs a cell the interval is too
    narrow (see README.md).
    """
    from scipy.stats import trim_mean

    arrays = _checked(cells)

    def statistic(drawn: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.asarray(trim_mean(np.concatenate(drawn, axis=1), CUT, axis=1))

    return _interval(arrays, statistic, level, repeats, seed)


def probability_of_improvement(a: Cells, b: Cells) -> float | None:
    """Return the chance that a run of a beats one of b, ties counting half: a mean over settings.

    Cell i of both is the same setting; in each it is the Mann-Whitney U / (n m). None if there are no cells.
    """
    first, second = _paired(a, b)
    if not first:
        return None
    return float(np.mean([_better(x[None], y[None]) for x, y in zip(first, second, strict=True)]))


def improvement_interval(
    a: Cells, b: Cells, *, level: float = 0.95, repeats: int = REPEATS, seed: int = 0
) -> tuple[float, float] | None:
    """Return the percentile interval of the probability of improvement, runs drawn again within each cell."""
    first, second = _paired(a, b)
    half = len(first)

    def statistic(drawn: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        shares = [_better(x, y) for x, y in zip(drawn[:half], drawn[half:], strict=True)]
        return np.asarray(np.mean(shares, axis=0))

    return _interval([*first, *second], statistic, level, repeats, seed)


def _better(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return U / (n m) of each row of (rows, n) and (rows, m)."""
    difference = a[:, :, None] - b[:, None, :]
    result: NDArray[np.float64] = ((difference > 0) + 0.5 * (difference == 0)).mean(axis=(1, 2))
    return result


def _interval(
    cells: list[NDArray[np.float64]],
    statistic: Callable[[list[NDArray[np.float64]]], NDArray[np.float64]],
    level: float,
    repeats: int,
    seed: int,
) -> tuple[float, float] | None:
    if not cells or min(cell.size for cell in cells) < 2:
        return None
    rng = np.random.default_rng(seed)
    rows = max(1, AT_ONCE // sum(cell.size for cell in cells))
    found = []
    for start in range(0, repeats, rows):
        size = min(rows, repeats - start)
        found.append(statistic([cell[rng.integers(cell.size, size=(size, cell.size))] for cell in cells]))
    low, high = np.quantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _paired(a: Cells, b: Cells) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    first, second = _checked(a), _checked(b)
    if len(first) != len(second):
        raise ValueError(f"both methods need a cell for every setting, got {len(first)} and {len(second)} cells")
    if any(not cell.size for cell in (*first, *second)):
        raise ValueError("a cell without runs cannot be compared: leave its setting out for both methods")
    return first, second


def _checked(cells: Cells) -> list[NDArray[np.float64]]:
    arrays = [np.asarray(cell, float) for cell in cells]
    for array in arrays:
        if array.ndim != 1 or not np.isfinite(array).all():
            raise ValueError(f"a cell is a row of accuracies without gaps, got {array.tolist()}")
    return arrays
