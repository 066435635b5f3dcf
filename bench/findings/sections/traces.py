"""What is measured after every epoch, as the page draws it: means and spreads of rows, and the line of each run.

Numbers are whole: hundredths of a percent, or ten-thousandths of what is no percentage. Where there are too many for a
file that is still handy, epochs are left out, and the lines of single runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.evidence.curves import MEASURES, Line, Lines, accuracy_lines, lines_of, run_curve
from bench.evidence.grouping import Column, Grouping
from bench.findings.sections.subject import Subject

COLOUR = {"#000000": "currentColor"}
MOST = 500_000  # numbers of rows: 2 to 3 MB
MOST_OF_RUNS = 250_000  # numbers of single runs
TITLES = {
    "accuracy": "accuracy on test, %",
    "memorised": "memorised: wrong labels predicted as given, %",
    "recovered": "recovered: wrong labels predicted as their true class, %",
    "selected": "samples selected, %",
    "precision": "precision: selected samples with a correct label, %",
    "recall": "recall: correct labels that are selected, %",
    "threshold": "threshold",
    "taken": "predictions right among the knowledge taken, %",
    "refused": "predictions right among the knowledge refused, %",
    "calibration": "expected calibration error on test, %",
    "auc": "area under the ROC curve of the clean score",
    "corrected": "wrong labels replaced by the true class, %",
}


def of(subject: Subject) -> dict[str, Any]:
    """Rows, columns and measures for the script, and `notes` on what was left out."""
    told: dict[str, Any] = subject.remembered("traces", lambda: _traces(subject.ground.grouping))
    return told


def _traces(grouping: Grouping) -> dict[str, Any]:
    found = {"accuracy": accuracy_lines(grouping)} | {name: lines_of(grouping, name) for name in MEASURES}
    found = {name: lines for name, lines in found.items() if lines}
    numbers = sum(2 * len(line.mean) for lines in found.values() for line in lines.values())
    stride = max(1, -(-numbers // MOST))
    measures = [_measure(grouping, name, lines, stride) for name, lines in found.items()]
    left_out = _add_runs(grouping, measures, stride)
    notes = [f"one epoch in {stride} is kept here, and the first and the last of each line"] if stride > 1 else []
    if left_out:
        names = "all measures" if len(left_out) == len(measures) else ", ".join(left_out)
        notes.append(f"single runs are left out of {names}: the file would be too large")
    return {
        "rows": [row.label for row in grouping.groups],
        "columns": [grouping.column_label(column) for column in grouping.columns],
        "measures": measures,
        "stride": stride,
        "notes": notes,
        "looks": looks(),
    }


def looks() -> list[dict[str, str]]:
    """Colour and dashes of the rows in turn, as in the plots for papers; black is the colour of the page's text."""
    from bench.evidence.plots.looks import COLOURS, DASHES, style_of

    every = [style_of(place) for place in range(len(COLOURS) * len(DASHES))]
    return [{"colour": COLOUR.get(style.colour, style.colour), "dash": _dash(style.dash)} for style in every]


def _dash(dash: Any) -> str:
    """matplotlib's line style as SVG's for lines two units wide."""
    return "" if dash == "-" else " ".join(f"{2 * length:g}" for length in dash[1])


def _measure(grouping: Grouping, name: str, lines: Lines, stride: int) -> dict[str, Any]:
    places = _places(grouping)
    scale = 10_000 if name in MEASURES and MEASURES[name].scale == 1 else 100
    told = [
        [
            *places[key],
            len(line.mean),
            line.runs,
            _whole(line.mean, stride, scale),
            _whole(line.sd, stride, scale),
            _ends(line, scale),
        ]
        for key, line in lines.items()
    ]
    most = 100.0 if name not in MEASURES else MEASURES[name].most
    return {"name": name, "title": TITLES[name], "scale": scale, "most": most, "lines": told, "runs": None}


def _places(grouping: Grouping) -> dict[tuple[str, Column], tuple[int, int]]:
    return {
        (row.label, column): (place, number)
        for place, row in enumerate(grouping.groups)
        for number, column in enumerate(grouping.columns)
    }


def kept(length: int, stride: int) -> list[int]:
    """The epochs, from 0, that are kept of so many: one in `stride`, and the first and the last."""
    return sorted({0, length - 1, *range(stride - 1, length, stride)})


def _whole(values: NDArray[np.float64], stride: int, scale: int) -> list[int | None]:
    scaled = [scale * float(values[epoch]) for epoch in kept(len(values), stride)]
    return [round(value) if np.isfinite(value) else None for value in scaled]


def _ends(line: Line, scale: int) -> list[list[int]]:
    return [[epoch, round(scale * value)] for epoch, value in line.ends]


def _add_runs(grouping: Grouping, measures: Sequence[dict[str, Any]], stride: int) -> list[str]:
    """Give measures the lines of their single runs as long as there is room; return the names of the others."""
    room, left_out = MOST_OF_RUNS, []
    for measure in measures:
        need = sum(entry[3] * len(entry[4]) for entry in measure["lines"])
        if need > room:
            left_out.append(measure["name"])
            continue
        room -= need
        measure["runs"] = _runs(grouping, measure, stride)
    return left_out


def _runs(grouping: Grouping, measure: dict[str, Any], stride: int) -> list[list[Any]]:
    told = []
    for place, row in enumerate(grouping.groups):
        for number, column in enumerate(grouping.columns):
            for run in row.runs(column):
                values = run_curve(run, measure["name"])
                if values is not None and len(values):
                    numbers = _whole(values, stride, measure["scale"])
                    told.append([place, number, run["config"]["seed"], run["run_id"], len(values), numbers])
    return told
