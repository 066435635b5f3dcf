"""Methods that train on another target than the label: numbers, limits, gradients, and what they would relabel."""

import math

import pytest
import torch

from methods import create

P = torch.tensor([[[0.7, 0.2, 0.1]]], dtype=torch.float64)
DOUBT = torch.tensor([[[0.2, 0.7, 0.1]]], dtype=torch.float64)  # another class than the label's is the likeliest
CE, H = 0.356675, 0.801819
WEIGHTED = ["label_smoothing", "confidence_penalty", "bootstrap_soft", "bootstrap_hard"]


def step(world, name, p=P, progress=0.5, **params):
    return create(name, **params).losses(p.log(), world.batch([0]), world.clock(progress))


def gradient(world, name, logits, y, progress=0.5, **params):
    logits = logits.clone().requires_grad_()
    loss = create(name, **params).losses(logits, world.batch(y), world.clock(progress)).losses
    return torch.autograd.grad(loss.sum(), logits)[0]


@pytest.mark.parametrize(
    ("name", "p", "params", "wanted"),
    [
        ("label_smoothing", P, {}, 0.463297),
        ("label_smoothing", P, {"e": 1.0}, -math.log(0.7 * 0.2 * 0.1) / 3),
        ("confidence_penalty", P, {}, 0.240826),
        ("confidence_penalty", P, {"e": 1.0}, -H),
        ("bootstrap_soft", P, {}, 0.378932),
        ("bootstrap_soft", P, {"e": 0.5}, 0.579247),
        ("bootstrap_hard", DOUBT, {}, 1.358885),
        ("bootstrap_hard", P, {"e": 0.7}, CE),  # the decision is the label
        ("bootstrap_hard", DOUBT, {"e": 1.0}, CE),
    ],
)
def test_the_loss_of_the_worked_example(name, p, params, wanted, world):
    assert float(step(world, name, p, **params).losses) == pytest.approx(wanted, abs=2e-6)


def test_proselflc_of_the_worked_example(world):
    found = step(world, "proselflc", progress=0.7)
    assert float(found.losses) == pytest.approx(0.466930, abs=1e-6)
    assert float(found.scalars["trust_1"]) == pytest.approx(0.247684, abs=1e-6)


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_weight_of_zero_trains_as_cross_entropy_bit_for_bit(name, world):
    control = world.finish(world.trainer("ce"))
    limit = world.finish(world.trainer(name, params={"e": 0.0}))
    one, other = control.method.nets[0].state_dict(), limit.method.nets[0].state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert [r["loss"] for r in control.history] == [r["loss"] for r in limit.history]


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize("e", [-0.1, 1.1])
def test_a_weight_outside_of_0_to_1_is_refused(name, e):
    with pytest.raises(ValueError, match=rf"e must be in \[0, 1\], got {e}"):
        create(name, e=e)


@pytest.mark.parametrize("name", [*WEIGHTED, "proselflc"])
def test_the_loss_is_the_mean_over_the_batch(name, world, rng):
    logits = torch.randn(1, 8, 4, generator=rng, dtype=torch.float64)
    y = torch.randint(4, (8,), generator=rng)
    method, clock = create(name), world.clock(0.6)
    each = [method.losses(logits[:, i : i + 1], world.batch(y[i : i + 1]), clock).losses for i in range(8)]
    torch.testing.assert_close(method.losses(logits, world.batch(y), clock).losses, torch.stack(each).mean(0))


@pytest.mark.parametrize("name", WEIGHTED)
def test_the_gradient_is_that_of_finite_differences(name, world, rng):
    logits = torch.randn(1, 6, 4, generator=rng, dtype=torch.float64).requires_grad_()
    batch = world.batch(torch.randint(4, (6,), generator=rng))
    method = create(name, e=0.4)
    assert torch.autograd.gradcheck(lambda z: method.losses(z, batch, world.clock()).losses, (logits,))


def test_label_smoothing_pulls_towards_the_smoothed_label(world, rng):
    logits = torch.randn(1, 6, 4, generator=rng, dtype=torch.float64)
    y = torch.randint(4, (6,), generator=rng)
    target = 0.7 * torch.nn.functional.one_hot(y, 4) + 0.3 / 4
    found = gradient(world, "label_smoothing", logits, y, e=0.3)
    torch.testing.assert_close(found, (logits.softmax(-1) - target) / 6)


def test_hard_bootstrapping_pulls_towards_label_and_decision(world, rng):
    logits = torch.randn(1, 6, 4, generator=rng, dtype=torch.float64)
    y = torch.randint(4, (6,), generator=rng)
    decided = torch.nn.functional.one_hot(logits[0].argmax(-1), 4)
    target = 0.8 * torch.nn.functional.one_hot(y, 4) + 0.2 * decided
    found = gradient(world, "bootstrap_hard", logits, y)
    torch.testing.assert_close(found, (logits.softmax(-1) - target) / 6)


