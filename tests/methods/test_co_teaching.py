"""Co-teaching on losses small enough to sort by hand."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from bench.training import metrics
from methods import create

# four samples of class 0, and how likely each network finds it: network 1 likes 0 and 1, network 2 likes 2 and 3
LIKELY = torch.tensor([[0.9, 0.8, 0.3, 0.2], [0.1, 0.4, 0.7, 0.6]])
LOGITS = torch.stack([LIKELY, 1 - LIKELY], -1).log()


def step_of(method, world, epoch, rate=0.5):
    method.task = type("Told", (), {"noise_rate": rate})()
    return method.losses(LOGITS, world.batch([0, 0, 0, 0]), world.clock(epoch=epoch))


def test_each_network_learns_from_what_its_peer_finds_easy(world):
    step = step_of(create("co_teaching", ramp_epochs=1), world, epoch=0)
    assert step.selected.tolist() == [[True, True, False, False], [False, False, True, True]]
    wanted = [-(math.log(0.3) + math.log(0.2)) / 2, -(math.log(0.1) + math.log(0.4)) / 2]
    torch.testing.assert_close(step.losses, torch.tensor(wanted))


def test_a_sample_is_the_cleaner_the_smaller_its_own_loss(world):
    step = step_of(create("co_teaching"), world, epoch=0)
    torch.testing.assert_close(step.clean_score, LIKELY.log())


@pytest.mark.parametrize(("epoch", "kept"), [(0, 3), (1, 3), (2, 2), (3, 2), (9, 2)])
def test_the_dropped_share_grows_to_the_noise_rate_over_the_ramp(world, epoch, kept):
    # 1 - .5 min((epoch + 1) / 4, 1) of four: 3.5, 3, 2.5, 2, 2
    step = step_of(create("co_teaching", ramp_epochs=4), world, epoch)
    assert step.selected.sum(-1).tolist() == [kept, kept]


def test_a_forget_rate_of_ones_own_goes_before_the_granted_one(world):
    step = step_of(create("co_teaching", forget_rate=0.25, ramp_epochs=1), world, epoch=0, rate=0.75)
    assert step.selected.sum(-1).tolist() == [3, 3]


def test_a_forget_rate_of_zero_is_not_taken_for_none_given(world):
    step = step_of(create("co_teaching", forget_rate=0.0, ramp_epochs=1), world, epoch=0, rate=0.75)
    assert step.selected.all()


def test_the_number_kept_is_not_one_short_by_rounding(world):
    method = create("co_teaching", forget_rate=0.9, ramp_epochs=1)
    assert int((1 - 0.9) * 20) == 1  # the trap: it is 1.9999999999999996
    kept = method.losses(torch.randn(2, 20, 2), world.batch([0] * 20), world.clock()).selected
    assert kept.sum(-1).tolist() == [2, 2]


def test_at_least_one_sample_is_kept(world):
    step = step_of(create("co_teaching", forget_rate=0.99, ramp_epochs=1), world, epoch=0)
    assert step.selected.sum(-1).tolist() == [1, 1]


def test_it_forgets_the_share_of_wrong_labels_among_the_samples_it_trains_on(world, monkeypatch):
    trainer = world.trainer("co_teaching", params={"ramp_epochs": 1}, batch_size=54)
    wrong = trainer.data.splits["train"].given != trainer.data.clean["train"]
    assert trainer.task.noise_rate == pytest.approx(float(wrong.float().mean()))
    kept = []
    monkeypatch.setattr(metrics.Traces, "add", lambda self, step, index: kept.append(step.selected.sum(-1).tolist()))
    trainer.epoch()
    assert kept == [[54 - int(wrong.sum())] * 2]


def test_the_loss_is_divided_by_the_number_kept_once_and_not_twice(world):
    step = step_of(create("co_teaching", ramp_epochs=1), world, epoch=0)
    summed = [-(math.log(0.3) + math.log(0.2)), -(math.log(0.1) + math.log(0.4))]
    torch.testing.assert_close(step.losses * 2, torch.tensor(summed))


def test_the_reference_drops_earlier_and_trains_on_fewer_samples(world):
    # .5 of four over a ramp of two epochs: 1/4 are dropped in the first, or all of the half
    kept = {
        compat: step_of(create("co_teaching", ramp_epochs=2, compat=compat), world, epoch=0).selected.sum(-1).tolist()
        for compat in ("correct", "reference")
    }
    assert kept == {"correct": [3, 3], "reference": [2, 2]}


def test_a_gradient_reaches_the_samples_that_the_peer_kept_and_no_others(world):
    method = create("co_teaching", forget_rate=0.5, ramp_epochs=1)
    logits = LOGITS.clone().requires_grad_()
    step = method.losses(logits, world.batch([0, 0, 0, 0]), world.clock())
    step.losses.sum().backward()
    assert torch.equal(logits.grad.abs().sum(-1) > 0, step.selected.flip(0))
    wanted = (LOGITS.softmax(-1) - torch.tensor([1.0, 0.0])) / 2 * step.selected.flip(0)[..., None]
    torch.testing.assert_close(logits.grad, wanted)


@pytest.mark.parametrize("compat", ["correct", "reference"])
def test_a_run_is_the_algorithm_of_the_paper_weight_by_weight(world, compat):
    settings = {"schedule": {"name": "constant"}, "params": {"ramp_epochs": 3, "compat": compat}}
    run, other = world.trainer("co_teaching", **settings), world.trainer("co_teaching", **settings)
    nets = [other.task.make_network(k).train() for k in range(2)]
    steppers = [torch.optim.Adam(net.parameters(), lr=0.01) for net in nets]  # one for each, as in the code
    for epoch in range(3):
        run.epoch()
        other.task.clock = replace(other.task.clock, epoch=epoch)
        forget = other.task.noise_rate * min((epoch + 1) / (3 if compat == "correct" else 2), 1)
        for batch in other.task.loader():
            logits = [net(batch.x) for net in nets]
            order = [cross_entropy(z, batch.y, reduction="none").argsort() for z in logits]
            easy = [places[: max(1, int((1 - forget) * len(batch.y)))] for places in order]
            for z, stepper, taught in zip(logits, steppers, reversed(easy), strict=True):
                stepper.zero_grad()
                cross_entropy(z[taught], batch.y[taught]).backward()
                stepper.step()
    for mine, theirs in zip(run.method.nets.parameters(), [p for net in nets for p in net.parameters()], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
