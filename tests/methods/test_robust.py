"""Methods that are one bounded loss: weights and exponents reach the formula, and the limits are other methods."""

import math

import pytest
import torch

from methods import create

P = torch.tensor([[[0.7, 0.2, 0.1]]], dtype=torch.float64)
CE, MAE, RCE, NCE = 0.356675, 0.3, 2.763102, 0.0835559
AGCE, AUL = 0.785159, 0.700335


def value(world, name, **params) -> float:
    return float(create(name, **params).losses(P.log(), world.batch([0]), world.clock()).losses)


def same_weights(one, other) -> bool:
    one, other = (trainer.method.nets[0].state_dict() for trainer in (one, other))
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("name", "params", "wanted"),
    [
        ("gce", {}, 0.315634),
        ("gce", {"q": 0.0}, CE),
        ("gce", {"q": 1.0}, MAE),
        ("sce", {}, 2.798770),
        ("sce", {"alpha": 6.0, "beta": 0.1}, 6 * CE + 0.1 * RCE),
        ("nce_rce", {}, 2.846658),
        ("nce_rce", {"alpha": 10.0, "beta": 0.1}, 10 * NCE + 0.1 * RCE),
        ("nce_mae", {}, 0.383556),
        ("nce_mae", {"alpha": 10.0}, 10 * NCE + MAE),
        ("nce_agce", {}, NCE + 4 * AGCE),
        ("nce_agce", {"alpha": 10.0, "beta": 0.1, "a": 1.8, "q": 3.0}, 10 * NCE + 0.1 * (2.8**3 - 2.5**3) / 3),
        ("nce_aul", {}, NCE + 4 * AUL),
        ("nce_aul", {"alpha": 10.0, "beta": 0.015, "a": 6.0, "q": 3.0}, 10 * NCE + 0.015 * (5.3**3 - 5.0**3) / 3),
    ],
)
def test_the_loss_of_the_worked_example(name, params, wanted, world):
    assert value(world, name, **params) == pytest.approx(wanted, abs=4e-6)


@pytest.mark.parametrize("name", ["gce", "sce", "nce_rce", "nce_mae", "nce_agce", "nce_aul"])
def test_the_loss_is_the_mean_over_the_batch(name, world, rng):
    logits = torch.randn(1, 8, 3, generator=rng, dtype=torch.float64)
    y = torch.randint(3, (8,), generator=rng)
    method = create(name)
    each = [method.losses(logits[:, i : i + 1], world.batch(y[i : i + 1]), world.clock()).losses for i in range(8)]
    torch.testing.assert_close(method.losses(logits, world.batch(y), world.clock()).losses, torch.stack(each).mean(0))


@pytest.mark.parametrize(("name", "params"), [("gce", {"q": 0.0}), ("sce", {"alpha": 1.0, "beta": 0.0})])
def test_the_limit_of_cross_entropy_trains_as_the_control_bit_for_bit(name, params, world):
    assert same_weights(world.finish(world.trainer("ce")), world.finish(world.trainer(name, params=params)))


def test_gce_of_a_tiny_q_trains_almost_as_cross_entropy(world):
    sgd = {"name": "sgd", "lr": 0.05}
    control = world.finish(world.trainer("ce", optimizer=sgd)).method.nets[0].state_dict()
    limit = world.finish(world.trainer("gce", params={"q": 1e-5}, optimizer=sgd)).method.nets[0].state_dict()
    far = world.finish(world.trainer("gce", params={"q": 0.7}, optimizer=sgd)).method.nets[0].state_dict()
    for name in (name for name in control if name.endswith("weight")):
        torch.testing.assert_close(limit[name], control[name], rtol=1e-3, atol=1e-4)
        assert (far[name] - control[name]).abs().max() > 1e-3


def test_gce_at_one_has_the_gradient_of_the_absolute_error(world, rng):
    logits = torch.randn(1, 8, 3, generator=rng, dtype=torch.float64).requires_grad_()
    y = torch.randint(3, (8,), generator=rng)
    (grad,) = torch.autograd.grad(create("gce", q=1.0).losses(logits, world.batch(y), world.clock()).losses, logits)
    p = logits.detach().softmax(-1)
    own = p[0].gather(1, y[:, None])
    torch.testing.assert_close(grad, own * (p - torch.nn.functional.one_hot(y, 3)) / 8)


def test_a_pair_without_its_normalised_half_is_the_passive_loss(world):
    assert value(world, "nce_mae", alpha=0.0, beta=1.0) == pytest.approx(MAE, abs=1e-9)
    assert value(world, "nce_mae", alpha=1.0, beta=0.0) == pytest.approx(NCE, abs=1e-7)
    assert value(world, "nce_rce", alpha=0.0, beta=1.0) == pytest.approx(-math.log(1e-4) * MAE, abs=1e-9)


def test_an_agce_of_q_1_is_the_absolute_error_whatever_a(world):
    for a in (0.0, 1.0, 6.0):
        assert value(world, "nce_agce", alpha=0.0, beta=1.0, a=a, q=1.0) == pytest.approx(MAE, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("gce", {"q": -0.1}, r"q must be in \[0, 1\], got -0.1"),
        ("gce", {"q": 1.5}, r"q must be in \[0, 1\], got 1.5"),
        ("nce_agce", {"a": -1.0}, r"a must be at least 0 and q above 0, got -1.0 and 1.5"),
        ("nce_agce", {"q": 0.0}, r"a must be at least 0 and q above 0, got 6.0 and 0.0"),
        ("nce_aul", {"a": 1.0}, r"a must be above 1 and q above 0, got 1.0 and 1.5"),
        ("nce_aul", {"q": -1.0}, r"a must be above 1 and q above 0, got 6.3 and -1.0"),
    ],
)
def test_a_parameter_without_a_loss_is_refused(name, params, said):
    with pytest.raises(ValueError, match=said):
        create(name, **params)


def test_the_initial_weights_follow_the_seed(world):
    """The released code of the active-passive losses seeds no CPU generator: its initial weights are nobody's."""
    first, again, other = (world.trainer("nce_rce", seed=seed) for seed in (3, 3, 4))
    assert same_weights(first, again)
    assert not same_weights(first, other)
