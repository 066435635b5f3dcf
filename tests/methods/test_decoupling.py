"""Decoupling: cross entropy where the two decisions differ."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from methods import create

LIKELY = torch.tensor([[0.9, 0.8, 0.4], [0.3, 0.6, 0.8]])  # P(class 0); the networks differ on samples 0 and 2
LOGITS = torch.stack([LIKELY, 1 - LIKELY], -1).log()


def test_each_network_learns_the_given_labels_where_the_decisions_differ(world):
    step = create("decoupling", warm_up=0.0).losses(LOGITS, world.batch([0, 0, 1]), world.clock())
    assert step.selected.tolist() == [[True, False, True]] * 2
    wanted = [-(math.log(0.9) + math.log(0.6)) / 2, -(math.log(0.3) + math.log(0.2)) / 2]
    torch.testing.assert_close(step.losses, torch.tensor(wanted))


def test_without_disagreement_there_is_nothing_to_learn(world):
    logits = LOGITS[:1].repeat(2, 1, 1).requires_grad_()
    step = create("decoupling", warm_up=0.0).losses(logits, world.batch([0, 0, 1]), world.clock())
    assert step.losses.tolist() == [0.0, 0.0]
    assert not step.selected.any()
    (grad,) = torch.autograd.grad(step.losses.sum(), logits)
    assert not grad.any()


def test_losses_are_those_of_a_loop_with_boolean_indexing(world, rng):
    for num in (1, 2, 9, 64):
        logits = torch.randn(2, num, 4, generator=rng)
        y = torch.randint(4, (num,), generator=rng)
        differ = logits[0].argmax(-1) != logits[1].argmax(-1)
        step = create("decoupling", warm_up=0.0).losses(logits, world.batch(y), world.clock())
        for k in range(2):
            assert torch.equal(step.selected[k], differ)
            wanted = cross_entropy(logits[k][differ], y[differ]) if differ.any() else torch.tensor(0.0)
            torch.testing.assert_close(step.losses[k], wanted)


def test_all_samples_take_part_until_the_warm_up_is_over(world):
    batch = world.batch([0, 0, 1])
    for warm_up, epochs, first in ((0.1, 200, 20), (5 / 200, 200, 5), (0.1, 3, 1), (1.0, 3, 3), (0.0, 3, 0)):
        method = create("decoupling", warm_up=warm_up)
        for epoch in range(min(epochs, first + 2)):
            step = method.losses(LOGITS, batch, world.clock(epoch=epoch, epochs=epochs))
            assert step.selected.all() == (epoch < first)
            if epoch < first:
                torch.testing.assert_close(step.losses, torch.stack([cross_entropy(z, batch.y) for z in LOGITS]))


def test_a_run_is_the_algorithm_weight_by_weight(world):
    settings = {"schedule": {"name": "constant"}, "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.0}}
    run, other = (world.trainer("decoupling", params={"warm_up": 0.34}, **settings) for _ in range(2))
    nets = [other.task.make_network(k).train() for k in range(2)]
    steppers = [torch.optim.SGD(net.parameters(), lr=0.05) for net in nets]
    for epoch in range(3):
        run.epoch()
        other.task.clock = replace(other.task.clock, epoch=epoch)
        for batch in other.task.loader():
            logits = [net(batch.x) for net in nets]
            differ = logits[0].argmax(-1) != logits[1].argmax(-1)
            taught = differ if epoch else torch.ones_like(differ)
            for z, stepper in zip(logits, steppers, strict=True):
                stepper.zero_grad()
                if taught.any():
                    cross_entropy(z[taught], batch.y[taught]).backward()
                    stepper.step()
    for mine, theirs in zip(run.method.nets.parameters(), [p for net in nets for p in net.parameters()], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_warm_up_that_is_no_share_is_refused(share):
    with pytest.raises(ValueError, match=rf"^warm_up must be in \[0, 1\], got {share}$"):
        create("decoupling", warm_up=share)
