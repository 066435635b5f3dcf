"""Every planned run as one row of a table."""

from __future__ import annotations

from typing import Any

from bench.evidence.records import accuracy
from bench.findings.sections.origins import Made, device_of
from bench.findings.sections.subject import Subject
from bench.sweep.planning.grid import Planned

HEADINGS = (
    *("method", "column", "seed", "accuracy, %", "epochs", "seconds", "device", "state"),
    *("run_id", "noise_id", "noise seed", "networks", "MB"),
)
ACCURACY = HEADINGS.index("accuracy, %")
NUMBERS = {"seed", "accuracy, %", "epochs", "seconds", "noise seed", "networks", "MB"}
UNMADE = Made(None, None, None, 0, None)


def of(subject: Subject) -> dict[str, Any]:
    """`rows` are cells, in table order; `of_record` says which of the finished runs is in which row, None for none."""
    place = {run_id: number for number, run_id in enumerate(subject.summaries)}
    return {
        "headings": [(heading, heading in NUMBERS) for heading in HEADINGS],
        "accuracy": ACCURACY,
        "rows": [_row(subject, run) for run in subject.found.runs],
        "of_record": [place.get(run.run_id) for run in subject.found.runs],
    }


def _row(subject: Subject, run: Planned) -> list[Any]:
    summary, made = subject.summaries.get(run.run_id), subject.origins.runs.get(run.run_id, UNMADE)
    value = None if summary is None else accuracy(summary, subject.rule, subject.args.head)
    environments, at = subject.origins.environments, made.environment
    return [
        *(subject.rows[run.run_id], subject.columns[run.run_id], _number(run.config.seed, "d")),
        _number(None if value is None else 100 * value, ".2f"),
        *(_number(run.config.train.epochs, "d"), _number(made.seconds, ".1f")),
        *("" if at is None else device_of(environments[at]), str(subject.states[run.run_id])),
        *(run.run_id, "" if summary is None else summary["noise_id"], _number(run.config.noise.seed, "d")),
        *(_number(run.networks, "d"), _number(made.memory, ".0f")),
    ]


def _number(value: float | None, form: str) -> list[Any]:
    return ["", None] if value is None else [format(value, form), round(value, 4)]
