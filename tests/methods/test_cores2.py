"""CORES2: the regularised loss, the schedule of its weight, the sieve, and the prior that follows the sieve."""

import math

import numpy as np
import pytest
import torch

from methods import create

SGD = {"optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.0}, "schedule": {"name": "constant"}}
P = torch.tensor([[[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.3, 0.5]]], dtype=torch.float64)
NO_SIEVE = {"sieve": 1.0}


def net(trainer):
    return trainer.method.nets[0].state_dict()


def at(world, epoch, epochs=100):
    return world.clock(epoch=epoch, epochs=epochs)


@pytest.fixture
def method(world):
    method = world.trainer("cores2").method
    method.prior.copy_(torch.tensor([0.5, 0.25, 0.25]))
    return method


def test_without_weight_and_sieve_it_trains_as_cross_entropy_bit_for_bit(world):
    control = world.finish(world.trainer("ce"))
    plain = world.finish(world.trainer("cores2", params={"beta": 0.0, **NO_SIEVE}))
    assert all(torch.equal(net(control)[name], value) for name, value in net(plain).items())
    assert [r["loss"] for r in control.history] == [r["loss"] for r in plain.history]


def test_in_the_quiet_epochs_it_trains_as_cross_entropy_bit_for_bit(world):
    control, quiet = world.trainer("ce", epochs=10), world.trainer("cores2", epochs=10)
    for trainer in (control, quiet):
        trainer.epoch()
        trainer.epoch()
    assert all(torch.equal(net(control)[name], value) for name, value in net(quiet).items())
    control.epoch()
    quiet.epoch()
    assert not torch.equal(net(control)["head.weight"], net(quiet)["head.weight"])


def test_the_loss_before_the_sieve_by_hand(method, world):
    """Epoch 25 of 100 is half way from 0 to 2: beta is 1, and the loss is divided by 2."""
    y = [0, 0, 1]
    found = method.losses(P.log(), world.batch(y), at(world, 25))
    wanted = 0.0
    for row, label in zip(P[0].tolist(), y, strict=True):
        every = [-math.log(v + 1e-8) for v in row]
        wanted += (-math.log(row[label]) - sum(w * v for w, v in zip((0.5, 0.25, 0.25), every, strict=True))) / 2 / 3
    assert float(found.losses) == pytest.approx(wanted, abs=1e-9)
    assert found.selected is None
    assert found.scalars["beta"] == pytest.approx(1.0)


def test_the_gradient_is_that_of_finite_differences(method, world, rng):
    logits = torch.randn(1, 6, 3, generator=rng, dtype=torch.float64).requires_grad_()
    batch = world.batch(torch.randint(3, (6,), generator=rng))
    for epoch in (5, 25, 70):
        assert torch.autograd.gradcheck(lambda z, e=epoch: method.losses(z, batch, at(world, e)).losses, (logits,))


def test_beta_follows_the_released_code(method, world):
    """Its rise reaches 2 one epoch early, at 39: a twenty-ninth a step where ours is a thirtieth."""
    code = np.concatenate([np.linspace(0, 0, 10), np.linspace(0, 2, 30), np.linspace(2, 2, 60)])
    found = [method.losses(P.log(), world.batch([0, 0, 0]), at(world, epoch)).scalars["beta"] for epoch in range(100)]
    assert found[:11] == [0.0] * 11
    assert found[40:] == [2.0] * 60
    np.testing.assert_allclose(found, code, atol=2 / 29)
    assert found[25] == pytest.approx(1.0)


def test_kept_are_the_samples_that_cost_no_more_than_their_average_class(method, world):
    y = [0, 0, 2]
    cost = -P[0].log()
    assert [float(cost[i, c]) <= float(cost[i].mean()) for i, c in enumerate(y)] == [True, False, True]
    before, after = (method.losses(P.log(), world.batch(y), at(world, epoch)) for epoch in (30, 31))
    assert before.selected is None
    assert after.selected.tolist() == [[True, False, True]]
    assert method.kept[:3].tolist() == [1.0, 0.0, 1.0]


def test_the_loss_is_the_mean_over_the_kept_and_the_others_send_no_gradient(method, world):
    logits = P.log().requires_grad_()
    loss = method.losses(logits, world.batch([0, 0, 2]), at(world, 80)).losses
    each = [method.losses(P[:, i : i + 1].log(), world.batch([c]), at(world, 80)).losses for i, c in ((0, 0), (2, 2))]
    torch.testing.assert_close(loss, (each[0] + each[1]) / 2)
    (grad,) = torch.autograd.grad(loss, logits)
    assert torch.equal(grad[0, 1], torch.zeros(3, dtype=torch.float64))


def test_a_batch_of_which_nothing_is_kept_costs_nothing(method, world):
    """The released code breaks there: it hands back one value where two are taken."""
    logits = P[:, 1:2].log().requires_grad_()
    found = method.losses(logits, world.batch([0]), at(world, 50))
    assert found.losses.item() == 0.0
    assert not found.selected.any()
    (grad,) = torch.autograd.grad(found.losses, logits)
    assert torch.equal(grad, torch.zeros_like(grad))


def test_the_sieve_is_blind_to_the_prior_and_to_beta(method, world, rng):
    logits = torch.randn(1, 50, 3, generator=rng)
    batch = world.batch(torch.randint(3, (50,), generator=rng))
    kept = [method.losses(logits, batch, at(world, epoch)).selected for epoch in (31, 39, 90)]
    for prior in ([0.98, 0.01, 0.01], [0.01, 0.98, 0.01], [0.01, 0.01, 0.98]):
        method.prior.copy_(torch.tensor(prior))
        kept.append(method.losses(logits, batch, at(world, 90)).selected)
    assert all(torch.equal(kept[0], each) for each in kept)


def test_a_rewarded_prediction_grows_surer(method, world):
    """Above beta = 1 the reward for being sure outweighs the label: a uniform prediction is pushed off the middle."""
    even = torch.tensor([[[0.4, 0.3, 0.3]]], dtype=torch.float64).log().requires_grad_()
    method.prior.fill_(1 / 3)
    slopes = []
    for label in (0, 1, 2):
        loss = method.losses(even, world.batch([label]), at(world, 29)).losses
        slopes.append(torch.autograd.grad(loss, even)[0][0, 0, 0])
    beta = 2 * 19 / 30
    wanted = (0.4 - 1 / 3) - beta * (0.4 - 1 / 3)
    assert float(sum(slopes) / 3 * (1 + beta)) == pytest.approx(wanted, abs=1e-7)
    assert wanted < 0


def test_the_prior_is_that_of_the_given_labels_and_then_of_those_kept_last(world):
    trainer = world.trainer("cores2")
    labels = trainer.task.labels()
    first = torch.bincount(labels, minlength=3) / len(labels)
    torch.testing.assert_close(trainer.method.prior, first)
    trainer.epoch()  # no sieve yet
    torch.testing.assert_close(trainer.method.prior, first)
    trainer.epoch()
    kept = trainer.method.kept > 0
    assert 0 < kept.sum() < len(labels)
    torch.testing.assert_close(trainer.method.prior, torch.bincount(labels[kept], minlength=3) / kept.sum())


def test_where_nothing_was_kept_the_prior_stays(world):
    method = world.trainer("cores2").method
    before = method.prior.clone()
    for _ in method.epoch(world.clock()):
        method.kept.zero_()
    assert torch.equal(method.prior, before)
    assert before.sum() == pytest.approx(1.0)


def test_a_run_is_the_one_written_out_from_the_paper(world):
    """Four epochs: quiet, then beta 2/3, 4/3 and 2 of which the last two sieve; the rate is divided, not the loss."""
    params = {"quiet": 0.0, "full": 0.75, "sieve": 0.5}
    trainer, by_hand = (world.trainer("cores2", params=params, epochs=4, **SGD) for _ in range(2))
    world.finish(trainer)
    task, model = by_hand.task, by_hand.method.nets[0].train()
    labels = task.labels().tolist()
    prior = [labels.count(c) / len(labels) for c in range(3)]
    dropped = []
    for epoch in range(4):
        task.clock = by_hand._clock(epoch, 0, 1, by_hand.phases)
        beta, rejected = 2 * min(epoch / 3, 1), [0, 0, 0]
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05 / (1 + beta))
        for batch in task.loader():
            parts = []
            for row, y in zip(model(batch.x).softmax(-1), batch.y.tolist(), strict=True):
                cost = -(row + 1e-8).log()
                if epoch >= 2 and cost[y].item() > cost.mean().item():
                    rejected[y] += 1
                else:
                    parts.append(cost[y] - beta * sum(w * v for w, v in zip(prior, cost, strict=True)))
            optimizer.zero_grad()
            (sum(parts) / len(parts)).backward()
            optimizer.step()
        left = [labels.count(c) - rejected[c] for c in range(3)]
        prior = [n / sum(left) for n in left]
        dropped.append(sum(rejected))
    assert dropped[:2] == [0, 0]
    assert min(dropped[2:]) > 0
    torch.testing.assert_close(trainer.method.prior, torch.tensor(prior))
    for name, value in net(trainer).items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"beta": -1.0}, r"beta must be at least 0 and sieve in \[0, 1\], got -1.0 and 0.31"),
        ({"sieve": 1.5}, r"beta must be at least 0 and sieve in \[0, 1\], got 2.0 and 1.5"),
        ({"quiet": 0.5}, r"quiet and full must ascend in \[0, 1\], got 0.5 and 0.4"),
    ],
)
def test_a_setting_without_meaning_is_refused(params, said):
    with pytest.raises(ValueError, match=said):
        create("cores2", **params)
