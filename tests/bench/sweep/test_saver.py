"""Which states of a run go to disk, and when."""

import pytest
import torch

from bench.sweep.run import saver
from bench.sweep.run.saver import Saver
from bench.training import checkpoint
from bench.training.checkpoint import State, from_bytes


class Folder:
    """Notes what is published."""

    def __init__(self) -> None:
        self.epochs, self.weights = [], []

    def save_checkpoint(self, epoch: int, data: bytes) -> None:
        self.epochs.append(epoch)
        self.weights.append(from_bytes(data, "r1", torch.device("cpu")).method["w"].item())


@pytest.fixture
def train(monkeypatch):
    """Train epochs of so many seconds on one live tensor; returns what was published on the way, and the saver."""

    def go(seconds: float, epochs: int, length: float):
        now, live, folder = [100.0], torch.zeros(()), Folder()
        monkeypatch.setattr(saver.time, "monotonic", lambda: now[0])
        keeper = Saver(folder, seconds, checkpoint)
        for epoch in range(1, epochs + 1):
            now[0] += length
            live.fill_(epoch)
            keeper.save(State("r1", epoch, {"w": live}, [], [], 0))
        live.fill_(-1)  # the epoch that a stop breaks off
        return folder, keeper

    return go


def test_with_0_seconds_every_epoch_is_published_and_nothing_is_held_back(train):
    folder, keeper = train(0.0, 3, 1.0)
    keeper.flush()
    assert folder.epochs == [1, 2, 3]


def test_short_epochs_are_published_so_many_seconds_apart_and_long_ones_each(train):
    assert train(30.0, 10, 12.0)[0].epochs == [3, 6, 9]
    assert train(30.0, 3, 31.0)[0].epochs == [1, 2, 3]


def test_what_is_asked_for_at_the_end_is_the_newest_finished_epoch_as_it_was(train):
    folder, keeper = train(30.0, 7, 12.0)
    keeper.flush()
    keeper.flush()
    assert folder.epochs == [3, 6, 7]
    assert folder.weights == [3.0, 6.0, 7.0]
