"""Bounded losses against hand-worked numbers, loops in plain Python, finite differences, and their limits."""

import math

import pytest
import torch

from methods import losses, robust_losses

P = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
Y = torch.tensor([0])


def js(first):
    return lambda logp, y: robust_losses.jensen_shannon([logp], y, [first, 1 - first])


def gjs(first, *others):
    """The first prediction is the one that is given, the others stay."""
    rest = (1 - first) / (1 + len(others))
    return lambda logp, y: robust_losses.jensen_shannon([logp, *others], y, [first] + [rest] * (1 + len(others)))


# name: (the loss, its number for P and Y as METHODS.md 2.1 has it, the definition for one row in plain Python)
LOSSES = {
    "GCE(.7)": (
        lambda logp, y: robust_losses.generalised(logp, y, 0.7),
        0.315634,
        lambda p, y: (1 - p[y] ** 0.7) / 0.7,
    ),
    "MAE": (robust_losses.absolute, 0.3, lambda p, y: sum(abs(v - (c == y)) for c, v in enumerate(p)) / 2),
    "RCE": (
        robust_losses.reverse_cross_entropy,
        2.763102,
        lambda p, y: -sum(v * math.log(1.0 if c == y else 1e-4) for c, v in enumerate(p)),
    ),
    "NCE": (
        robust_losses.normalised_cross_entropy,
        0.0835559,
        lambda p, y: math.log(p[y]) / sum(math.log(v) for v in p),
    ),
    "AGCE(6, 1.5)": (
        lambda logp, y: robust_losses.asymmetric_generalised(logp, y, 6.0, 1.5),
        0.785159,
        lambda p, y: (7**1.5 - (6 + p[y]) ** 1.5) / 1.5,
    ),
    "AUL(6.3, 1.5)": (
        lambda logp, y: robust_losses.asymmetric_unhinged(logp, y, 6.3, 1.5),
        0.700335,
        lambda p, y: ((6.3 - p[y]) ** 1.5 - 5.3**1.5) / 1.5,
    ),
    "NNCE": (
        robust_losses.normalised_negative_cross_entropy,
        0.642481,
        lambda p, y: 1 - (math.log(p[y]) - math.log(1e-7)) / sum(math.log(v) - math.log(1e-7) for v in p),
    ),
    "JS(.5)": (
        js(0.5),
        0.338390,
        lambda p, y: (
            sum(
                0.5 * d * math.log(d / (0.5 * (c == y) + 0.5 * v))
                for c, v in enumerate(p)
                for d in (float(c == y), v)
                if d
            )
            / (0.5 * math.log(2))
        ),
    ),
}
each_loss = pytest.mark.parametrize("name", LOSSES)


@each_loss
def test_the_number_of_the_worked_example(name):
    loss, wanted, _ = LOSSES[name]
    assert abs(float(loss(P.log(), Y)) - wanted) < 1e-6


@each_loss
def test_the_definition_row_by_row_in_plain_python(name, rng):
    loss, _, definition = LOSSES[name]
    logits = 2 * torch.randn(30, 5, generator=rng, dtype=torch.float64)
    y = torch.randint(5, (30,), generator=rng)
    by_hand = [definition(p.tolist(), int(c)) for p, c in zip(logits.softmax(-1), y, strict=True)]
    torch.testing.assert_close(
        loss(logits.log_softmax(-1), y), torch.tensor(by_hand, dtype=torch.float64), rtol=1e-10, atol=1e-12
    )


@each_loss
def test_the_gradient_is_that_of_finite_differences(name, rng):
    loss, _, _ = LOSSES[name]
    logits = torch.randn(6, 4, generator=rng, dtype=torch.float64).requires_grad_()
    y = torch.randint(4, (6,), generator=rng)
    assert torch.autograd.gradcheck(lambda z: loss(z.log_softmax(-1), y), (logits,))


