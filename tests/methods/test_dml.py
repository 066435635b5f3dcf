"""Mutual learning of two networks, by the definition."""

import math

import torch

from methods import create

P = torch.tensor([[[0.7, 0.2, 0.1]], [[0.6, 0.3, 0.1]]], dtype=torch.float64)


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_each_loss_is_cross_entropy_and_the_divergence_from_the_peer(world):
    one, two = P[0, 0].tolist(), P[1, 0].tolist()
    step = create("dml").losses(P.log(), world.batch([0]), world.clock())
    wanted = [-math.log(0.7) + kl(two, one), -math.log(0.6) + kl(one, two)]
    torch.testing.assert_close(step.losses, torch.tensor(wanted, dtype=torch.float64))
    assert abs(kl(two, one) - 0.0291491) < 1e-7


def test_the_divergence_pulls_towards_the_peer_and_leaves_the_peer_alone(world):
    logits = P.log().requires_grad_()
    loss = create("dml").losses(logits, world.batch([0]), world.clock()).losses[0]
    (grad,) = torch.autograd.grad(loss, logits)
    # p - q and p_k - p_j
    torch.testing.assert_close(grad[0, 0], torch.tensor([-0.3 + 0.1, 0.2 - 0.1, 0.1], dtype=torch.float64))
    assert torch.equal(grad[1], torch.zeros_like(grad[1]))


def test_weight_scales_the_divergence_alone(world):
    losses = [create("dml", weight=w).losses(P.log(), world.batch([0]), world.clock()).losses for w in (0.0, 1.0, 3.0)]
    torch.testing.assert_close(losses[0], -P[:, 0, 0].log())
    torch.testing.assert_close(losses[2] - losses[0], 3 * (losses[1] - losses[0]))


def test_networks_that_agree_learn_from_the_labels_alone(world):
    logits = P[:1].log().expand(2, -1, -1)
    torch.testing.assert_close(
        create("dml").losses(logits, world.batch([0]), world.clock()).losses, -P[:1, 0, 0].log().expand(2)
    )
