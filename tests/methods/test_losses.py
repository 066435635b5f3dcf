"""Losses against hand-worked numbers, against autograd, and at the edges of float32."""

import math

import pytest
import torch

from methods import losses
from methods.base import Clock

P = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
Y = torch.tensor([0])
SOURCES = {
    "ls": losses.label_smoothing,
    "cp": losses.confidence_penalty,
    "bootstrap_soft": losses.bootstrap_soft,
}


def at(progress: float) -> Clock:
    return Clock(0, 10, 0, 1, progress, "train", 0, 10)


def near(value: torch.Tensor, wanted: float, tolerance: float = 1e-6) -> bool:
    return abs(float(value) - wanted) < tolerance


def test_cross_entropy_and_entropy_of_a_worked_example():
    assert near(losses.cross_entropy(P.log(), Y), 0.356675)
    assert near(losses.entropy(P.log()), 0.801819)


@pytest.mark.parametrize(
    ("name", "e", "wanted"),
    [
        ("ls", 0.1, 0.463297),
        ("cp", 0.1, 0.240826),
        ("bootstrap_soft", 0.05, 0.378932),
        ("bootstrap_soft", 0.5, 0.579247),
    ],
)
def test_source_losses_of_the_worked_example(name, e, wanted):
    assert near(SOURCES[name](P.log(), Y, e), wanted)
    loss, _ = losses.source_loss(name, e=e, sharpness=12.0, transit=0.5)(P.log(), Y, at(0.7))
    assert near(loss, wanted)


def test_proselflc_of_the_worked_example():
    trust = losses.self_trust(P.log(), at(0.7), sharpness=12.0, transit=0.5)
    assert near(trust, 0.247684)
    assert near(losses.proselflc(P.log(), Y, trust), 0.466930)
    loss, told = losses.source_loss("proselflc", e=0.5, sharpness=12.0, transit=0.5)(P.log(), Y, at(0.7))
    assert near(loss, 0.466930)
    assert torch.equal(told, trust)


def test_self_trust_is_none_at_a_uniform_and_the_clock_alone_at_a_certain_prediction():
    logits = torch.tensor([[0.0, 0.0, 0.0], [1e4, 0.0, 0.0]])
    trust = losses.self_trust(logits.log_softmax(-1), at(0.5), sharpness=12.0, transit=0.5)
    torch.testing.assert_close(trust, torch.tensor([0.0, 0.5]), atol=1e-6, rtol=0)
    assert (trust >= 0).all()


@pytest.mark.parametrize(
    ("num_classes", "shares"),
    [
        (10, {0.5: 0.7782, 0.7: 0.5516, 0.9: 0.2366, 0.95: 0.1339, 0.99: 0.0339}),
        (100, {0.5: 0.6494, 0.7: 0.4320, 0.9: 0.1704, 0.95: 0.0930, 0.99: 0.0221}),
    ],
)
def test_normalised_entropy_of_one_likely_class_and_a_uniform_rest(num_classes, shares):
    for top, wanted in shares.items():
        p = torch.full((num_classes,), (1 - top) / (num_classes - 1), dtype=torch.float64)
        p[3] = top
        assert near(losses.entropy(p.log()) / math.log(num_classes), wanted, 1e-4)


def test_kl_of_the_worked_example_and_its_gradient_p_k_minus_p_j():
    sender = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    logits = P[0].log().requires_grad_()
    loss = losses.kl(sender.log(), logits.log_softmax(-1))
    loss.backward()
    assert near(loss.detach(), 0.0291491, 1e-7)
    torch.testing.assert_close(logits.grad, torch.tensor([0.1, -0.1, 0.0], dtype=torch.float64))


def test_kl_is_zero_between_equals_and_positive_otherwise(rng):
    logp = torch.randn(2, 50, 7, generator=rng).log_softmax(-1)
    assert torch.equal(losses.kl(logp[0], logp[0]), torch.zeros(50))
    assert (losses.kl(logp[0], logp[1]) > 0).all()


def gradient_cases():
    for e in (0.125, 0.5):
        yield "ls", e, lambda p, q, entropy, dh, e=e: (1 - e) * (p - q) + e * (p - 1 / p.shape[-1])
        yield "cp", e, lambda p, q, entropy, dh, e=e: (1 - e) * (p - q) - e * dh
        yield "bootstrap_soft", e, lambda p, q, entropy, dh, e=e: (1 - e) * (p - q) + e * dh
    yield "cce", 0.5, lambda p, q, entropy, dh: p - q

    def proselflc(p, q, entropy, dh):
        e = (1 - entropy / math.log(p.shape[-1])) / (1 + math.exp(-12 * (0.7 - 0.5)))
        return (1 - e) * (p - q) + e * dh

    yield "proselflc", 0.5, proselflc


