"""G6, G7: one changed byte in a result or a checkpoint, wherever it lies and whatever it becomes, is always noticed."""

from __future__ import annotations

import os
import random

import pytest
import torch

from bench.findings import gathering
from bench.sweep.records.store import Corrupt
from bench.training import checkpoint
from bench.training.checkpoint import State

TRIALS = 300  # of each kind, the bytes of one whole result beside them


def changed(data: bytes, at: int, rng: random.Random) -> bytes:
    """The same with another byte at a place."""
    return data[:at] + bytes([data[at] ^ rng.randrange(1, 256)]) + data[at + 1 :]


def test_g7_every_byte_of_a_result_changed_is_noticed(world):
    truth, rng = world().truth, random.Random(7)
    folder = truth.store.run(truth.runs[0].run_id)
    data = folder.result_bytes()
    assert folder.opened(data).payload["diverged"] is False
    for at in range(len(data)):
        with pytest.raises(Corrupt):
            folder.opened(changed(data, at, rng))
    for length in range(len(data)):
        with pytest.raises(Corrupt):
            folder.opened(data[:length])


def test_g7_a_changed_byte_of_a_result_costs_its_cell_whatever_was_remembered_of_it(world):
    one, rng = world(), random.Random(8)
    one.finish(extra=0)
    paths = [one.store.run(run.run_id).path / "result.json" for run in one.truth.runs]
    whole = {path: path.read_bytes() for path in paths}
    for _ in range(TRIALS):
        path = rng.choice(paths)
        path.write_bytes(changed(whole[path], rng.randrange(len(whole[path])), rng))
        found = gathering.gather(one.store, one.truth.suite, one.truth.runs)
        assert list(found.corrupt) == [path.parent.name]
        assert found.facts.keys() == one.truth.payloads.keys() - {path.parent.name}
        path.write_bytes(whole[path])
    one.look()


def test_g6_f28_a_changed_byte_of_a_checkpoint_is_noticed_and_the_older_one_used(world):
    one, rng = world(), random.Random(6)
    folder = one.store.run(one.truth.runs[0].run_id)
    method = {"weight": torch.arange(64.0), "steps": 3}
    older, newer = (checkpoint.to_bytes(State(folder.run_id, epoch, method, [], [], 5)) for epoch in (1, 2))
    folder.path.mkdir(parents=True)
    for trial in range(TRIALS):
        folder.save_checkpoint(1, older)
        folder.save_checkpoint(2, newer)
        (_, path), (_, first) = folder.checkpoints()
        path.write_bytes(changed(newer, rng.randrange(len(newer)), rng))
        assert folder.load_checkpoint() == (1, older)
        first.write_bytes(changed(older, rng.randrange(len(older)), rng))
        assert folder.load_checkpoint() is None
        assert len(os.listdir(folder.path / "quarantine")) == 2 * (trial + 1)
