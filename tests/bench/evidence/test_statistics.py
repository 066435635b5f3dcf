"""Statistics against numbers worked out elsewhere."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.evidence.statistics import (
    compare_to,
    floor_text,
    highest,
    holm,
    limits_text,
    minimum_detectable_effect,
    not_separable,
    paired_t,
    rank_floor,
    sample_sd,
    t_interval,
    welch_from_summary,
)


def test_the_sd_of_1_2_3_tenths_is_one_tenth():
    assert sample_sd([0.1, 0.2, 0.3]) == pytest.approx(0.1, abs=1e-15)
    assert sample_sd([0.1]) is None


def test_a_paired_t_gives_the_golden_numbers():
    d = np.array([0.4, 0.1, 0.3, -0.1, 0.5, 0.2])
    result = paired_t(d + 7, np.full(6, 7.0))
    assert result.n == 6
    assert result.t == pytest.approx(2.6458, abs=5e-5)
    assert result.p == pytest.approx(0.04566, abs=5e-6)
    # mean 0.2333, sd 0.2160, half-width 2.5706 * 0.2160 / sqrt(6) = 0.2267
    assert (result.low, result.high) == (pytest.approx(0.0066, abs=1e-4), pytest.approx(0.4600, abs=1e-4))


@pytest.mark.parametrize(("n", "half_width"), [(3, 2.48), (4, 1.59), (5, 1.24), (6, 1.05), (10, 0.72), (20, 0.47)])
def test_the_t_interval_has_the_tabulated_half_width(n, half_width):
    x = np.arange(n) - (n - 1) / 2
    low, high = t_interval(x / x.std(ddof=1))
    assert (high - low) / 2 == pytest.approx(half_width, abs=0.005)


def test_one_seed_or_no_spread_gives_a_difference_and_no_test():
    assert paired_t([0.7], [0.6]).t is None
    flat = paired_t([0.7, 0.8, 0.9], [0.6, 0.7, 0.8])  # 0.7 - 0.6 and 0.8 - 0.7 differ in their last bit
    assert flat.difference == pytest.approx(0.1)
    assert (flat.t, flat.p, flat.low) == (None, None, None)
    assert paired_t([], []).difference is None


def test_only_seeds_that_both_have_are_paired():
    assert paired_t([0.1, np.nan, 0.3, 0.9], [0.2, 0.5, 0.1, np.nan]).n == 2


def test_holm_gives_the_golden_numbers_in_the_order_given():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.0625] * 8) == pytest.approx([0.5] * 8)


@pytest.mark.parametrize(
    ("n", "tests", "effect"),
    [(3, 1, 3.26), (5, 1, 1.68), (10, 1, 1.00), (20, 1, 0.66), (3, 7, 8.7), (3, 28, 17), (5, 28, 4.1), (10, 28, 1.7)],
)
def test_the_minimum_detectable_effect_is_the_tabulated_one(n, tests, effect):
    assert minimum_detectable_effect(n, 0.05 / tests) == pytest.approx(effect, rel=0.03)


def test_ranks_have_a_floor_and_the_text_says_so():
    assert [rank_floor(n) for n in (3, 5, 6, 2000)] == [0.25, 0.0625, 0.03125, 0.0]
    assert "cannot reach 0.05 at n = 5 (its smallest p is 0.0625)" in limits_text(5, 1)
    assert "cannot" not in limits_text(6, 1)
    assert "nothing is tested and nothing is marked" in limits_text(1, 3)


def test_the_limits_of_two_seeds_are_said_and_those_of_the_first_of_many_tests():
    assert limits_text(3, 1).startswith("n = 3: a paired t test finds, 4 times in 5, a true difference of 3.3 sd of")
    assert "a true difference of 3.3 sd of the differences (8.7 sd as the first of 7 tests); a rank" in limits_text(
        3, 7
    )
    two = limits_text(2, 1)  # (n - 1) = 1 degree of freedom: the quantile of Cauchy's distribution is 12.7
    assert two.startswith("n = 2: a paired t test finds, 4 times in 5, a true difference of ")
    assert two.endswith("; a rank test cannot reach 0.05 at n = 2 (its smallest p is 0.5)")


def spread(centre, offsets):
    return [centre + offset for offset in offsets]


def test_the_best_is_tied_with_what_a_test_cannot_tell_apart():
    seeds = pd.DataFrame(
        {
            "best": spread(0.90, [0.001, -0.001, 0.002, -0.002, 0.0]),
            "near": spread(0.899, [-0.003, 0.004, -0.002, 0.001, 0.0]),
            "far": spread(0.50, [0.002, 0.001, -0.001, 0.0, -0.002]),
        }
    )
    assert not_separable(seeds) == {"best", "near"}


def shifted(p):
    """Return five differences without correlation to others whose paired t test gives this p."""
    pattern = np.array([-1.0, 1.0, 0.5, -0.5, 0.0])
    low, high = 0.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if paired_t(pattern + middle, np.zeros(5)).p > p else (low, middle)
    return pattern + low


def test_a_baseline_is_corrected_over_the_others_and_the_best_over_all_pairs():
    base = np.zeros(5)
    seeds = pd.DataFrame({"best": shifted(0.02), "base": base, "third": [1.5, -1, 0, -1, 0.4]})
    third = paired_t(seeds["third"], seeds["base"]).p
    compared = compare_to(seeds, "base")
    assert third > 0.5
    assert compared["best"].adjusted == pytest.approx(0.04, abs=1e-4)  # the first of two
    assert "base" in not_separable(seeds)  # the first of three: 0.06
    assert not_separable(seeds[["best", "base"]]) == {"best"}  # alone: 0.02


def test_one_seed_ties_nobody_and_equal_columns_are_tied():
    assert not_separable(pd.DataFrame({"a": [0.9], "b": [0.1]})) == set()
    assert not_separable(pd.DataFrame({"a": [0.9, 0.8], "b": [0.9, 0.8]})) == {"a", "b"}
    assert not_separable(pd.DataFrame()) == set()


def test_the_first_of_equal_means_is_the_highest_whatever_the_rounding():
    seeds = pd.DataFrame({"four": [30, 33, 31, 30], "two": [30, 32, np.nan, np.nan]}) / 360  # both 31 / 360
    assert seeds["two"].mean() > np.mean(seeds["four"])  # by one bit
    assert highest(seeds) == "four"
    assert highest(seeds[["two", "four"]]) == "two"
    assert highest(pd.DataFrame({"a": [np.nan], "b": [0.1], "c": [0.1 + 1e-9]})) == "c"
    assert highest(pd.DataFrame({"a": [np.nan]})) is None


@pytest.mark.parametrize(("correct_over", "false_alarms"), [("all pairs", 0.05), ("a baseline", 0.07)])
def test_identical_methods_are_seldom_called_different(correct_over, false_alarms):
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(120):
        seeds = pd.DataFrame(rng.normal(size=(5, 5)), columns=list("abcde"))
        if correct_over == "all pairs":
            wrong += len(not_separable(seeds)) < 5
        else:
            wrong += any(c.adjusted <= 0.05 for c in compare_to(seeds, "a").values())
    assert wrong / 120 <= false_alarms + 2 * np.sqrt(0.05 * 0.95 / 120)


VALUES = st.lists(st.integers(0, 1000), min_size=2, max_size=8).map(lambda counts: np.array(counts) / 1000)


@settings(max_examples=60, deadline=None)
@given(VALUES, VALUES)
def test_welch_from_summaries_is_scipys_test_of_the_runs_themselves(a, b):
    summaries = (a.mean(), a.std(ddof=1), a.size), (b.mean(), b.std(ddof=1), b.size)
    found = welch_from_summary(*summaries[0], *summaries[1])
    assert found.difference == a.mean() - b.mean()
    other = welch_from_summary(*summaries[1], *summaries[0])
    assert (other.df, other.p) == (found.df, found.p)
    if max(np.ptp(a), np.ptp(b)) == 0:
        assert (found.t, found.df, found.p) == (None, None, None)
        return
    scipys = stats.ttest_ind_from_stats(*summaries[0], *summaries[1], equal_var=False)
    assert found.t == pytest.approx(scipys.statistic)
    assert found.p == pytest.approx(scipys.pvalue)
    if min(np.ptp(a), np.ptp(b)) > 0:  # scipy warns of runs without spread
        whole = stats.ttest_ind(a, b, equal_var=False)
        assert (found.df, found.p) == (pytest.approx(whole.df), pytest.approx(whole.pvalue, rel=1e-6))


@pytest.mark.parametrize("lacking", [(None, 5), (0.3, None), (0.3, 1), (0.3, 0)])
def test_a_published_number_without_spread_or_runs_is_not_tested(lacking):
    assert welch_from_summary(91.2, 0.2, 5, 90.0, *lacking) == (pytest.approx(1.2), None, None, None)
    assert welch_from_summary(90.0, *lacking, 91.2, 0.2, 5) == (pytest.approx(-1.2), None, None, None)


def test_a_negative_spread_is_refused():
    with pytest.raises(ValueError, match=r"^a standard deviation cannot be negative, got 0.2 and -1$"):
        welch_from_summary(91.2, 0.2, 5, 90.0, -1, 5)


@pytest.mark.parametrize(("runs", "error"), [((5, 5), 0.05), ((3, 10), 0.07)])
def test_welch_keeps_its_error_rate_with_five_runs_but_not_with_three(runs, error):
    n, m = runs
    rng = np.random.default_rng(53)
    a, b = rng.normal(0, 3, size=(2000, n)), rng.normal(0, 1, size=(2000, m))
    summaries = zip(a.mean(1), a.std(1, ddof=1), b.mean(1), b.std(1, ddof=1), strict=True)
    wrong = np.mean([welch_from_summary(x, s, n, y, t, m).p <= 0.05 for x, s, y, t in summaries])
    assert wrong == pytest.approx(error, abs=0.015)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_its_definition(p):
    ordered, m = sorted(p), len(p)
    stepped = [max(min(1, (m - j) * ordered[j]) for j in range(i + 1)) for i in range(m)]
    adjusted = holm(p)
    assert sorted(adjusted) == pytest.approx(stepped)
    assert all(before <= after <= 1 for before, after in zip(p, adjusted, strict=True))
    rejected = sum(value <= 0.05 for value in adjusted)
    assert sum(m * value <= 0.05 for value in p) <= rejected <= sum(value <= 0.05 for value in p)


@settings(max_examples=60, deadline=None)
@given(VALUES, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_t_interval_and_the_paired_test_are_scipys(values, level):
    zeros = np.zeros(values.size)
    if np.ptp(values) == 0:
        assert t_interval(values, level) == (pytest.approx(values[0]), pytest.approx(values[0]))
        assert paired_t(values, zeros).p is None
        return
    scipys = stats.ttest_rel(values, zeros)
    found = paired_t(values, zeros)
    assert (found.t, found.p) == (pytest.approx(scipys.statistic), pytest.approx(scipys.pvalue))
    assert t_interval(values, level) == pytest.approx(tuple(scipys.confidence_interval(level)))
    assert (found.low, found.high) == pytest.approx(t_interval(values))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_t_interval_holds_the_mean_as_often_as_it_claims(n):
    samples = np.random.default_rng(59).normal(0.9, 0.01, size=(2000, n))
    held = np.mean([low <= 0.9 <= high for low, high in map(t_interval, samples)])
    assert held == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / 2000) ** 0.5)


def test_the_floor_is_said_only_where_it_forbids_significance():
    assert floor_text(5) == "cannot reach 0.05 at n = 5 (its smallest p is 0.0625)"
    assert floor_text(6) is None
    assert floor_text(6, 2) == "cannot reach 0.05 at n = 6 (its smallest p is 0.03125, 0.0625 as the first of 2 tests)"
    assert floor_text(0) == "cannot reach 0.05 at n = 0 (its smallest p is 1)"