@pytest.mark.parametrize(("name", "sign"), [("bootstrap_soft", 1), ("confidence_penalty", -1), ("proselflc", 1)])
def test_the_gradient_flows_through_the_prediction_where_it_is_a_target(name, sign, world, rng):
    """The later code of ProSelfLC detaches the target, which at temperature 1 is a down-weighted cross entropy."""
    logits = torch.randn(1, 6, 4, generator=rng, dtype=torch.float64)
    y = torch.randint(4, (6,), generator=rng)
    p = logits.softmax(-1)
    entropy = -(p * p.log()).sum(-1, keepdim=True)
    trust = (1 - entropy / math.log(4)) / (1 + math.exp(-12 * (0.6 - 0.5)))
    e = trust if name == "proselflc" else 0.3
    wanted = (1 - e) * (p - torch.nn.functional.one_hot(y, 4)) - sign * e * p * (p.log() + entropy)
    found = gradient(world, name, logits, y, 0.6, **({} if name == "proselflc" else {"e": 0.3}))
    torch.testing.assert_close(found, wanted / 6)


def test_the_confidence_penalty_of_a_certain_prediction_is_a_number(world):
    """The released KL form takes the logarithm of a negative target there."""
    logits = torch.tensor([[[1e4, 0.0, -1e4]]])
    for y in (0, 2):
        loss = create("confidence_penalty").losses(logits, world.batch([y]), world.clock()).losses
        assert torch.isfinite(loss).all()
    assert torch.isfinite(gradient(world, "confidence_penalty", logits, [2])).all()


# ProSelfLC


def test_proselflc_is_the_source_loss_of_two_networks_that_share_nothing(world, rng):
    logits = torch.randn(2, 12, 4, generator=rng)
    batch = world.batch(torch.randint(4, (12,), generator=rng))
    for progress in (0.1, 0.5, 0.9):
        for params in ({}, {"local_trust": "max_prob"}, {"detach_target": True, "target_temperature": 0.5}):
            pair = create("cmd_zero", **params).losses(logits, batch, world.clock(progress))
            alone = [
                create("proselflc", **params).losses(logits[k : k + 1], batch, world.clock(progress)) for k in (0, 1)
            ]
            assert torch.equal(pair.losses, torch.cat([each.losses for each in alone]))
            torch.testing.assert_close(pair.relabelled, (alone[0].relabelled + alone[1].relabelled) / 2)


def test_proselflc_trains_as_the_first_of_two_networks_that_share_nothing_bit_for_bit(world):
    alone = world.finish(world.trainer("proselflc")).method.nets[0].state_dict()
    first = world.finish(world.trainer("cmd_zero")).method.nets[0].state_dict()
    assert all(torch.equal(alone[name], first[name]) for name in alone)


def test_proselflc_trusts_the_label_in_the_beginning_and_a_certain_prediction_in_the_end(world):
    certain = torch.tensor([[[0.001, 0.998, 0.001]]], dtype=torch.float64)
    early, late = (step(world, "proselflc", certain, progress, sharpness=200.0) for progress in (0.01, 1.0))
    assert float(early.losses) == pytest.approx(-math.log(0.001), rel=1e-6)
    assert early.relabelled.argmax(-1).tolist() == [0]
    assert late.relabelled.argmax(-1).tolist() == [1]
    assert float(late.losses) < 0.15 * float(early.losses)


def test_proselflc_counts_training_as_done_up_to_the_present_batch(world):
    """Four batches in each of three epochs: the first has a twelfth behind it, and the last everything."""
    trainer, seen = world.trainer("proselflc"), []
    real = trainer.method.losses

    def note(logits, batch, clock):
        seen.append(clock.progress)
        return real(logits, batch, clock)

    trainer.method.losses = note
    world.finish(trainer)
    assert seen == pytest.approx([(i + 1) / 12 for i in range(12)])


def test_a_target_temperature_sharpens_the_target_and_nothing_else(world):
    found = step(world, "proselflc", progress=0.7, target_temperature=0.5)
    own = -sum(t * math.log(v) for t, v in zip((0.49 / 0.54, 0.04 / 0.54, 0.01 / 0.54), (0.7, 0.2, 0.1), strict=True))
    assert float(found.losses) == pytest.approx((1 - 0.247684) * CE + 0.247684 * own, abs=1e-6)
    with pytest.raises(ValueError, match="target_temperature must be above 0, got 0"):
        create("proselflc", target_temperature=0.0)


def test_trust_by_the_largest_probability(world):
    found = step(world, "proselflc", progress=0.5, local_trust="max_prob")
    assert float(found.scalars["trust_1"]) == pytest.approx(0.35, abs=1e-12)
    assert float(found.losses) == pytest.approx(0.65 * CE + 0.35 * H, abs=1e-6)


# what they would relabel


@pytest.mark.parametrize(
    ("name", "wanted"), [("bootstrap_soft", [0.44, 0.49, 0.07]), ("bootstrap_hard", [0.3, 0.7, 0.0])]
)
def test_the_label_they_would_rather_train_on(name, wanted, world):
    found = step(world, name, DOUBT, e=0.7).relabelled
    torch.testing.assert_close(found.double(), torch.tensor([wanted], dtype=torch.float64))
    assert not found.requires_grad


@pytest.mark.parametrize("name", ["label_smoothing", "confidence_penalty"])
def test_what_does_not_correct_relabels_nothing(name, world):
    assert step(world, name, DOUBT).relabelled is None
