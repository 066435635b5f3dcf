"""A launcher without torch behind the real store, order of writes and wrong labels: a launch takes milliseconds.

What it trains is a chain of digests: an epoch that is left out, repeated from another state or taken from another run
gives other numbers. Each epoch that is begun leaves a byte in a file beside the results, so that a test can count.
"""

from __future__ import annotations

import copy
import errno
import fcntl
import io
import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench import files
from bench.config import RunConfig
from bench.data.datasets import Dataset, load
from bench.data.noisy import frozen
from bench.files import canonical, parse, sha256
from bench.sweep.job import Exit, Job
from bench.sweep.records.sample_files import SampleFiles
from bench.sweep.records.store import State, Store
from bench.sweep.run import protocol
from bench.sweep.run.protocol import Found, carry_out

CRASHED = 137
HEADS = ("net1",)
TOTALS = {"test": 1000, "val": 100, "val_clean": 100, "train": 1000, "trace": 500, "trace_wrong": 200}
TOTALS |= {"train_wrong": 400, "train_foreign": 0, "trace_foreign": 0}
# what a full disk refuses: files and folders are not made, and no more bytes are taken
NEEDS_ROOM = ("before mkdir", "before open", "opened", "half written")


@dataclass
class Order:
    """One launch: the runs in their order, and what is to happen to it."""

    results: str
    runs: list[tuple[dict[str, Any], str]]  # config and method
    crash_at: int = 0  # the step at which it ends or fails, counted from 1; 0: never
    fault: str = "exit"  # or "EIO" at that step, or "ENOSPC" from that step on
    slow: float = 0.0  # seconds of an epoch
    locks: bool = True  # False: flock does nothing, as on some network file systems
    stop_after: int = 0  # epochs of this launch, after which it is asked to stop; 0: never
    per_sample: str | None = "last"
    job: dict[str, Any] = field(default_factory=dict)  # further fields of its jobs

    def to_argv(self) -> list[str]:
        return [json.dumps(asdict(self))]


class Fault:
    """Counts the steps at which the disk is about to change or has changed, and fails at one."""

    def __init__(self, order: Order) -> None:
        self.order, self.steps = order, 0

    def __call__(self, tag: str) -> None:
        self.steps += 1
        order = self.order
        if order.fault == "exit" and self.steps == order.crash_at:
            os._exit(CRASHED)
        if order.fault == "EIO" and self.steps == order.crash_at:
            raise OSError(errno.EIO, "Input/output error")
        if order.fault == "ENOSPC" and self.steps >= order.crash_at and tag in NEEDS_ROOM:
            raise OSError(errno.ENOSPC, "No space left on device")


@dataclass
class Chain:
    """The state of a toy run."""

    run_id: str
    epoch: int
    link: str
    history: list[dict[str, Any]]


class Interrupted(Exception):
    """It was asked to stop."""


