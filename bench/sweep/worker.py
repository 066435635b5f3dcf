"""The process of one run: lock, resume, train, commit.  Started by a supervisor; its exit code says how it ended.

Truth never depends on clean-up: whatever happens after a checkpoint or a result is published, it is whole.
"""

from __future__ import annotations

import io
import os
import pickle
import platform
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import hardware
from bench.config import RunConfig
from bench.data.prepare import prepare
from bench.files import canonical, publish
from bench.fingerprint import harness_code, method_code
from bench.sweep.forking import PARENT_VARIABLE, die_with_parent
from bench.sweep.job import CLASSES, FULL, RESOURCES, STORAGE_ERRORS, Exit, Job
from bench.sweep.sample_files import SampleFiles, official_index
from bench.sweep.saver import Saver
from bench.sweep.store import Busy, Corrupt, RunFolder, Store
from bench.training import checkpoint
from bench.training.capture import CaptureFailed
from bench.training.pace import memory_mb
from bench.training.recorders import recorder
from bench.training.samples_table import Tables
from bench.training.trainer import Interrupted, Outcome, Trainer
from methods import registry

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
WATCH_SECONDS = 0.5


def main(argv: list[str]) -> int:
    """Do the job in `argv`; return the exit code."""
    job = Job.from_argv(argv)
    stop = threading.Event()
    watch_parent()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda _number, _frame: stop.set())
    config = RunConfig.from_dict(job.config)
    folder = Store(Path(job.results)).run(config.run_id)
    try:
        with folder.lock():
            return _locked(job, config, folder, stop)
    except Busy:
        return Exit.BUSY
    except OSError as error:  # of a record around the training: the exit code alone can tell
        traceback.print_exc()
        return classify(error, job.results)


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


def _locked(job: Job, config: RunConfig, folder: RunFolder, stop: threading.Event) -> int:
    # read before the method is imported, so that an edit during the run does not pass for what trained it
    code_now = {"code": harness_code(), "method_code": method_code(registry.describe(job.method).file)}
    if _finished(job, folder, code_now):
        folder.drop_checkpoints()
        return Exit.OK
    folder.write_config(config.to_dict())
    device = {"device_kind": torch.device(job.device).type}
    _refuse_foreign_checkpoints(folder, code_now | device)
    attempt = folder.start_attempt(environment(job) | code_now | device)
    started = time.monotonic()
    try:
        _train(job, config, folder, stop, started, code_now)
        code, end = Exit.OK, {"class": "done", "final": True}
    except BaseException as error:  # also SystemExit and KeyboardInterrupt raised by a method: they end one run
        code = classify(error, job.results)
        end = {"class": CLASSES[code], "final": job.final.get(CLASSES[code], True), "message": _one_line(error)}
        if code in (Exit.INTERRUPTED, Exit.IO, Exit.UNCAPTURED):  # nothing is wrong with the run
            end["final"] = False
        if code is not Exit.INTERRUPTED:
            end["traceback"] = traceback.format_exc()
        if code is Exit.UNCAPTURED:
            print(f"capture failed, to be run without: {_one_line(error)}", flush=True)
        elif code is not Exit.INTERRUPTED:
            traceback.print_exc()
    with suppress(OSError):  # a full disk takes this record too; the exit code tells
        folder.end_attempt(attempt, end | {"seconds": time.monotonic() - started})
    return code


def _finished(job: Job, folder: RunFolder, code_now: dict[str, str]) -> bool:
    """Whether a result stands; one that is damaged, or to be made again by today's code, is set aside first."""
    try:
        result = folder.result()
    except Corrupt as error:
        print(f"set aside: {error}", flush=True)
        folder.quarantine(error.path)
        return False
    if result is None:
        return False
    if job.rerun and any(result.payload.get(name) != value for name, value in code_now.items()):
        print("set aside a result that other code has made", flush=True)
        folder.quarantine(folder.path / "result.json")
        return False
    return True


