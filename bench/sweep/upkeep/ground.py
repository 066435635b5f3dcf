"""What a results folder stands on: how much room there is, and whether locks and links do there what they should."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench.sweep.planning.grid import Planned
from bench.training.catalog import PARAMETERS

COPIES = 3.2  # checkpoints of a run at the peak, the new one beside two older ones, and some more for its records
MARGIN = 2**26  # bytes for wrong labels, logs, results and tables
SECONDS = 20.0  # for a process that tries a lock

_TRY = """
import fcntl, sys
with open(sys.argv[1]) as file:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(3)
"""


def checkpoint_bytes(run: Planned) -> int:
    """About how large a checkpoint of a run is: its networks' weights and what the optimiser keeps of each.

    By the known sizes of the networks, so nothing need be built; what a method remembers of each sample comes on top.
    """
    train = run.config.train
    copies = 3 if train.optimizer.name == "adam" else 2 if train.optimizer.momentum else 1
    return int(4e6 * PARAMETERS[train.network] * run.networks * copies)


def room_needed(runs: Sequence[Planned], live: int) -> int:
    """Bytes that the largest `live` runs may take at once; what is done keeps no checkpoint."""
    largest = sorted((checkpoint_bytes(run) for run in runs), reverse=True)[:live]
    return int(COPIES * sum(largest)) + MARGIN


def room(path: Path) -> int:
    """Bytes that are free where `path` is, or would be made."""
    return shutil.disk_usage(next(parent for parent in (path, *path.absolute().parents) if parent.exists())).free


def locks_hold(folder: Path) -> bool:
    """Whether a lock of this process keeps another process of this machine off, on files in `folder`."""
    path = folder / f"probe.tmp-{uuid.uuid4().hex}"  # what a killed launcher leaves is swept by this name
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        tried = subprocess.run(
            [sys.executable, "-ISc", _TRY, str(path)], capture_output=True, timeout=SECONDS, check=False
        )
        return tried.returncode == 3
    except (OSError, subprocess.TimeoutExpired):  # a file system without locks, or whose locks never answer
        return False
    finally:
        os.close(fd)
        with suppress(OSError):
            path.unlink()


def links_hold(folder: Path) -> bool:
    """Whether a record can be given a second name, which never replaces what is there: the first writer wins."""
    first, second = (folder / f"probe.tmp-{uuid.uuid4().hex}" for _ in range(2))
    try:
        first.touch(exist_ok=False)
        os.link(first, second)
        os.link(first, second)
    except FileExistsError:
        return True
    except OSError:  # a file system without links
        return False
    finally:
        for path in (first, second):
            with suppress(OSError):
                path.unlink()
    return False
