"""When the state of a run goes to disk: not after every epoch where epochs are short and states are large."""

from __future__ import annotations

import time
from typing import Generic, Protocol, TypeVar

from bench.sweep.records.store import RunFolder


class Snapshot(Protocol):
    """The state of a run after so many epochs."""

    @property
    def epoch(self) -> int: ...


S = TypeVar("S", bound=Snapshot)


class Form(Protocol[S]):
    """What can be done with a state by who knows what it is made of."""

    def copied(self, state: S) -> S:
        """Return a state that training on does not change."""
        ...

    def to_bytes(self, state: S) -> bytes:
        """Return the bytes of its checkpoint."""
        ...


class Saver(Generic[S]):
    """Publishes a run's states, a number of seconds apart at least; the newest is held until it is due or asked for.

    A process that is killed outright loses what it has trained since: at most so many seconds and an epoch.
    """

    def __init__(self, folder: RunFolder, seconds: float, form: Form[S]) -> None:
        self._folder, self._seconds, self._form = folder, seconds, form
        self._held: S | None = None
        self._last = time.monotonic()

    def save(self, state: S) -> None:
        """Take a state that is still being trained on."""
        if time.monotonic() - self._last >= self._seconds:
            self._publish(state)
        else:
            self._held = self._form.copied(state)

    def flush(self) -> None:
        """Publish the newest state if it is not on disk yet."""
        if self._held is not None:
            self._publish(self._held)

    def _publish(self, state: S) -> None:
        self._folder.save_checkpoint(state.epoch, self._form.to_bytes(state))
        self._held, self._last = None, time.monotonic()
