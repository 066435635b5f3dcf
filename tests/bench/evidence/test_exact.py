"""Exact tests against enumeration by hand and scipy, their floors, and their error rates under the null."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.evidence.exact import across_settings, sign_flip, wilcoxon
from bench.evidence.statistics import floor_text, holm, rank_floor

GOLDEN = [0.4, 0.1, 0.3, -0.1, 0.5, 0.2]
# accuracies are counts: differences of few sizes, so that ties and zeros are common
DIFFERENCES = st.lists(st.integers(-6, 6), min_size=1, max_size=9)


def enumerated(d, statistic):
    """p by going through every pattern of signs."""
    seen = [abs(statistic(np.array(signs) * d)) for signs in product([1, -1], repeat=len(d))]
    return np.mean(np.array(seen) >= abs(statistic(d)) - 1e-9)


def signed_ranks(d):
    return float((np.sign(d) * stats.rankdata(np.abs(d))).sum())


def against_zero(test, d):
    d = np.asarray(d, float)
    return test(d + 0.5, np.full(len(d), 0.5))


def test_the_golden_sign_flip_p_is_six_of_64_patterns():
    result = against_zero(sign_flip, GOLDEN)
    assert (result.n, result.zeros, result.exact) == (6, 0, True)
    assert result.difference == pytest.approx(0.2333, abs=5e-5)
    assert result.p == 6 / 64


@settings(max_examples=60, deadline=None)
@given(DIFFERENCES)
def test_p_is_the_share_of_sign_patterns_and_never_below_the_floor(d):
    d = np.array(d) / 1000
    flipped, ranked = against_zero(sign_flip, d), against_zero(wilcoxon, d)
    other = d[d != 0]
    if not len(other):
        assert flipped.p is ranked.p is None
        return
    assert flipped.p == pytest.approx(enumerated(d, np.sum), abs=1e-12)
    assert ranked.p == pytest.approx(enumerated(other, signed_ranks), abs=1e-12)
    for result in (flipped, ranked):
        assert result.floor == rank_floor(len(other))
        assert result.p >= result.floor - 1e-12


@settings(max_examples=30, deadline=None)
@given(DIFFERENCES)
def test_the_order_of_the_methods_changes_the_sign_and_not_p(d):
    a, b = np.array(d) / 1000 + 0.5, np.full(len(d), 0.5)
    for test in (sign_flip, wilcoxon):
        one, other = test(a, b), test(b, a)
        assert one.p == other.p
        assert one.difference == -other.difference


@pytest.mark.parametrize("test", [sign_flip, wilcoxon])
def test_the_unit_of_the_numbers_does_not_matter(test):
    whole = against_zero(test, GOLDEN).p
    assert [test(unit * np.array(GOLDEN), np.zeros(6)).p for unit in (1e-6, 1e-3, 1e6)] == [whole] * 3


def test_scipy_says_the_same_where_it_is_exact():
    rng = np.random.default_rng(5)
    for n in (6, 11, 30, 45):
        d = rng.normal(0.3, size=n)
        assert wilcoxon(d, np.zeros(n)).p == pytest.approx(stats.wilcoxon(d, method="exact").pvalue, rel=1e-9)
    d = rng.integers(-3, 5, size=9) / 100
    everything = stats.permutation_test((d,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(d, np.zeros(9)).p == pytest.approx(everything.pvalue)


def test_many_pairs_are_tested_approximately_and_the_text_says_so():
    d = np.random.default_rng(6).normal(0.2, size=150)
    ranked = wilcoxon(d, np.zeros(150))
    assert not ranked.exact
    assert ranked.text.endswith("n = 150, approximate")
    assert ranked.p == pytest.approx(stats.wilcoxon(d, method="asymptotic").pvalue)
    flipped = sign_flip(d[:25], np.zeros(25))
    assert not flipped.exact
    whole = stats.ttest_1samp(d[:25], 0).pvalue  # what random signs come close to, for normal data
    assert flipped.p == pytest.approx(whole, abs=0.02)
    assert sign_flip(d[:25], np.zeros(25)) == flipped
    sure = sign_flip(np.linspace(1, 2, 30), np.zeros(30))
    assert sure.p == 1 / 100_000  # the observed pattern counts as one of those looked at


def test_a_normal_approximation_cannot_fool_five_pairs_with_ties():
    d = np.array([1.0, 1, 2, 2, 2]) / 100
    assert stats.wilcoxon(d, method="asymptotic").pvalue < 0.05
    assert wilcoxon(d, np.zeros(5)).p == 0.0625


def test_differences_that_are_equal_but_for_their_last_bit_are_tied():
    a, b = [0.2, 0.2, 0.8, 0.5], [0.3, 0.1, 0.5, 0.1]
    assert abs(a[0] - b[0]) < a[1] - b[1]
    assert wilcoxon(a, b).p == wilcoxon([-1, 1, 3, 4], [0, 0, 0, 0]).p == 0.375


@pytest.mark.parametrize("n", range(2, 9))
def test_the_floor_is_reached_by_differences_of_one_sign_and_by_none_lower(n):
    d = np.arange(1, n + 1) / 100
    assert sign_flip(d, np.zeros(n)).p == wilcoxon(d, np.zeros(n)).p == rank_floor(n) == 2 / 2**n


def test_no_text_shows_a_p_where_the_number_of_pairs_cannot_reach_it():
    five = against_zero(wilcoxon, [0.4, 0.1, 0.3, 0.6, 0.5])
    assert five.text == "Wilcoxon: cannot reach 0.05 at n = 5 (its smallest p is 0.0625)"
    zeros = against_zero(wilcoxon, [0.4, 0.1, 0.3, 0.6, 0.5, 0.0])
    assert zeros.text == five.text + ", 1 of 6 differences are zero (dropped)"
    assert against_zero(sign_flip, GOLDEN).text == "sign-flip: p = 0.094, n = 6"
    kept = against_zero(sign_flip, [*GOLDEN, 0.0])
    assert kept.text == "sign-flip: p = 0.094, n = 7, 1 of 7 differences are zero (kept)"
    assert against_zero(wilcoxon, [0, 0]).text == "Wilcoxon: not tested, all 2 differences are zero"
    assert wilcoxon([np.nan], [1]).text == "Wilcoxon: not tested, no pairs"


def test_the_smallest_p_survives_holm_from_as_many_pairs_as_tabulated():
    first = {m: next(n for n in range(1, 30) if floor_text(n, m) is None) for m in range(1, 52)}
    steps = {m: n for m, n in first.items() if first.get(m - 1) != n}
    assert steps == {1: 6, 2: 7, 4: 8, 7: 9, 13: 10, 26: 11}
    assert floor_text(6, 3) == (
        "cannot reach 0.05 at n = 6 (its smallest p is 0.03125, 0.09375 as the first of 3 tests)"
    )
    assert holm([rank_floor(10)] * 8)[0] == pytest.approx(0.0156, abs=5e-5)


def test_rows_that_cannot_be_paired_are_refused():
    with pytest.raises(ValueError, match=r"^pairs need two rows of equal length, got \(2,\) and \(3,\)$"):
        sign_flip([1, 2], [1, 2, 3])
    assert sign_flip([1, np.nan, 3], [0, 0, np.nan]).n == 1


@pytest.mark.parametrize("test", [sign_flip, wilcoxon])
def test_equal_methods_are_called_different_no_more_often_than_one_time_in_twenty(test):
    rng = np.random.default_rng(11)
    d = rng.choice([-3, -2, -1, 0, 1, 2, 3], size=(1500, 8)) / 100  # ties, zeros, no normal distribution
    wrong = np.mean([(test(row, np.zeros(8)).p or 1) <= 0.05 for row in d])
    assert wrong <= 0.05 + 2 * (0.05 * 0.95 / 1500) ** 0.5
    assert wrong >= 0.01


def means(n, k, seed=1):
    return pd.DataFrame(np.random.default_rng(seed).normal(0.8, 0.01, size=(n, k)), columns=list("abcdefgh"[:k]))


def test_methods_are_compared_over_settings_with_holm_over_every_comparison_made():
    table = means(12, 3)
    pairs = across_settings(table)
    assert [(pair.a, pair.b) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    raw = [stats.wilcoxon(table[pair.a], table[pair.b], method="exact").pvalue for pair in pairs]
    assert [pair.result.p for pair in pairs] == pytest.approx(raw)
    assert [pair.result.adjusted for pair in pairs] == pytest.approx(holm(raw))
    assert "after Holm's correction, n = 12" in pairs[0].result.text
    fixed = across_settings(table, "b")
    assert [(pair.a, pair.b) for pair in fixed] == [("a", "b"), ("c", "b")]
    assert [pair.result.adjusted for pair in fixed] == pytest.approx(holm([raw[0], raw[2]]))


def test_a_setting_without_a_number_is_left_out_of_its_pairs_alone():
    table = means(9, 3)
    table.loc[0, "c"] = np.nan
    assert [pair.result.n for pair in across_settings(table)] == [9, 8, 8]


def test_a_family_too_large_for_its_settings_says_that_it_cannot_reach_significance():
    table = pd.DataFrame({"a": np.arange(6) + 3.0, "b": np.arange(6) * 1.1 + 2, "c": np.arange(6) * 1.2})
    assert all("cannot reach 0.05 at n = 6" in pair.result.text for pair in across_settings(table))
    assert "cannot" not in across_settings(table[["a", "b"]])[0].result.text


def test_a_pair_with_few_settings_does_not_make_its_family_hopeless():
    table = means(12, 3)
    table.loc[6:, "c"] = np.nan
    assert [pair.result.n for pair in across_settings(table)] == [12, 6, 6]
    assert not any("cannot" in pair.result.text for pair in across_settings(table))


def test_equal_columns_are_not_tested_and_take_no_place_in_the_family():
    table = means(10, 2).assign(twin=lambda frame: frame["a"])
    tested = {(pair.a, pair.b): pair.result for pair in across_settings(table)}
    assert tested["a", "twin"].p is tested["a", "twin"].adjusted is None
    assert tested["a", "b"].adjusted == min(1, 2 * tested["a", "b"].p)


def test_an_unknown_baseline_is_refused():
    with pytest.raises(ValueError, match=r"^baseline 'z' is none of the methods: a, b$"):
        across_settings(means(4, 2), "z")
