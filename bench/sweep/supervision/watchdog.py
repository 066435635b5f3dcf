"""A run's process under watch: one that hangs is asked to stop, and killed if it does not.

What it has done is told by its beats, not by the times of files. A time that is too long is a matter of what is usual:
a batch may take a minute on one machine, and an epoch an hour.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.sweep.run import heartbeat
from bench.sweep.run.forkserver import Child
from bench.sweep.run.heartbeat import Beat

LOOK_SECONDS = 1.0  # between two looks at a run
START_SECONDS = 60.0  # for a process to import its packages and take its lock, which no limit counts
READY_SECONDS = 3600.0  # for data, networks and a first batch, where no limit is given
SILENT_SECONDS = 600.0  # between two signs of life at least, where no limit is given
EPOCHS = 20  # or so many times the longest that an epoch of the run has taken so far
GRACE_SECONDS = 20.0  # between asking a process to stop and killing it


@dataclass(frozen=True)
class Limits:
    """Seconds of an attempt, and seconds without a finished epoch; None: none, and by what the run itself shows."""

    run: float | None = None
    stall: float | None = None


class Pace:
    """How an attempt goes on, by its beats as they are seen at given times."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits, self._spawned = limits, now
        self._begun: float | None = None
        self._beat: Beat | None = None
        self._sign = self._epoch_began = now  # when a beat was last news, and when the epoch under way began
        self._longest = 0.0  # seconds that an epoch has taken, the one under way included

    def overdue(self, beat: Beat | None, now: float) -> str:
        """Take a look's news; return why the attempt is to be ended, "" if it is not."""
        if self._begun is None:
            if beat is None and now - self._spawned < START_SECONDS:  # it may wait for another launcher's lock, too
                return ""
            self._begun = self._sign = self._epoch_began = now
        if beat is not None and beat != self._beat:
            self._hear(beat, now)
        if self._limits.run is not None and now - self._begun > self._limits.run:
            return f"it took more than {self._limits.run:g} s"
        if self._limits.stall is not None:
            late = now - self._epoch_began > self._limits.stall
            return f"no epoch was finished for {self._limits.stall:g} s" if late else ""
        allowed = max(SILENT_SECONDS, EPOCHS * self._longest) if self._trains else READY_SECONDS
        return f"it gave no sign of life for {allowed:.0f} s" if now - self._sign > allowed else ""

    @property
    def _trains(self) -> bool:
        return self._beat is not None and self._beat.batches > 0

    def _hear(self, beat: Beat, now: float) -> None:
        if self._trains:
            self._longest = max(self._longest, now - self._epoch_began)
        elif self._limits.stall is None:  # making ready is no part of an epoch
            self._epoch_began = now
        if self._beat is not None and beat.epochs != self._beat.epochs:
            self._epoch_began = now
        self._beat, self._sign = beat, now


def watch(
    child: Child, folder: Path, limits: Limits, glance: Callable[[], None], condemn: Callable[[str], None]
) -> tuple[int, str]:
    """Wait for the process of the run in `folder`; return its code, and why it had to be ended, "" if it had not.

    `glance` is called at every look, `condemn` with the reason before the process is ended.
    """
    pace = Pace(limits, time.monotonic())
    while True:
        with suppress(TimeoutError):
            return child.wait(LOOK_SECONDS), ""
        glance()
        if reason := pace.overdue(heartbeat.read(folder), time.monotonic()):
            condemn(reason)
            return end(child), reason


def end(child: Child) -> int:
    """Ask a process to stop in order, and kill it if it does not; return its code."""
    child.send_signal(signal.SIGTERM)
    child.send_signal(signal.SIGCONT)  # a stopped one hears nothing else
    with suppress(TimeoutError):
        return child.wait(GRACE_SECONDS)
    child.send_signal(signal.SIGKILL)
    return child.wait()
