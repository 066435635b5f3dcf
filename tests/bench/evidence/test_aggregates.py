"""Aggregates over settings against definitions written out, scipy, and their coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.evidence.aggregates import improvement_interval, iqm, iqm_interval, probability_of_improvement

CELLS = st.lists(st.lists(st.integers(0, 100), min_size=1, max_size=7), min_size=1, max_size=5)


def test_the_interquartile_mean_of_five_runs_is_that_of_the_middle_three():
    assert iqm([[0.1, 0.9, 0.4, 0.2, 0.6]]) == pytest.approx(0.4)
    assert iqm([[0.5, 0.7]]) == pytest.approx(0.6)
    assert iqm([]) is None


@settings(max_examples=40, deadline=None)
@given(CELLS)
def test_the_interquartile_mean_leaves_out_a_quarter_of_all_runs_at_either_end(cells):
    runs = sorted(value for cell in cells for value in cell)
    cut = len(runs) // 4
    assert iqm(cells) == pytest.approx(np.mean(runs[cut : len(runs) - cut]))


def test_runs_are_drawn_again_within_their_own_cell_alone():
    assert iqm_interval([[0.9, 0.9], [0.1, 0.1], [0.5, 0.5]]) == (pytest.approx(0.5), pytest.approx(0.5))
    rng = np.random.default_rng(2)
    cells = [rng.normal(centre, 0.01, size=5) for centre in (0.2, 0.5, 0.9)]
    drawn = [iqm([rng.choice(cell, 5) for cell in cells]) for _ in range(4000)]
    assert iqm_interval(cells) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-3)
    assert iqm_interval(cells) == iqm_interval(cells)
    assert iqm_interval(cells, seed=1) != iqm_interval(cells)


def test_a_cell_of_one_run_has_no_interval():
    assert iqm_interval([[0.5, 0.6], [0.7]]) is None
    assert iqm_interval([]) is None
    assert improvement_interval([[0.5, 0.6]], [[0.7]]) is None


@pytest.mark.parametrize(("runs", "held"), [(3, 0.85), (5, 0.91), (10, 0.93)])
def test_the_interval_is_too_narrow_where_cells_have_few_runs(runs, held):
    rng = np.random.default_rng(3)
    found = [iqm_interval(rng.normal(size=(8, runs)), repeats=500) for _ in range(300)]
    assert np.mean([low <= 0 <= high for low, high in found]) == pytest.approx(held, abs=0.05)


@settings(max_examples=40, deadline=None)
@given(CELLS, st.randoms(use_true_random=False))
def test_the_probability_of_improvement_counts_pairs_of_runs_in_each_cell(cells, random):
    others = [[random.randint(0, 100) for _ in range(random.randint(1, 6))] for _ in cells]
    shares = [
        np.mean([(x > y) + (x == y) / 2 for x in mine for y in theirs])
        for mine, theirs in zip(cells, others, strict=True)
    ]
    found = probability_of_improvement(cells, others)
    assert found == pytest.approx(np.mean(shares))
    assert found + probability_of_improvement(others, cells) == pytest.approx(1)


def test_in_one_cell_it_is_the_mann_whitney_statistic_over_the_number_of_pairs():
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 9, size=6), rng.integers(0, 9, size=5)
    assert probability_of_improvement([a], [b]) == pytest.approx(stats.mannwhitneyu(a, b).statistic / 30)
    assert probability_of_improvement([], []) is None


def test_the_interval_of_the_improvement_is_that_of_runs_drawn_again():
    rng = np.random.default_rng(5)
    a, b = rng.normal(0.5, 1, size=(4, 6)), rng.normal(0, 1, size=(4, 6))
    drawn = [
        probability_of_improvement([rng.choice(cell, 6) for cell in a], [rng.choice(cell, 6) for cell in b])
        for _ in range(4000)
    ]
    assert improvement_interval(a, b) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.02)
    assert improvement_interval([[3, 4]], [[1, 2]]) == (1, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: iqm([[0.5, float("nan")]]), r"a cell is a row of accuracies without gaps, got \[0.5, nan\]"),
        (lambda: iqm([[[0.5]]]), r"a cell is a row of accuracies without gaps, got \[\[0.5\]\]"),
        (
            lambda: probability_of_improvement([[1]], [[1], [2]]),
            "both methods need a cell for every setting, got 1 and 2 cells",
        ),
        (
            lambda: probability_of_improvement([[]], [[1]]),
            "a cell without runs cannot be compared: leave its setting out for both methods",
        ),
    ],
)
def test_cells_that_cannot_be_used_are_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        call()
