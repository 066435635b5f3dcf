"""Mixup: nothing mixed is cross entropy, and an epoch is the one that the paper's lines give."""

import math

import pytest
import torch

from methods import create
from methods.mixing import partners

SGD = {"optimizer": {"name": "sgd", "lr": 0.05}, "schedule": {"name": "constant"}}


def net(trainer):
    return trainer.method.nets[0].state_dict()


def test_with_alpha_zero_it_trains_as_cross_entropy_bit_for_bit(world):
    control, unmixed = (
        world.finish(world.trainer(name, params=p)) for name, p in (("ce", {}), ("mixup", {"alpha": 0}))
    )
    assert all(torch.equal(net(control)[name], value) for name, value in net(unmixed).items())
    assert [r["loss"] for r in control.history] == [r["loss"] for r in unmixed.history]


def test_with_a_tiny_alpha_it_trains_as_cross_entropy_but_for_rounding(world):
    """Lambda is then 0 or 1, and a batch that is mixed wholly is the same batch in another order."""
    settings = {**SGD, "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.0}}
    control = world.finish(world.trainer("ce", **settings))
    almost = world.finish(world.trainer("mixup", params={"alpha": 1e-6}, **settings))
    mixing = world.finish(world.trainer("mixup", **settings))
    for name in (name for name in net(control) if name.endswith("weight")):
        torch.testing.assert_close(net(almost)[name], net(control)[name], rtol=1e-4, atol=1e-4)
    assert (net(mixing)["head.weight"] - net(control)["head.weight"]).abs().max() > 1e-3


@pytest.mark.parametrize("alpha", [1.0, 8.0])
def test_an_epoch_is_the_one_written_out_from_the_paper(alpha, world, monkeypatch):
    trainer, by_hand = (world.trainer("mixup", params={"alpha": alpha}, **SGD) for _ in range(2))
    draws = []
    monkeypatch.setattr("methods.mixup.partners", lambda *asked: draws.append(partners(*asked)) or draws[-1])
    trainer.epoch()
    model = by_hand.method.nets[0].train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for batch, (lam, permutation) in zip(by_hand.task.loader(), draws, strict=True):
        order = permutation.tolist()
        x = torch.stack([lam * batch.x[i] + (1 - lam) * batch.x[j] for i, j in enumerate(order)])
        p = model(x).softmax(-1)
        loss = 0.0
        for i, j in enumerate(order):
            loss = loss - lam * p[i, batch.y[i]].log() - (1 - lam) * p[i, batch.y[j]].log()
        optimizer.zero_grad()
        (loss / len(order)).backward()
        optimizer.step()
    assert len({lam for lam, _ in draws}) == len(draws) == 4  # one for each batch
    for name, value in net(trainer).items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-4, atol=1e-6)


def test_the_loss_of_a_mixture_by_hand(world, monkeypatch):
    trainer = world.trainer("mixup")
    trainer.method.nets[0].forward = lambda x: x.flatten(1)[:, :3] + 0 * next(trainer.method.nets[0].parameters()).sum()
    monkeypatch.setattr("methods.mixup.partners", lambda *_: (0.75, torch.tensor([1, 0])))
    x = torch.zeros(2, 1, 8, 8)
    x[0, 0, 0, :3] = torch.tensor([4.0, 0.0, 0.0])
    x[1, 0, 0, :3] = torch.tensor([0.0, 4.0, 0.0])
    found = trainer.method.update(world.batch([0, 2], x), world.clock())
    # the mixtures are (3, 1, 0) and (1, 3, 0)
    norm = math.log(math.e**3 + math.e + 1)
    wanted = (0.75 * (norm - 3) + 0.25 * (norm - 0) + 0.75 * (norm - 0) + 0.25 * (norm - 1)) / 2
    assert float(found.losses) == pytest.approx(wanted, abs=1e-6)


def test_predictions_are_of_images_as_they_are(world, rng):
    method = world.trainer("mixup").method.eval()
    x = torch.randn(4, 1, 8, 8, generator=rng)
    assert torch.equal(method.predict(x)["net1"], method.nets[0](x))


def test_a_negative_alpha_is_refused():
    with pytest.raises(ValueError, match="alpha must be at least 0, got -1"):
        create("mixup", alpha=-1.0)
