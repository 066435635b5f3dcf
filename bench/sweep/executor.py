"""Many runs: each is a process of its own on a leased slot, supervised by a joblib thread, so a crash costs one run.

What a process returns is its exit code; whether a run is done, its folder says. Interrupted is not failed.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from joblib import Parallel, delayed

from bench.files import canonical, publish, remove
from bench.sweep.devices import Gpu, Leases, Slot, shown
from bench.sweep.forkserver import Child, ForkServer, spawn_exec
from bench.sweep.grid import Planned
from bench.sweep.interruption import stopped_by_signals
from bench.sweep.job import CLASSES, RESOURCES, SHARE, STORAGE_ERRORS, Exit, Job
from bench.sweep.packing import Packing
from bench.sweep.store import RunFolder, State, Store

RETRIES = {"killed": 2, "oom": 1, "io": 0, "error": 0}  # further attempts in one launch, from the checkpoint
# what every run imports sooner or later; torch.optim imports the compiler's package on first use, which takes a second
PRELOADED = ("torch", "torch._dynamo", "numpy")
BREAKER = 3  # quick failures in a row that stop the sweep: a dead device must not eat the queue
BREAKER_SECONDS = 60.0
LOOK_SECONDS = 1.0  # between two looks at what a run has told of its memory
BUSY_SECONDS = 1.0  # between two looks at a run that another launcher holds


class Reporter(Protocol):
    """Hears how the sweep goes, from any thread."""

    def started(self, run: Planned, slot: Slot) -> None: ...

    def requeued(self, run: Planned) -> None: ...

    def ended(self, run: Planned, outcome: Outcome) -> None: ...


class Again(Enum):
    """Why a run is to be tried again in this launch."""

    LATER = "another launcher holds it"
    ALONE = "it ran out of memory beside others"


@dataclass(frozen=True)
class Outcome:
    """How a run stands after this launch."""

    run_id: str
    state: State
    failure: str = ""  # class of the failure, if it failed
    message: str = ""
    seconds: float = 0.0


@dataclass
class Sweep:
    """What the supervising threads share."""

    store: Store
    slots: list[Slot]
    data_dir: Path | None
    start: str  # "fork" or "exec"
    notes: dict[str, Any] = field(default_factory=dict)
    launch: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    rerun: frozenset[str] = frozenset()  # run_ids to train again although other code has finished them
    per_sample: str | None = None  # which epochs get a table of the training samples: "last", "every" or none
    capture: str = "off"  # whether steps are recorded and replayed, as a Job has it
    checkpoint_seconds: float = 0.0  # between two checkpoints of a run at least, as a Job has it
    environment: dict[str, str] = field(default_factory=dict)  # of the runs, beside what the supervisor has itself
    shares: dict[str, int] = field(default_factory=dict)  # device -> runs at a time, once their memory is known to fit
    gpus: dict[str, Gpu] = field(default_factory=dict)  # device -> what was free of it before the first run
    reason: str = ""  # "signal", "storage" or "breaker" where nothing new is started
    halted: str = ""  # why nothing new is started; empty: go on
    children: set[Child] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    crowded: set[str] = field(default_factory=set)  # runs that ran out of memory beside others
    uncaptured: set[str] = field(default_factory=set)  # runs that have failed once: their steps are not captured
    signals: int = 0
    signal_number: int = 0  # the first that came
    recent: deque[tuple[str, str, float]] = field(default_factory=lambda: deque(maxlen=BREAKER))

    def __post_init__(self) -> None:
        self.leases = Leases(self.slots, dict.fromkeys(self.shares, 1))
        self.packing = Packing(self.leases, self.shares, self.gpus) if self.shares else None
        self.server = ForkServer(preload=PRELOADED) if self.start == "fork" else None

    def spawn(self, job: Job, folder: RunFolder, slot: Slot, threads: int) -> Child:
        environment = {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "OPENBLAS_NUM_THREADS": str(threads),
            **shown(slot.gpu),
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
            "PYTHONFAULTHANDLER": "1",
            "PYTHONHASHSEED": "0",
            **self.environment,
        }
        log = folder.path / "log.txt"
        if self.server is not None:
            return self.server.spawn(job.to_argv(), environment, log)
        return spawn_exec(job.to_argv(), environment, log)

    def stop(self, reason: str, text: str, number: int) -> None:
        """Start nothing new and send the children a signal; the first reason stands."""
        self.reason, self.halted = self.reason or reason, self.halted or text
        with self.lock:
            children = list(self.children)
        for child in children:
            child.send_signal(number)

    def over(self) -> bool:
        """Whether nothing new is to be started."""
        return bool(self.halted)

    def note_failure(self, run: Planned, failure: str, several_methods: bool) -> None:
        """Stop the sweep if everything fails at once; one broken method alone does not."""
        with self.lock:
            self.recent.append((failure, run.config.method.name, time.monotonic()))
            full = len(self.recent) == BREAKER
            classes, methods = {entry[0] for entry in self.recent}, {entry[1] for entry in self.recent}
            quick = full and self.recent[-1][2] - self.recent[0][2] <= BREAKER_SECONDS
            trip = quick and len(classes) == 1 and (len(methods) > 1 or not several_methods)
        if trip:
            text = f"stopped: {BREAKER} runs in a row failed within {BREAKER_SECONDS:.0f} s ({failure})"
            self.stop("breaker", text, signal.SIGTERM)


def execute(sweep: Sweep, runs: Sequence[Planned], reporter: Reporter) -> list[Outcome]:
    """Do the runs; return their outcomes. Never raises for a run that fails, however it does."""
    outcomes: dict[str, Outcome] = {}
    several = len({run.config.method.name for run in runs}) > 1
    todo, jobs = list(runs), len(sweep.slots)
    crowded: list[Planned] = []  # out of memory beside others: last, with nothing beside them
    with stopped_by_signals(sweep):
        try:
            while todo:
                parallel = Parallel(
                    n_jobs=jobs, backend="threading", return_as="generator_unordered", batch_size=1, pre_dispatch=jobs
                )
                later: list[Planned] = []
                for run, outcome in parallel(
                    delayed(supervise)(sweep, run, reporter, several, jobs == 1) for run in todo
                ):
                    if isinstance(outcome, Outcome):
                        outcomes[run.run_id] = outcome
                    elif outcome is Again.LATER:
                        later.append(run)
                    else:
                        crowded.append(run)
                if later and len(later) == len(todo):  # nothing else to do meanwhile
                    time.sleep(BUSY_SECONDS)
                todo, crowded, jobs = (later, crowded, jobs) if later else (crowded, [], 1)
        finally:  # still under our handlers: a further Ctrl-C must not break the clean-up
            if sweep.server is not None:
                sweep.server.close()
    return [outcomes[run.run_id] for run in runs]


def supervise(
    sweep: Sweep, run: Planned, reporter: Reporter, several: bool, alone: bool
) -> tuple[Planned, Outcome | Again]:
    """Take one run to its end on a leased slot, or ask for another try."""
    folder = sweep.store.run(run.run_id)
    if sweep.over():
        return run, Outcome(run.run_id, folder.state())
    if folder.locked():
        return run, Again.LATER
    with sweep.leases.lease() as slot:
        if sweep.over():  # since it waited
            return run, Outcome(run.run_id, folder.state())
        reporter.started(run, slot)
        started = time.monotonic()
        try:
            outcome = _attempts(sweep, run, slot, alone)
        except (OSError, ValueError, RuntimeError) as error:  # its folder is no folder of records: it alone is lost
            outcome = Outcome(run.run_id, State.FAILED, _refusal(error), str(error))
        if isinstance(outcome, Again):
            reporter.requeued(run)
            return run, outcome
        if outcome.state is State.FAILED:
            sweep.note_failure(run, outcome.failure, several)
        elif outcome.state in (State.DONE, State.DIVERGED):
            with sweep.lock:
                sweep.recent.clear()
        outcome = Outcome(run.run_id, outcome.state, outcome.failure, outcome.message, time.monotonic() - started)
        reporter.ended(run, outcome)
        return run, outcome


def _attempts(sweep: Sweep, run: Planned, slot: Slot, alone: bool) -> Outcome | Again:
    folder, failures = sweep.store.run(run.run_id), Counter(oom=int(run.run_id in sweep.crowded))
    while True:
        begun = _begun(sweep, folder)
        try:
            code = _once(sweep, run, slot, folder, failures)
            silent = _begun(sweep, folder) == begun  # it ended before it could say that it began
            failure, message = _failure(code)
            if silent:
                message = f"{message} before it began: {_last_line(folder.path / 'log.txt')}"
        except (OSError, RuntimeError) as error:  # no process came to be: a bad run folder, a lost fork server
            code, silent, failure, message = Exit.ERROR, True, _refusal(error), str(error)
        state = folder.state()
        if state in (State.DONE, State.DIVERGED):
            return Outcome(run.run_id, state)
        if code == Exit.BUSY and silent:
            return Again.LATER  # another launcher trains it; it will be done, or ours
        if code == Exit.INTERRUPTED or (sweep.halted and (code < 0 or code == Exit.UNCAPTURED)):
            return Outcome(run.run_id, State.INTERRUPTED)
        without = run.run_id in sweep.uncaptured
        sweep.uncaptured.add(run.run_id)  # whatever ended it, the next attempt runs its steps as they are written
        if code == Exit.UNCAPTURED and not without:  # no failure of the run: on from its checkpoint
            with suppress(OSError):
                end = {"class": CLASSES[Exit.UNCAPTURED], "final": False, "message": message}
                folder.close_attempts(end, sweep.launch)
            continue
        failures[failure] += 1
        spent = failures[failure] > RETRIES[failure]
        with suppress(OSError):  # where nothing can be written, the outcome alone tells
            if silent:
                folder.start_attempt({"host": socket.gethostname(), **_notes(sweep, slot)})
            final = spent and failure != "io"  # a full disk is no fault of the run
            folder.close_attempts({"class": failure, "final": final, "message": message}, sweep.launch)
            message = str((folder.last_failure() or {}).get("message", message))
        if failure == "io":
            sweep.stop("storage", f"stopped: {message}", signal.SIGTERM)
            return Outcome(run.run_id, State.INTERRUPTED)
        if failure == "oom" and not alone:
            sweep.crowded.add(run.run_id)
            _shrink(sweep, slot)
            return Again.ALONE
        if spent or sweep.halted:
            return Outcome(run.run_id, State.FAILED if spent else folder.state(), failure, message)


def _once(sweep: Sweep, run: Planned, slot: Slot, folder: RunFolder, failures: Counter[str]) -> int:
    final = {name: failures[name] >= RETRIES[name] for name in RETRIES}
    device = "cpu" if slot.gpu is None else "cuda:0"
    data_dir = str(sweep.data_dir) if sweep.data_dir else None
    rerun, notes = run.run_id in sweep.rerun, _notes(sweep, slot)
    config, root = run.config.to_dict(), str(sweep.store.root)
    capture = "off" if run.run_id in sweep.uncaptured else sweep.capture
    how: dict[str, Any] = {"per_sample": sweep.per_sample, "capture": capture}
    how["checkpoint_seconds"] = sweep.checkpoint_seconds
    job = Job(config, run.spec, root, data_dir, device, final, notes, rerun, **how)
    folder.path.mkdir(parents=True, exist_ok=True)
    for name in (RESOURCES, SHARE):  # of an earlier attempt
        remove(folder.path / name)
    used, started = sweep.leases.used(slot), time.monotonic()
    child = sweep.spawn(job, folder, slot, run.config.train.threads)
    with sweep.lock:
        sweep.children.add(child)
    if sweep.halted:  # the signal came between the look and the start
        child.send_signal(signal.SIGTERM)
    try:
        return _watched(sweep, child, slot, folder)
    finally:
        with sweep.lock:
            sweep.children.discard(child)
        if slot.gpu is not None:
            share = (sweep.leases.used(slot) - used) / (time.monotonic() - started)
            with suppress(OSError):  # a price is the worse for it, and no number
                publish(folder.path / SHARE, canonical({"share": min(1.0, share)}), replace=True)


def _watched(sweep: Sweep, child: Child, slot: Slot, folder: RunFolder) -> int:
    """Wait for a child, and look meanwhile for what it takes of its GPU: more or fewer may then run beside it."""
    while sweep.packing is not None:
        sweep.packing.look(slot, folder.path)
        with suppress(TimeoutError):
            return child.wait(LOOK_SECONDS)
    return child.wait()


def _shrink(sweep: Sweep, slot: Slot) -> None:
    """Let one run less share a GPU on which memory was short."""
    if slot.gpu is not None and sweep.leases.held(slot.name) > 1:
        number = sweep.leases.lower(slot.name)
        print(f"{slot.name} was out of memory: {number} at a time from here on", file=sys.stderr)


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
