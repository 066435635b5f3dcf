"""Where a sweep stands, for a person: a live display on a terminal, plain lines anywhere else."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from bench.devices import Slot
from bench.printable import printable
from bench.sweep.planning.grid import Planned
from bench.sweep.records.store import State, Store
from bench.sweep.run.gauges import Gauges
from bench.sweep.run.heartbeat import epochs_of
from bench.sweep.supervision.attempts import Outcome

REFRESH_SECONDS = 0.5
HEARTBEAT_SECONDS = 60.0  # between lines about runs that are still going, where there is no terminal
LOOKS = 64  # run folders looked at in one refresh: on a network file system each may take a millisecond
DEVICES = 6  # lines about devices at most
RUNS = 12  # lines about runs at most
BAR = 30


@dataclass
class Going:
    """A run that is going on."""

    run: Planned
    slot: Slot
    since: float
    first: int  # epochs done before
    epochs: int  # epochs done when it was last looked at

    def left(self, now: float) -> float:
        """Seconds until it ends if each epoch takes what those so far have taken; the first, at least this long."""
        each = (now - self.since) / max(1, self.epochs - self.first)
        return each * (self.run.config.train.epochs - self.epochs)


class Progress:
    """Hears from the executor; use as a context manager around it.

    The time left is the mean time per unit of cost so far times the cost that is left; a unit is one epoch of one
    network, and epochs of unfinished runs count. It is no less than the slowest of the running ones still takes.
    """

    def __init__(self, store: Store, runs: Sequence[Planned], done_before: int, stream: TextIO | None = None) -> None:
        self.store, self.runs, self.before = store, runs, done_before
        self.running: dict[str, Going] = {}
        self.states: Counter[State] = Counter()  # of the runs that have ended
        self.over: dict[str, tuple[State, float]] = {}  # of each: how, and the units that it is counted with
        self.began = time.monotonic()
        self.console = Console(file=stream or sys.stderr)
        self.lock = threading.Lock()
        self.finished = threading.Event()
        self.gauges = Gauges()
        self.first = {run.run_id: store.run(run.run_id).epochs_done() for run in runs}  # a resumed run starts there
        self.total = sum(self._cost(run) for run in runs)
        self.ended_cost = 0.0

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
        self.gauges.stop()
        if self.console.is_terminal:
            self.live.stop()
        self._say(self.summary())

    def started(self, run: Planned, slot: Slot) -> None:
        first = self.first[run.run_id]
        with self.lock:
            self.running[run.run_id] = Going(run, slot, time.monotonic(), first, first)

    def requeued(self, run: Planned) -> None:
        with self.lock:
            self.running.pop(run.run_id, None)

    def ended(self, run: Planned, outcome: Outcome) -> None:
        with self.lock:
            going = self.running.pop(run.run_id, None)
            cost = done = self._cost(run)
            if run.run_id in self.over:  # it went again, on a device that works: the last outcome counts
                before, counted = self.over[run.run_id]
                self.states[before] -= 1
                self.ended_cost -= counted
                self.total += cost - counted
            self.states[outcome.state] += 1
            if outcome.state is not State.DONE:  # the epochs that nobody will train are neither done nor left
                done = float((going.epochs - going.first) * run.networks) if going else 0.0
            self.over[run.run_id] = outcome.state, done
            self.ended_cost += done
            self.total -= cost - done
            number = self.before + self.states.total()
        failed = outcome.state in (State.FAILED, State.CORRUPT)
        if failed or not self.console.is_terminal:
            text = f"[{number}/{self.before + len(self.runs)}] {outcome.state.lower()} {label(run)} in "
            text += clock(outcome.seconds)
            # cut where a terminal ends: `run` says it all at its own end, with the traceback
            self._say(f"{text}: {_one_line(outcome.message)}" if failed else f"{text}, {clock(self.left())} left", True)

    def _cost(self, run: Planned) -> float:
        return float((run.config.train.epochs - self.first[run.run_id]) * run.networks)

    def _tick(self) -> None:
        spoken = time.monotonic()
        while not self.finished.wait(REFRESH_SECONDS):
            self.look()
            if self.console.is_terminal:
                self.live.refresh()
            elif time.monotonic() - spoken >= HEARTBEAT_SECONDS:
                spoken = time.monotonic()
                self._say(self.display().plain)

    def _say(self, text: str, cut: bool = False) -> None:
        if cut and self.console.is_terminal:
            self.console.print(text, highlight=False, markup=False, no_wrap=True, overflow="ellipsis")
        else:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def look(self) -> None:
        """See how far some of the running runs are: those that were looked at longest ago."""
        with self.lock:
            some = list(self.running.items())[:LOOKS]
        for run_id, going in some:
            going.epochs = max(going.epochs, epochs_of(self.store.run(run_id)))
        with self.lock:
            for run_id, going in some:
                if self.running.get(run_id) is going:  # to the end of the line
                    self.running[run_id] = self.running.pop(run_id)

    def done_cost(self) -> tuple[float, float]:
        """Units done in this launch, and units that are left."""
        with self.lock:
            done = self.ended_cost
            done += sum((going.epochs - going.first) * going.run.networks for going in self.running.values())
        return max(done, 0.0), max(self.total - done, 0.0)

    def left(self) -> float | None:
        """Seconds that are left, None while nothing tells."""
        done, left = self.done_cost()
        if not done:
            return None
        now = time.monotonic()
        with self.lock:
            slowest = max((going.left(now) for going in self.running.values()), default=0.0)
        return max((now - self.began) / done * left, slowest)

    def counts(self) -> dict[str, int]:
        """Runs by what has become of them; those that diverged are among those done."""
        with self.lock:
            states, running = self.states.copy(), len(self.running)
        failed = states[State.FAILED] + states[State.CORRUPT]
        done = self.before + states[State.DONE] + states[State.DIVERGED]
        waiting = self.before + len(self.runs) - done - failed - running
        counts = {"done": done, "running": running, "waiting": waiting, "failed": failed}
        return counts | {"diverged": states[State.DIVERGED]}

    def display(self) -> Text:
        """A bar, the counts, the devices if there are several, and the runs that will take longest; few lines all."""
        counts, total, now = self.counts(), self.before + len(self.runs), time.monotonic()
        over = counts["done"] + counts["failed"]
        filled = round(BAR * over / max(1, total))
        bar = f"{'━' * filled}{'╌' * (BAR - filled)} {over}/{total}  {clock(self.left())} left"
        text = Text(bar, style="bold", no_wrap=True, overflow="ellipsis")
        shown = [f"{counts[name]} {name}" for name in counts if counts[name] or name in ("done", "failed")]
        text.append(f"\n  {', '.join(shown)}", style="not bold")
        with self.lock:
            running = list(self.running.values())
        room = DEVICES + RUNS + 2  # with a line each about those left out
        if self.console.is_terminal:  # what was printed before stays in sight
            room = max(4, min(room, self.console.size.height // 2))
        lines = self._devices(running, min(DEVICES, room // 3))
        running.sort(key=lambda going: -going.left(now))
        lines += _runs(running, min(RUNS, room - len(lines) - 1), now)
        for line in lines:
            text.append(f"\n  {line}", style="dim not bold")
        return text

    def _devices(self, running: Sequence[Going], most: int) -> list[str]:
        """A line for each device that holds runs, but not where a CPU is all there is."""
        names = Counter(going.slot.name for going in running)
        gpus = {name: going.slot.gpu for going in running if (name := going.slot.name).startswith("cuda:")}
        if gpus and self.console.is_terminal:
            self.gauges.watch()
        if not gpus and len(names) < 2:
            return []
        shown = sorted(names, key=_natural)[:most]
        width = max(map(len, shown))
        lines = []
        for name in shown:
            count = f"{names[name]} run" + ("s" if names[name] > 1 else " ")
            lines.append(f"{name:{width}s}  {count}  {self.gauges.of(gpus.get(name) or '') or ''}".rstrip())
        return [*lines, *_more(len(names) - most, "devices")]

    def summary(self) -> str:
        """The last line: what was done, and in what time."""
        counts = self.counts()
        text = f"{counts['done']} runs done, {counts['failed']} failed, {counts['waiting']} not finished"
        text += f", {counts['diverged']} of those done DIVERGED (NaN or infinite)" if counts["diverged"] else ""
        return f"{text}; {self.states.total()} worked on in {clock(time.monotonic() - self.began)}"


def _runs(running: Sequence[Going], most: int, now: float) -> list[str]:
    rows = []
    for going in running[:most]:
        left = f"{clock(going.left(now))} left" if going.epochs > going.first else f"{clock(now - going.since)} so far"
        epoch = f"epoch {going.epochs}/{going.run.config.train.epochs}"
        rows.append((going.slot.name, epoch, left, label(going.run)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:3]
    lines = ["  ".join([*(f"{word:{n}s}" for word, n in zip(row, widths, strict=False)), row[3]]) for row in rows]
    return [*lines, *_more(len(running) - most, "running")]


def _more(number: int, what: str) -> list[str]:
    return [f"and {number} more {what}"] if number > 0 else []


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that puts cuda:10 behind cuda:9."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", name)]


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())


def label(run: Planned) -> str:
    """A run in words."""
    return f"{run.config.method.name} on {run.config.dataset.name} {run.noise} seed {run.config.seed}"


def clock(seconds: float | None) -> str:
    """Seconds as 4.2 s, 1:05, 2:03:00 or, from four days on, 58 days; "?" for None."""
    if seconds is None:
        return "?"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 96:
        return f"{seconds / 86400:,.0f} days"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
