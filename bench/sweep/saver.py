"""When the state of a run goes to disk: not after every epoch where epochs are short and states are large."""

from __future__ import annotations

import time

from bench.sweep.store import RunFolder
from bench.training import checkpoint


class Saver:
    """Publishes a run's states, a number of seconds apart at least; the newest is held until it is due or asked for.

    A process that is killed outright loses what it has trained since: at most so many seconds and an epoch.
    """

    def __init__(self, folder: RunFolder, seconds: float) -> None:
        self._folder, self._seconds = folder, seconds
        self._held: checkpoint.State | None = None
        self._last = time.monotonic()

    def save(self, state: checkpoint.State) -> None:
        """Take a state whose tensors are still being trained on."""
        if time.monotonic() - self._last >= self._seconds:
            self._publish(state)
        else:
            self._held = checkpoint.copied(state)

    def flush(self) -> None:
        """Publish the newest state if it is not on disk yet."""
        if self._held is not None:
            self._publish(self._held)

    def _publish(self, state: checkpoint.State) -> None:
        self._folder.save_checkpoint(state.epoch, checkpoint.to_bytes(state))
        self._held, self._last = None, time.monotonic()
