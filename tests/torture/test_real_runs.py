"""F3, F47, G3: real runs of one network, of two and of many phases, killed, stopped, placed and ordered in every way.

Their payloads are those of a sweep that nobody disturbed, byte for byte.
"""

from __future__ import annotations

import random
import signal
import time
from itertools import count
from pathlib import Path

import pytest

from bench.devices import Slot
from bench.files import canonical
from bench.sweep.job import Exit, Job
from bench.sweep.planning import grid
from bench.sweep.planning.grid import Suite
from bench.sweep.records.store import State, Store
from bench.sweep.run import heartbeat
from bench.sweep.supervision import executor
from bench.sweep.supervision import sweep as sweeping
from bench.sweep.supervision.sweep import Sweep

METHODS = ("ce", "co_teaching", "dividemix")
EPOCHS = 4
SEED = 20


class Deaf:
    """A reporter that reports nothing."""

    def started(self, run, slot): ...
    def requeued(self, run): ...
    def ended(self, run, outcome): ...


def payloads(root: Path) -> dict[str, bytes]:
    store = Store(root)
    return {run_id: canonical(store.run(run_id).result().payload) for run_id in store.run_ids()}


@pytest.fixture(scope="module")
def runs():
    train = {"epochs": EPOCHS, "batch_size": 16, "trace_samples": 32}
    suite = Suite("real", "digits", ("symmetric:0.5",), METHODS, (0,), train=train, train_limit=96, test_limit=64)
    return {run.config.method.name: run for run in grid.expand(suite)}


@pytest.fixture(scope="module")
def sweep(server, tmp_path_factory):
    """`sweep(runs, slots, start)`: the results folder of a sweep that nobody disturbs."""

    def go(runs, slots: int = 1, start: str = "fork") -> Path:
        root = tmp_path_factory.mktemp("sweep")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sweeping, "ForkServer", lambda preload: server)
            made = Sweep(Store(root), [Slot(None, number) for number in range(slots)], None, start)
            outcomes = executor.execute(made, runs, Deaf())
        assert [outcome.state for outcome in outcomes] == [State.DONE] * len(runs)
        return root

    return go


@pytest.fixture(scope="module")
def truth(runs, sweep):
    """The results folder of an undisturbed sweep."""
    return sweep(list(runs.values()))


@pytest.fixture
def begin(server, tmp_path, monkeypatch):
    """Start the process of one run, which is killed at the end of the test, and return it with its folder."""
    monkeypatch.setattr(sweeping, "ForkServer", lambda preload: server)
    children = []

    def go(run, root="results"):
        made = Sweep(Store(tmp_path / root), [Slot(None, 0)], None, "fork")
        folder = made.store.run(run.run_id)
        folder.path.mkdir(parents=True, exist_ok=True)
        job = Job(run.config.to_dict(), run.spec, str(made.store.root), None, "cpu", {}, {"launch": "by hand"})
        children.append(made.spawn(job, folder, made.slots[0], 1))
        return children[-1], folder

    yield go
    for child in children:
        child.send_signal(signal.SIGKILL)


def kill(child, number: int = signal.SIGKILL) -> int:
    child.send_signal(number)
    return child.wait(20)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kills", [pytest.param(2, id="some"), pytest.param(20, id="many", marks=pytest.mark.slow)])
def test_f3_a_run_killed_at_random_moments_ends_with_the_same_bytes(runs, truth, begin, method, kills):
    run, rng, killed = runs[method], random.Random(f"{method} {kills} {SEED}"), 0
    seconds = Store(truth).run(run.run_id).result().provenance["seconds"]
    for root in map(str, count()):
        while killed < kills:
            child, folder = begin(run, root)
            try:
                assert child.wait(rng.uniform(0.1, 1.1 * seconds)) == Exit.OK
                break
            except TimeoutError:
                code = kill(child)
            killed += code != Exit.OK
            assert code in (Exit.OK, -signal.SIGKILL)
            assert folder.state() in (State.PLANNED, State.INTERRUPTED, State.DONE)
            finished = heartbeat.read(folder.path) or heartbeat.Beat(0, 0)
            assert folder.result() is not None or folder.epochs_done() >= finished.epochs
        child, folder = begin(run, root)
        assert child.wait(60) == Exit.OK
        assert canonical(folder.result().payload) == payloads(truth)[run.run_id]
        if killed == kills:
            return


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", METHODS)
def test_g3_g4_a_run_that_ends_after_every_epoch_ends_with_the_same_bytes(runs, truth, begin, method, number):
    run, resumed = runs[method], []
    for epoch in range(1, EPOCHS):
        (child, folder), deadline = begin(run), time.monotonic() + 30
        # the one before may have done more than it was asked for: then this one is to have begun, at least
        while folder.epochs_done() < epoch or len(folder.attempts()) <= len(resumed):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert kill(child, number) in (-number, Exit.INTERRUPTED)
        resumed.append(folder.epochs_done())
    child, folder = begin(run)
    assert child.wait(60) == Exit.OK
    assert [start["from_epoch"] for start, _ in folder.attempts()] == [0, *resumed]
    assert canonical(folder.result().payload) == payloads(truth)[run.run_id]


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "exec"])
@pytest.mark.parametrize("slots", [1, 2])
def test_g3_f47_slots_order_and_way_of_starting_change_no_byte(runs, truth, sweep, slots, start):
    order = random.Random(f"{slots} {start} {SEED}").sample(list(runs.values()), len(runs))
    assert payloads(sweep(order, slots, start)) == payloads(truth)
