"""The head of a report: what was run, how complete it is, and how to read it."""

from __future__ import annotations

from typing import Any

from bench.findings.sections.subject import Subject
from bench.sweep.records.store import FINISHED, State

WORDS = {
    State.DONE: "done",
    State.DIVERGED: "diverged, counted with the accuracy they ended at",
    State.FAILED: "failed",
    State.CORRUPT: "damaged",
    State.RUNNING: "running",
    State.INTERRUPTED: "interrupted",
    State.PLANNED: "not started",
}


def of(subject: Subject) -> dict[str, Any]:
    """`counts` are (state, number, what it means); `finished` of `planned` runs have a number."""
    found, counts = subject.found, subject.counts
    started = sorted(made.started for made in subject.origins.runs.values() if made.started)
    return {
        "title": found.suite.title or found.suite.name,
        "facts": [*((n, text) for n, text in subject.table.header.items() if n != "number"), *_run_on(started)],
        "methods": len(found.methods),
        "columns": len(set(subject.columns.values())),
        "planned": len(subject.states),
        "finished": sum(counts.get(state, 0) for state in FINISHED),
        "counts": [(str(state), counts[state], WORDS[state]) for state in WORDS if state in counts],
        "alarms": found.alarms(),
        "baseline": subject.baseline,
    }


def _run_on(started: list[str]) -> list[tuple[str, str]]:
    """When the first and the last run were begun, where records say."""
    if not started:
        return []
    first, last = started[0][:10], started[-1][:10]
    return [("run on", first if first == last else f"{first} to {last}")]
