"""How many seeds find which difference: the power of two-sided t tests, before a run is started.

Effects are in standard deviations: of the differences where runs are paired by seed, of one method's runs where they
are not. The power is averaged over quantiles of the sample sd: scipy's noncentral t distribution (`nctdtr`) loses its
digits where n is small and alpha is, which is where a table with many methods needs it.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaincinv, ndtr, stdtrit

ALPHA = 0.05
POWER = 0.8
QUANTILES = (np.arange(2000) + 0.5) / 2000
MOST_SEEDS = 10**6  # nobody runs as many: an effect that needs more is a slip of the unit


def power_of_t(effect_sd: float, n: int, alpha: float = ALPHA, paired: bool = True) -> float:
    """Return the chance that a t test over n seeds (of each method) finds a true difference of `effect_sd`."""
    _check(n=n, alpha=alpha)
    return float(_power(effect_sd, *_test(n, alpha, paired)))


def minimum_detectable_effect(n: int, alpha: float = ALPHA, power: float = POWER, paired: bool = True) -> float:
    """Return the true difference, in sd, that a t test over n seeds (of each method) finds with `power`."""
    _check(n=n, alpha=alpha, power=power)
    test = _test(n, alpha, paired)
    low, high = 0.0, 1.0
    while _power(high, *test) < power:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _power(middle, *test) >= power else (middle, high)
    return high


def seeds_needed(effect_sd: float, alpha: float = ALPHA, power: float = POWER, paired: bool = True) -> int:
    """Return the fewest seeds (of each method) with which a t test finds a true difference of `effect_sd`."""
    _check(alpha=alpha, power=power)
    if not (0 < effect_sd < float("inf")):
        raise ValueError(f"a wished effect must be a number of sd above 0, got {effect_sd}")
    low, high = 1, 2
    while power_of_t(effect_sd, high, alpha, paired) < power:
        low, high = high, 2 * high
        if low >= MOST_SEEDS:
            raise ValueError(f"an effect of {effect_sd:g} sd needs more than {MOST_SEEDS:,} seeds")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of_t(effect_sd, middle, alpha, paired) >= power else (middle, high)
    return high


def seeds_text(effect_sd: float, n: int, alpha: float = ALPHA, power: float = POWER, paired: bool = True) -> str:
    """Say how many seeds a wished effect needs, and how often the n there are would find it."""
    needed = seeds_needed(effect_sd, alpha, power, paired)
    test = "paired" if paired else "unpaired"
    unit = "sd of the differences" if paired else "sd of a method's runs"
    text = f"a true difference of {effect_sd:g} {unit} needs {needed} seeds ({test} t at {alpha:g}, power {power:g})"
    if n < 2:
        return f"{text}; with n = {n} nothing can be tested"
    return f"{text}; n = {n} finds it with power {power_of_t(effect_sd, n, alpha, paired):.2f}"


def _test(n: int, alpha: float, paired: bool) -> tuple[float, np.ndarray]:
    """The shift of the statistic by an effect of one sd, and what it must exceed at each quantile of the sample sd."""
    df = n - 1 if paired else 2 * n - 2
    sd = np.sqrt(2 * gammaincinv(df / 2, QUANTILES) / df)
    return (n if paired else n / 2) ** 0.5, stdtrit(df, 1 - alpha / 2) * sd


def _power(effect: float, shift: float, critical: np.ndarray) -> float:
    return float(np.mean(ndtr(effect * shift - critical) + ndtr(-effect * shift - critical)))


def _check(*, n: int = 2, alpha: float, power: float = POWER) -> None:
    if n < 2:
        raise ValueError(f"a t test needs at least 2 seeds, got {n}")
    for name, value in (("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}")
