"""Ranks over settings against an analysis of variance, enumeration, integration and scipy."""

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from bench.evidence import recount
from bench.evidence.ranks import (
    average_ranks,
    comparable,
    complete,
    critical_difference,
    friedman,
    groups,
    refusal,
    settings_text,
    within,
)

GOLDEN = pd.DataFrame([[1, 2, 3], [1, 3, 2], [1, 2, 3], [2, 1, 3]], columns=["a", "b", "c"])  # of ranks


def accuracies(ranks):
    return 1 - ranks / 100


def test_the_golden_table_has_the_golden_statistics():
    result = friedman(accuracies(GOLDEN))
    assert (result.n, result.k) == (4, 3)
    assert (result.chi2, result.p_chi2) == (pytest.approx(4.5), pytest.approx(0.1054, abs=5e-5))
    assert (result.f, result.p_f) == (pytest.approx(3.857, abs=5e-4), pytest.approx(0.0837, abs=5e-5))
    assert average_ranks(accuracies(GOLDEN)).to_dict() == {"a": 1.25, "b": 2.0, "c": 2.75}
    assert result.text == (
        "Friedman, 3 methods over 4 settings: p = 0.12 by shuffled ranks; chi2(2) = 4.5, p = 0.11; "
        "F(2, 6) = 3.86, p = 0.084"
    )


def test_shuffled_ranks_come_close_to_all_permutations():
    def sums(table):
        return ((np.sum(table, axis=0) - 8) ** 2).sum()

    rows = list(permutations([1, 2, 3]))
    found = np.array([sums(table) for table in product(rows, repeat=4)])
    whole = np.mean(found >= sums(GOLDEN.to_numpy()))
    assert whole == pytest.approx(0.125, abs=1e-3)
    assert friedman(accuracies(GOLDEN)).p == pytest.approx(whole, abs=3 * (whole * (1 - whole) / 9999) ** 0.5)


TABLES = st.integers(3, 8).flatmap(
    lambda n: st.integers(3, 6).flatmap(
        lambda k: st.lists(st.lists(st.integers(0, 9), min_size=k, max_size=k), min_size=n, max_size=n)
    )
)


@settings(max_examples=40, deadline=None)
@given(TABLES)
def test_the_chi2_is_scipys_and_f_that_of_an_analysis_of_variance_of_ranks_be_there_ties_or_not(rows):
    table = pd.DataFrame(rows).astype(float)
    result = friedman(table)
    assert 1 <= average_ranks(table).min() <= average_ranks(table).max() <= result.k
    assert average_ranks(table).mean() == pytest.approx((result.k + 1) / 2)
    ranks = np.array([stats.rankdata([-x for x in row]) for row in rows])
    if (ranks == ranks[0, 0]).all():
        assert (result.chi2, result.p, result.p_f) == (0, 1, 1)
        return
    scipys = stats.friedmanchisquare(*np.array(rows, float).T)
    assert result.chi2 == pytest.approx(scipys.statistic, abs=1e-9)
    assert result.p_chi2 == pytest.approx(scipys.pvalue, abs=1e-9)
    n, k = ranks.shape
    between = n * ((ranks.mean(0) - ranks.mean()) ** 2).sum() / (k - 1)
    within = ((ranks - ranks.mean(0)) ** 2).sum() / ((k - 1) * (n - 1))  # means of settings are all alike
    if within < 1e-9:
        assert result.f == np.inf
        assert result.p_f == 0
    else:
        assert result.f == pytest.approx(between / within, rel=1e-6)
        assert result.p_f == pytest.approx(stats.f.sf(between / within, k - 1, (k - 1) * (n - 1)), abs=1e-9)


