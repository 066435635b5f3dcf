"""How a command ends: its exit codes, each with what the help says of it."""

from __future__ import annotations

DONE = 0
INCOMPLETE = 1
REFUSED = 2
DAMAGED = 3
INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: a cluster may start the same command again
BROKEN_OFF = 130  # at Ctrl-C, as shells have it

MEANINGS = {
    DONE: "all that was asked for is done",
    INCOMPLETE: "some of it failed, is missing or cannot be compared",
    REFUSED: "bad usage, or what it needs is not there",
    DAMAGED: "a stored result is damaged",
    INTERRUPTED: "interrupted: the same command goes on",
    BROKEN_OFF: "interrupted twice, or where nothing runs",
}


def ended_by(signal_number: int) -> int:
    """The code of a command that a signal has ended at once; BROKEN_OFF for SIGINT."""
    return 128 + signal_number
