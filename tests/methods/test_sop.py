"""SOP and SOP+: the loss by hand, and its variables of every sample by torch's own dense optimiser."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, kl_div, mse_loss, normalize

from methods import create

P = torch.tensor([[0.7, 0.2, 0.1]])


def dense_loss(z, label, u, v, balance=0.0, weight=0.0, strong=None):
    """The loss of a batch from torch's own functions; labels (B, C) one-hot, u (B, 1) and v (B, C)."""
    p = z.softmax(-1)
    added, removed = torch.clamp(u**2 * label, 0, 1), torch.clamp(v**2 * (1 - label), 0, 1)
    explained = normalize(torch.clamp(p + added - removed.detach(), min=1e-4), p=1, dim=-1).clamp(1e-4, 1)
    loss = -(label * explained.log()).sum() / len(z)
    hard = nn.functional.one_hot(z.argmax(-1), z.shape[-1]).float()
    loss = loss + mse_loss(hard + added - removed, label, reduction="sum") / len(z)
    loss = loss - balance * explained.mean(0).log().sum() / z.shape[-1]
    if strong is not None:
        loss = loss + weight * kl_div(strong.log_softmax(-1), p.detach(), reduction="batchmean")
    return loss


def test_the_loss_and_its_slopes_are_the_numbers_worked_out_by_hand():
    u = torch.tensor([[0.5]], requires_grad=True)  # U = (.25, 0, 0)
    v = torch.tensor([[9.0, 0.3, 0.2]], requires_grad=True)  # V = (0, .09, .04)
    loss, belief = create("sop").loss([P.log()], torch.tensor([0]), u, v)
    # p + U - V = (.95, .11, .06), sum 1.12;  the decision is right: |(.25, -.09, -.04)|^2 = .0722
    assert abs(loss.item() - (-math.log(0.95 / 1.12) + 0.0722)) < 1e-6
    loss.backward()
    assert abs(float(u.grad) - (1 / 1.12 - 1 / 0.95 + 2 * 0.25)) < 1e-6  # dU/du = 2 u = 1
    # of v the squared error alone knows: 2 V dV/dv = 4 v^3
    torch.testing.assert_close(v.grad, torch.tensor([[0.0, 4 * 0.027, 4 * 0.008]]))
    assert torch.equal(belief, P.log().softmax(-1))


def test_a_wrong_decision_pulls_the_label_into_u_and_the_decision_into_v():
    u, v = (torch.full((1, wide), 0.1, requires_grad=True) for wide in (1, 3))
    create("sop").loss([P.log()], torch.tensor([1]), u, v)[0].backward()
    assert float(u.grad) < 0
    assert v.grad[0].sign().tolist() == [-1.0, 0.0, 1.0]  # class 0 was decided and is not the label


def test_terms_are_cut_at_one_and_probabilities_at_their_floor():
    u, v = torch.tensor([[3.0]]), torch.tensor([[0.0, 3.0, 0.0]])
    loss, _ = create("sop").loss([P.log()], torch.tensor([0]), u, v)
    # p + U - V = (1.7, .0001, .1);  |(1, -1, 0)|^2 = 2
    assert abs(float(loss) - (-math.log(1.7 / 1.8001) + 2)) < 1e-5
    loss, _ = create("sop").loss([torch.tensor([[0.0, 50.0]])], torch.tensor([0]), torch.zeros(1, 1), torch.zeros(1, 2))
    assert abs(float(loss) - (-math.log(1e-4) + 2)) < 2e-5  # floored once more after it is normalised: no 1e-4 / 1.0001