@each_loss
def test_a_certain_prediction_costs_nothing_where_right_and_the_bound_where_wrong(name):
    loss, _, _ = LOSSES[name]
    bounds = {"GCE(.7)": 1 / 0.7, "RCE": -math.log(1e-4), "AGCE(6, 1.5)": (7**1.5 - 6**1.5) / 1.5}
    bounds |= {"AUL(6.3, 1.5)": (6.3**1.5 - 5.3**1.5) / 1.5, "JS(.5)": 2.0}
    certain = torch.tensor([[60.0, 0.0, 0.0, 0.0]], dtype=torch.float64).log_softmax(-1)
    right, wrong = float(loss(certain, torch.tensor([0]))), float(loss(certain, torch.tensor([1])))
    if name == "NCE":  # 60 of the 180 that all three wrong classes cost together
        bounds[name] = 1 / 3
    assert abs(right) < 1e-6
    assert wrong == pytest.approx(bounds.get(name, 1.0), abs=2e-5)


@each_loss
def test_losses_and_gradients_are_finite_for_logits_of_ten_thousand(name, rng):
    loss, _, _ = LOSSES[name]
    logits = (1e4 * torch.randn(30, 5, generator=rng)).requires_grad_()
    values = loss(logits.log_softmax(-1), torch.randint(5, (30,), generator=rng))
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert (values > -1e-6).all()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "JS(.5)"])
def test_losses_of_k_networks_are_those_of_each_alone(name, rng):
    loss, _, _ = LOSSES[name]
    logp = torch.randn(3, 8, 4, generator=rng).log_softmax(-1)
    y = torch.randint(4, (8,), generator=rng)
    torch.testing.assert_close(loss(logp, y), torch.stack([loss(each, y) for each in logp]), rtol=1e-6, atol=1e-6)


# generalised cross entropy


