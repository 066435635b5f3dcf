"""Many runs: each is a process of its own on a leased slot, supervised by a joblib thread, so a crash costs one run.

What a process returns is its exit code; whether a run is done, its folder says. Interrupted is not failed.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from joblib import Parallel, delayed

from bench.sweep.devices import Gpu, Slot, shown
from bench.sweep.job import STORAGE_ERRORS, Job
from bench.sweep.planning.grid import Planned
from bench.sweep.records.store import FINISHED, RunFolder, State, Store
from bench.sweep.run.forkserver import Child, ForkServer, spawn_exec
from bench.sweep.supervision import attempts
from bench.sweep.supervision.attempts import Again, Outcome
from bench.sweep.supervision.breaker import Breaker, Trial, Verdict
from bench.sweep.supervision.claims import Claims
from bench.sweep.supervision.interruption import stopped_by_file, stopped_by_signals
from bench.sweep.supervision.leases import Leases
from bench.sweep.supervision.packing import Packing
from bench.sweep.supervision.storage import Storage

# what every run imports sooner or later; torch.optim imports the compiler's package on first use, which takes a second
PRELOADED = ("torch", "torch._dynamo", "numpy")
BUSY_SECONDS = 1.0  # between two looks at a run that another launcher holds


class Reporter(Protocol):
    """Hears how the sweep goes, from any thread."""

    def started(self, run: Planned, slot: Slot) -> None: ...

    def requeued(self, run: Planned) -> None: ...

    def ended(self, run: Planned, outcome: Outcome) -> None: ...


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
    strict_env: bool = False  # as a Job has it
    tensorboard: bool = False  # as a Job has it
    run_limit: float | None = None  # seconds of one attempt at most
    stall_limit: float | None = None  # seconds without a finished epoch at most; None: by what epochs take
    storage_wait: float = 3600.0  # seconds that a full disk is waited for
    stop_file: Path | None = None  # asks for an end when it appears: how a sweep elsewhere hears of a signal
    environment: dict[str, str] = field(default_factory=dict)  # of the runs, beside what the supervisor has itself
    shares: dict[str, int] = field(default_factory=dict)  # device -> runs at a time, once their memory is known to fit
    gpus: dict[str, Gpu] = field(default_factory=dict)  # device -> what was free of it before the first run
    claim_gpus: bool = False  # hold the slots of GPUs among all launchers of this host
    reason: str = ""  # "signal", "storage" or "breaker" where nothing new is started
    halted: str = ""  # why nothing new is started; empty: go on
    children: set[Child] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    failures: dict[str, Counter[str]] = field(default_factory=dict)  # of a run in this launch, by their class
    uncaptured: set[str] = field(default_factory=set)  # runs that have failed once: their steps are not captured
    signals: int = 0
    signal_number: int = 0  # the first that came
    killed_at: float | None = None  # when the number of runs at a time was last lowered

    def __post_init__(self) -> None:
        self.leases = Leases(self.slots, dict.fromkeys(self.shares, 1), Claims() if self.claim_gpus else None)
        self.packing = Packing(self.leases, self.shares, self.gpus) if self.shares else None
        self.server = ForkServer(preload=PRELOADED) if self.start == "fork" else None
        self.breaker = Breaker(slot.name for slot in self.slots)
        self.ended = threading.Event()  # ends whatever waits
        self.storage = Storage(self.store.root, self.storage_wait, self.ended, self._give_up)

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
        self.ended.set()
        with self.lock:
            children = list(self.children)
        for child in children:
            child.send_signal(number)

    def over(self) -> bool:
        """Whether nothing new is to be started."""
        return bool(self.halted)

    def heed(self, verdict: Verdict) -> None:
        """Do what the breaker says."""
        for device, text in verdict.retired:
            self.leases.retire(device)
            print(text, file=sys.stderr)
        if verdict.stop:
            self.stop("breaker", verdict.stop, signal.SIGTERM)

    def _give_up(self, text: str) -> None:
        self.stop("storage", text, signal.SIGTERM)


def execute(sweep: Sweep, runs: Sequence[Planned], reporter: Reporter) -> list[Outcome]:
    """Do the runs; return their outcomes. Never raises for a run that fails, however it does."""
    outcomes: dict[str, Outcome] = {}
    several = len({run.config.method.name for run in runs}) > 1
    todo, jobs = list(runs), len(sweep.slots)
    crowded: list[Planned] = []  # out of memory beside others: last, with nothing beside them
    with stopped_by_signals(sweep), stopped_by_file(sweep):
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
                    sweep.ended.wait(BUSY_SECONDS)
                later += _elsewhere(sweep, runs)
                todo, crowded, jobs = (later, crowded, jobs) if later else (crowded, [], 1)
        finally:  # still under our handlers: a further Ctrl-C must not break the clean-up
            if sweep.server is not None:
                sweep.server.close()
    return [outcomes[run.run_id] for run in runs]


def _elsewhere(sweep: Sweep, runs: Sequence[Planned]) -> list[Planned]:
    """Runs that a retired device has failed, with all their attempts before them."""
    moved = set() if sweep.over() else sweep.breaker.elsewhere()
    for run_id in moved:
        sweep.failures.pop(run_id, None)
    return [run for run in runs if run.run_id in moved]


def supervise(
    sweep: Sweep, run: Planned, reporter: Reporter, several: bool, alone: bool
) -> tuple[Planned, Outcome | Again]:
    """Take one run to its end on a leased slot, or ask for another try."""
    folder = sweep.store.run(run.run_id)
    while True:
        if sweep.over():
            return run, Outcome(run.run_id, folder.state())
        if folder.locked():
            return run, Again.LATER
        with sweep.leases.lease(sweep.over) as slot:
            if slot is None or sweep.over():  # since it waited
                return run, Outcome(run.run_id, folder.state())
            outcome = _on_slot(sweep, run, slot, reporter, several, alone)
        if outcome is not Again.FEWER:
            return run, outcome


def _on_slot(sweep: Sweep, run: Planned, slot: Slot, reporter: Reporter, several: bool, alone: bool) -> Outcome | Again:
    reporter.started(run, slot)
    started = time.monotonic()
    try:
        outcome = attempts.make(sweep, run, slot, alone)
    except (OSError, ValueError, RuntimeError) as error:  # its folder is no folder of records: it alone is lost
        failure = "io" if isinstance(error, OSError) and error.errno in STORAGE_ERRORS else "error"
        outcome = Outcome(run.run_id, State.FAILED, failure, str(error))
    if isinstance(outcome, Again):
        reporter.requeued(run)
        return outcome
    trial = Trial(run.run_id, run.config.method.name, run.noise)
    if outcome.state is State.FAILED:
        sweep.heed(sweep.breaker.failed(trial, slot.name, outcome.failure, several))
    elif outcome.state in FINISHED:
        sweep.heed(sweep.breaker.done(trial, slot.name, several))
    outcome = Outcome(run.run_id, outcome.state, outcome.failure, outcome.message, time.monotonic() - started)
    reporter.ended(run, outcome)
    return outcome
