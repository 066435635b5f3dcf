"""The statistics on data in which nothing is to be found, and against numbers worked out by hand.

Rates are held to their nominal values within three standard errors of the simulation.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.evidence.statistics import (
    compare_to,
    holm,
    minimum_detectable_effect,
    not_separable,
    paired_t,
    rank_floor,
    sample_sd,
    t_interval,
)

TIMES = 4_000


def within(count: int, times: int, rate: float) -> bool:
    return abs(count / times - rate) <= 3 * np.sqrt(rate * (1 - rate) / times)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_a_t_interval_covers_the_mean_19_times_in_20_at_any_n(n):
    draws = np.random.default_rng(n).normal(5, 2, (TIMES, n))
    intervals = [t_interval(row) for row in draws]
    covered = sum(low <= 5 <= high for low, high in intervals)
    assert within(covered, TIMES, 0.95)
    # what takes the place of t in many tables, mean and standard error, covers little more than half
    means, errors = draws.mean(1), draws.std(1) / np.sqrt(n)
    assert (abs(means - 5) <= errors).mean() < 0.65


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_a_paired_t_calls_equal_methods_different_once_in_20(n, correlation):
    rng = np.random.default_rng(n)
    shared, a, b = (rng.normal(size=(TIMES, n)) for _ in range(3))
    a, b = (np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own for own in (a, b))
    tests = [paired_t(*pair) for pair in zip(a, b, strict=True)]
    assert within(sum(test.p <= 0.05 for test in tests), TIMES, 0.05)
    assert within(sum(test.low <= 0 <= test.high for test in tests), TIMES, 0.95)


@pytest.mark.parametrize(("correlation", "power"), [(0.0, 0.23), (0.5, 0.40), (0.8, 0.75)])
def test_pairing_finds_a_difference_of_one_sd_the_more_often_the_more_seeds_have_in_common(correlation, power):
    rng = np.random.default_rng(1)
    shared, a, b = (rng.normal(size=(TIMES, 5)) for _ in range(3))
    a, b = (np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own for own in (a, b))
    found = sum(paired_t(*pair).p <= 0.05 for pair in zip(a + 1, b, strict=True)) / TIMES
    assert found == pytest.approx(power, abs=0.005 + 3 * np.sqrt(power * (1 - power) / TIMES))


@pytest.mark.parametrize(("n", "all_pairs", "a_baseline"), [(5, 0.03, 0.045), (10, 0.03, 0.043)])
def test_of_eight_equal_methods_one_is_called_worse_as_seldom_as_holm_promises(n, all_pairs, a_baseline):
    rng, times = np.random.default_rng(n), 200
    untied = better = 0
    for _ in range(times):
        seeds = pd.DataFrame(rng.normal(size=(n, 8)), columns=list("abcdefgh"))
        untied += len(not_separable(seeds)) < 8
        better += any(test.adjusted <= 0.05 for test in compare_to(seeds, "a").values())
    for count, rate in ((untied, all_pairs), (better, a_baseline)):
        assert count / times <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / times)
        assert count / times == pytest.approx(rate, abs=0.005 + 3 * np.sqrt(rate * (1 - rate) / times))


def test_holm_is_the_largest_of_what_came_before_whatever_the_order():
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 28):
        p = rng.uniform(size=size) ** 3
        order = sorted(range(size), key=lambda i: p[i])
        wanted, largest = [0.0] * size, 0.0
        for place, i in enumerate(order):
            largest = max(largest, min(1.0, (size - place) * p[i]))
            wanted[i] = largest
        assert holm(p) == pytest.approx(wanted)
    assert holm([0.0625] * 8) == pytest.approx([0.5] * 8)
    assert holm([0.001953125] * 8) == pytest.approx([0.015625] * 8)


def test_the_golden_differences_have_their_t_and_p_by_another_library_too():
    d = [0.4, 0.1, 0.3, -0.1, 0.5, 0.2]
    ours, theirs = paired_t(d, [0] * 6), stats.ttest_1samp(d, 0)
    assert (ours.t, ours.p) == pytest.approx((2.6458, 0.04566), abs=5e-5)
    assert (ours.t, ours.p) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-12)
    interval = theirs.confidence_interval()
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), rel=1e-12)
    assert t_interval(d) == pytest.approx((interval.low, interval.high), rel=1e-12)
    assert sample_sd(d) == pytest.approx(np.std(d, ddof=1), rel=1e-15)


# mean difference, in sd of the differences, found four times in five by a paired t test: alone, as the first of 7 tests
# and of 28; by numerical integration of the power over the distribution of the sample variance
EFFECTS = {
    3: (3.264, 8.6626, 17.331),
    4: (2.1279, 4.1705, 6.6523),
    5: (1.682, 2.8738, 4.1166),
    6: (1.4345, 2.2739, 3.0663),
    7: (1.2726, 1.9257, 2.5005),
    8: (1.156, 1.6956, 2.1465),
    10: (0.996, 1.4051, 1.7231),
    20: (0.6604, 0.8741, 1.0187),
}


@pytest.mark.parametrize("n", EFFECTS)
def test_the_smallest_effect_that_can_be_found_is_that_of_the_integral(n):
    found = [minimum_detectable_effect(n, 0.05 / tests) for tests in (1, 7, 28)]
    assert found == pytest.approx(EFFECTS[n], rel=1e-4)


@pytest.mark.parametrize(("effect", "seeds"), [(0.5, 34), (0.75, 16), (1.0, 10), (1.5, 6), (2.0, 5)])
def test_so_many_seeds_find_an_effect_four_times_in_five(effect, seeds):
    assert minimum_detectable_effect(seeds) <= effect < minimum_detectable_effect(seeds - 1)


def test_ranks_cannot_say_more_than_their_number_of_orders():
    floors = {3: 0.25, 4: 0.125, 5: 0.0625, 6: 0.03125, 7: 0.015625, 8: 0.0078125, 10: 0.001953125}
    for n, floor in floors.items():
        assert rank_floor(n) == floor
        assert stats.wilcoxon(np.arange(1, n + 1)).pvalue == pytest.approx(floor)


def test_the_smallest_effect_is_found_as_often_as_is_said():
    rng = np.random.default_rng(3)
    for n in (3, 5, 10):
        d = rng.normal(minimum_detectable_effect(n), 1, (TIMES, n))
        found = sum(paired_t(row, np.zeros(n)).p <= 0.05 for row in d)
        assert within(found, TIMES, 0.8)