class ToyTraining:
    """`protocol.Training` for chains of digests."""

    def __init__(self, job: Job, config: RunConfig, slow: float, counter: Path, versions: dict[str, str]) -> None:
        self._job, self._config, self._slow, self._counter = job, config, slow, counter
        self._versions = versions
        self._tables = SampleFiles(Store(Path(job.results)).run(config.run_id).path)

    def environment(self) -> dict[str, Any]:
        return {"pid": os.getpid(), "python": "3", "numpy": "2", "torch": "0", "cuda": None, **self._versions}

    def prepare(self) -> None:
        noise_id = frozen(dataset(), self._config.noise, Path(self._job.results) / "noise").noise_id
        self._noise_id, run_id = noise_id, self._config.run_id
        self._chain = Chain(run_id, 0, sha256(f"{run_id} {noise_id}".encode()), [])

    def read(self, data: bytes) -> Chain:
        chain = Chain(**parse(data))
        if chain.run_id != self._config.run_id:
            raise ValueError(f"checkpoint of run {chain.run_id}")
        return chain

    def restore(self, state: Chain) -> None:
        self._chain = state

    def copied(self, state: Chain) -> Chain:
        return copy.deepcopy(state)

    def to_bytes(self, state: Chain) -> bytes:
        return canonical(vars(state))

    def run(self, save: Callable[[Chain], None], should_stop: Callable[[], bool]) -> Found:
        chain, epochs = self._chain, self._config.train.epochs
        while chain.epoch < epochs:
            if should_stop():
                raise Interrupted
            self._note()
            time.sleep(self._slow)
            chain.link = sha256(f"{chain.link} {chain.epoch}".encode())
            chain.history.append(record(chain.epoch, chain.link))
            chain.epoch += 1
            if self._job.per_sample == "every" or chain.epoch == epochs:
                self._tables.write(chain.epoch, {"heads": np.array(HEADS), "given": np.arange(4)})
            save(chain)
        return Found(self._payload(chain), predictions(chain.link), {})

    def classify(self, error: BaseException) -> Exit:
        return Exit.INTERRUPTED if isinstance(error, Interrupted) else protocol.classify(error, self._job.results)

    def _note(self) -> None:
        fd = os.open(self._counter, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.write(fd, b".")
        os.close(fd)

    def _payload(self, chain: Chain) -> dict[str, Any]:
        config = self._config
        return {
            **{"schema": 1, "run_id": config.run_id, "config": config.to_dict(), "noise_id": self._noise_id},
            **{"dataset_digest": config.dataset.digest, "device_kind": "cpu", "num_networks": 1, "needs": []},
            **{"heads": list(HEADS), "headline": list(HEADS), "paper": "", "parameters": 1, "forward_samples": 1},
            **{"totals": TOTALS, "diverged": False, "history": chain.history, "link": chain.link},
        }


def record(epoch: int, link: str) -> dict[str, Any]:
    """An epoch's record: its counts are digits of the chain."""
    number = int(link[:8], 16)
    counts = {"test": number % 1001, "val_noisy": number % 101, "val_clean": number % 100}
    counts |= {"right_fit": number % 301, "wrong_fit": number % 201, "wrong_recovered": number % 200}
    rest: dict[str, Any] = {"selection": [], "knowledge": [], "scalars": {}, "diverged": False, "loss": [1.0]}
    return {"epoch": epoch, "lr": 0.1, "heads": {head: counts for head in HEADS}, **rest}


def predictions(link: str) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.frombuffer(bytes.fromhex(link), np.uint8)[None], allow_pickle=False)
    return buffer.getvalue()


@cache
def dataset() -> Dataset:
    return load("digits")


def executed_folder(results: Path) -> Path:
    """Where the epochs of each run are counted: outside the results, which a test damages."""
    return results.with_name(f"{results.name}-executed")


def executed(results: Path) -> int:
    """How many epochs all runs together have begun."""
    return sum(path.stat().st_size for path in executed_folder(results).iterdir())


def main(argv: list[str]) -> int:
    """Launch: do what is not done, come back to what others hold, end where the storage fails or a stop is asked."""
    order = Order(**json.loads(argv[0]))
    if not order.locks:
        fcntl.flock = lambda fd, operation: None
    if order.crash_at:
        files.hook = Fault(order)
    store = Store(Path(order.results))
    executed_folder(store.root).mkdir(parents=True, exist_ok=True)
    begun = executed(store.root)
    try:
        store.save_suite("toy", {"runs": len(order.runs)})
    except OSError as error:  # the command line says so and ends
        return protocol.classify(error, order.results)

    def should_stop() -> bool:
        return order.stop_after > 0 and executed(store.root) - begun >= order.stop_after

    todo = [(RunConfig.from_dict(config), method) for config, method in order.runs]
    while todo:
        later = []
        for config, method in todo:
            code = attempt(order, store, config, method, should_stop)
            if code == Exit.BUSY:
                later.append((config, method))
            elif code != Exit.OK:
                return code
        if later and len(later) == len(todo):
            time.sleep(random.uniform(0.001, 0.01))
        todo = later
    if isinstance(files.hook, Fault):
        print("steps", files.hook.steps)
    return 0


def attempt(order: Order, store: Store, config: RunConfig, method: str, should_stop: Callable[[], bool]) -> int:
    """Take up a run as a sweep does: a finished one is tidied, one that somebody holds is left for later."""
    folder = store.run(config.run_id)
    if folder.state(quick=True) in (State.DONE, State.DIVERGED):
        folder.tidy()
        return Exit.OK
    if order.locks and folder.locked():
        return Exit.BUSY
    details = {"per_sample": order.per_sample, "notes": {"launch": str(os.getpid())}, **order.job}
    versions = details.pop("versions", {})
    job = Job(config.to_dict(), method, str(store.root), None, "cpu", **details)
    training = ToyTraining(job, config, order.slow, executed_folder(store.root) / config.run_id, versions)
    return carry_out(job, config, training, should_stop)
