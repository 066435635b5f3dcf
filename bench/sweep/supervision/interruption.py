"""What asks a whole sweep to end: signals to the driver, and a file for whoever cannot send one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from bench.exit_codes import ended_by
from bench.sweep.supervision import watchdog
from bench.sweep.supervision.sweep import Sweep

LOOK_SECONDS = 1.0  # between two looks for the file


@contextmanager
def stopped_by_signals(sweep: Sweep) -> Iterator[None]:
    """First signal: start nothing new, ask the children to stop. Second, or after a grace time: kill them.

    Third: leave at once, whatever is waited for. Children die with their driver.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        sweep.signals += 1
        if sweep.signals == 1:
            sweep.signal_number = number
            sweep.reason = sweep.reason or "signal"
            sweep.halted = sweep.halted or f"interrupted by {signal.Signals(number).name}"
            threading.Thread(target=_stop_children, args=(sweep,), daemon=True).start()
        elif sweep.signals == 2:
            threading.Thread(target=sweep.stop, args=("signal", "", signal.SIGKILL), daemon=True).start()
        else:
            os._exit(ended_by(number))

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    before: list[tuple[int, Any]] = [(number, signal.signal(number, handle)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


@contextmanager
def stopped_by_file(sweep: Sweep) -> Iterator[None]:
    """Take the sweep's stop file, once it is there, for a first signal."""
    path = sweep.stop_file
    if path is None:
        yield
        return
    finished = threading.Event()

    def look() -> None:
        while not os.path.exists(path):  # which holds an unreadable folder for an empty one
            if finished.wait(LOOK_SECONDS):
                return
        sweep.reason, sweep.halted = sweep.reason or "signal", sweep.halted or f"asked to stop by {path.name}"
        _stop_children(sweep)

    if os.path.exists(path):  # before anything has started
        sweep.stop("signal", f"asked to stop by {path.name}", signal.SIGTERM)
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def _stop_children(sweep: Sweep) -> None:
    sweep.stop("signal", "interrupted", signal.SIGTERM)
    deadline = time.monotonic() + watchdog.GRACE_SECONDS
    while sweep.children and time.monotonic() < deadline:
        time.sleep(0.1)
    sweep.stop("signal", "interrupted", signal.SIGKILL)
