"""Statistics against numbers worked out elsewhere."""

import numpy as np
import pandas as pd
import pytest

from bench.evidence.statistics import (
    compare_to,
    holm,
    limits_text,
    minimum_detectable_effect,
    not_separable,
    paired_t,
    rank_floor,
    sample_sd,
    t_interval,
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
