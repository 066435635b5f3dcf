"""Co-teaching on losses small enough to sort by hand."""

import math

import pytest
import torch

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
