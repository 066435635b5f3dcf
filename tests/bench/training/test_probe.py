"""A probe of a network ends in time, and scales what it has timed."""

import torch

from bench.training import probe
from bench.training.probe import per_sample

CPU = torch.device("cpu")


class Fake:
    """A step whose cost per sample is known, on a clock that only it moves."""

    def __init__(self, monkeypatch, cost: float, first: float = 0.0) -> None:
        self.now, self.cost, self.first, self.sizes = 0.0, cost, first, []
        monkeypatch.setattr(probe.time, "perf_counter", lambda: self.now)

    def __call__(self, size: int) -> None:
        self.now += size * self.cost + (0 if self.sizes else self.first)
        self.sizes.append(size)


def test_a_slow_network_is_told_by_a_few_samples_and_the_first_batch_does_not_count(monkeypatch):
    step = Fake(monkeypatch, cost=0.03, first=1.0)
    assert abs(per_sample(step, 128, CPU) - 0.03) < 1e-9
    assert step.sizes == [8, 8]


def test_a_fast_network_is_timed_in_whole_batches(monkeypatch):
    step = Fake(monkeypatch, cost=0.0005)
    assert abs(per_sample(step, 128, CPU) - 0.0005) < 1e-9
    assert step.sizes == [8, 8, 128, 128, 128, 128]


def test_rounds_stop_when_time_is_up(monkeypatch):
    step = Fake(monkeypatch, cost=0.0036)
    per_sample(step, 128, CPU)
    assert step.sizes == [8, 8, 128, 128, 128]
    assert step.now < probe.SECONDS + 128 * step.cost


def test_a_batch_of_fewer_samples_than_the_first_look_is_whole(monkeypatch):
    step = Fake(monkeypatch, cost=0.5)
    assert per_sample(step, 4, CPU) == 0.5
    assert step.sizes == [4, 4]
