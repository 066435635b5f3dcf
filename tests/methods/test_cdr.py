"""CDR: which weights the loss may move."""

import numpy as np
import pytest
import torch
from torch import nn

from methods import create


def held_back(rate, seed=0, **params):
    """The gradients of a small network before and after, and its weights; names as in `named_parameters`."""
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 4, 2))
    for weight in net.parameters():
        weight.data = torch.randn(weight.shape, generator=generator)
        weight.grad = torch.randn(weight.shape, generator=generator)
    before = {name: weight.grad.clone() for name, weight in net.named_parameters()}
    method = create("cdr", **params)
    method.nets = nn.ModuleList([net])
    method.hold_back(rate)
    return before, {name: weight.grad for name, weight in net.named_parameters()}, dict(net.named_parameters())


def test_four_weights_worked_out_by_hand():
    # |g w| = 2, 1.5, .2, 3: of four, half are kept, and halved
    method, layer = create("cdr"), nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, -3.0], [2.0, 0.5]])
    layer.weight.grad = torch.tensor([[-2.0, 0.5], [0.1, 6.0]])
    method.nets = nn.ModuleList([layer])
    method.hold_back(0.5)
    assert layer.weight.grad.tolist() == [[-1.0, 0.0], [0.0, 3.0]]


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.9, 0.99])
def test_the_gradients_kept_are_those_of_a_sort_in_numpy(rate, scaled):
    before, after, weights = held_back(rate, grad_scale=scaled)
    merit = {name: np.abs(before[name].numpy() * weights[name].detach().numpy()) for name in ("0.weight", "3.weight")}
    ranked = np.sort(np.concatenate([m.ravel() for m in merit.values()]))[::-1]
    assert len(ranked) == 27 + 24
    least = ranked[max(1, int((1 - rate) * len(ranked))) - 1]
    for name, m in merit.items():
        wanted = np.where(m >= least, before[name].numpy() * ((1 - rate) if scaled else 1), 0)
        np.testing.assert_allclose(after[name].numpy(), wanted, rtol=1e-6)


def test_all_layers_share_one_threshold():
    _, after, _ = held_back(0.5)
    kept = [float((after[name] != 0).float().mean()) for name in ("0.weight", "3.weight")]
    assert kept[0] != kept[1]
    assert sum(int((after[name] != 0).sum()) for name in ("0.weight", "3.weight")) == int(0.5 * 51)


def test_biases_and_batch_norm_are_left_alone():
    before, after, _ = held_back(0.9)
    for name in ("0.bias", "1.weight", "1.bias", "3.bias"):
        assert torch.equal(before[name], after[name])


def test_at_least_one_weight_is_critical_and_ties_are_all_kept():
    _, after, _ = held_back(0.999)
    assert sum(int((after[name] != 0).sum()) for name in ("0.weight", "3.weight")) == 1
    method, layer = create("cdr", grad_scale=False), nn.Linear(2, 2, bias=False)
    layer.weight.data, layer.weight.grad = torch.ones(2, 2), torch.ones(2, 2)
    method.nets = nn.ModuleList([layer])
    method.hold_back(0.5)
    assert layer.weight.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize("optimizer", [{"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}, {}])
@pytest.mark.parametrize("scaled", [True, False])
def test_with_a_rate_of_zero_a_run_is_cross_entropy_bit_for_bit(world, optimizer, scaled):
    params = {"forget_rate": 0.0, "grad_scale": scaled}
    mine = world.finish(world.trainer("cdr", params=params, optimizer=optimizer))
    plain = world.finish(world.trainer("ce", optimizer=optimizer))
    assert all(torch.equal(v, mine.method.state_dict()[name]) for name, v in plain.method.state_dict().items())


def test_weights_that_are_not_critical_just_decay(world):
    decay = {"name": "sgd", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.1}
    trainer = world.trainer("cdr", params={"forget_rate": 0.75, "grad_scale": False}, optimizer=decay)
    before, batch = world.weights(trainer.method), next(iter(trainer.task.loader()))
    plain = world.trainer("ce", optimizer=decay)
    for other in (trainer, plain):
        other.method.train().update(batch, world.clock())
    after, full = trainer.method.state_dict(), plain.method.state_dict()
    decayed = moved = 0
    for name, weight in trainer.method.named_parameters():
        if weight.ndim in (2, 4):
            just_decayed = torch.isclose(after[name], before[name] * (1 - 0.1 * 0.1), rtol=1e-6, atol=1e-9)
            as_taught = torch.isclose(after[name], full[name], rtol=1e-6, atol=1e-9)
            assert (just_decayed | as_taught).all()
            decayed, moved = decayed + int(just_decayed.sum()), moved + int((~just_decayed).sum())
        else:
            assert torch.equal(after[name], full[name])
    assert moved / (moved + decayed) == pytest.approx(0.25, abs=0.01)


def test_the_share_left_to_decay_is_the_true_rate_of_wrong_labels_unless_given(world, monkeypatch):
    seen = []
    for params in ({}, {"forget_rate": 0.25}):
        trainer = world.trainer("cdr", params=params)
        monkeypatch.setattr(trainer.method, "hold_back", seen.append)
        trainer.method.update(next(iter(trainer.task.loader())), world.clock())
    assert seen == [trainer.task.noise_rate, 0.25]


def test_one_forward_pass_serves_a_batch(world):
    trainer = world.trainer("cdr")
    batch = next(iter(trainer.task.loader()))
    before = trainer.task.forward_samples
    trainer.method.update(batch, world.clock())
    assert trainer.task.forward_samples - before == len(batch.y)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_outside_of_its_range_is_refused(rate):
    with pytest.raises(ValueError, match=rf"^forget_rate must be in \[0, 1\), got {rate}$"):
        create("cdr", forget_rate=rate)
