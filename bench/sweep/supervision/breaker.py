"""When failures in a row say that a device is at fault, or everything: a dead one must not eat the queue.

A broken method fails everywhere, and is no reason to stop the others. So a device is retired only if runs of several
methods fail on it, or runs that differ in the seed alone from one that was done on another device.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

RUNS = 3  # quick failures of one class in a row
SECONDS = 60.0


@dataclass(frozen=True)
class Trial:
    """A run as far as it matters here."""

    run_id: str
    method: str
    noise: str

    @property
    def kind(self) -> tuple[str, str]:
        return self.method, self.noise


@dataclass
class _Streak:
    """Failures of one class on a device since the last success there."""

    failure: str
    trials: list[Trial] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def quick(self) -> bool:
        """Whether so many came at once, at whatever time."""
        return any(last - first <= SECONDS for first, last in zip(self.times, self.times[RUNS - 1 :], strict=False))


class Verdict(NamedTuple):
    """Devices to retire, each with a line that says so; and why to stop the sweep, "" if it goes on."""

    retired: tuple[tuple[str, str], ...] = ()
    stop: str = ""


class Breaker:
    """Hears how runs end on which device, from any thread."""

    def __init__(self, devices: Iterable[str]) -> None:
        self._live = set(devices)
        self._number = len(self._live)
        self._streaks: dict[str, _Streak] = {}
        self._done: dict[str, set[tuple[str, str]]] = {}  # device -> kinds of runs that were done there
        self._moved: set[str] = set()  # runs that a retired device has failed
        self._waiting: set[str] = set()  # those among them that are to be tried elsewhere
        self._lock = threading.Lock()

    def failed(self, trial: Trial, device: str, failure: str, several: bool) -> Verdict:
        """Note a failure of a class; `several` says whether the sweep has more than one method."""
        with self._lock:
            if trial.run_id in self._moved:  # it has failed on two devices: neither is to blame
                return Verdict()
            if device not in self._live:
                self._move([trial])
                return Verdict()
            streak = self._streaks.get(device)
            if streak is None or streak.failure != failure:
                streak = self._streaks[device] = _Streak(failure)
            streak.trials.append(trial)
            streak.times.append(time.monotonic())
            return self._judge(several)

    def done(self, trial: Trial, device: str, several: bool) -> Verdict:
        """Note a success, which may show that other devices are at fault."""
        with self._lock:
            self._streaks.pop(device, None)
            self._done.setdefault(device, set()).add(trial.kind)
            return self._judge(several)

    def elsewhere(self) -> set[str]:
        """Return the runs to try again, once each: the device that failed them is retired."""
        with self._lock:
            waiting, self._waiting = self._waiting, set()
            return waiting

    def _judge(self, several: bool) -> Verdict:
        retired: tuple[tuple[str, str], ...] = ()
        for device, streak in list(self._streaks.items()):
            if not self._guilty(device, streak, several):
                continue
            said = f"{RUNS} runs in a row failed within {SECONDS:.0f} s ({streak.failure})"
            if len(self._live) == 1:
                where = f" on each of {self._number} devices" if self._number > 1 else ""
                return Verdict(retired, f"stopped: {said}{where}")
            self._live.discard(device)
            self._move(self._streaks.pop(device).trials)
            text = f"{device} is retired: {said}; other devices go on, and try those runs once more"
            retired += ((device, text),)
        return Verdict(retired)

    def _guilty(self, device: str, streak: _Streak, several: bool) -> bool:
        if not streak.quick:
            return False
        kinds = {trial.kind for trial in streak.trials}
        if len({method for method, _ in kinds}) > 1 or not several:
            return True
        return any(kinds & done for other, done in self._done.items() if other != device)

    def _move(self, trials: Iterable[Trial]) -> None:
        moved = {trial.run_id for trial in trials}
        self._moved |= moved
        self._waiting |= moved