def test_gce_tends_to_cross_entropy_for_q_to_zero_and_is_it_at_zero(rng):
    logp = torch.randn(20, 5, generator=rng, dtype=torch.float64).log_softmax(-1)
    y = torch.randint(5, (20,), generator=rng)
    ce = losses.cross_entropy(logp, y)
    gaps = [float((robust_losses.generalised(logp, y, q) - ce).abs().max()) for q in (1e-1, 1e-3, 1e-5, 1e-9)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-7
    assert torch.equal(robust_losses.generalised(logp, y, 0.0), ce)


def test_gce_of_a_tiny_q_is_cross_entropy_in_float32_too(rng):
    """(1 - p^q) / q itself would be lost in rounding."""
    logp = torch.randn(20, 5, generator=rng).log_softmax(-1)
    y = torch.randint(5, (20,), generator=rng)
    torch.testing.assert_close(robust_losses.generalised(logp, y, 1e-6), losses.cross_entropy(logp, y))


def test_gce_at_one_is_the_absolute_error(rng):
    logits = torch.randn(20, 5, generator=rng, dtype=torch.float64).requires_grad_()
    y = torch.randint(5, (20,), generator=rng)
    found = []
    for loss in (lambda logp, y: robust_losses.generalised(logp, y, 1.0), robust_losses.absolute):
        values = loss(logits.log_softmax(-1), y)
        found.append((values.detach(), *torch.autograd.grad(values.sum(), logits)))
    torch.testing.assert_close(found[0], found[1])
    onehot = torch.nn.functional.one_hot(y, 5)
    torch.testing.assert_close(found[0][0], (logits.detach().softmax(-1) - onehot).abs().sum(-1) / 2)


def test_gradients_of_gce_are_those_of_cross_entropy_times_p_to_the_q(rng):
    logits = torch.randn(20, 5, generator=rng, dtype=torch.float64).requires_grad_()
    y = torch.randint(5, (20,), generator=rng)
    (grad,) = torch.autograd.grad(robust_losses.generalised(logits.log_softmax(-1), y, 0.7).sum(), logits)
    p = logits.detach().softmax(-1)
    own = p.gather(1, y[:, None])
    torch.testing.assert_close(grad, own**0.7 * (p - torch.nn.functional.one_hot(y, 5)))


def test_gce_takes_no_probability_below_one_in_ten_million():
    logp = torch.tensor([[0.0, -20.0, -16.0]], dtype=torch.float64)
    floor = robust_losses.generalised(logp, torch.tensor([1]), 0.7)
    assert float(floor) == pytest.approx((1 - 1e-7**0.7) / 0.7, abs=1e-12)
    above = robust_losses.generalised(logp, torch.tensor([2]), 0.7)
    assert float(above) == pytest.approx((1 - math.exp(-16 * 0.7)) / 0.7, abs=1e-12)


# pairs and families


def test_rce_is_the_absolute_error_times_the_logarithm_of_its_floor(rng):
    logp = torch.randn(20, 5, generator=rng).log_softmax(-1)
    y = torch.randint(5, (20,), generator=rng)
    torch.testing.assert_close(
        robust_losses.reverse_cross_entropy(logp, y), 9.210340371976182 * robust_losses.absolute(logp, y)
    )
    torch.testing.assert_close(
        robust_losses.reverse_cross_entropy(logp, y, floor=math.exp(-2)), 2 * robust_losses.absolute(logp, y)
    )


@pytest.mark.parametrize(
    ("name", "wanted"), [("NCE", 1.0), ("MAE", 3.0), ("GCE(1)", 3.0), ("AGCE(6, 1)", 3.0), ("AUL(6.3, 1)", 3.0)]
)
def test_losses_that_are_symmetric_cost_the_same_summed_over_all_labels(name, wanted, rng):
    """What makes a loss robust to symmetric noise: sum over y of L(p, y) is a constant, here C - 1 or 1."""
    loss = {
        "GCE(1)": lambda logp, y: robust_losses.generalised(logp, y, 1.0),
        "AGCE(6, 1)": lambda logp, y: robust_losses.asymmetric_generalised(logp, y, 6.0, 1.0),
        "AUL(6.3, 1)": lambda logp, y: robust_losses.asymmetric_unhinged(logp, y, 6.3, 1.0),
    }.get(name) or LOSSES[name][0]
    logp = torch.randn(10, 4, generator=rng, dtype=torch.float64).log_softmax(-1)
    total = sum(loss(logp, torch.full((10,), c)) for c in range(4))
    torch.testing.assert_close(total, torch.full((10,), wanted, dtype=torch.float64))


def test_nnce_is_symmetric_too_and_its_parts_are_shares(rng):
    logp = torch.randn(10, 4, generator=rng, dtype=torch.float64).log_softmax(-1)
    each = torch.stack([robust_losses.normalised_negative_cross_entropy(logp, torch.full((10,), c)) for c in range(4)])
    assert ((each >= 0) & (each <= 1)).all()
    torch.testing.assert_close(each.sum(0), torch.full((10,), 3.0, dtype=torch.float64))


def test_nnce_takes_a_probability_below_its_floor_for_the_floor():
    logp = torch.tensor([[math.log(0.5), math.log(0.5), -50.0]], dtype=torch.float64)
    assert float(robust_losses.normalised_negative_cross_entropy(logp, torch.tensor([2]))) == 1.0
    assert float(robust_losses.normalised_negative_cross_entropy(logp, torch.tensor([0]))) == pytest.approx(0.5)


def test_asymmetric_losses_fall_in_the_labels_probability_by_their_slopes():
    """d AGCE / d p_y = -(a + p_y)^(q - 1), steepest where the label is trusted; d AUL / d p_y = -(a - p_y)^(q - 1)."""
    p = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    logp = torch.stack([p.log(), (1 - p).log()], -1)
    y = torch.zeros(50, dtype=torch.int64)
    for loss, slope in (
        (robust_losses.asymmetric_generalised(logp, y, 1.8, 3.0), lambda p: -((1.8 + p) ** 2)),
        (robust_losses.asymmetric_unhinged(logp, y, 6.0, 3.0), lambda p: -((6.0 - p) ** 2)),
    ):
        between = (loss[1:] - loss[:-1]) / (p[1:] - p[:-1])
        torch.testing.assert_close(between, slope((p[1:] + p[:-1]) / 2), rtol=1e-4, atol=0)


# Jensen-Shannon


def test_js_tends_to_cross_entropy_as_the_label_loses_its_weight(rng):
    logits = torch.randn(20, 5, generator=rng, dtype=torch.float64).requires_grad_()
    y = torch.randint(5, (20,), generator=rng)
    logp = logits.log_softmax(-1)
    values = js(1e-6)(logp, y)
    torch.testing.assert_close(values, losses.cross_entropy(logp, y), rtol=1e-4, atol=1e-4)
    (grad,) = torch.autograd.grad(values.sum(), logits, retain_graph=True)
    (wanted,) = torch.autograd.grad(losses.cross_entropy(logp, y).sum(), logits)
    torch.testing.assert_close(grad, wanted, rtol=1e-3, atol=1e-4)


def test_js_tends_to_the_absolute_error_as_the_label_takes_all_weight(rng):
    """The gap falls as 1 / log(1 / (1 - pi)), as slowly as the scale grows; the floor 1e-7 bounds how far to look."""
    logp = torch.randn(20, 3, generator=rng, dtype=torch.float64).log_softmax(-1)
    y = torch.randint(3, (20,), generator=rng)
    wanted = robust_losses.absolute(logp, y)
    gaps = [float((js(1 - rest)(logp, y) - wanted).abs().max()) for rest in (1e-1, 1e-2, 1e-3, 1e-4)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 0.15
    scaled = [gap * -math.log(rest) for gap, rest in zip(gaps, (1e-1, 1e-2, 1e-3, 1e-4), strict=True)]
    assert scaled[-1] < 1.5


def test_gjs_by_its_definition_with_two_predictions(rng):
    one, two = torch.randn(2, 12, 4, generator=rng, dtype=torch.float64).log_softmax(-1)
    y = torch.randint(4, (12,), generator=rng)
    weights = [0.3, 0.5, 0.2]
    found = robust_losses.jensen_shannon([one, two], y, weights)
    for row in range(12):
        parts = [[float(c == y[row]) for c in range(4)], one[row].exp().tolist(), two[row].exp().tolist()]
        mean = [sum(w * part[c] for w, part in zip(weights, parts, strict=True)) for c in range(4)]
        total = sum(
            w * d * math.log(d / m)
            for w, part in zip(weights, parts, strict=True)
            for d, m in zip(part, mean, strict=True)
            if d
        )
        assert float(found[row]) == pytest.approx(total / -(0.7 * math.log(0.7)), rel=1e-10)


def test_gjs_of_equal_predictions_is_js_and_grows_as_they_part(rng):
    logp = torch.randn(12, 4, generator=rng, dtype=torch.float64).log_softmax(-1)
    y = torch.randint(4, (12,), generator=rng)
    torch.testing.assert_close(gjs(0.4, logp)(logp, y), js(0.4)(logp, y))
    spread = 0.4 * torch.randn(12, 4, generator=rng, dtype=torch.float64)
    apart = [(logp.exp() * (1 + s * spread).clamp(min=0.1)) for s in (1, -1)]
    other = [part / part.sum(-1, keepdim=True) for part in apart]
    mean = (other[0] + other[1]) / 2
    split = robust_losses.jensen_shannon([part.log() for part in other], y, [0.4, 0.3, 0.3])
    assert (split > js(0.4)(mean.log(), y)).all()


def test_gjs_sends_its_gradient_into_every_prediction(rng):
    logits = torch.randn(2, 5, 4, generator=rng, dtype=torch.float64).requires_grad_()
    y = torch.randint(4, (5,), generator=rng)

    def loss(z):
        return robust_losses.jensen_shannon(list(z.log_softmax(-1)), y, [0.9, 0.05, 0.05])

    assert torch.autograd.gradcheck(loss, (logits,))
    (grad,) = torch.autograd.grad(loss(logits).sum(), logits)
    assert (grad.abs().sum(-1) > 0).all()


def test_a_weight_for_each_prediction_is_asked_for():
    with pytest.raises(ValueError, match="zip"):
        robust_losses.jensen_shannon([P.log()], Y, [0.4, 0.3, 0.3])
