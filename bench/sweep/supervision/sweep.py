"""A sweep: what is asked of it, and what the threads that supervise its runs share."""

from __future__ import annotations

import signal
import sys
import threading
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.devices import Gpu, Slot, shown
from bench.sweep.job import Job
from bench.sweep.records.store import RunFolder, Store
from bench.sweep.run.forkserver import Child, ForkServer, spawn_exec
from bench.sweep.supervision.breaker import Breaker, Verdict
from bench.sweep.supervision.claims import Claims
from bench.sweep.supervision.leases import Leases
from bench.sweep.supervision.packing import Packing
from bench.sweep.supervision.storage import Storage

# what every run imports sooner or later; torch.optim imports the compiler's package on first use, which takes a second
PRELOADED = ("torch", "torch._dynamo", "numpy")


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
