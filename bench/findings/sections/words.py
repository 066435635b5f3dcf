"""Words that several sections share."""

from __future__ import annotations

from bench.sweep.records.store import State

UNKNOWN = "not known from the records"


def state_text(state: State) -> str:
    """A state as a reader is told."""
    return {State.PLANNED: "not started", State.CORRUPT: "damaged"}.get(state, str(state))
