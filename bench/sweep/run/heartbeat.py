"""The pulse of a run: its process leaves word of each epoch and, now and then, of a batch; its supervisor reads it.

It is no record: nothing is synced, nothing is derived from it, and who cannot write it trains on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bench.files import read_regular, remove
from bench.sweep.records.store import RunFolder

NAME = "heartbeat"  # in the folder of a run
SECONDS = 1.0  # between two words of batches at least


class Beat(NamedTuple):
    """How far an attempt has come: epochs finished, the resumed ones included, and batches begun in this attempt."""

    epochs: int
    batches: int


class Heartbeat:
    """The writing side. The text has a fixed width and is written over in place, so that it is never half there."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._epochs = self._batches = 0
        self.beat()

    def beat(self) -> None:
        """Leave word of how far it is."""
        self._told = time.monotonic()
        with suppress(OSError):  # a full disk: the checkpoint will say so
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            try:
                os.pwrite(fd, b"%010d %012d\n" % (self._epochs, self._batches), 0)
            finally:
                os.close(fd)

    def finished(self, epochs: int) -> None:
        """So many epochs are finished."""
        self._epochs = epochs
        self.beat()

    def during(self, should_stop: Callable[[], bool]) -> Callable[[], bool]:
        """The same question, which a trainer asks before every batch, heard as a sign of life."""

        def asked() -> bool:
            self._batches += 1
            if time.monotonic() - self._told >= SECONDS:
                self.beat()
            return should_stop()

        return asked


def read(folder: Path) -> Beat | None:
    """Return the last beat of the run in `folder`, None if there is none."""
    try:
        epochs, batches = read_regular(folder / NAME).split()
        return Beat(int(epochs), int(batches))
    except (OSError, ValueError):
        return None


def epochs_of(folder: RunFolder) -> int:
    """Return how many epochs a run that is going on has finished: by its pulse, or by its newest checkpoint."""
    beat = read(folder.path)
    return max(beat.epochs if beat is not None else 0, folder.epochs_done())


def clear(folder: Path) -> None:
    """Forget the beats of an attempt that has ended."""
    with suppress(OSError):  # no folder, or one that cannot be written: the next attempt overwrites it
        remove(folder / NAME)
