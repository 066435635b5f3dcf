"""One attempt at a run as its folder sees it: in which order it is written, whatever it is that trains.

    what is written                          what a kill after it leaves     what the next attempt makes of it
    the lock                                 a lock that the kernel frees    takes it, sweeps half-written files
    damaged or outdated result: quarantine   the file set aside              the same
    config                                   a whole file                    keeps it, or writes it again
    foreign checkpoints: quarantine          some of them set aside          sets the rest aside
    start record                             an attempt without an end       goes on; no failure is counted
    wrong labels, by the training            whole files                     uses them, or makes equal ones
    a checkpoint, then older ones removed    up to three checkpoints         repeats one epoch at most
    predictions, by their digest             a whole file                    writes an equal one
    result: the commit                       a run that is done              trains nothing
    checkpoints removed                      a run that is done              removes the rest
    end record                               a run that is done              -

Truth never depends on clean-up: whatever happens after a checkpoint or a result is published, it is whole.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from os import fsdecode
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bench.config import RunConfig
from bench.fingerprint import harness_code, method_code
from bench.sweep.job import CLASSES, FULL, STORAGE_ERRORS, Exit, Job
from bench.sweep.records.origin import published
from bench.sweep.records.sample_files import SampleFiles
from bench.sweep.records.store import Busy, Corrupt, RunFolder, Store
from bench.sweep.run.heartbeat import Heartbeat
from bench.sweep.run.saver import Form, Saver, Snapshot
from methods import registry

VERSIONS = ("python", "torch", "numpy", "cuda")  # of an environment: other ones may round otherwise

S = TypeVar("S", bound=Snapshot)


@dataclass(frozen=True)
class Found:
    """What a finished training found."""

    payload: dict[str, Any]  # but for the digests of code and predictions
    predictions: bytes  # a .npy file
    provenance: dict[str, Any]


class Training(Form[S], Protocol[S]):
    """What an attempt runs between its start record and its commit. `S` is its state after an epoch."""

    def environment(self) -> dict[str, Any]:
        """Return where and with what it computes, for the start record; the VERSIONS are in it."""
        ...

    def prepare(self) -> None:
        """Make all ready for the first epoch."""
        ...

    def read(self, data: bytes) -> S:
        """Return the state in the bytes of a checkpoint; ValueError if they hold none of this run."""
        ...

    def restore(self, state: S) -> None:
        """Go on from a state."""
        ...

    def run(self, save: Callable[[S], None], should_stop: Callable[[], bool]) -> Found:
        """Train the epochs that are left, handing over the state after each."""
        ...

    def classify(self, error: BaseException) -> Exit:
        """Return the exit code for what ended the attempt."""
        ...


def carry_out(job: Job, config: RunConfig, training: Training[S], should_stop: Callable[[], bool]) -> int:
    """Make one attempt at a run; return the exit code of its process."""
    folder = Store(Path(job.results)).run(config.run_id)
    try:
        with folder.lock():
            return _locked(job, config, folder, training, should_stop)
    except Busy:
        return Exit.BUSY
    except OSError as error:  # of a record around the training: the exit code alone can tell
        traceback.print_exc()
        return classify(error, job.results)


def classify(error: BaseException, results: str) -> Exit:
    """The exit code for what ended a run; `results` is the folder whose failures are the storage's, not the run's."""
    if isinstance(error, MemoryError):
        return Exit.OOM
    if isinstance(error, OSError) and error.errno in STORAGE_ERRORS:
        ours = error.filename is None or Path(fsdecode(error.filename)).is_relative_to(results)
        return Exit.IO if ours or error.errno in FULL else Exit.ERROR
    return Exit.ERROR


def _locked(
    job: Job, config: RunConfig, folder: RunFolder, training: Training[S], should_stop: Callable[[], bool]
) -> int:
    # read before the method is imported, so that an edit during the run does not pass for what trained it
    code_now = {"code": harness_code(), "method_code": method_code(registry.describe(job.method).file)}
    if _finished(job, folder, code_now):
        folder.drop_checkpoints()
        return Exit.OK
    folder.write_config(config.to_dict())
    now = training.environment() | code_now | {"device_kind": job.device.partition(":")[0]}
    _refuse_foreign_checkpoints(folder, now, job.strict_env)
    attempt = folder.start_attempt(now | {"from_epoch": folder.epochs_done()})
    started = time.monotonic()
    try:
        _train(job, folder, training, should_stop, started, code_now)
        code, end = Exit.OK, {"class": "done", "final": True}
    except BaseException as error:  # also SystemExit and KeyboardInterrupt raised by a method: they end one run
        code = training.classify(error)
        end = _end(job, code, error)
    with suppress(OSError):  # a full disk takes this record too; the exit code tells
        folder.end_attempt(attempt, end | {"seconds": time.monotonic() - started})
    return code


def _finished(job: Job, folder: RunFolder, code_now: Mapping[str, str]) -> bool:
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


def _refuse_foreign_checkpoints(folder: RunFolder, now: Mapping[str, Any], strict: bool) -> None:
    """Set checkpoints aside that other code or another kind of device has made: a result is of one kind throughout.

    With `strict` the same goes for other versions of what computes.
    """
    reason = _foreign(folder, now, strict)
    for epoch, path in folder.checkpoints() if reason else ():
        print(f"{reason}: set aside the checkpoint after epoch {epoch}", flush=True)
        folder.quarantine(path)


def _foreign(folder: RunFolder, now: Mapping[str, Any], strict: bool) -> str:
    """Why the checkpoints of a run are not to be gone on from; "" if they are."""
    kind = ("code", "method_code", "device_kind")
    before = [start for start, _ in folder.attempts() if "code" in start]
    # it suffices to ask the last attempt that got as far as naming its code, since each has asked the one before
    if not before or any(before[-1].get(name) != now[name] for name in kind):
        return "code or device have changed"
    for start in reversed(before) if strict else ():  # those before may have gone on from another version's state
        if any(start.get(name) != now[name] for name in kind):  # whose checkpoints the next one has set aside
            break
        for name in VERSIONS:
            if start.get(name) != now.get(name):
                return f"made under {name} {start.get(name)}, and this is {now.get(name)}"
        if start.get("from_epoch") == 0:  # it began anew
            break
    return ""


def _train(
    job: Job,
    folder: RunFolder,
    training: Training[S],
    should_stop: Callable[[], bool],
    started: float,
    code_now: Mapping[str, str],
) -> None:
    tables, heart = SampleFiles(folder.path), Heartbeat(folder.path)
    training.prepare()
    begun = _resume(folder, training)
    heart.finished(begun)
    if begun == 0:
        for path in tables.files():  # of an attempt that left no state: other code may have made them
            folder.quarantine(path)
    saver = Saver(folder, job.checkpoint_seconds, training)

    def save(state: S) -> None:
        saver.save(state)
        heart.finished(state.epoch)

    try:
        found = training.run(save, heart.during(should_stop))
    except BaseException:  # a stop above all: what has been trained is kept
        with suppress(Exception):  # the first error is the one to report, and after it a GPU may give nothing back
            saver.flush()
        raise
    digest = folder.save_predictions(found.predictions)
    provenance = {
        "seconds": time.monotonic() - started,
        "epochs_this_attempt": len(found.payload["history"]) - begun,
        "attempts": [published(start) for start, _ in folder.attempts()],
        "samples_sha256": tables.digests(),
    }
    folder.commit(found.payload | {"predictions_sha256": digest, **code_now}, found.provenance | provenance)
    folder.drop_checkpoints()


def _resume(folder: RunFolder, training: Training[S]) -> int:
    """Go on from the newest state that can be read, and return how many epochs it has seen; 0 without one.

    A file that holds no state of this run is set aside for an older one.
    """
    while (saved := folder.load_checkpoint()) is not None:
        epoch, data = saved
        try:
            state = training.read(data)
            if state.epoch != epoch:
                raise ValueError(f"it holds the state after epoch {state.epoch}")
        except ValueError as error:
            print(f"unreadable checkpoint after epoch {epoch}: {error}", flush=True)
            for _, path in folder.checkpoints()[:1]:
                folder.quarantine(path)
            continue
        training.restore(state)
        print(f"resumed after epoch {epoch}", flush=True)
        return epoch
    return 0


def _end(job: Job, code: Exit, error: BaseException) -> dict[str, Any]:
    """The end record of an attempt that an error has ended, which is told in the log too."""
    end: dict[str, Any] = {"class": CLASSES[code], "final": job.final.get(CLASSES[code], True)}
    end["message"] = _one_line(error)
    if code in (Exit.INTERRUPTED, Exit.IO, Exit.UNCAPTURED):  # nothing is wrong with the run
        end["final"] = False
    if code is not Exit.INTERRUPTED:
        end["traceback"] = traceback.format_exc()
    if code is Exit.UNCAPTURED:
        print(f"capture failed, to be run without: {end['message']}", flush=True)
    elif code is not Exit.INTERRUPTED:
        traceback.print_exc()
    return end


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
