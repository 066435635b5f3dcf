"""Peer loss: nothing subtracted is cross entropy, and what is subtracted pairs images and labels at random."""

import math

import numpy as np
import pytest
import torch

from bench.seeds import derive
from methods import create
from methods.peer_loss import WEIGHT
from methods.schedules import piecewise

SGD = {"optimizer": {"name": "sgd", "lr": 0.05}, "schedule": {"name": "constant"}}


def net(trainer):
    return trainer.method.nets[0].state_dict()


def frozen(world, logits, **params):
    """A method whose network says `logits` whatever it sees, and does not learn."""
    method = world.trainer("peer_loss", params=params).method
    method.nets[0].forward = lambda x: logits[: len(x)]
    method.learn = lambda loss: None
    return method


def test_with_weight_zero_it_trains_as_cross_entropy_but_for_the_stabiliser(world):
    """p_y + 1e-5 in place of p_y; a network without batch norm, whose statistics the peers' images would join."""
    settings = {**SGD, "network": "mlp"}
    control = world.finish(world.trainer("ce", **settings))
    alone = world.finish(world.trainer("peer_loss", params={"weight": 0.0}, **settings))
    peers = world.finish(world.trainer("peer_loss", params={"weight": 0.5}, **settings))
    for name, value in net(control).items():
        torch.testing.assert_close(net(alone)[name], value, rtol=0, atol=1e-3)
    assert any((net(peers)[name] - value).abs().max() > 1e-2 for name, value in net(control).items())


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_an_epoch_is_the_one_written_out_from_the_paper(weight, world):
    trainer, by_hand = (world.trainer("peer_loss", params={"weight": weight}, **SGD) for _ in range(2))
    trainer.epoch()
    task, model = by_hand.task, by_hand.method.nets[0].train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    labels = task.labels().tolist()
    for number, (batch, other) in enumerate(zip(task.loader(), task.loader(stream="peer"), strict=True)):
        assert sorted(batch.index.tolist()) != sorted(other.index.tolist())
        rng = torch.Generator().manual_seed(derive(0, "method", "peer", 0, number))
        drawn = [labels[i] for i in torch.randint(len(labels), (len(other.y),), generator=rng).tolist()]
        p, foreign = model(batch.x).softmax(-1), model(other.x).softmax(-1)
        own = sum(-(row[y] + 1e-5).log() for row, y in zip(p, batch.y, strict=True)) / len(p)
        peer = sum(-(row[y] + 1e-5).log() for row, y in zip(foreign, drawn, strict=True)) / len(foreign)
        optimizer.zero_grad()
        ((own - weight * peer) / (1 + weight)).backward()
        optimizer.step()
    for name, value in net(trainer).items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_the_loss_by_hand_where_every_class_is_as_likely(world):
    """The peer term is then log 3, whatever labels are drawn, and so is the own one."""
    method = frozen(world, torch.zeros(16, 3), weight=0.25)
    found = method.update(world.batch([0, 1, 2]), world.clock()).losses
    assert float(found) == pytest.approx(-math.log(1 / 3 + 1e-5) * (1 - 0.25) / (1 + 0.25), rel=1e-5)


def test_images_and_labels_of_the_random_pairing_are_drawn_independently(world):
    """Over many draws the peer term is its mean over all pairs, not that over the pairs that belong together."""
    logits = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))
    method = frozen(world, logits, weight=1.0)
    trainer_labels = method.task.labels()
    y = logits.argmax(-1)  # labels that fit: were they kept, the peer term would be small
    batch, clock = world.batch(y), world.clock()
    clocks = [type(clock)(e, 40, s, 10, 0.5, "train", e, 40) for e in range(40) for s in range(10)]
    cost = -(logits.softmax(-1) + 1e-5).log()
    own = cost.gather(1, y[:, None]).mean()
    told = torch.stack([method.update(batch, c).losses[0] for c in clocks])
    peers = own - 2 * told
    share = torch.bincount(trainer_labels, minlength=3) / len(trainer_labels)
    wanted = (cost.mean(0) * share).sum()
    assert abs(float(peers.mean() - wanted)) < 4 * float(peers.std()) / math.sqrt(len(clocks))
    assert float(wanted - own) > 10 * float(peers.std()) / math.sqrt(len(clocks))


def test_the_random_pairing_sees_other_images_than_the_batch(world):
    trainer = world.trainer("peer_loss")
    (part,) = trainer.method.epoch(trainer.task.clock)
    pairs = list(part.batches)
    assert len(pairs) == len(part.batches) == 4
    assert all(batch.index.tolist() != other.index.tolist() for batch, other in pairs)
    main = [batch.index.tolist() for batch in trainer.task.loader()]
    assert [batch.index.tolist() for batch, _ in pairs] == main


def test_the_weight_follows_the_pieces_of_the_released_code():
    """Its last piece is written for epochs 240 to 340 of 300."""
    pieces = [(0, 0, 20), (0, 0.1, 20), (1, 2, 50), (2, 2.5, 50), (2.5, 3.3, 100), (3.3, 5, 100)]
    code = np.concatenate([np.linspace(low, high, num) for low, high, num in pieces])
    for epoch in range(300):
        found = piecewise((epoch + 0.5) / 300, WEIGHT)
        assert abs(found - code[epoch]) < 0.025, epoch
    assert piecewise(39.9 / 300, WEIGHT) < 0.1 <= 1.0 <= piecewise(40.1 / 300, WEIGHT)
    assert piecewise(1.0, WEIGHT) == pytest.approx(4.32)


def test_the_weight_rises_with_training_unless_it_is_given(world):
    logits = torch.zeros(16, 3)
    batch = world.batch([0, 1])
    rising, given = frozen(world, logits), frozen(world, logits, weight=0.7)
    for progress, wanted in ((0.05, 0.0), (0.1, 0.05), (0.2, 1.4), (1.0, 4.32)):
        assert rising.update(batch, world.clock(progress)).scalars["weight"] == pytest.approx(wanted)
        assert given.update(batch, world.clock(progress)).scalars["weight"] == 0.7


def test_a_certain_wrong_prediction_costs_the_stabiliser_and_has_no_infinite_gradient(world):
    logits = torch.tensor([[1e4, 0.0, 0.0]] * 16).requires_grad_()
    method = frozen(world, logits, weight=0.0)
    losses = []
    method.learn = losses.append
    method.update(world.batch([1, 1]), world.clock())
    assert losses[0].item() == pytest.approx(-math.log(1e-5), rel=1e-5)
    (grad,) = torch.autograd.grad(losses[0], logits)
    assert torch.isfinite(grad).all()


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match="weight must be at least 0, got -1"):
        create("peer_loss", weight=-1.0)
