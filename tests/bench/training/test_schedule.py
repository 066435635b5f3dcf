"""Learning rates by hand."""

import math

import pytest
import torch

from bench.config import ScheduleConfig
from bench.training import schedule

SCHEDULES = [
    ScheduleConfig("constant"),
    ScheduleConfig("cosine"),
    ScheduleConfig("linear", start=0.0),
    ScheduleConfig("linear", start=0.66),
    ScheduleConfig("linear", start=0.4, momentum_after=0.1),
    ScheduleConfig("steps", steps=(0.5, 0.75)),
    ScheduleConfig("steps", steps=(0.1, 0.2, 0.3, 0.4), gamma=0.01),
]


def factors(config, epochs):
    return [schedule.factor(config, epoch, epochs) for epoch in range(epochs)]


def test_cosine_starts_at_the_base_rate_and_is_half_of_it_in_the_middle():
    assert factors(ScheduleConfig("cosine"), 4) == pytest.approx(
        [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]
    )


def test_linear_is_constant_until_its_start_and_would_be_zero_after_the_last_epoch():
    config = ScheduleConfig("linear", start=0.4)
    assert factors(config, 10) == pytest.approx([1, 1, 1, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    assert factors(ScheduleConfig("linear", start=0.0), 4) == [1, 0.75, 0.5, 0.25]


def test_steps_multiply_from_the_epoch_at_which_their_share_is_done():
    config = ScheduleConfig("steps", steps=(0.5, 0.75), gamma=0.1)
    assert factors(config, 8) == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    assert factors(ScheduleConfig("constant"), 3) == [1, 1, 1]


@pytest.mark.parametrize("config", SCHEDULES)
@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 100, 300])
def test_every_rate_is_positive_and_none_above_the_base(config, epochs):
    assert all(0 < factor <= 1 for factor in factors(config, epochs))


def adam_and_sgd():
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    adam = torch.optim.Adam(parameters[:1], lr=0.1, betas=(0.9, 0.999))
    sgd = torch.optim.SGD(parameters[1:], lr=1.0, momentum=0.9)
    for optimizer in (adam, sgd):
        optimizer.param_groups[0]["base_lr"] = optimizer.param_groups[0]["lr"]
    return adam, sgd


def test_each_optimiser_keeps_its_own_base_rate_however_often_the_schedule_is_applied():
    adam, sgd = adam_and_sgd()
    for epoch in (3, 1, 2, 2):
        schedule.apply([adam, sgd], ScheduleConfig("linear", start=0.0), epoch, 4)
    assert (adam.param_groups[0]["lr"], sgd.param_groups[0]["lr"]) == (0.05, 0.5)


def test_momentum_changes_at_the_start_of_the_decline_and_nothing_else_of_adam_does():
    adam, sgd = adam_and_sgd()
    config = ScheduleConfig("linear", start=0.5, momentum_after=0.1)
    schedule.apply([adam, sgd], config, 1, 4)
    assert (adam.param_groups[0]["betas"], sgd.param_groups[0]["momentum"]) == ((0.9, 0.999), 0.9)
    schedule.apply([adam, sgd], config, 2, 4)
    assert (adam.param_groups[0]["betas"], sgd.param_groups[0]["momentum"]) == ((0.1, 0.999), 0.1)


def test_a_trainer_writes_rate_and_momentum_into_the_optimiser_before_it_trains(world):
    settings = {"name": "linear", "start": 0.5, "momentum_after": 0.1}
    trainer = world.trainer("ce", epochs=4, schedule=settings, optimizer={"lr": 0.008})
    found = []
    for _ in range(4):
        rate = trainer.epoch()["lr"]
        group = trainer.task.optimizers[0].param_groups[0]
        assert rate == group["lr"]
        found.append((rate, group["betas"][0]))
    assert found == [(0.008, 0.9), (0.008, 0.9), (0.008, 0.1), (0.004, 0.1)]
