"""A results folder that is full or failing for a while: nothing is started until it can be written again."""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench.files import publish, remove

PROBE_SECONDS = 30.0  # between two tries to write
PROBE_BYTES = 2**20  # of a try at least


class Storage:
    """Where threads wait while nothing can be written; the first of them tries, for all."""

    def __init__(self, folder: Path, patience: float, ended: threading.Event, stop: Callable[[str], None]) -> None:
        """Wait for `patience` seconds, then call `stop` with the reason; `ended` ends a wait at once."""
        self._folder, self._patience, self._ended, self._stop = folder, patience, ended, stop
        self._trying = threading.Lock()  # held by who waits and tries

    def ready(self) -> None:
        """Wait while nothing can be written, or until the sweep ends."""
        with self._trying:
            pass

    def failed(self, size: int = 0) -> float | None:
        """After a run could not write: return once `size` bytes can be, and how many seconds that took; 0 if at once.

        None if the sweep ends instead.
        """
        with self._trying:
            began = time.monotonic()
            if self._ended.is_set():
                return None
            error = self._try(size)
            if error is None:
                return 0.0
            _say(f"paused: {error}; trying again every {PROBE_SECONDS:.0f} s, for {self._patience:.0f} s at most")
            while (left := began + self._patience - time.monotonic()) > 0:
                if self._ended.wait(min(PROBE_SECONDS, left)):
                    return None
                error = self._try(size)
                if error is None:
                    waited = time.monotonic() - began
                    _say(f"going on: results can be written again, after {waited:.0f} s")
                    return waited
            self._stop(f"stopped: for {self._patience:.0f} s nothing could be written: {error}")
            return None

    def _try(self, size: int) -> str | None:
        """What keeps so many bytes from being written, None if nothing does."""
        probe = self._folder / f"probe.tmp-{uuid.uuid4().hex}"  # what a killed writer leaves is swept by this name
        block = os.urandom(PROBE_BYTES)  # some file systems do not store zeros
        try:
            publish(probe, block * (1 + size // PROBE_BYTES), replace=True)
        except OSError as error:
            return f"{self._folder}: {error.strerror}"
        finally:
            with suppress(OSError):  # it may not be there, nor be removable
                remove(probe)
        return None


def _say(text: str) -> None:
    print(text, file=sys.stderr)
