"""Transition matrices: what predictions tell of them, and the losses through them, against loops and worked numbers."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from methods.losses import cross_entropy
from methods.transition import (
    anchors,
    backward_loss,
    damped_inverse,
    dual,
    forward_loss,
    importance,
    inverse_of,
    through,
)

P = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
T = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]], dtype=torch.float64)
SKEW = torch.tensor([[0.7, 0.2, 0.1], [0.05, 0.9, 0.05], [0.3, 0.1, 0.6]], dtype=torch.float64)
ZERO = torch.tensor([0])


def predictions(rng: torch.Generator, num: int, num_classes: int) -> Tensor:
    """Rows of probabilities in float64, some sure and some not."""
    return (3 * torch.randn(num, num_classes, generator=rng, dtype=torch.float64)).softmax(-1)


def anchors_by_hand(p: np.ndarray, filter_outlier: bool) -> np.ndarray:
    """Row i: the sample of largest p[:, i], after those at or above the 97th percentile are struck off a copy."""
    rows = []
    for i in range(p.shape[1]):
        column = p[:, i].copy()
        if filter_outlier:
            column[column >= np.percentile(column, 97, method="higher")] = 0.0
        rows.append(p[int(np.argmax(column))])
    return np.array(rows)


# estimates


def test_an_anchor_is_the_row_of_the_sample_surest_of_its_class():
    p = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.9, 0.05, 0.05], [0.1, 0.2, 0.7]])
    assert anchors(p, filter_outlier=False).tolist() == p[[2, 1, 3]].tolist()


@pytest.mark.parametrize("filter_outlier", [False, True])
@pytest.mark.parametrize("num", [34, 35, 100, 101, 201, 334, 1001])
def test_anchors_are_those_of_a_loop_with_numpys_higher_percentile(num, filter_outlier, rng):
    p = predictions(rng, num, 4)
    assert np.array_equal(anchors(p, filter_outlier).numpy(), anchors_by_hand(p.numpy(), filter_outlier))


def test_the_rank_of_the_percentile_is_numpys_for_every_number_of_samples():
    for num in [*range(34, 1200), 10_001, 45_000, 45_001, 50_001]:
        column = torch.arange(num, dtype=torch.float64) / num
        p = torch.stack([column, 1 - column], 1)
        edge = np.percentile(column.numpy(), 97, method="higher")
        assert float(anchors(p, filter_outlier=True)[0, 0]) == column[column < edge].max(), num


def test_of_a_hundred_samples_the_four_surest_are_struck_off():
    # 0.97 * 99 = 96.03, so the threshold is the 98th smallest value, and it goes as well as the two above it
    column = torch.arange(100, dtype=torch.float64) / 100
    found = anchors(torch.stack([column, 1 - column], 1), filter_outlier=True)
    assert float(found[0, 0]) == 0.96


def test_striking_outliers_off_one_column_leaves_the_rows_and_the_other_columns_alone(rng):
    # the reference zeroes entries of the predictions themselves: later rows of T then hold zeros
    p = predictions(rng, 200, 5)
    before = p.clone()
    found = anchors(p, filter_outlier=True)
    assert torch.equal(p, before)
    assert all(any(torch.equal(row, sample) for sample in p) for row in found)
    torch.testing.assert_close(found.sum(1), torch.ones(5, dtype=torch.float64))


def test_a_sample_struck_off_one_class_may_be_the_anchor_of_another_with_its_row_untouched():
    p = torch.tensor([[0.5, 0.499, 0.001]]).repeat(100, 1)
    p[:4] = torch.tensor([0.05, 0.05, 0.9])  # outliers of class 2
    p[4] = torch.tensor([0.98, 0.0, 0.02])  # the surest of class 0, and after those of class 2
    assert torch.equal(anchors(p, filter_outlier=True)[2], p[4])


def test_where_no_sample_would_be_left_the_surest_stays():
    same = torch.full((10, 2), 0.5)
    assert torch.equal(anchors(same, filter_outlier=True), torch.full((2, 2), 0.5))
    one = torch.tensor([[0.8, 0.2]])
    assert torch.equal(anchors(one, filter_outlier=True), one[[0, 0]])


def test_dual_is_the_product_of_anchors_and_of_counts_in_a_loop(rng):
    p, y = predictions(rng, 150, 4), torch.randint(4, (150,), generator=rng)
    counts = np.zeros((4, 4))
    for row, given in zip(p.numpy(), y.numpy(), strict=True):
        counts[int(np.argmax(row)), given] += 1
    wanted = anchors_by_hand(p.numpy(), True) @ (counts / counts.sum(1, keepdims=True))
    torch.testing.assert_close(dual(p, y, filter_outlier=True), torch.from_numpy(wanted))


def test_dual_recovers_a_known_matrix_from_sure_predictions_and_exact_flips():
    true = torch.arange(3).repeat_interleave(100)
    y = torch.cat([torch.arange(3).repeat_interleave((100 * row).round().long()) for row in SKEW])
    p = torch.full((300, 3), 0.0005, dtype=torch.float64)
    p[torch.arange(300), true] = 0.999
    found = dual(p, y, filter_outlier=False)
    torch.testing.assert_close(found, SKEW, atol=1e-3, rtol=0)
    assert not torch.allclose(anchors(p, filter_outlier=False), SKEW, atol=0.1)  # the anchors alone saw no flips


def test_dual_lets_a_class_that_is_never_predicted_keep_its_label():
    p = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.6, 0.1, 0.3]])
    y = torch.tensor([0, 1, 1])
    counts = torch.tensor([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    found = dual(p, y, filter_outlier=False)
    torch.testing.assert_close(found, p @ counts)
    torch.testing.assert_close(found.sum(1), torch.ones(3))


# losses


def test_the_losses_of_the_worked_example():
    assert float(forward_loss(P.log(), ZERO, T)) == pytest.approx(0.527633, abs=5e-7)
    assert float(backward_loss(P.log(), ZERO, inverse_of(T))) == pytest.approx(-0.100278, abs=5e-7)
    # the same two by hand: .7 * .8 + .2 * .1 + .1 * .1 = .59, and T^-1 is 10/7 I - 1/7
    assert float(forward_loss(P.log(), ZERO, T)) == pytest.approx(-math.log(0.59))
    logs = [math.log(0.7), math.log(0.2), math.log(0.1)]
    assert float(backward_loss(P.log(), ZERO, inverse_of(T))) == pytest.approx(-10 / 7 * logs[0] + sum(logs) / 7)


def test_the_given_label_is_a_column_of_the_matrix_and_a_row_of_its_inverse(rng):
    p, inverse = predictions(rng, 6, 3), np.linalg.inv(SKEW.numpy())
    y = torch.tensor([0, 1, 2, 2, 1, 0])
    forward = [-math.log(sum(p[b, i] * SKEW[i, y[b]] for i in range(3))) for b in range(6)]
    backward = [-sum(inverse[y[b], k] * math.log(p[b, k]) for k in range(3)) for b in range(6)]
    torch.testing.assert_close(forward_loss(p.log(), y, SKEW), torch.tensor(forward, dtype=torch.float64))
    torch.testing.assert_close(backward_loss(p.log(), y, inverse_of(SKEW)), torch.tensor(backward, dtype=torch.float64))


def test_networks_stacked_give_the_losses_of_each_alone(rng):
    logp, y = predictions(rng, 8, 3).log().reshape(2, 4, 3), torch.tensor([0, 2, 1, 1])
    for loss in (forward_loss, backward_loss, importance):
        together = loss(logp, y, SKEW)
        assert together.shape == (2, 4)
        torch.testing.assert_close(together, torch.stack([loss(each, y, SKEW) for each in logp]))


@pytest.mark.parametrize("loss", [forward_loss, backward_loss])
def test_through_the_identity_both_losses_are_cross_entropy_with_its_gradient(loss, rng):
    z, y = torch.randn(16, 5, generator=rng, dtype=torch.float64), torch.randint(5, (16,), generator=rng)
    one, other = z.clone().requires_grad_(), z.clone().requires_grad_()
    a = loss(one.log_softmax(-1), y, torch.eye(5, dtype=torch.float64))
    b = cross_entropy(other.log_softmax(-1), y)
    torch.testing.assert_close(a, b)
    a.sum().backward()
    b.sum().backward()
    torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("loss", [forward_loss, backward_loss, importance])
def test_gradients_of_logits_and_matrix_agree_with_finite_differences(loss, rng):
    z = torch.randn(6, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    matrix, y = SKEW.clone().requires_grad_(), torch.tensor([0, 1, 2, 2, 1, 0])
    assert torch.autograd.gradcheck(lambda z, t: loss(z.log_softmax(-1), y, t), (z, matrix))


def test_the_backward_loss_of_flipped_labels_is_the_clean_loss_on_average(rng):
    # theorem 1: sum_j T[i, j] l(j, p) = -log p_i for every true class i
    logp = predictions(rng, 3, 3).log()
    inverse = inverse_of(SKEW)
    for true in range(3):
        each = torch.stack([backward_loss(logp, torch.full((3,), j), inverse) for j in range(3)])
        torch.testing.assert_close((SKEW[true][:, None] * each).sum(0), -logp[:, true])


def test_the_forward_loss_of_flipped_labels_is_least_at_the_true_class_distribution(rng):
    # theorem 2: with labels drawn by T from the posterior p*, no prediction does better than p* itself
    best = predictions(rng, 1, 3)

    def expected(p: Tensor) -> float:
        return float(sum((best @ SKEW)[0, j] * forward_loss(p.log(), torch.tensor([j]), SKEW) for j in range(3)))

    assert all(expected(best) <= expected(predictions(rng, 1, 3)) for _ in range(50))


def test_a_label_thought_impossible_costs_a_finite_loss_and_no_gradient():
    z = torch.tensor([[0.0, -60.0, -60.0]], requires_grad=True)
    loss = forward_loss(z.log_softmax(-1), torch.tensor([1]), torch.eye(3))
    assert float(loss.detach()) == pytest.approx(-math.log(1e-12))
    loss.sum().backward()
    assert z.grad.abs().max() == 0


def test_through_gives_a_distribution_over_given_labels(rng):
    p = predictions(rng, 5, 3)
    torch.testing.assert_close(through(p.log(), SKEW).exp(), p @ SKEW)


# weights of importance


def test_the_weight_is_the_ratio_of_true_to_observed_probability():
    # p_0 = .7, (T^T p)_0 = .59
    assert float(importance(P.log(), ZERO, T)) == pytest.approx(0.7 / 0.59)
    torch.testing.assert_close(importance(P.log(), ZERO, torch.eye(3, dtype=torch.float64)), torch.ones(1).double())


def test_the_denominator_of_a_weight_is_at_least_a_millionth():
    negative = torch.eye(3, dtype=torch.float64) - 2  # no transition, but what a learnt correction could lead to
    assert float(importance(P.log(), ZERO, negative)) == pytest.approx(0.7 / 1e-6)


# inverses


def test_a_matrix_that_cannot_be_inverted_well_is_refused_with_its_condition_number():
    nearly = torch.tensor([[0.5, 0.5], [0.49999, 0.50001]])
    with pytest.raises(ValueError, match=r"^the transition matrix has condition number .*; at most 10000 can be inv"):
        inverse_of(nearly)
    with pytest.raises(ValueError, match="condition number"):
        inverse_of(torch.full((2, 2), 0.5))
    torch.testing.assert_close(inverse_of(SKEW) @ SKEW, torch.eye(3, dtype=torch.float64))
    assert inverse_of(SKEW.float()).dtype == torch.float32


def test_the_damped_inverse_is_the_inverse_but_for_directions_weaker_than_a_hundredth(rng):
    torch.testing.assert_close(damped_inverse(SKEW), torch.linalg.inv(SKEW))
    left, _, right = np.linalg.svd(np.random.default_rng(3).normal(size=(3, 3)))
    kept = left @ np.diag([1.0, 0.02, 0.0]) @ right
    blurred = left @ np.diag([1.0, 0.02, 0.009]) @ right
    wanted = right.T @ np.diag([1.0, 50.0, 0.0]) @ left.T
    np.testing.assert_allclose(damped_inverse(torch.from_numpy(blurred)).numpy(), wanted, atol=1e-10)
    np.testing.assert_allclose(np.linalg.pinv(kept), wanted, atol=1e-10)


@pytest.mark.parametrize("num_classes", [10, 16, 17, 50, 100])
def test_the_filter_of_outliers_never_takes_a_whole_class(num_classes, rng):
    # a network that is nearly sure of every sample's class sees 60 % of the labels as they are
    true = torch.arange(60 * num_classes) % num_classes
    matrix = torch.full((num_classes, num_classes), 0.4 / (num_classes - 1)).fill_diagonal_(0.6)
    logits = matrix[true].log() + 0.05 * torch.randn(len(true), num_classes, generator=rng)
    found = anchors(logits.softmax(-1), filter_outlier=True)
    assert found.diagonal().min() > 0.5
