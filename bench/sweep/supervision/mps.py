"""NVIDIA's Multi-Process Service for the time of a sweep: kernels of several runs may then overlap on a GPU."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from bench.devices import BUS_ORDER
from bench.exit_codes import ended_by

PROGRAM = "nvidia-cuda-mps-control"
SECONDS = 30.0  # for the daemon to start, or to end


@contextmanager
def daemon() -> Iterator[dict[str, str]]:
    """Run a daemon of our own and yield what the environment of its clients must hold; it ends however the block ends.

    Raises ValueError if the program is missing or does not start.
    """
    if shutil.which(PROGRAM) is None:
        raise ValueError(f"--mps needs NVIDIA's {PROGRAM}, which is not on the PATH")
    with tempfile.TemporaryDirectory(prefix="lnbench-mps-") as folder, _orderly():
        pipes = {"CUDA_MPS_PIPE_DIRECTORY": f"{folder}/pipe", "CUDA_MPS_LOG_DIRECTORY": f"{folder}/log"}
        for path in pipes.values():
            os.mkdir(path)
        # the daemon must see every GPU: what is hidden from it is numbered otherwise among its clients
        shown = (
            {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"} | BUS_ORDER | pipes
        )
        try:
            _start(shown)
            yield pipes
        finally:
            _quit(shown)


def _start(shown: dict[str, str]) -> None:
    # its output goes nowhere: a daemon that kept a pipe of ours open would be waited for
    try:
        started = subprocess.run(
            [PROGRAM, "-d"],
            env=shown,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"--mps: {PROGRAM} -d has not ended within {SECONDS:g} s{_last_line(shown)}") from None
    if started.returncode != 0:
        raise ValueError(f"--mps: {PROGRAM} -d ended with {started.returncode}{_last_line(shown)}")


def _last_line(shown: dict[str, str]) -> str:
    """What the daemon's log ends with; nothing where it has none."""
    logs = sorted(Path(shown["CUDA_MPS_LOG_DIRECTORY"]).iterdir())
    lines = [line.strip() for log in logs for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((f"; its log ends with: {line}" for line in reversed(lines) if line), "")


def _quit(shown: dict[str, str]) -> None:
    try:
        subprocess.run(
            [PROGRAM], env=shown, input="quit\n", text=True, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        print(f"{PROGRAM} does not end; its folder was {shown['CUDA_MPS_PIPE_DIRECTORY']}", file=sys.stderr)


@contextmanager
def _orderly() -> Iterator[None]:
    """Let a signal that would end this process at once unwind it instead; a sweep has handlers of its own inside."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(ended_by(number))

    before = [(number, signal.signal(number, leave)) for number in (signal.SIGTERM, signal.SIGHUP)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
