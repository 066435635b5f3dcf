"""Power of t tests against integration over the sample sd, simulation, and tables computed elsewhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from bench.evidence.power import minimum_detectable_effect, power_of_t, seeds_needed, seeds_text


def integrated(effect, n, alpha, paired):
    """The same power from the density of the sample sd, by quadrature."""
    df, shift = (n - 1, effect * n**0.5) if paired else (2 * n - 2, effect * (n / 2) ** 0.5)
    bar = stats.t.isf(alpha / 2, df)

    def rejected(sd):
        beyond = stats.norm.sf(bar * sd - shift) + stats.norm.cdf(-bar * sd - shift)
        return beyond * stats.chi.pdf(sd * df**0.5, df) * df**0.5

    return integrate.quad(rejected, 0, np.inf, limit=200)[0]


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(
    ("effect", "n", "alpha"), [(0.0, 5, 0.05), (1, 5, 0.05), (3.3, 3, 0.05), (4, 5, 0.0018), (9, 2, 0.05)]
)
def test_power_is_the_integral_over_the_sample_sd(effect, n, alpha, paired):
    assert power_of_t(effect, n, alpha, paired) == pytest.approx(integrated(effect, n, alpha, paired), abs=2e-4)


def test_power_is_how_often_a_test_of_simulated_runs_is_significant():
    rng = np.random.default_rng(3)
    share = np.mean(stats.ttest_1samp(rng.normal(1, 1, size=(20_000, 5)), 0, axis=1).pvalue <= 0.05)
    assert power_of_t(1, 5) == pytest.approx(share, abs=3 * (0.24 / 20_000) ** 0.5)
    a, b = rng.normal(1, 1, size=(20_000, 5)), rng.normal(0, 1, size=(20_000, 5))
    share = np.mean(stats.ttest_ind(a, b, axis=1).pvalue <= 0.05)
    assert power_of_t(1, 5, paired=False) == pytest.approx(share, abs=3 * (0.21 / 20_000) ** 0.5)


UNPAIRED = [(3, 3.07), (4, 2.38), (5, 2.02), (6, 1.80), (7, 1.63), (8, 1.51), (10, 1.32), (20, 0.91)]


@pytest.mark.parametrize(("n", "effect"), UNPAIRED)
def test_the_unpaired_minimum_detectable_effect_is_the_tabulated_one(n, effect):
    assert minimum_detectable_effect(n, paired=False) == pytest.approx(effect, abs=0.005)


@pytest.mark.parametrize(
    ("effect", "paired", "unpaired"), [(0.5, 34, 64), (0.75, 16, 29), (1, 10, 17), (1.5, 6, 9), (2, 5, 6)]
)
def test_the_seeds_needed_are_the_tabulated_ones_and_one_fewer_is_too_few(effect, paired, unpaired):
    assert seeds_needed(effect) == paired
    for n, kind in ((paired, True), (unpaired, False)):
        assert seeds_needed(effect, paired=kind) == n
        assert integrated(effect, n, 0.05, kind) >= 0.8 > integrated(effect, n - 1, 0.05, kind)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 200), st.booleans(), st.floats(0.001, 0.2), st.floats(0.3, 0.95))
def test_the_seeds_needed_for_the_smallest_effect_that_n_seeds_detect_are_n(n, paired, alpha, power):
    effect = minimum_detectable_effect(n, alpha, power, paired)
    assert power_of_t(effect, n, alpha, paired) == pytest.approx(power, abs=1e-6)
    assert seeds_needed(effect * 1.0001, alpha, power, paired) == n


def test_the_text_says_what_is_needed_and_what_the_seeds_there_are_can_do():
    assert seeds_text(1, 5) == (
        "a true difference of 1 sd of the differences needs 10 seeds (paired t at 0.05, power 0.8); "
        "n = 5 finds it with power 0.40"
    )
    assert "needs 17 seeds (unpaired t" in seeds_text(1, 5, paired=False)
    assert seeds_text(2, 1).endswith("with n = 1 nothing can be tested")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: power_of_t(1, 1), "a t test needs at least 2 seeds, got 1"),
        (lambda: minimum_detectable_effect(5, alpha=5), "alpha must lie between 0 and 1, got 5"),
        (lambda: minimum_detectable_effect(5, power=80), "power must lie between 0 and 1, got 80"),
        (lambda: seeds_needed(1, power=80), "power must lie between 0 and 1, got 80"),
        (lambda: seeds_needed(1, alpha=0), "alpha must lie between 0 and 1, got 0"),
        (lambda: seeds_needed(0), "a wished effect must be a number of sd above 0, got 0"),
        (lambda: seeds_needed(float("nan")), "a wished effect must be a number of sd above 0, got nan"),
        (lambda: seeds_needed(1e-5), "an effect of 1e-05 sd needs more than 1,000,000 seeds"),
    ],
)
def test_what_cannot_be_computed_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        call()