def test_only_the_shuffled_p_keeps_its_error_rate_where_settings_are_few():
    rng = np.random.default_rng(13)
    found = [friedman(pd.DataFrame(rng.normal(size=(3, 3)))) for _ in range(300)]
    assert np.mean([result.p_f <= 0.05 for result in found]) > 0.12  # 0.194 in truth: 7 of 36 tables
    assert np.mean([result.p <= 0.05 for result in found]) <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5
    found = [friedman(pd.DataFrame(rng.normal(size=(8, 5)))) for _ in range(300)]
    for share in (np.mean([r.p <= 0.05 for r in found]), np.mean([r.p_f <= 0.05 for r in found])):
        assert share == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / 300) ** 0.5)


def test_perfect_agreement_has_no_p_of_zero_by_shuffling():
    result = friedman(pd.DataFrame([range(6)] * 8))
    assert (result.f, result.p_f, result.p) == (np.inf, 0, 1 / 10_000)


def test_ties_share_their_ranks_and_the_last_bit_of_a_mean_breaks_none():
    table = pd.DataFrame({"a": [0.1 + 0.2, 0.5], "b": [0.3, 0.6], "c": [0.2, 0.5]})
    assert average_ranks(table).to_dict() == {"b": 1.25, "a": 2.0, "c": 2.75}


def test_methods_of_equal_mean_rank_stay_in_their_order():
    table = pd.DataFrame([[0.7, 0.5] * 4], columns=list("abcdefgh"))
    assert list(average_ranks(table).index) == list("acegbdfh")
    assert list(average_ranks(table[list("hgfedcba")]).index) == list("gecahfdb")


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
        lambda shape: st.lists(
            st.lists(st.one_of(st.none(), st.integers(0, 4)), min_size=shape[1], max_size=shape[1]),
            min_size=shape[0],
            max_size=shape[0],
        )
    )
)
def test_who_is_ranked_where_and_how_by_the_second_road(rows):
    means = {f"m{number}": row for number, row in enumerate(rows)}
    table = pd.DataFrame(means, dtype=float)
    found = {(label, at): rank for label, ranks in within(table).items() for at, rank in ranks.items()}
    counted = recount.ranks(means)
    assert found == {
        (label, at): rank for label, ranks in counted.items() for at, rank in enumerate(ranks) if rank is not None
    }


def test_the_setting_goes_before_the_method_that_lacks_as_much_and_the_first_of_equals():
    one_each = pd.DataFrame({"a": [np.nan, 0.6], "b": [0.5, np.nan]}, index=["first", "second"])
    assert comparable(one_each).equals(one_each.loc[["second"], ["a"]])  # all lack half; then b lacks all it has left
    table = pd.DataFrame({"a": [np.nan, 0.6, 0.1], "b": [0.5, 0.7, 0.2]}, index=["first", "second", "third"])
    assert list(comparable(table).index) == ["second", "third"]  # it lacks half, the method a third
    assert list(comparable(table.T)) == ["second", "third"]
    assert list(comparable(table.T).index) == ["a", "b"]


def test_a_setting_without_a_number_for_every_method_is_left_out():
    table = pd.concat([accuracies(GOLDEN), pd.DataFrame([{"a": 0.1, "b": np.nan, "c": 0.9}])], ignore_index=True)
    assert len(complete(table)) == 4
    assert average_ranks(table).equals(average_ranks(accuracies(GOLDEN)))
    assert friedman(table) == friedman(accuracies(GOLDEN))
    assert average_ranks(table.tail(1)).isna().all()


@pytest.mark.parametrize(
    ("k", "q"),
    [
        *((2, 1.960), (3, 2.344), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.948)),
        *((8, 3.031), (9, 3.102), (10, 3.164), (12, 3.268)),
    ],
)
def test_the_critical_difference_stands_on_the_tabulated_quantiles_of_the_range(k, q):
    found = critical_difference(k, 12) / (k * (k + 1) / 72) ** 0.5
    assert found == pytest.approx(q, abs=5.1e-4)
    width = found * 2**0.5  # the range of k standard normals stays below it with probability 0.95
    chance, _ = integrate.quad(
        lambda x: k * stats.norm.pdf(x) * (stats.norm.cdf(x) - stats.norm.cdf(x - width)) ** (k - 1), -9, 9
    )
    assert chance == pytest.approx(0.95, abs=1e-6)


