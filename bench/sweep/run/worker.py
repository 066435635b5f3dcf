"""The process of one run.  Started by a supervisor; its exit code says how it ended.

In which order it writes, `protocol` says; what torch computes between two writes is here.
"""

from __future__ import annotations

import io
import os
import pickle
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.config import RunConfig
from bench.data.prepare import prepare
from bench.files import canonical, publish
from bench.sweep.job import RESOURCES, Exit, Job
from bench.sweep.records.provenance import environment
from bench.sweep.records.sample_files import SampleFiles, official_index
from bench.sweep.records.store import RunFolder, Store
from bench.sweep.run import protocol
from bench.sweep.run.forking import PARENT_VARIABLE, die_with_parent
from bench.sweep.run.protocol import Found
from bench.sweep.run.tensorboard import Board
from bench.training import checkpoint
from bench.training.capture import CaptureFailed
from bench.training.pace import memory_mb
from bench.training.recorders import recorder
from bench.training.samples_table import Tables
from bench.training.trainer import Interrupted, Outcome, Trainer
from methods import registry

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
WATCH_SECONDS = 0.5
# what torch raises for bytes that are no checkpoint, or one of another form; found by changing bytes at random
_UNREADABLE = (TypeError, RuntimeError, LookupError, EOFError, pickle.UnpicklingError)


def main(argv: list[str]) -> int:
    """Do the job in `argv`; return the exit code."""
    job = Job.from_argv(argv)
    stop = threading.Event()
    watch_parent()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda _number, _frame: stop.set())
    config = RunConfig.from_dict(job.config)
    return protocol.carry_out(job, config, TorchTraining(job, config), stop.is_set)


def watch_parent() -> None:
    """End this process soon after the one that started it; without a supervisor, as when run by hand, do nothing."""
    if PARENT_VARIABLE not in os.environ:
        return
    parent = int(os.environ[PARENT_VARIABLE])
    die_with_parent(parent)  # works even while C code holds the interpreter; the thread tells a supervisor's end as 75

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(Exit.INTERRUPTED)

    threading.Thread(target=watch, daemon=True).start()


class TorchTraining:
    """The training of one run by our trainer, as `protocol.Training` wants it."""

    def __init__(self, job: Job, config: RunConfig) -> None:
        self._job, self._config = job, config
        self._device = torch.device(job.device)
        self._folder = Store(Path(job.results)).run(config.run_id)

    def environment(self) -> dict[str, Any]:
        return environment(self._job)

    def prepare(self) -> None:
        """Load the data, import the method, make its networks."""
        self._start_seconds = _process_age()
        job, config, noise_folder = self._job, self._config, Path(self._job.results) / "noise"
        data = prepare(config, Path(job.data_dir) if job.data_dir else None, noise_folder, self._device)
        method = registry.create(job.method, **config.method.params)
        self._classes = data.info.num_classes
        self._trainer = Trainer(config, data, method, self._device, recorder(job.capture, self._device))
        if job.per_sample is not None:
            files = SampleFiles(self._folder.path)
            index = official_index(config, noise_folder, data.noise_id, data.truth)
            self._trainer.tables = Tables(
                job.per_sample, lambda epoch, table: files.write(epoch, {"index": index, **table})
            )

    def read(self, data: bytes) -> checkpoint.State:
        """Return the state in the bytes of a checkpoint; ValueError if they hold none of this run."""
        try:
            return checkpoint.from_bytes(data, self._config.run_id, self._device)
        except _UNREADABLE as error:
            raise ValueError(f"no state of a run ({type(error).__name__}: {error})") from error

    def restore(self, state: checkpoint.State) -> None:
        self._trainer.restore(state)

    def copied(self, state: checkpoint.State) -> checkpoint.State:
        return checkpoint.copied(state)

    def to_bytes(self, state: checkpoint.State) -> bytes:
        return checkpoint.to_bytes(state)

    def run(self, save: Callable[[checkpoint.State], None], should_stop: Callable[[], bool]) -> Found:
        """Train the epochs that are left."""
        memory, began = Memory(self._folder, self._device), time.monotonic()
        board = self._board() if self._job.tensorboard else None

        def saved(state: checkpoint.State) -> None:
            if board is not None:  # before the checkpoint: a run that is resumed takes back steps, and adds none
                board.write(state.history[-1])
            save(state)
            memory.tell()

        outcome = self._trainer.run(saved, should_stop)
        if board is not None:
            board.close()
        on_gpu = self._device.type == "cuda"
        told = {
            "training_seconds": time.monotonic() - began,
            "start_seconds": self._start_seconds,
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "peak_gpu_memory_mb": torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None,
        }
        return Found(outcome.payload, _predictions(outcome, self._classes), told)

    def _board(self) -> Board:
        return Board(Path(self._job.results), self._config, self._trainer.data.totals, self._trainer.history)

    def classify(self, error: BaseException) -> Exit:
        return classify(error, self._job.results)


class Memory:
    """Tells the supervisor what the run takes of a GPU, again whenever it is more: so it knows how many fit."""

    def __init__(self, folder: RunFolder, device: torch.device) -> None:
        self._folder, self._device, self._told = folder, device, 0.0

    def tell(self) -> None:
        """Publish the most that the process has held, if that has grown."""
        if (memory := memory_mb(self._device)) > self._told:
            publish(self._folder.path / RESOURCES, canonical({"memory_mb": memory}), replace=True)
            self._told = memory


def _process_age() -> float:
    """Seconds since this process began; 0 where that is not known."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # the 22nd field; two stand before what is split here
    except (OSError, ValueError, IndexError):  # not Linux
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)  # by the clock of that field


def _predictions(outcome: Outcome, num_classes: int) -> bytes:
    """A .npy file (heads, test samples), uint8 or above 255 classes uint16; the largest value where logits were NaN."""
    kind = np.uint8 if num_classes < 256 else np.uint16
    values = outcome.predictions.cpu().numpy()
    buffer = io.BytesIO()
    np.save(buffer, np.where(values < 0, np.iinfo(kind).max, values).astype(kind), allow_pickle=False)
    return buffer.getvalue()


def classify(error: BaseException, results: str) -> Exit:
    """The exit code for what ended a run; `results` is the folder whose failures are the storage's, not the run's."""
    if isinstance(error, Interrupted):
        return Exit.INTERRUPTED
    if isinstance(error, CaptureFailed):
        return Exit.UNCAPTURED
    if isinstance(error, torch.OutOfMemoryError):
        return Exit.OOM
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):  # torch's words on the CPU
        return Exit.OOM
    return protocol.classify(error, results)


if __name__ == "__main__":
    ended = main(sys.argv[1:])
    if ended == Exit.UNCAPTURED:  # the interpreter's own end may break on what the capture left of the device
        sys.stdout.flush()
        os._exit(ended)
    sys.exit(ended)
