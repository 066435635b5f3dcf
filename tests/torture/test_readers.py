"""F47: photographs that are read from disk batch by batch: how many threads read and decode them changes no byte."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data import images, own_folder, streamed
from bench.files import canonical
from bench.sweep.job import Exit, Job
from bench.sweep.planning import grid
from bench.sweep.planning.grid import Planned, Suite
from bench.sweep.records.store import Store
from bench.sweep.run import worker
from bench.training.trainer import Interrupted, Trainer

SIZES = ((90, 120), (100, 80), (120, 90))


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Planned:
    """A run on photographs of several sizes, which stay on disk."""
    rng = np.random.default_rng(0)
    for part, number in (("train", 9), ("test", 2)):
        for name in ("cat", "dog"):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            for one in range(number):
                pixels = rng.integers(0, 256, (*SIZES[one % len(SIZES)], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "pets" / part / name / f"{one}.png")
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    own_folder._photos.cache_clear()
    train = {"network": "lenet_small", "epochs": 2, "batch_size": 4}
    (run,) = grid.expand(Suite("pets", str(tmp_path / "pets"), ("symmetric:0.4",), ("ce",), (0,), train=train, val=0.0))
    assert not run.info.resident
    return run


def read_by(monkeypatch, ahead: int, threads: int) -> None:
    monkeypatch.setattr(streamed, "AHEAD", ahead)
    monkeypatch.setattr(images, "MOST_THREADS", threads)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(threads)))
    images._pool.cache_clear()


def payload_of(run: Planned, root: Path) -> bytes:
    code = worker.main(Job(run.config.to_dict(), run.spec, str(root), str(root.parent), "cpu").to_argv())
    assert code == Exit.OK
    return canonical(Store(root).run(run.run_id).result().payload)


def test_f47_threads_that_read_ahead_and_decode_change_no_byte_nor_does_a_stop(photos, tmp_path, monkeypatch):
    read_by(monkeypatch, 1, 1)
    truth = payload_of(photos, tmp_path / "one reader")
    read_by(monkeypatch, 4, 8)
    assert payload_of(photos, tmp_path / "many readers") == truth
    read_by(monkeypatch, 2, 2)

    def stopped(trainer: Trainer, save, should_stop):
        trainer.epoch()
        save(trainer.state())
        raise Interrupted

    job = Job(photos.config.to_dict(), photos.spec, str(tmp_path / "stopped"), str(tmp_path), "cpu")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", stopped)
        assert worker.main(job.to_argv()) == Exit.INTERRUPTED
    read_by(monkeypatch, 3, 4)
    assert payload_of(photos, tmp_path / "stopped") == truth
    assert Store(tmp_path / "stopped").run(photos.run_id).result().provenance["epochs_this_attempt"] == 1
