"""The mixture that tells small losses from large ones, against expectation-maximisation written out."""

import math

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from methods.mixture import clean_probability


def by_hand(points: list[float], low: list[bool]) -> list[float]:
    """The posterior of the lower of two normal distributions; `low` are the points that begin in it."""
    share = [[1.0 if first else 0.0 for first in low], [0.0 if first else 1.0 for first in low]]
    likelihoods = [-math.inf]
    for step in range(11):
        weight = [sum(row) / len(points) for row in share]
        mean = [sum(r * x for r, x in zip(row, points, strict=True)) / sum(row) for row in share]
        variance = [
            sum(r * (x - m) ** 2 for r, x in zip(row, points, strict=True)) / sum(row) + 5e-4
            for row, m in zip(share, mean, strict=True)
        ]
        density = [
            [w * math.exp(-((x - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v) for x in points]
            for w, m, v in zip(weight, mean, variance, strict=True)
        ]
        total = [a + b for a, b in zip(*density, strict=True)]
        share = [[d / t for d, t in zip(row, total, strict=True)] for row in density]
        if step == 10 or (step > 1 and likelihoods[-1] - likelihoods[-2] < 1e-2):  # the last step gained too little
            break
        likelihoods.append(sum(math.log(t) for t in total) / len(points))
    return share[0]


@pytest.mark.parametrize(
    "points",
    [
        [0.0, 0.05, 0.1, 0.3, 0.35, 0.6, 0.9, 1.0],
        [0.0, 0.01, 0.18, 0.26, 0.32, 0.38, 0.4, 0.42, 0.69, 1.0],
        [0.0, 0.13, 0.26, 0.38, 0.42, 0.46, 0.66, 0.7, 0.76, 1.0],
    ],
)
def test_a_few_points_get_the_posterior_of_expectation_maximisation_by_hand(points):
    expected = by_hand(points, [x < 0.5 for x in points])
    found = clean_probability(np.array(points), seed=0)
    assert found == pytest.approx(expected, abs=1e-9)
    assert sum(1e-6 < p < 1 - 1e-6 for p in found) >= 2  # the points tell something about the formula


def test_no_more_than_ten_steps_are_made(monkeypatch):
    asked = []

    class Asked(GaussianMixture):
        def fit(self, x):
            asked.append(self.max_iter)
            return super().fit(x)

    monkeypatch.setattr("sklearn.mixture.GaussianMixture", Asked)
    clean_probability(np.array([0.0, 0.5, 1.0]), seed=0)
    assert asked == [10]


@pytest.mark.parametrize("small", [20, 100, 180])
def test_two_kinds_of_losses_are_told_apart_whichever_is_larger(small):
    rng = np.random.default_rng(3)
    losses = np.concatenate([rng.normal(0.1, 0.03, small), rng.normal(0.8, 0.05, 200 - small)])
    found = clean_probability(losses, seed=1)
    assert (found[:small] > 0.99).all()
    assert (found[small:] < 0.01).all()


@pytest.mark.parametrize("losses", [[0.0], [0.3, 0.3], [0.0] * 50])
def test_where_all_losses_are_equal_every_label_is_trusted(losses):
    assert clean_probability(np.array(losses, dtype=np.float32), seed=0).tolist() == [1.0] * len(losses)


@pytest.mark.parametrize("losses", [[0.0, 1.0], [0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0], list(np.linspace(0, 1, 500))])
def test_too_few_points_and_fits_that_do_not_settle_give_probabilities_without_a_warning(losses):
    found = clean_probability(np.array(losses, dtype=np.float32), seed=0)
    assert found.dtype == np.float64
    assert ((found >= 0) & (found <= 1)).all()
    assert found[0] > 0.5 > found[-1]


def losses_of(num: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.beta(1, 8, num // 2), rng.beta(5, 3, num // 2)])


def test_the_fit_depends_on_its_seed_alone_and_on_the_order_of_samples_not_at_all():
    losses = losses_of(400)
    np.random.seed(1)  # noqa: NPY002 - what must not matter
    first = clean_probability(losses, seed=5)
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    assert (clean_probability(losses, seed=5) == first).all()
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    order = np.random.default_rng(2).permutation(400)
    assert clean_probability(losses[order], seed=9) == pytest.approx(first[order], abs=0.02)


def test_the_number_of_threads_changes_no_bit():
    losses = losses_of(20_000)  # many pieces of 256, summed thread by thread
    with threadpool_limits(1):
        alone = clean_probability(losses, seed=5)
    with threadpool_limits(3):
        assert (clean_probability(losses, seed=5) == alone).all()
