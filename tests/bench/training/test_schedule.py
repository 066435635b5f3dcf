"""Learning rates by hand."""

import math

import pytest
import torch

from bench.config import ScheduleConfig
from bench.training import schedule
from methods.base import Clock

SCHEDULES = [
    ScheduleConfig("constant"),
    ScheduleConfig("cosine"),
    ScheduleConfig("linear", start=0.0),
    ScheduleConfig("linear", start=0.66),
    ScheduleConfig("linear", start=0.4, momentum_after=0.1),
    ScheduleConfig("steps", steps=(0.5, 0.75)),
    ScheduleConfig("steps", steps=(0.1, 0.2, 0.3, 0.4), gamma=0.01),
    ScheduleConfig("cosine", final=0.05, cycles=15),
    ScheduleConfig("cosine", cycles=4),
    ScheduleConfig("steps", steps=(0.3, 0.6, 0.8), gamma=0.2, warm_up=0.08),
    ScheduleConfig("constant", warm_up=0.9),
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


def test_cosine_falls_to_its_final_share_of_the_base_rate():
    config = ScheduleConfig("cosine", final=0.2)
    assert factors(config, 4) == pytest.approx(
        [1, 0.2 + 0.4 * (1 + math.sqrt(0.5)), 0.6, 0.2 + 0.4 * (1 - math.sqrt(0.5))]
    )
    assert factors(ScheduleConfig("cosine", final=0.01), 1000)[-1] == pytest.approx(0.01, abs=1e-5)


def test_cosine_in_cycles_starts_again_from_the_base_rate():
    once = factors(ScheduleConfig("cosine", final=0.05), 10)
    assert factors(ScheduleConfig("cosine", final=0.05, cycles=15), 150) == pytest.approx(once * 15)
    uneven = factors(ScheduleConfig("cosine", cycles=2), 5)  # the second begins in the middle of the third epoch
    assert uneven == pytest.approx([(1 + math.cos(math.pi * share)) / 2 for share in (0, 0.4, 0.8, 0.2, 0.6)])


def test_the_rate_warms_up_in_a_straight_line_to_what_it_would_be():
    assert factors(ScheduleConfig("constant", warm_up=0.3), 10) == pytest.approx([0.25, 0.5, 0.75, *[1] * 7])
    steps = ScheduleConfig("steps", steps=(0.2, 0.5), gamma=0.1, warm_up=0.4)
    assert factors(steps, 10) == pytest.approx([0.2, 0.4, 0.06, 0.08, 0.1, 0.01, 0.01, 0.01, 0.01, 0.01])
    proselflc = factors(
        ScheduleConfig("steps", steps=(60 / 200, 120 / 200, 160 / 200), gamma=0.2, warm_up=16 / 200), 200
    )
    assert proselflc[0] == pytest.approx(1 / 17)
    assert [proselflc[epoch] for epoch in (15, 16, 59, 60, 120, 160, 199)] == pytest.approx(
        [16 / 17, 1, 1, 0.2, 0.04, 0.008, 0.008]
    )


@pytest.mark.parametrize("epochs", [1, 3, 14, 100])
def test_without_the_later_settings_every_rate_has_the_bits_that_it_had_before_them(epochs):
    for epoch in range(epochs):
        done = epoch / epochs
        assert schedule.factor(ScheduleConfig("cosine"), epoch, epochs) == (1 + math.cos(math.pi * done)) / 2
        linear = 1.0 if done < 0.66 else (1 - done) / (1 - 0.66)
        assert schedule.factor(ScheduleConfig("linear", start=0.66), epoch, epochs) == linear


@pytest.mark.parametrize("config", SCHEDULES)
@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 100, 300])
def test_every_rate_is_positive_and_none_above_the_base(config, epochs):
    assert all(0 < factor <= 1 for factor in factors(config, epochs))


def clock(epoch, epochs, phase_epoch=None, phase_epochs=None):
    within = (epoch, epochs) if phase_epoch is None else (phase_epoch, phase_epochs)
    return Clock(epoch, epochs, 0, 1, 0.5, "train", *within)


def adam_and_sgd(follow="run"):
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    adam = torch.optim.Adam(parameters[:1], lr=0.1, betas=(0.9, 0.999))
    sgd = torch.optim.SGD(parameters[1:], lr=1.0, momentum=0.9)
    for optimizer in (adam, sgd):
        optimizer.param_groups[0] |= {"base_lr": optimizer.param_groups[0]["lr"], "follow": follow}
    return adam, sgd


def test_each_optimiser_keeps_its_own_base_rate_however_often_the_schedule_is_applied():
    adam, sgd = adam_and_sgd()
    for epoch in (3, 1, 2, 2):
        schedule.apply([adam, sgd], ScheduleConfig("linear", start=0.0), clock(epoch, 4))
    assert (adam.param_groups[0]["lr"], sgd.param_groups[0]["lr"]) == (0.05, 0.5)


def test_momentum_changes_at_the_start_of_the_decline_and_nothing_else_of_adam_does():
    adam, sgd = adam_and_sgd()
    config = ScheduleConfig("linear", start=0.5, momentum_after=0.1)
    schedule.apply([adam, sgd], config, clock(1, 4))
    assert (adam.param_groups[0]["betas"], sgd.param_groups[0]["momentum"]) == ((0.9, 0.999), 0.9)
    schedule.apply([adam, sgd], config, clock(2, 4))
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


@pytest.mark.parametrize(
    ("follow", "rate", "momentum"), [("run", 0.25, 0.1), ("phase", 0.5, 0.9), ("constant", 1.0, 0.9)]
)
def test_an_optimiser_follows_the_run_the_phase_or_nothing(follow, rate, momentum):
    adam, sgd = adam_and_sgd(follow)
    config = ScheduleConfig("linear", start=0.0, momentum_after=0.1)
    late = ScheduleConfig("linear", start=0.6, momentum_after=0.1)
    schedule.apply([adam, sgd], config, clock(6, 8, phase_epoch=2, phase_epochs=4))
    assert (adam.param_groups[0]["lr"], sgd.param_groups[0]["lr"]) == pytest.approx((0.1 * rate, rate))
    adam, sgd = adam_and_sgd(follow)
    schedule.apply([adam, sgd], late, clock(6, 8, phase_epoch=2, phase_epochs=4))
    assert (adam.param_groups[0]["betas"][0], sgd.param_groups[0]["momentum"]) == (momentum, momentum)


def test_groups_of_one_optimiser_may_follow_different_clocks():
    _, sgd = adam_and_sgd()
    sgd.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 3.0, "base_lr": 3.0, "follow": "phase"})
    schedule.apply([sgd], ScheduleConfig("linear", start=0.0), clock(3, 4, phase_epoch=1, phase_epochs=2))
    assert [group["lr"] for group in sgd.param_groups] == pytest.approx([0.25, 1.5])


def test_a_method_in_phases_trains_with_the_rates_of_the_clock_that_each_optimiser_follows(world, two_phases):
    trainer = world.trainer(two_phases, epochs=4, schedule={"name": "linear", "start": 0.0})
    method, make = trainer.method, trainer.task.make_optimizer
    trainer.task.make_optimizer = lambda params, **more: make(params, follow="phase", **more)
    rates = []
    for _ in range(4):
        trainer.epoch()
        rates.append(method.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.01, 0.005, 0.005 * 2 / 3, 0.005 / 3])
