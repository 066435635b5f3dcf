"""MixMatch: what is mixed with what, and the three terms of the loss, by hand."""

import math

import pytest
import torch

from methods.mixing import partners
from methods.mixmatch import Mixed, mixmatch

LOGP = torch.tensor([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.5, 0.25, 0.25]], dtype=torch.float64).log()
TARGET = torch.tensor([[1.0, 0.0, 0.0], [0.2, 0.8, 0.0], [0.0, 0.5, 0.5]], dtype=torch.float64)


def test_labelled_rows_cost_the_cross_entropy_to_their_mixed_targets():
    first, second = -math.log(0.7), -(0.2 * math.log(0.6) + 0.8 * math.log(0.3))
    assert float(Mixed(LOGP, TARGET, 2).supervised()) == pytest.approx((first + second) / 2)
    assert float(Mixed(LOGP, TARGET, 1).supervised()) == pytest.approx(first)


def test_class_weights_count_the_terms_of_a_class_more_or_less():
    first, second = -2 * math.log(0.7), -(2 * 0.2 * math.log(0.6) + 0.5 * 0.8 * math.log(0.3))
    found = Mixed(LOGP, TARGET, 2).supervised(torch.tensor([2.0, 0.5, 9.0], dtype=torch.float64))
    assert float(found) == pytest.approx((first + second) / 2)


def test_unlabelled_rows_cost_the_squared_difference_over_samples_and_classes():
    third = 0.5**2 + 0.25**2 + 0.25**2
    second = 0.4**2 + 0.5**2 + 0.1**2
    assert float(Mixed(LOGP, TARGET, 2).unsupervised()) == pytest.approx(third / 3)
    assert float(Mixed(LOGP, TARGET, 1).unsupervised()) == pytest.approx((second + third) / 6)


def test_without_unlabelled_rows_their_term_is_zero_and_sends_no_gradient():
    logp = LOGP.clone().requires_grad_()
    loss = Mixed(logp, TARGET, 3).unsupervised()
    assert loss.item() == 0.0
    (grad,) = torch.autograd.grad(loss, logp)
    assert not grad.any()


def test_unevenness_is_the_divergence_of_the_mean_prediction_from_the_uniform_one():
    mean = [0.6, 0.25, 0.15]
    expected = sum(math.log(1 / 3 / p) / 3 for p in mean)
    assert float(Mixed(LOGP, TARGET, 1).unevenness()) == pytest.approx(expected)
    even = torch.eye(4, dtype=torch.float64).clamp(min=1e-9).log().log_softmax(-1)  # sure of each class once
    assert float(Mixed(even, torch.eye(4), 2).unevenness()) == pytest.approx(0.0, abs=1e-7)


def test_a_class_that_nobody_predicts_costs_a_finite_amount_and_is_pulled_up():
    logits = torch.tensor([[0.0, 0.0, -200.0], [0.0, 0.0, -300.0]], requires_grad=True)
    loss = Mixed(logits.log_softmax(-1), torch.ones(2, 3) / 3, 1).unevenness()
    (grad,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx((2 * math.log(2) + 200 + 2 * math.log(2)) / 3 - math.log(3), rel=1e-3)
    assert grad[0, 2] == pytest.approx(-1 / 3)  # all of the class's small mean comes from the first row
    assert torch.isfinite(grad).all()


@pytest.mark.parametrize("term", ["supervised", "unsupervised", "unevenness"])
def test_the_gradient_of_each_term_is_that_of_finite_differences(term, rng):
    logits = torch.randn(5, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    target = torch.randn(5, 3, generator=rng, dtype=torch.float64).softmax(-1)
    assert torch.autograd.gradcheck(lambda z: getattr(Mixed(z.log_softmax(-1), target, 2), term)(), logits)


@pytest.fixture
def task(world):
    return world.trainer("ce").task


def parts(rng, *sizes):
    return [(torch.randn(n, 6, generator=rng), torch.randn(n, 3, generator=rng).softmax(-1)) for n in sizes]


def test_every_row_is_mixed_with_its_partner_and_stays_closer_to_itself(task, world, rng):
    net = torch.nn.Linear(6, 3)
    labelled, unlabelled = parts(rng, 4, 4), parts(rng, 5, 5)
    found = mixmatch(net, labelled, unlabelled, task, world.clock(), 0.4, "here")
    lam, order = partners(task, world.clock(), 18, 0.4, "here")
    lam = max(lam, 1 - lam)
    rows = [(x, t) for images, targets in (*labelled, *unlabelled) for x, t in zip(images, targets, strict=True)]
    assert found.labelled == 8
    for i, j in enumerate(order.tolist()):
        x = lam * rows[i][0] + (1 - lam) * rows[j][0]
        torch.testing.assert_close(found.logp[i], net(x).log_softmax(-1), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.target[i], lam * rows[i][1] + (1 - lam) * rows[j][1])


def test_lambda_is_at_least_one_half_for_every_step(task, world, rng):
    labelled, unlabelled = parts(rng, 3), [(torch.randn(3, 6, generator=rng), torch.zeros(3, 3))]
    zero = [(x, torch.ones_like(t)) for x, t in labelled]
    weights = []
    for epoch in range(12):
        found = mixmatch(torch.nn.Linear(6, 3), zero, unlabelled, task, world.clock(epoch=epoch), 4.0, "s")
        weights += [float(value) for value in found.target[:3, 0] if value < 1]  # lambda, where the partner has zeros
    assert len(set(weights)) > 5
    assert all(0.5 <= weight < 1 for weight in weights)


def test_alpha_zero_mixes_nothing_and_no_unlabelled_samples_are_no_trouble(task, world, rng):
    net = torch.nn.Linear(6, 3)
    labelled = parts(rng, 3, 3)
    found = mixmatch(net, labelled, [], task, world.clock(), 0.0, "s")
    torch.testing.assert_close(found.logp, net(torch.cat([x for x, _ in labelled])).log_softmax(-1))
    assert torch.equal(found.target, torch.cat([target for _, target in labelled]))
    assert found.labelled == 6
    assert found.unsupervised().item() == 0.0
