"""The attempts at one run on a leased slot: what ended one, and whether another may help."""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from bench.devices import Slot
from bench.files import canonical, publish, remove
from bench.sweep.job import CLASSES, RESOURCES, SHARE, STORAGE_ERRORS, Exit, Job
from bench.sweep.planning.grid import Planned
from bench.sweep.records.store import FINISHED, RunFolder, State
from bench.sweep.run import heartbeat
from bench.sweep.supervision import watchdog
from bench.sweep.supervision.sweep import Sweep

# further attempts in one launch, from the checkpoint; of "io", those in a row while the storage itself works
RETRIES = {"killed": 2, "oom": 1, "timeout": 1, "io": 2, "error": 0}
STOPS = 2  # times that a run goes on after somebody else has asked its process to stop
HEARSAY_SECONDS = 2.0  # for a signal to all processes of a job to reach this one as well
LULL_SECONDS = 60.0  # in which runs that are killed count as one: a smaller number needs time to help


class Again(Enum):
    """Why a run is to be tried again in this launch."""

    LATER = "another launcher holds it"
    ALONE = "it ran out of memory beside others"
    FEWER = "it was killed, most likely for want of memory: one run less is under way from here on"


@dataclass(frozen=True)
class Outcome:
    """How a run stands after this launch."""

    run_id: str
    state: State
    failure: str = ""  # class of the failure, if it failed
    message: str = ""
    seconds: float = 0.0


@dataclass
class _End:
    """How the process of an attempt ended."""

    code: int
    silent: bool  # before it could say that it began
    failure: str
    message: str


def make(sweep: Sweep, run: Planned, slot: Slot, alone: bool) -> Outcome | Again:
    """Attempt a run until it is done, or no further attempt may help, or the sweep ends."""
    folder = sweep.store.run(run.run_id)
    failures, epochs = sweep.failures.setdefault(run.run_id, Counter()), folder.epochs_done()
    while True:
        sweep.storage.ready()
        if sweep.over():
            return Outcome(run.run_id, folder.state())
        end = _attempt(sweep, run, slot, folder, failures)
        state = folder.state()
        if state in FINISHED:
            return Outcome(run.run_id, state)
        if end.code == Exit.BUSY and end.silent:
            return Again.LATER  # another launcher trains it; it will be done, or ours
        stopped = end.code == Exit.INTERRUPTED and end.failure != "timeout"
        if stopped and not sweep.ended.wait(HEARSAY_SECONDS) and failures["stopped"] < STOPS:
            failures["stopped"] += 1
            print(f"{run.run_id} was asked to stop, not by this sweep: it goes on from its checkpoint", file=sys.stderr)
            continue
        if stopped or (sweep.halted and (end.code < 0 or end.code == Exit.UNCAPTURED)):
            return Outcome(run.run_id, State.INTERRUPTED)
        without = run.run_id in sweep.uncaptured
        sweep.uncaptured.add(run.run_id)  # whatever ended it, the next attempt runs its steps as they are written
        if end.code == Exit.UNCAPTURED and not without:  # no failure of the run: on from its checkpoint
            with suppress(OSError):
                record = {"class": CLASSES[Exit.UNCAPTURED], "final": False, "message": end.message}
                folder.close_attempts(record, sweep.launch)
            continue
        if folder.epochs_done() > epochs:  # what it could write it was able to write
            epochs, failures["io"] = folder.epochs_done(), 0
        outcome = _failed(sweep, slot, folder, failures, end, alone)
        if outcome is not None:
            return outcome


def _failed(
    sweep: Sweep, slot: Slot, folder: RunFolder, failures: Counter[str], end: _End, alone: bool
) -> Outcome | Again | None:
    """Count and record a failure; return what becomes of the run, None: another attempt here and now."""
    failures[end.failure] += 1
    spent = failures[end.failure] > RETRIES[end.failure]
    message = _record(sweep, slot, folder, end, spent)
    if end.failure == "io" and not spent:
        waited = sweep.storage.failed(max((path.stat().st_size for _, path in folder.checkpoints()), default=0))
        if waited is None:
            return Outcome(folder.run_id, State.INTERRUPTED)
        if waited:
            failures["io"] = 0
        return None
    if end.failure == "oom" and not alone:
        _shrink(sweep, slot)
        return Again.ALONE
    if spent or sweep.halted:
        return Outcome(folder.run_id, State.FAILED if spent else folder.state(), end.failure, message)
    if end.code == -signal.SIGKILL and not alone and _fewer(sweep):
        return Again.FEWER
    return None


def _record(sweep: Sweep, slot: Slot, folder: RunFolder, end: _End, spent: bool) -> str:
    """Write down how an attempt ended whose process did not; return the last word on it."""
    with suppress(OSError):  # where nothing can be written, the outcome alone tells
        if folder.path.is_dir():  # one that was removed under the run is not made again
            if end.silent:
                folder.start_attempt({"host": socket.gethostname(), **_notes(sweep, slot)})
            folder.close_attempts({"class": end.failure, "final": spent, "message": end.message}, sweep.launch)
            if end.failure != "timeout":
                return str((folder.last_failure() or {}).get("message", end.message))
    return end.message


