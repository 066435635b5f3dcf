"""Mixtures of samples and labels: what is drawn, and what is made of it."""

import math

import numpy as np
import pytest
import torch

from methods import mixing


class Seeds:
    """As much of a task as the draws need: a generator by stream and step."""

    device = torch.device("cpu")

    def rng(self, stream, clock):
        return torch.Generator().manual_seed(sum(stream.encode()) * 1000 + clock.epoch * 100 + clock.step)


@pytest.fixture
def clocks(world):
    one = world.clock()
    return [type(one)(e, 10, s, 50, 0.5, "train", e, 10) for e in range(8) for s in range(50)]


def test_one_hot_rows_have_their_one_at_the_label():
    assert mixing.one_hot(torch.tensor([2, 0]), 3).tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]


def test_cross_entropy_of_a_soft_target_by_hand():
    p = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
    target = torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64)
    wanted = -(0.5 * math.log(0.7) + 0.5 * math.log(0.2))
    assert float(mixing.soft_cross_entropy(p.log(), target)) == pytest.approx(wanted, abs=1e-12)


def test_cross_entropy_of_a_soft_target_has_the_gradient_p_minus_target(rng):
    logits = torch.randn(2, 6, 4, generator=rng, dtype=torch.float64).requires_grad_()
    target = torch.rand(2, 6, 4, generator=rng, dtype=torch.float64).softmax(-1)
    (grad,) = torch.autograd.grad(mixing.soft_cross_entropy(logits.log_softmax(-1), target).sum(), logits)
    torch.testing.assert_close(grad, logits.detach().softmax(-1) - target)


def test_sharpening_to_the_half_squares_and_normalises():
    p = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
    torch.testing.assert_close(mixing.sharpen(p, 0.5), torch.tensor([[0.49, 0.04, 0.01]], dtype=torch.float64) / 0.54)
    torch.testing.assert_close(mixing.sharpen(p, 1.0), p)


def test_sharpening_squares_the_odds_of_the_least_likely_too():
    p = torch.tensor([[1 - 1e-6, 1e-6]], dtype=torch.float64)
    torch.testing.assert_close(mixing.sharpen(p, 0.5)[0, 1] / mixing.sharpen(p, 0.5)[0, 0], (p[0, 1] / p[0, 0]) ** 2)


def test_sharpening_a_certain_and_a_many_classed_prediction_stays_finite():
    certain = torch.tensor([[1.0, 0.0, 0.0]])
    torch.testing.assert_close(mixing.sharpen(certain, 0.5), certain)
    many = torch.full((1, 1000), 1e-3)  # to the tenth power these are below float32's smallest
    torch.testing.assert_close(mixing.sharpen(many, 0.05), many)


def test_mixing_by_hand():
    x = torch.tensor([[0.0], [10.0], [4.0]])
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(mixing.mixed(x, order, 0.75), torch.tensor([[1.0], [7.5], [5.5]]))


def test_partners_are_a_permutation_and_follow_stream_epoch_and_step(clocks):
    task = Seeds()
    lam, order = mixing.partners(task, clocks[3], 9, 1.0, "mix")
    assert sorted(order.tolist()) == list(range(9))
    again = mixing.partners(task, clocks[3], 9, 1.0, "mix")
    assert again[0] == lam
    assert torch.equal(again[1], order)
    others = [(clocks[4], "mix"), (clocks[53], "mix"), (clocks[3], "other")]
    for clock, stream in others:
        other = mixing.partners(task, clock, 9, 1.0, stream)
        assert other[0] != lam
        assert not torch.equal(other[1], order)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_lambda_has_the_mean_and_variance_of_its_beta_distribution(alpha, clocks):
    drawn = np.array([mixing.partners(Seeds(), clock, 2, alpha, "mix")[0] for clock in clocks])
    assert ((drawn >= 0) & (drawn <= 1)).all()
    variance = 1 / (4 * (2 * alpha + 1))
    error = math.sqrt(variance / len(drawn))
    assert abs(drawn.mean() - 0.5) < 4 * error
    assert drawn.var() == pytest.approx(variance, rel=0.25)


def test_every_order_of_three_is_drawn_about_as_often(clocks):
    seen = [tuple(mixing.partners(Seeds(), clock, 3, 1.0, "mix")[1].tolist()) for clock in clocks]
    counts = [seen.count(order) for order in sorted(set(seen))]
    assert len(counts) == 6
    assert all(35 <= count <= 105 for count in counts)  # of 400: 66.7, and five standard deviations about it


def test_lambda_of_alpha_zero_is_one_and_mixes_nothing_bit_for_bit(clocks, rng):
    lam, order = mixing.partners(Seeds(), clocks[0], 6, 0.0, "mix")
    assert lam == 1.0
    x = torch.randn(6, 4, generator=rng)
    assert torch.equal(mixing.mixed(x, order, lam), x)


def test_lambda_of_a_tiny_alpha_is_zero_or_one(clocks):
    drawn = {round(mixing.partners(Seeds(), clock, 2, 1e-6, "mix")[0], 6) for clock in clocks[:60]}
    assert drawn == {0.0, 1.0}
