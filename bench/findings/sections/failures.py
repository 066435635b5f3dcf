"""Every run without a number, or with one that is no good: what happened, where to look, and what does it again."""

from __future__ import annotations

from typing import Any

from bench.findings.sections.subject import Subject
from bench.findings.sections.words import UNKNOWN, state_text
from bench.sweep.planning.grid import Planned
from bench.sweep.records.store import State
from bench.sweep.run.heartbeat import epochs_of

HEADINGS = (
    *(("state", "short"), ("method", "short"), ("column", "short"), ("seed", "number"), ("epochs", "number")),
    *(("message", "long"), ("command", "long"), ("log", "path"), ("run_id", "short")),
)  # with what their cells look like
TRACE = 40  # last lines of a traceback
KINDS = 30  # of traceback that are printed


def of(subject: Subject) -> dict[str, Any]:
    """`rows` are cells of one run each; `kinds` are messages with a traceback, the most frequent first."""
    runs = {run.run_id: run for run in subject.found.runs}
    rows: list[list[Any]] = []
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for run_id, state in subject.states.items():
        if state is State.DONE:
            continue
        message, trace = _said(subject, run_id, state)
        rows.append(_row(subject, runs.get(run_id), run_id, state, message))
        if trace or state in (State.FAILED, State.CORRUPT):
            kinds.setdefault((state_text(state), message, trace), []).append(run_id)
    frequent = sorted(kinds.items(), key=lambda kind: -len(kind[1]))
    return {
        "headings": HEADINGS,
        "rows": rows,
        "kinds": [
            {"state": state, "message": message, "traceback": trace, "count": len(ids), "example": ids[0]}
            for (state, message, trace), ids in frequent[:KINDS]
        ],
        "more": max(0, len(frequent) - KINDS),
        "conflicts": [str(path) for path in subject.found.conflicts],
    }


def _said(subject: Subject, run_id: str, state: State) -> tuple[str, str]:
    """The message and the last lines of the traceback."""
    if state is State.CORRUPT:
        return subject.found.corrupt.get(run_id, "damaged"), ""
    if state is State.DIVERGED:
        return "its numbers ceased to be finite; it counts with the accuracy it ended at", ""
    failure = subject.store.run(run_id).last_failure() or {}
    text = str(failure.get("message") or failure.get("class") or "")
    return text, "\n".join(str(failure.get("traceback") or "").rstrip().splitlines()[-TRACE:])


def _row(subject: Subject, run: Planned | None, run_id: str, state: State, message: str) -> list[Any]:
    folder = subject.store.run(run_id)
    done = epochs_of(folder) if state is State.RUNNING else folder.epochs_done()
    log = folder.path / "log.txt"
    where = str(log) if log.is_file() and not log.is_symlink() else ""
    if run is None:
        return [state_text(state), "", "", ["", None], ["", None], message, UNKNOWN, where, run_id]
    reached = ["", None] if state is State.DIVERGED else [f"{done} / {run.config.train.epochs}", done]
    seed = [str(run.config.seed), run.config.seed]
    facts = [state_text(state), subject.rows[run_id], subject.columns[run_id], seed, reached]
    return [*facts, message, subject.command(run) or UNKNOWN, where, run_id]
