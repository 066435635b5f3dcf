"""ANL-CE: its two losses and its sum of absolute weights, each alone and together."""

import math

import pytest
import torch

from methods import create

SGD = {"optimizer": {"name": "sgd", "lr": 0.05}, "schedule": {"name": "constant"}}


def net(trainer):
    return trainer.method.nets[0].state_dict()


def step_by_hand(model, batch, alpha, beta, delta):
    """The loss of a batch, sample by sample, and the penalty."""
    p = model(batch.x).softmax(-1)
    total = 0.0
    for row, label in zip(p, batch.y.tolist(), strict=True):
        nce = row[label].log() / row.log().sum()
        shifted = row.clamp(min=1e-7).log() - math.log(1e-7)
        total = total + alpha * nce + beta * (1 - shifted[label] / shifted.sum())
    return total / len(p) + delta * sum(w.abs().sum() for w in model.parameters())


@pytest.mark.parametrize("params", [{}, {"alpha": 10.0, "beta": 1.0, "shrinkage": 1e-2}])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_an_epoch_is_the_one_written_out_from_the_paper(params, clip, world):
    settings = {**SGD, "optimizer": {**SGD["optimizer"], "clip_norm": clip}}
    trainer, by_hand = (world.trainer("anl_ce", params=params, **settings) for _ in range(2))
    trainer.epoch()
    model = by_hand.method.nets[0].train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    weights = [{"alpha": 5.0, "beta": 5.0, "shrinkage": 5e-5, **params}[k] for k in ("alpha", "beta", "shrinkage")]
    for batch in by_hand.task.loader():
        optimizer.zero_grad()
        step_by_hand(model, batch, *weights).backward()
        if clip:
            norm = torch.cat([w.grad.flatten() for w in model.parameters()]).norm()
            for w in model.parameters():
                w.grad *= min(1.0, clip / float(norm))
        optimizer.step()
    for name, value in net(trainer).items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_without_shrinkage_the_weights_move_by_the_two_losses_alone(world):
    """NCE alone, with nothing else, is the active half of the active-passive losses: bit for bit."""
    params = {"alpha": 1.0, "beta": 0.0, "shrinkage": 0.0}
    alone = world.finish(world.trainer("anl_ce", params=params))
    half = world.finish(world.trainer("nce_mae", params={"alpha": 1.0, "beta": 0.0}))
    assert all(torch.equal(net(alone)[name], value) for name, value in net(half).items())
    assert [r["loss"] for r in alone.history] == [r["loss"] for r in half.history]


def test_shrinkage_alone_moves_every_parameter_towards_zero_by_a_constant(world):
    params = {"alpha": 0.0, "beta": 0.0, "shrinkage": 0.01}
    trainer = world.trainer("anl_ce", params=params, optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.0})
    before = {name: w.detach().clone() for name, w in trainer.method.nets[0].named_parameters()}
    trainer.method.train()
    trainer.method.update(next(iter(trainer.task.loader())), world.clock())
    assert any(len(w.shape) == 1 and w.abs().max() > 0 for w in before.values())  # biases and batch norm count too
    for name, w in trainer.method.nets[0].named_parameters():
        torch.testing.assert_close(w.detach(), before[name] - 0.001 * before[name].sign(), rtol=0, atol=1e-7)


def test_the_penalty_stays_out_of_the_loss_that_is_told(world):
    batch = next(iter(world.trainer("anl_ce").task.loader()))
    told = []
    for shrinkage in (0.0, 1.0):
        method = world.trainer("anl_ce", params={"shrinkage": shrinkage}).method
        told.append(float(method.update(batch, world.clock()).losses))
    assert told[0] == told[1]


def test_the_initial_weights_follow_the_seed(world):
    """The released code seeds no CPU generator: its initial weights can't be made again."""
    first, again, other = (net(world.trainer("anl_ce", seed=seed)) for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_a_negative_shrinkage_is_refused():
    with pytest.raises(ValueError, match=r"shrinkage must be at least 0, got -0\.1"):
        create("anl_ce", shrinkage=-0.1)