@pytest.mark.parametrize(
    ("k", "values"),
    [
        (3, (1.66, 1.17, 0.96, 0.74)),
        (4, (2.35, 1.66, 1.35, 1.05)),
        (5, (3.05, 2.16, 1.76, 1.36)),
        (6, (3.77, 2.67, 2.18, 1.69)),
        (8, (5.25, 3.71, 3.03, 2.35)),
        (10, (6.77, 4.79, 3.91, 3.03)),
        (12, (8.33, 5.89, 4.81, 3.73)),
    ],
)
def test_the_critical_difference_is_the_tabulated_one(k, values):
    assert [critical_difference(k, n) for n in (4, 8, 12, 20)] == pytest.approx(values, abs=0.0051)


def test_fewer_than_three_settings_separate_nobody_however_they_agree():
    for k in range(3, 13):
        assert critical_difference(k, 2) > k - 1
        assert refusal(2, k)
    assert critical_difference(3, 3) < 2
    assert refusal(3, 3) is None


def test_equal_methods_are_seldom_separated_by_the_critical_difference():
    rng = np.random.default_rng(17)
    cd = critical_difference(5, 8)
    wrong = 0
    for _ in range(300):
        ranks = average_ranks(pd.DataFrame(rng.normal(size=(8, 5)), columns=list("abcde")))
        wrong += groups(ranks, cd) != [tuple(ranks.index)]
    assert wrong / 300 <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5


def test_groups_are_the_largest_sets_within_the_critical_difference():
    ranks = {"e": 6.0, "a": 1.0, "b": 1.5, "c": 2.2, "d": 3.4}
    assert groups(ranks, 1.25) == [("a", "b", "c"), ("c", "d")]
    assert groups(pd.Series(ranks), 0.1) == []
    assert groups(ranks, 5) == [("a", "b", "c", "d", "e")]
    assert groups({"a": 1.0}, 5) == groups({}, 5) == []
    assert 1.2 + 0.6 < 1.8
    assert groups({"a": 1.2, "b": 1.8}, 0.6) == [("a", "b")]  # a difference that equals it is within


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(10, 60), min_size=1, max_size=8), st.floats(0.05, 3))
def test_two_methods_share_a_group_if_and_only_if_they_are_within_the_critical_difference(ranks, cd):
    mean_ranks = {f"m{i}": rank / 10 for i, rank in enumerate(ranks)}
    found = groups(mean_ranks, cd)
    for one, other in product(mean_ranks, repeat=2):
        together = any({one, other} <= set(group) for group in found)
        assert one == other or together == (abs(mean_ranks[one] - mean_ranks[other]) <= cd + 1e-9)
    assert not any(set(one) < set(other) for one, other in product(found, repeat=2))


def test_what_cannot_be_ranked_is_refused_in_one_line():
    few = (
        "ranks need at least 3 settings in which every method has a number, got 2 settings on 1 data set, and settings "
        "of one data set are not independent: with fewer, even perfect agreement separates nobody"
    )
    assert refusal(2, 5, 1) == few
    for k, methods in ((1, "1 method"), (2, "2 methods")):
        said = f"ranks compare at least 3 methods, got {methods}; two are compared by a paired test"
        assert refusal(4, k) == said
    with pytest.raises(ValueError, match=r"^ranks need at least 3 settings .*, got 1 setting: with fewer"):
        friedman(accuracies(GOLDEN).head(1))
    with pytest.raises(ValueError, match=r"^needs at least 2 methods, 1 setting and 0 < alpha < 1, got 1, 4 and 0.05$"):
        critical_difference(1, 4)


def test_the_text_names_the_data_sets_behind_the_settings():
    assert settings_text(3, 3) == "3 settings on 3 data sets"
    assert settings_text(8, 2) == "8 settings on 2 data sets, and settings of one data set are not independent"
