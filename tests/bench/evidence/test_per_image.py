"""Tests on images against enumeration, formulas, a plain bootstrap, and their error rates under the null."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.evidence.per_image import discordant_share, mcnemar, smallest_difference, two_way_interval
from bench.evidence.statistics import t_interval


def discordant(b, c, both=7):
    a_right = np.r_[np.ones(b, bool), np.zeros(c, bool), np.ones(both, bool)]
    b_right = np.r_[np.zeros(b, bool), np.ones(c, bool), np.ones(both, bool)]
    return a_right, b_right


def test_thirty_to_fifteen_gives_the_golden_p():
    result = mcnemar(*discordant(30, 15))
    assert (result.b, result.c, result.n) == (30, 15, 52)
    assert result.p == pytest.approx(0.0357, abs=5e-5)
    assert result.text == "McNemar on 52 images, for these two networks alone: 30 : 15, p = 0.036"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_p_is_that_of_a_binomial_test(b, c):
    expected = stats.binomtest(b, b + c).pvalue if b + c else 1.0
    assert mcnemar(*discordant(b, c)).p == pytest.approx(expected, rel=1e-9)


def test_five_discordant_images_cannot_show_anything_and_six_can():
    assert mcnemar(*discordant(5, 0)).p == 0.0625
    assert mcnemar(*discordant(5, 0)).text.endswith("5 : 0; 5 discordant images cannot reach 0.05")
    assert mcnemar(*discordant(6, 0)).text.endswith("6 : 0, p = 0.031")
    assert mcnemar(*discordant(3, 3)).text.endswith("3 : 3, p = 1")
    assert mcnemar(*discordant(2, 3)).text.endswith("2 : 3; 5 discordant images cannot reach 0.05")


@pytest.mark.parametrize(("sd", "error"), [(0, 0.05), (0.2, 0.17), (0.5, 0.47)])
def test_equal_methods_whose_runs_vary_are_called_different_far_too_often(sd, error):
    """8 % of 10,000 images discordant: 1,600 coin tosses a network, whose chance varies by sd points of accuracy."""
    rng = np.random.default_rng(19)
    chance = 0.5 + rng.normal(size=(400, 2)) * sd / 100 / 0.16
    wrong = np.mean([mcnemar(*(rng.random((2, 1600)) < pair[:, None])).p <= 0.05 for pair in chance])
    assert wrong == pytest.approx(error, abs=3 * (error * (1 - error) / 400) ** 0.5)


@pytest.mark.parametrize(
    ("share", "points"), [(0.01, 0.28), (0.02, 0.40), (0.05, 0.63), (0.1, 0.89), (0.2, 1.25), (0, 0), (1, 2.80)]
)
def test_the_smallest_difference_is_the_tabulated_one(share, points):
    assert 100 * smallest_difference(share, 10_000) == pytest.approx(points, abs=0.005)


def test_mcnemar_finds_the_smallest_difference_four_times_in_five():
    rng = np.random.default_rng(23)
    better = (0.1 + smallest_difference(0.1, 10_000)) / 2 / 0.1
    counts = rng.binomial(1000, better, size=400)
    assert np.mean([mcnemar(*discordant(b, 1000 - b)).p <= 0.05 for b in counts]) == pytest.approx(0.8, abs=0.06)


def runs(rng, seeds, images, offsets=0.0):
    """30 % of the images are coin tosses, whose chance an offset of each run moves; the others are always right."""
    hard = rng.random(images) < 0.3
    chance = 0.5 + rng.normal(size=(seeds, 1)) * offsets / 0.3
    return np.where(hard, rng.random((seeds, images)) < chance, True)


def test_the_interval_by_hand():
    """Seed means of the difference are .5 and .25, image means 1, .5, 0, 0: t(1) = 12.7062, half of both variances."""
    a = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], bool)
    b = np.zeros((2, 4), bool)
    error = (0.03125 / 2 + (0.625**2 + 0.125**2 + 2 * 0.375**2) / 3 / 4) ** 0.5
    half = 12.7062047 * error
    assert two_way_interval(a, b) == pytest.approx((0.375 - half, 0.375 + half))


@pytest.mark.parametrize(
    ("right", "middle", "variance"),
    [
        ([[1, 0], [1, 1]], 0.75, 0.125 / 2 + 0.125 / 2),  # both means are .5 and 1
        ([[1], [0]], 0.5, 0.5 / 2),  # one image has no spread of its own
    ],
)
def test_the_interval_of_two_images_and_of_one_by_hand(right, middle, variance):
    a = np.array(right, bool)
    half = 12.7062047 * variance**0.5
    assert two_way_interval(a, np.zeros_like(a)) == pytest.approx((middle - half, middle + half))


def test_the_interval_is_never_narrower_than_that_over_seeds_alone():
    rng = np.random.default_rng(31)
    for offsets in (0.0, 0.1):
        a, b = runs(rng, 4, 200, offsets), runs(rng, 4, 200, offsets)
        low, high = two_way_interval(a, b)
        alone = t_interval(a.mean(1) - b.mean(1))
        assert low <= alone[0]
        assert high >= alone[1]
        assert (low + high) / 2 == pytest.approx(a.mean() - b.mean())


@pytest.mark.parametrize("offsets", [0, 0.004, 0.08])
def test_the_interval_holds_the_true_difference_at_least_as_often_as_it_claims(offsets):
    rng = np.random.default_rng(37)
    held = 0
    for _ in range(200):  # three seeds, which is where a bootstrap holds in .76 if they differ much
        a, b = runs(rng, 3, 2000, offsets), runs(rng, 3, 2000, offsets)
        low, high = two_way_interval(a, b)
        held += low <= 0 <= high
    assert held / 200 >= 0.95 - 2 * (0.95 * 0.05 / 200) ** 0.5


def test_heads_of_a_run_count_as_their_mean():
    rng = np.random.default_rng(41)
    a, b = runs(rng, 5, 300), np.stack([runs(rng, 5, 300), runs(rng, 5, 300)], axis=1)
    low, high = two_way_interval(a, b)
    assert low < a.mean() - b.mean() < high
    assert two_way_interval(b, b) == (0, 0)
    assert two_way_interval(a, np.stack([a, a, a], axis=1)) == (0, 0)
    assert two_way_interval(np.stack([a, a], axis=1), b) == pytest.approx((low, high))


def test_one_seed_has_no_interval_for_its_spread_is_unknown():
    a = np.ones((1, 9), bool)
    assert two_way_interval(a, a) is None
    assert t_interval([0.5]) is None


def test_the_interval_changes_sign_with_the_order():
    rng = np.random.default_rng(43)
    a, b = runs(rng, 5, 400), runs(rng, 5, 400)
    low, high = two_way_interval(a, b)
    assert two_way_interval(b, a) == pytest.approx((-high, -low))


def test_the_share_of_discordant_images_is_averaged_over_seeds():
    assert discordant_share([[True, False], [True, True]], [[True, True], [True, True]]) == 0.25


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mcnemar([1, 0], [1, 1]), r"two \(N,\) arrays of bools wanted, got int64 \(2,\) and int64 \(2,\)"),
        (lambda: mcnemar(*discordant(0, 0, 0)), r"two \(N,\) arrays of bools wanted, got bool \(0,\) and bool \(0,\)"),
        (
            lambda: two_way_interval(np.ones((2, 3), np.int64), np.ones((2, 3), bool)),
            r"bools \(seeds, images\) or \(seeds, heads, images\) wanted, got int64 \(2, 3\)",
        ),
        (lambda: mcnemar([True], [True, False]), r"two \(N,\) arrays of bools wanted, got bool \(1,\) and bool \(2,\)"),
        (
            lambda: two_way_interval([True, False], [True, True]),
            r"bools \(seeds, images\) or \(seeds, heads, images\) wanted, got bool \(2,\)",
        ),
        (
            lambda: two_way_interval(np.ones((2, 3), bool), np.ones((3, 3), bool)),
            r"seeds and images of both must be equal in number, got \(2, 3\) and \(3, 3\)",
        ),
        (lambda: smallest_difference(20, 10_000), r"a share in \[0, 1\] and at least 1 image wanted, got 20 and 10000"),
    ],
)
def test_what_cannot_be_tested_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        call()