@pytest.mark.parametrize(("name", "e", "formula"), list(gradient_cases()))
def test_gradients_are_the_formulas_with_the_gradient_through_the_prediction(name, e, formula, rng):
    logits = torch.randn(2, 20, 6, generator=rng, dtype=torch.float64).mul(3).requires_grad_()
    y = torch.randint(6, (20,), generator=rng)
    loss, _ = losses.source_loss(name, e=e, sharpness=12.0, transit=0.5)(logits.log_softmax(-1), y, at(0.7))
    loss.sum().backward()
    p = logits.detach().softmax(-1)
    q = torch.nn.functional.one_hot(y, 6).double()
    entropy = -(p * p.log()).sum(-1, keepdim=True)
    dh = -p * (p.log() + entropy)
    torch.testing.assert_close(logits.grad, formula(p, q, entropy, dh), atol=1e-12, rtol=1e-9)


def test_with_a_detached_target_label_correction_would_be_a_weighted_cross_entropy(rng):
    """What the module's docstring warns of, so that nobody detaches the target to save a gradient."""
    logits = torch.randn(20, 6, generator=rng, dtype=torch.float64).requires_grad_()
    y = torch.randint(6, (20,), generator=rng)
    logp = logits.log_softmax(-1)
    target = losses.corrected_label(logp.detach().exp(), y, torch.full((20,), 0.5, dtype=torch.float64))
    (detached,) = torch.autograd.grad(-(target * logp).sum(), logits, retain_graph=True)
    (real,) = torch.autograd.grad(losses.bootstrap_soft(logp, y, 0.5).sum(), logits, retain_graph=True)
    (ce,) = torch.autograd.grad(losses.cross_entropy(logp, y).sum(), logits)
    torch.testing.assert_close(detached, 0.5 * ce)
    assert (real - 0.5 * ce).abs().max() > 0.01


@pytest.mark.parametrize("name", ["cce", "ls", "cp", "bootstrap_soft", "proselflc"])
def test_losses_and_gradients_are_finite_for_logits_of_ten_thousand(name, rng):
    logits = (1e4 * torch.randn(2, 30, 5, generator=rng)).requires_grad_()
    y = torch.randint(5, (30,), generator=rng)
    loss, trust = losses.source_loss(name, e=0.5, sharpness=12.0, transit=0.5)(logits.log_softmax(-1), y, at(0.9))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(logits.grad).all()
    assert ((trust >= 0) & (trust <= 1)).all()


def test_a_corrected_label_mixes_label_and_prediction_and_has_no_gradient():
    p = P.clone().requires_grad_()
    label = losses.corrected_label(p.detach(), torch.tensor([1]), torch.tensor([0.25], dtype=torch.float64))
    torch.testing.assert_close(label, torch.tensor([[0.175, 0.8, 0.025]], dtype=torch.float64))
    assert not label.requires_grad


def test_trust_is_what_the_source_puts_on_its_own_prediction():
    for name, wanted in {"cce": 0.0, "ls": 0.0, "cp": 0.0, "bootstrap_soft": 0.3}.items():
        _, trust = losses.source_loss(name, e=0.3, sharpness=12.0, transit=0.5)(P.log(), Y, at(0.7))
        assert torch.equal(trust, torch.tensor([wanted], dtype=torch.float64))


def test_losses_of_k_networks_are_those_of_each_alone(rng):
    logp = torch.randn(3, 8, 4, generator=rng).log_softmax(-1)
    y = torch.randint(4, (8,), generator=rng)
    together = losses.cross_entropy(logp, y)
    assert torch.equal(together, torch.stack([losses.cross_entropy(each, y) for each in logp]))
    torch.testing.assert_close(together[1], torch.nn.functional.nll_loss(logp[1], y, reduction="none"))


def test_an_unknown_source_is_refused_with_all_that_exist():
    with pytest.raises(ValueError, match=r"source must be one of cce, ls, cp, bootstrap_soft, proselflc; got 'mse'"):
        losses.source_loss("mse", e=0.5, sharpness=12.0, transit=0.5)


def test_a_detached_target_at_temperature_1_is_a_down_weighted_cross_entropy():
    z = torch.tensor([[0.3, -0.2, 0.9]], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([1])
    losses.bootstrap_soft(z.log_softmax(-1), y, 0.25, detach=True).sum().backward()
    p = z.detach().softmax(-1)
    expected = 0.75 * (p - torch.tensor([[0.0, 1.0, 0.0]]))
    assert z.grad is not None
    assert torch.allclose(z.grad, expected, atol=1e-12)


def test_a_target_temperature_sharpens_the_target_by_hand():
    p = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
    squares = [0.49 / 0.54, 0.04 / 0.54, 0.01 / 0.54]  # softmax of z / 0.5 is p squared, normalised
    by_hand = -sum(t * math.log(v) for t, v in zip(squares, (0.7, 0.2, 0.1), strict=True))
    assert float(losses.own_entropy(p.log(), temperature=0.5)) == pytest.approx(by_hand, abs=1e-12)


def test_local_trust_by_the_largest_probability():
    p = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
    assert float(losses.self_trust(p.log(), at(0.5), 12, 0.5, local="max_prob")) == pytest.approx(0.5 * 0.7)
