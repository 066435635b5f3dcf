"""Where a sweep stands, for a person: a live display on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from bench.sweep.devices import Slot
from bench.sweep.executor import Outcome
from bench.sweep.grid import Planned
from bench.sweep.store import State, Store

REFRESH_SECONDS = 0.5
HEARTBEAT_SECONDS = 60.0  # between lines about runs that are still going, where there is no terminal


class Progress:
    """Hears from the executor; use as a context manager around it.

    The time left is the mean time per unit of cost so far times the cost that is left; a unit is one epoch of one
    network, and epochs of unfinished runs count.
    """

    def __init__(self, store: Store, runs: Sequence[Planned], done_before: int, stream: TextIO | None = None) -> None:
        self.store, self.runs, self.before = store, runs, done_before
        self.running: dict[str, tuple[Planned, Slot]] = {}
        self.outcomes: list[Outcome] = []
        self.began = time.monotonic()
        self.console = Console(file=stream or sys.stderr)
        self.lock = threading.Lock()
        self.finished = threading.Event()
        self.first = {run.run_id: store.run(run.run_id).epochs_done() for run in runs}  # a resumed run starts there

    def __enter__(self) -> Progress:
        self.live = Live(get_renderable=self.display, console=self.console, auto_refresh=False, transient=True)
        if self.console.is_terminal:
            self.live.start()
        self.thread = threading.Thread(target=self._tick, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finished.set()
        self.thread.join()
        if self.console.is_terminal:
            self.live.stop()
        self._say(self.summary())

    def started(self, run: Planned, slot: Slot) -> None:
        with self.lock:
            self.running[run.run_id] = (run, slot)

    def requeued(self, run: Planned) -> None:
        with self.lock:
            self.running.pop(run.run_id, None)

    def ended(self, run: Planned, outcome: Outcome) -> None:
        with self.lock:
            self.running.pop(run.run_id, None)
            self.outcomes.append(outcome)
        failed = outcome.state in (State.FAILED, State.CORRUPT)
        if failed or not self.console.is_terminal:
            number = f"[{self.before + len(self.outcomes)}/{self.before + len(self.runs)}]"
            text = f"{number} {outcome.state.lower()} {label(run)} in {clock(outcome.seconds)}"
            self._say(f"{text}: {outcome.message}" if failed else f"{text}, {clock(self.left())} left")

    def _tick(self) -> None:
        spoken = time.monotonic()
        while not self.finished.wait(REFRESH_SECONDS):
            if self.console.is_terminal:
                self.live.refresh()
            elif time.monotonic() - spoken >= HEARTBEAT_SECONDS:
                spoken = time.monotonic()
                self._say(self.display().plain)

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def done_cost(self) -> tuple[float, float]:
        """Units done in this launch, and units that are left."""
        with self.lock:
            ended, running = {o.run_id for o in self.outcomes}, set(self.running)
        done = total = 0.0
        for run in self.runs:
            epochs = run.config.train.epochs - self.first[run.run_id]
            total += epochs * run.networks
            if run.run_id in ended:
                done += epochs * run.networks
            elif run.run_id in running:
                done += (self.store.run(run.run_id).epochs_done() - self.first[run.run_id]) * run.networks
        return max(done, 0.0), max(total - done, 0.0)

    def left(self) -> float | None:
        """Seconds that are left, None while nothing tells."""
        done, left = self.done_cost()
        return (time.monotonic() - self.began) / done * left if done else None

    def counts(self) -> dict[str, int]:
        """Runs by what has become of them."""
        with self.lock:
            states = [outcome.state for outcome in self.outcomes]
            running = len(self.running)
        failed = sum(state in (State.FAILED, State.CORRUPT) for state in states)
        done = self.before + sum(state in (State.DONE, State.DIVERGED) for state in states)
        waiting = self.before + len(self.runs) - done - failed - running
        return {"done": done, "running": running, "failed": failed, "waiting": waiting}

    def display(self) -> Text:
        """One line of numbers, one of what is running."""
        counts = self.counts()
        total = self.before + len(self.runs)
        filled = round(30 * (counts["done"] + counts["failed"]) / max(1, total))
        text = Text(f"{'━' * filled}{'╌' * (30 - filled)} {counts['done']}/{total} done", style="bold")
        text.append(
            f", {counts['running']} running, {counts['failed']} failed, {clock(self.left())} left", style="not bold"
        )
        with self.lock:
            now = list(self.running.values())
        for run, slot in now[:16]:
            epoch = self.store.run(run.run_id).epochs_done()
            text.append(f"\n  {slot.name}  {label(run)}  epoch {epoch}/{run.config.train.epochs}", style="dim not bold")
        return text

    def summary(self) -> str:
        """The last line: what was done, and in what time."""
        counts = self.counts()
        diverged = sum(outcome.state is State.DIVERGED for outcome in self.outcomes)
        text = f"{counts['done']} runs done, {counts['failed']} failed, {counts['waiting']} not finished"
        text += f", {diverged} of those done DIVERGED (NaN or infinite)" if diverged else ""
        return f"{text}; {len(self.outcomes)} worked on in {clock(time.monotonic() - self.began)}"


def label(run: Planned) -> str:
    """A run in words."""
    return f"{run.config.method.name} on {run.config.dataset.name} {run.noise} seed {run.config.seed}"


def clock(seconds: float | None) -> str:
    """Seconds as 4.2 s, 1:05 or 2:03:00; "?" for None."""
    if seconds is None:
        return "?"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
