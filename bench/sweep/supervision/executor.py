"""Many runs: each is a process of its own on a leased slot, supervised by a joblib thread, so a crash costs one run.

What a process returns is its exit code; whether a run is done, its folder says. Interrupted is not failed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from joblib import Parallel, delayed

from bench.devices import Slot
from bench.sweep.job import STORAGE_ERRORS
from bench.sweep.planning.grid import Planned
from bench.sweep.records.store import FINISHED, State
from bench.sweep.supervision import attempts
from bench.sweep.supervision.attempts import Again, Outcome
from bench.sweep.supervision.breaker import Trial
from bench.sweep.supervision.interruption import stopped_by_file, stopped_by_signals
from bench.sweep.supervision.sweep import Sweep

BUSY_SECONDS = 1.0  # between two looks at a run that another launcher holds


class Reporter(Protocol):
    """Hears how the sweep goes, from any thread."""

    def started(self, run: Planned, slot: Slot) -> None: ...

    def requeued(self, run: Planned) -> None: ...

    def ended(self, run: Planned, outcome: Outcome) -> None: ...


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