def test_with_u_and_v_at_zero_it_is_cross_entropy_and_twice_the_share_of_wrong_decisions(rng):
    z = torch.randn(20, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    y = torch.randint(4, (20,), generator=rng)
    u, v = (torch.zeros(20, wide, dtype=torch.float64, requires_grad=True) for wide in (1, 4))
    loss, _ = create("sop").loss([z], y, u, v)
    torch.testing.assert_close(loss, cross_entropy(z, y) + 2 * (z.argmax(-1) != y).double().mean())
    found = torch.autograd.grad(loss, (z, u, v))
    torch.testing.assert_close(found[0], torch.autograd.grad(cross_entropy(z, y), z)[0])
    assert not found[1].any()
    assert not found[2].any()  # zero is where u and v never leave


@pytest.mark.parametrize("rates", [{"lr_u": 0.0, "lr_v": 0.0}, {"lr_u": 10.0, "lr_v": 10.0}])
def test_started_at_zero_a_run_is_that_of_cross_entropy_whatever_the_rates(world, rates):
    settings = {"optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.0}}
    mine = world.finish(world.trainer("sop", params={"start": 0.0, **rates}, **settings))
    plain = world.finish(world.trainer("ce", **settings))
    assert not mine.method.u.any()
    assert not mine.method.v.any()
    for name, value in plain.method.state_dict().items():
        torch.testing.assert_close(mine.method.state_dict()[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["sop", "sop_plus"])
def test_the_loss_is_that_of_torchs_own_functions(rng, name):
    method = create(name)
    y = torch.randint(4, (20,), generator=rng)
    label = nn.functional.one_hot(y, 4).float()
    weak, strong = torch.randn(2, 20, 4, generator=rng).mul(3)
    u, v = (torch.randn(20, wide, generator=rng) for wide in (1, 4))
    values, slopes = [], []
    for route in ("mine", "theirs"):
        inputs = [x.clone().requires_grad_() for x in (weak, strong, u, v)]
        if route == "mine":
            loss, _ = method.loss(inputs[:2], y, *inputs[2:])
        elif name == "sop":
            loss = dense_loss(inputs[0], label, *inputs[2:])
        else:
            loss = dense_loss(inputs[0], label, *inputs[2:], 0.1, 0.9, inputs[1])
        values.append(loss)
        slopes.append(torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True))
    torch.testing.assert_close(*values)
    for mine, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(mine, theirs)
    assert bool(slopes[0][1].any()) == (name == "sop_plus")


def test_the_network_and_u_have_the_slopes_of_finite_differences(rng):
    y = torch.randint(3, (5,), generator=rng)
    z = torch.randn(5, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    u = torch.rand(5, 1, generator=rng, dtype=torch.float64).mul(0.5).add(0.1).requires_grad_()
    v = torch.rand(5, 3, generator=rng, dtype=torch.float64) * 0.3
    method = create("sop_plus", consistency=0.0)
    assert torch.autograd.gradcheck(lambda z, u: method.loss([z], y, u, v)[0], (z, u))


def test_no_gradient_of_the_consistency_reaches_the_weak_view(rng):
    method = create("sop", consistency=1.0)
    weak, strong = (torch.randn(6, 3, generator=rng).requires_grad_() for _ in range(2))
    u, v = torch.zeros(6, 1), torch.zeros(6, 3)
    y = torch.randint(3, (6,), generator=rng)
    with_it = torch.autograd.grad(method.loss([weak, strong], y, u, v)[0], (weak, strong))
    without = torch.autograd.grad(create("sop").loss([weak], y, u, v)[0], weak)[0]
    torch.testing.assert_close(with_it[0], without)
    torch.testing.assert_close(with_it[1], (strong.softmax(-1) - weak.softmax(-1)).detach() / 6)


@pytest.mark.parametrize("name", ["sop", "sop_plus"])
def test_row_by_row_steps_are_those_of_a_dense_optimiser_without_momentum(world, name):
    settings = {
        "params": {"start": 0.4, "lr_u": 2.0, "lr_v": 5.0},
        "schedule": {"name": "steps", "steps": [0.5], "gamma": 0.1},  # of the network: u and v keep their rates
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-2},
    }
    run, other = (world.trainer(name, **settings) for _ in range(2))
    net = other.task.make_network(0).train()
    stepper = torch.optim.SGD(net.parameters(), 0.05, 0.9, weight_decay=1e-2)
    u, v = nn.Parameter(other.method.u.clone()), nn.Parameter(other.method.v.clone())
    tables = torch.optim.SGD([{"params": [u], "lr": 2.0}, {"params": [v], "lr": 5.0}], momentum=0)
    plus = name == "sop_plus"
    for epoch in range(3):
        run.epoch()
        other.task.clock = replace(other.task.clock, epoch=epoch)
        stepper.param_groups[0]["lr"] = 0.05 if epoch < 2 else 0.005
        for batch in other.task.loader(("weak", "strong") if plus else ("weak",)):
            z = net(torch.cat(batch.views))
            weak, strong = z.chunk(2) if plus else (z, None)
            label = nn.functional.one_hot(batch.y, 3).float()
            own = (0.1, 0.9, strong) if plus else ()
            stepper.zero_grad()
            tables.zero_grad()
            dense_loss(weak, label, u[batch.index], v[batch.index], *own).backward()
            stepper.step()
            tables.step()
    assert not torch.equal(u, other.method.u)
    torch.testing.assert_close(run.method.u, u.detach(), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(run.method.v, v.detach(), rtol=1e-3, atol=1e-5)
    for mine, theirs in zip(run.method.nets[0].parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


def test_both_views_go_forward_together_and_share_the_statistics_of_batch_norm(world):
    trainer = world.trainer("sop_plus")
    method, batch = trainer.method.train(), next(iter(trainer.task.loader(("weak", "strong"))))
    norm = next(module for module in method.nets.modules() if isinstance(module, nn.BatchNorm2d))
    method.update(batch, world.clock())
    assert int(norm.num_batches_tracked) == 1
    assert trainer.task.forward_samples == 2 * len(batch.y)


def test_the_variables_begin_small_and_differ_between_seeds(world):
    method, other = world.trainer("sop", params={"start": 0.5}).method, world.trainer("sop", seed=1).method
    assert method.u.shape == (54, 1)
    assert method.v.shape == (54, 3)
    assert abs(float(method.v.std()) - 0.5) < 0.1
    assert float(other.v.abs().max()) < 1e-7
    assert not torch.allclose(method.v / 0.5, other.v / 1e-8)


def test_what_u_has_taken_up_speaks_against_a_label(world):
    trainer = world.trainer("sop", params={"start": 0.3})
    batch = next(iter(trainer.task.loader()))
    before = trainer.method.u[batch.index].clone()
    step = trainer.method.update(batch, world.clock())
    torch.testing.assert_close(step.clean_score, -(before**2).T)
