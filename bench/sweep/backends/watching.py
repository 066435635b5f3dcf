"""The driver's side of a sweep on a cluster, whatever its engine: place runs, watch their folders, place again.

Whether a run is done its folder says, and nothing else is believed. Whatever ends a task, a lost node above all, the
run goes on elsewhere from its last checkpoint.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from bench.devices import Slot
from bench.files import publish
from bench.sweep.backends.engine import ClusterLost, Engine, Told
from bench.sweep.backends.placed import STOP, Request, pack
from bench.sweep.planning.grid import Planned
from bench.sweep.records.store import FINISHED, RunFolder, State
from bench.sweep.supervision.attempts import Outcome
from bench.sweep.supervision.breaker import Trial
from bench.sweep.supervision.executor import Reporter
from bench.sweep.supervision.interruption import stopped_by_signals
from bench.sweep.supervision.sweep import Sweep

LOOK_SECONDS = 1.0  # between two looks at the folders
ROOM_SECONDS = 5.0  # between two looks at how much the cluster holds, and at runs that another launcher holds
PAUSE_SECONDS = 2.0  # before a run is placed again, times the fruitless rounds that it has had
FRUITLESS = 3  # rounds without one more epoch after which a run counts as failed
EMPTY_SECONDS = 300.0  # without a node that could take a run, after which the sweep ends
QUIET_SECONDS = 60.0  # without any run that has begun, after which a line says what is waited for
STOP_SECONDS = 60.0  # for workers to end their runs in order
CANCEL_SECONDS = 10.0  # for the engine to end its tasks by force
ARRIVAL_SECONDS = 60.0  # for what a worker has written to be seen here: file systems on a network take their time
LINGER_SECONDS = 3.0  # for workers that may yet live to see the stop file
ENDED = (*FINISHED, State.FAILED)


@dataclass(frozen=True)
class Place(Slot):
    """Where a run computes, in words."""

    words: str = "the cluster"

    @property
    def name(self) -> str:
        return self.words


CLUSTER = Place(None, 0)


@dataclass
class _Flight:
    """A run under way."""

    run: Planned
    folder: RunFolder
    epochs: int  # that it had when it was placed
    begun: int  # attempts of this launch at it when it was placed
    seen: bool = False  # to have begun
    landed: float = 0.0  # when its task ended


class Watch:
    """Sees the runs of a driver's `sweep` through on an engine, at most so many at a time."""

    def __init__(self, sweep: Sweep, request: Request, engine: Engine, reporter: Reporter, most: int | None) -> None:
        """`request` is that of any run, without the run."""
        self._sweep, self._request, self._engine, self._reporter, self._most = sweep, request, engine, reporter, most
        self._waiting: deque[Planned] = deque()
        self._later: list[tuple[float, Planned]] = []  # not before a time
        self._flying: dict[Any, _Flight] = {}
        self._arriving: list[tuple[_Flight, Told]] = []  # ended elsewhere, as somebody says, and not seen here yet
        self._outcomes: dict[str, Outcome] = {}
        self._fruitless: Counter[str] = Counter()  # rounds in a row
        self._placed: dict[str, float] = {}  # when first
        self._room, self._asked = 0, float("-inf")
        self._started = self._filled = time.monotonic()
        self._quiet = True  # nothing has begun yet
        self._stopping: float | None = None  # since when

    def execute(self, runs: Sequence[Planned]) -> list[Outcome]:
        """Do the runs; return their outcomes. Never raises for a run that fails, nor for a cluster that is lost."""
        self._waiting.extend(runs)
        self._several = len({run.config.method.name for run in runs}) > 1
        with stopped_by_signals(self._sweep):
            try:
                while self._waiting or self._flying or self._arriving or self._later:
                    if self._sweep.over():
                        if not self._end():
                            break
                    else:
                        self._place()
                    self._gather()
            except ClusterLost as error:
                self._sweep.stop("cluster", f"stopped: {error}", signal.SIGTERM)
                self._ask_to_stop()
            if self._flying:  # given up, but maybe alive
                time.sleep(LINGER_SECONDS)
                for flight in self._flying.values():
                    self._over(flight.run, Outcome(flight.run.run_id, flight.folder.state()))
        left = {run.run_id: run for run in runs if run.run_id not in self._outcomes}
        self._outcomes |= {run_id: Outcome(run_id, self._folder(run).state()) for run_id, run in left.items()}
        return [self._outcomes[run.run_id] for run in runs]

    def _folder(self, run: Planned) -> RunFolder:
        return self._sweep.store.run(run.run_id)

    def _place(self) -> None:
        """Place as many runs as there is room for, the first first."""
        now = time.monotonic()
        self._waiting.extendleft(reversed([run for since, run in self._later if since <= now]))
        self._later = [(since, run) for since, run in self._later if since > now]
        self._look_at_the_cluster(now)
        limit = self._room if self._most is None else self._most
        while self._waiting and len(self._flying) < limit and not self._sweep.over():
            run = self._waiting.popleft()
            try:
                self._place_one(run, now)
            except (OSError, ValueError) as error:  # its folder is no folder of records: it alone is lost
                self._over(run, Outcome(run.run_id, State.FAILED, "error", str(error)))

    def _look_at_the_cluster(self, now: float) -> None:
        if now - self._asked < ROOM_SECONDS:
            return
        self._room, self._asked = self._engine.room(), now
        if self._room:
            self._filled = now
        elif now - self._filled > EMPTY_SECONDS:
            text = f"stopped: for {EMPTY_SECONDS:.0f} s the cluster has had no node with room for a run"
            self._sweep.stop("cluster", text, signal.SIGTERM)
        if self._quiet and self._flying and now - self._started > QUIET_SECONDS:
            self._quiet = False
            print(f"no run has begun yet: the cluster is busy, and each needs {self._engine.need}", file=sys.stderr)

    def _place_one(self, run: Planned, now: float) -> None:
        folder, again = self._folder(run), run.run_id in self._sweep.rerun
        state = folder.state(quick=True)
        if state in FINISHED and not again:  # by another launcher, since
            self._over(run, Outcome(run.run_id, state))
            return
        if folder.locked():  # by another launcher, or a worker that is given up but lives
            self._later.append((now + ROOM_SECONDS, run))
            return
        if run.run_id in self._placed:  # what this launch has left open there is dead
            with suppress(OSError):
                lost = {"class": "killed", "final": False, "message": "its worker was lost"}
                folder.close_attempts(lost, self._sweep.launch)
        self._placed.setdefault(run.run_id, now)
        request = replace(self._request, run=pack(run), rerun=again)
        flight = _Flight(run, folder, folder.epochs_done(), len(self._attempts(folder)))
        self._flying[self._engine.submit(request.to_json())] = flight

    def _attempts(self, folder: RunFolder) -> list[dict[str, Any]]:
        """This launch's attempts at a run."""
        return [start for start, _ in folder.attempts() if start.get("launch") == self._sweep.launch]

    def _gather(self) -> None:
        """Wait a little for tasks to end, and see which runs have begun."""
        arriving, self._arriving = self._arriving, []
        for flight, told in arriving:
            self._landed(flight, told)
        if not self._flying:
            time.sleep(min(LOOK_SECONDS, PAUSE_SECONDS))
            return
        self._land()
        for flight in self._flying.values():
            with suppress(OSError):  # at the next look
                mine = [] if flight.seen else self._attempts(flight.folder)
                if len(mine) > flight.begun:
                    flight.seen, self._quiet = True, False
                    where = f"{mine[-1].get('host', '?')} {mine[-1].get('slot', '')}"
                    self._reporter.started(flight.run, Place(None, 0, where.strip()))

    def _land(self) -> None:
        for ticket, told in self._engine.ended(LOOK_SECONDS):
            if (flight := self._flying.pop(ticket, None)) is not None:
                flight.landed = time.monotonic()
                self._landed(flight, told)

    def _landed(self, flight: _Flight, told: Told) -> None:
        """Judge a run whose task has ended, by its folder."""
        run, folder = flight.run, flight.folder
        try:
            state, begun = folder.state(), len(self._attempts(folder)) > flight.begun
            if told.state in ENDED and state not in ENDED and time.monotonic() - flight.landed < ARRIVAL_SECONDS:
                self._arriving.append((flight, told))
                return
            # a result that was to be made again may still be the old one, if nobody came as far as setting it aside
            made = begun or bool(told.state) or run.run_id not in self._sweep.rerun
            if state in FINISHED and made:
                self._over(run, Outcome(run.run_id, state))
            elif (state is State.FAILED and begun) or told.state == State.FAILED:
                end = (folder.last_failure() if begun else None) or {"class": "error", "message": told.message}
                where = f" (on {told.host})" if told.host else ""
                self._over(run, Outcome(run.run_id, State.FAILED, str(end["class"]), f"{end.get('message')}{where}"))
            elif told.reason == "storage":
                self._sweep.stop("storage", told.message, signal.SIGTERM)
                self._over(run, Outcome(run.run_id, state))
            elif self._sweep.over():
                self._over(run, Outcome(run.run_id, state))
            else:
                self._again(flight, told.refused or told.message or "its task ended without a result")
        except (OSError, ValueError) as error:
            self._over(run, Outcome(run.run_id, State.FAILED, "error", str(error)))

    def _again(self, flight: _Flight, message: str) -> None:
        """Have a run placed once more, unless that has been to no effect too often."""
        run, folder = flight.run, flight.folder
        self._fruitless[run.run_id] += 1
        if folder.epochs_done() > flight.epochs:
            self._fruitless[run.run_id] = 0
        rounds = self._fruitless[run.run_id]
        if rounds < FRUITLESS:
            print(f"{run.run_id} is placed again: {message}", file=sys.stderr)
            self._reporter.requeued(run)
            self._later.append((time.monotonic() + PAUSE_SECONDS * rounds, run))
            return
        text = f"placed {rounds} times without one epoch more: {message}"
        with suppress(OSError):  # where nothing can be written, the outcome alone tells
            if not folder.locked():
                folder.close_attempts({"class": "killed", "final": True, "message": text}, self._sweep.launch)
        self._over(run, Outcome(run.run_id, State.FAILED, "killed", text))

    def _over(self, run: Planned, outcome: Outcome) -> None:
        """What a run has come to in this launch."""
        seconds = time.monotonic() - self._placed.get(run.run_id, time.monotonic())
        outcome = self._outcomes[run.run_id] = replace(outcome, seconds=seconds)
        trial = Trial(run.run_id, run.config.method.name, run.noise)
        breaker = self._sweep.breaker
        if outcome.state is State.FAILED:
            self._sweep.heed(breaker.failed(trial, CLUSTER.name, outcome.failure, self._several))
        elif outcome.state in FINISHED:
            self._sweep.heed(breaker.done(trial, CLUSTER.name, self._several))
        self._reporter.ended(run, outcome)

    def _ask_to_stop(self) -> None:
        with suppress(OSError):  # a results folder out of reach: the engine ends the tasks
            publish(self._request.folder / STOP, b"", replace=True)

    def _end(self) -> bool:
        """Let the workers end what runs, in order or by force; return whether there is still something to wait for."""
        now = time.monotonic()
        if self._stopping is None:
            self._stopping = now
            self._ask_to_stop()
        if not self._flying:
            return bool(self._arriving)
        if self._sweep.signals < 2 and now - self._stopping < STOP_SECONDS:
            return True
        self._engine.cancel(self._sweep.launch)
        while self._flying and time.monotonic() - now < CANCEL_SECONDS:
            self._land()
        return False