def _refuse_foreign_checkpoints(folder: RunFolder, now: dict[str, str]) -> None:
    """Set checkpoints aside that other code or another kind of device has made: a result is of one kind throughout.

    It suffices to ask the last attempt that got as far as naming its code, since each has asked the one before.
    """
    before = [start for start, _ in folder.attempts() if "code" in start]
    if before and all(before[-1].get(name) == value for name, value in now.items()):
        return
    for epoch, path in folder.checkpoints():
        print(f"code or device have changed: set aside the checkpoint after epoch {epoch}", flush=True)
        folder.quarantine(path)


def _train(
    job: Job, config: RunConfig, folder: RunFolder, stop: threading.Event, started: float, code_now: dict[str, str]
) -> None:
    start_seconds = _process_age()
    device, noise_folder, tables = torch.device(job.device), Path(job.results) / "noise", SampleFiles(folder.path)
    data = prepare(config, Path(job.data_dir) if job.data_dir else None, noise_folder, device)
    method = registry.create(job.method, **config.method.params)
    trainer = Trainer(config, data, method, device, recorder(job.capture, device))
    resumed = _newest_state(folder, config.run_id, device)
    if resumed is not None:
        trainer.restore(resumed)
        print(f"resumed after epoch {resumed.epoch}", flush=True)
    else:
        for path in tables.files():  # of an attempt that left no state: other code may have made them
            folder.quarantine(path)
    if job.per_sample is not None:
        index = official_index(config, noise_folder, data.noise_id, data.truth)
        trainer.tables = Tables(job.per_sample, lambda epoch, table: tables.write(epoch, {"index": index, **table}))

    saver, memory, began = Saver(folder, job.checkpoint_seconds), Memory(folder, device), time.monotonic()

    def save(state: checkpoint.State) -> None:
        saver.save(state)
        memory.tell()

    try:
        outcome = trainer.run(save, stop.is_set)
    except BaseException:  # a stop above all: what has been trained is kept
        with suppress(Exception):  # the first error is the one to report, and after it a GPU may give nothing back
            saver.flush()
        raise
    training = time.monotonic() - began
    digest = folder.save_predictions(_predictions(outcome, data.info.num_classes))
    payload = outcome.payload | {"predictions_sha256": digest, **code_now}
    epochs = len(outcome.payload["history"]) - (resumed.epoch if resumed else 0)
    times = {"seconds": time.monotonic() - started, "training_seconds": training, "start_seconds": start_seconds}
    folder.commit(payload, times | {"epochs_this_attempt": epochs} | _provenance(folder, tables, device))
    folder.drop_checkpoints()


def _provenance(folder: RunFolder, tables: SampleFiles, device: torch.device) -> dict[str, Any]:
    """What is recorded of how a result came to be, its times aside."""
    return {
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "peak_gpu_memory_mb": torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else None,
        "attempts": [start for start, _ in folder.attempts()],
        "samples_sha256": tables.digests(),
    }


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


def _newest_state(folder: RunFolder, run_id: str, device: torch.device) -> checkpoint.State | None:
    """The newest state that can be read; a file that holds no state of this run is set aside for an older one."""
    while (saved := folder.load_checkpoint()) is not None:
        epoch, data = saved
        try:
            state = checkpoint.from_bytes(data, run_id, device)
            if state.epoch == epoch:
                return state
        except (ValueError, TypeError, RuntimeError, pickle.UnpicklingError) as error:
            print(f"unreadable checkpoint after epoch {epoch}: {error}", flush=True)
        for _, path in folder.checkpoints()[:1]:
            folder.quarantine(path)
    return None


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
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return Exit.OOM
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):  # torch's words on the CPU
        return Exit.OOM
    if isinstance(error, OSError) and error.errno in STORAGE_ERRORS:
        ours = error.filename is None or Path(os.fsdecode(error.filename)).is_relative_to(results)
        return Exit.IO if ours or error.errno in FULL else Exit.ERROR
    return Exit.ERROR


def environment(job: Job) -> dict[str, Any]:
    """What may differ between two attempts without any number of the payload knowing."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": torch.cuda.get_device_name(0) if job.device.startswith("cuda") else hardware.processor().name,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cuda": torch.version.cuda,
        **job.notes,
    }


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


if __name__ == "__main__":
    ended = main(sys.argv[1:])
    if ended == Exit.UNCAPTURED:  # the interpreter's own end may break on what the capture left of the device
        sys.stdout.flush()
        os._exit(ended)
    sys.exit(ended)