def _attempt(sweep: Sweep, run: Planned, slot: Slot, folder: RunFolder, failures: Counter[str]) -> _End:
    begun = _begun(sweep, folder)
    try:
        code, overdue = _once(sweep, run, slot, folder, failures)
        silent = _begun(sweep, folder) == begun
    except (OSError, RuntimeError) as error:  # no process came to be: a bad run folder, a lost fork server
        return _End(Exit.ERROR, True, _refusal(error), str(error))
    failure, message = ("timeout", overdue) if overdue else _failure(code)
    if silent:
        message = f"{message} before it began: {_last_line(folder.path / 'log.txt')}"
    return _End(code, silent, failure, message)


def _once(sweep: Sweep, run: Planned, slot: Slot, folder: RunFolder, failures: Counter[str]) -> tuple[int, str]:
    """Start a process and see it through; return its code, and why it had to be ended, if it had."""
    final = {name: failures[name] >= RETRIES[name] for name in RETRIES}
    job = _job(sweep, run, slot, final)
    folder.path.mkdir(parents=True, exist_ok=True)
    heartbeat.clear(folder.path)
    for name in (RESOURCES, SHARE):  # of an earlier attempt
        remove(folder.path / name)
    used, started = sweep.leases.used(slot), time.monotonic()
    child = sweep.spawn(job, folder, slot, run.config.train.threads)
    with sweep.lock:
        sweep.children.add(child)
    if sweep.halted:  # the signal came between the look and the start
        child.send_signal(signal.SIGTERM)

    def glance() -> None:
        if sweep.packing is not None:  # more or fewer may run beside it, by what it takes of its GPU
            sweep.packing.look(slot, folder.path)

    def condemn(reason: str) -> None:
        with suppress(OSError):  # before the process can call it an interruption: the first record stands
            record = {"class": "timeout", "final": final["timeout"], "message": reason}
            folder.close_attempts(record, sweep.launch)

    try:
        limits = watchdog.Limits(sweep.run_limit, sweep.stall_limit)
        return watchdog.watch(child, folder.path, limits, glance, condemn)
    finally:
        with sweep.lock:
            sweep.children.discard(child)
        heartbeat.clear(folder.path)
        if slot.gpu is not None:
            share = (sweep.leases.used(slot) - used) / (time.monotonic() - started)
            with suppress(OSError):  # a price is the worse for it, and no number
                publish(folder.path / SHARE, canonical({"share": min(1.0, share)}), replace=True)


def _job(sweep: Sweep, run: Planned, slot: Slot, final: dict[str, bool]) -> Job:
    """What the process of an attempt is told; `final` says of each failure whether it would be the last."""
    device = "cpu" if slot.gpu is None else "cuda:0"
    data_dir = str(sweep.data_dir) if sweep.data_dir else None
    rerun, notes = run.run_id in sweep.rerun, _notes(sweep, slot)
    config, root = run.config.to_dict(), str(sweep.store.root)
    capture = "off" if run.run_id in sweep.uncaptured else sweep.capture
    how: dict[str, Any] = {"per_sample": sweep.per_sample, "capture": capture}
    how |= {name: getattr(sweep, name) for name in ("checkpoint_seconds", "strict_env", "tensorboard")}
    return Job(config, run.spec, root, data_dir, device, final, notes, rerun, **how)


def _shrink(sweep: Sweep, slot: Slot) -> None:
    """Let one run less share a GPU on which memory was short."""
    if slot.gpu is not None and sweep.leases.held(slot.name) > 1:
        number = sweep.leases.lower(slot.name)
        print(f"{slot.name} was out of memory: {number} at a time from here on", file=sys.stderr)


def _fewer(sweep: Sweep) -> bool:
    """Let one run less be under way, if there are several: the kernel kills so when the machine's memory is short."""
    with sweep.lock:
        now = time.monotonic()
        if sweep.killed_at is not None and now - sweep.killed_at < LULL_SECONDS:
            return True
        number = sweep.leases.fewer()
        if number is None:
            return False
        sweep.killed_at = now
    print(f"a run was killed, as the kernel does for want of memory: {number} at a time from here on", file=sys.stderr)
    return True


def _failure(code: int) -> tuple[str, str]:
    if code < 0:
        named = {int(number): number.name for number in signal.Signals}  # a real-time signal has no name
        return "killed", f"killed by {named.get(-code, f'signal {-code}')}"
    if code == 0:
        return "error", "the process ended with 0 but left no valid result"
    failure = CLASSES.get(code, "error")  # type: ignore[call-overload]
    return failure if failure in RETRIES else "error", f"the process ended with {code}"


def _refusal(error: Exception) -> str:
    return "io" if isinstance(error, OSError) and error.errno in STORAGE_ERRORS else "error"


def _notes(sweep: Sweep, slot: Slot) -> dict[str, Any]:
    sharing = {} if slot.gpu is None else {"sharing": sweep.leases.held(slot.name)}  # runs on this GPU, it included
    return {**sweep.notes, "launch": sweep.launch, "slot": slot.name, **sharing}


def _begun(sweep: Sweep, folder: RunFolder) -> int:
    """How often this launch has begun the run."""
    return sum(start.get("launch") == sweep.launch for start, _ in folder.attempts())


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # none was written
        lines = []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
