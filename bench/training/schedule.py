"""The learning rate as a pure function of the epoch, so that a resumed run needs no scheduler state."""

import math

import torch

from bench.config import ScheduleConfig
from methods.base import Clock


def factor(schedule: ScheduleConfig, epoch: int, epochs: int) -> float:
    """Multiplier of the base learning rate in `epoch`, counted from 0; positive in every epoch.

    cosine: (1 + cos(pi * epoch / epochs)) / 2, or that between `final` and 1, `cycles` times.  linear: 1 until the
    share `start` of the epochs is done, then a straight line that would reach 0 in the epoch after the last.  steps:
    gamma to the number of steps already passed.  Over the share `warm_up` of the epochs all rise linearly from 0.
    """
    rising = round(schedule.warm_up * epochs)
    return _shape(schedule, epoch, epochs) * min((epoch + 1) / (rising + 1), 1.0)


def _shape(schedule: ScheduleConfig, epoch: int, epochs: int) -> float:
    done = epoch / epochs
    if schedule.name == "cosine":
        in_cycle = epoch * schedule.cycles % epochs / epochs
        return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * in_cycle)) / 2
    if schedule.name == "linear":
        return 1.0 if done < schedule.start else (1 - done) / (1 - schedule.start)
    if schedule.name == "steps":
        return float(schedule.gamma ** sum(done >= step for step in schedule.steps))
    return 1.0


def apply(optimizers: list[torch.optim.Optimizer], schedule: ScheduleConfig, clock: Clock) -> None:
    """Write the epoch's rate, and where the schedule changes it the momentum, into every parameter group.

    A group's "follow" says whether the schedule runs over the whole run, over each phase, or not at all.
    """
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            if group["follow"] == "constant":
                continue
            whole = group["follow"] == "run"
            epoch, epochs = (clock.epoch, clock.epochs) if whole else (clock.phase_epoch, clock.phase_epochs)
            group["lr"] = group["base_lr"] * factor(schedule, epoch, epochs)
            if schedule.momentum_after is not None and epoch / epochs >= schedule.start:
                if "betas" in group:
                    group["betas"] = (schedule.momentum_after, group["betas"][1])
                else:
                    group["momentum"] = schedule.momentum_after
