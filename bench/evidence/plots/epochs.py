"""Plots over epochs: accuracy, memorisation, selection, diagnostics.

Runs that may not be averaged are separate lines, as they are separate rows of a table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.evidence.curves import Line, Lines, Source, accuracy_lines, grouped, lines_of
from bench.evidence.grouping import Column, Grouping
from bench.evidence.plots import canvas
from bench.evidence.plots.canvas import PANEL, PANELS_PER_ROW, Nothing
from bench.evidence.plots.looks import style_of
from bench.evidence.records import HEADLINE

WIDE = 5  # panels side by side where each column has several below each other
Rows = Sequence[tuple[str, Lines]]


def accuracy_over_epochs(
    source: Source,
    *,
    methods: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    head: str = HEADLINE,
) -> Figure:
    """Draw test accuracy per epoch, one panel per noise: the mean over seeds and a band of one sample sd."""
    grouping = grouped(source, methods, columns)
    lines = accuracy_lines(grouping, head)
    shown = _shown(grouping, [lines])
    if not shown:
        raise Nothing("no finished run has an accuracy on test")
    wide = canvas.wide(len(shown), PANELS_PER_ROW)
    with canvas.canvas(canvas.entries(grouping, _finals([lines])), wide, -(-len(shown) // wide)) as figure:
        one_data_set = len({dataset for dataset, _ in shown}) == 1
        made = canvas.panels(figure, -(-len(shown) // wide), wide, len(shown), sharey=one_data_set)
        for position, (panel, column) in enumerate(zip(made, shown, strict=True)):
            _draw(panel, grouping, column, lines)
            canvas.title(panel, grouping.column_label(column), PANEL)
            panel.set_xlabel("epoch")
            if position % wide == 0:
                panel.set_ylabel("accuracy on test, %")
        canvas.note(figure, *_said(grouping, [lines]))
    return figure


def memorisation(
    source: Source, *, methods: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> Figure:
    """Draw what becomes of the wrongly labelled training samples: learnt as given (above) or recovered (below)."""
    grouping = grouped(source, methods, columns)
    rows = [
        ("memorised: wrong labels\npredicted as given, %", lines_of(grouping, "memorised")),
        ("recovered: wrong labels\npredicted as true class, %", lines_of(grouping, "recovered")),
    ]
    return _stack(grouping, rows, "no run has training labels that are known to be wrong")


def selection(source: Source, *, methods: Sequence[str] | None = None, columns: Sequence[str] | None = None) -> Figure:
    """Draw what methods select: share of samples, threshold, and how often the knowledge taken and refused is right.

    Rows without data are left out, and so are methods that select nothing.
    """
    grouping = grouped(source, methods, columns)
    rows = [
        ("samples selected, %", lines_of(grouping, "selected")),
        ("selected samples with\na correct label, %", lines_of(grouping, "precision")),
        ("threshold", lines_of(grouping, "threshold")),
        ("predictions right\namong the selected, %", lines_of(grouping, "taken")),
        ("predictions right\namong the others, %", lines_of(grouping, "refused")),
    ]
    return _stack(grouping, rows, "no method here selects samples or knowledge")


def diagnostics(
    source: Source, *, methods: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> Figure:
    """Draw how well methods know what they know: calibration, selection, and the correction of wrong labels.

    Rows without data are left out, as are methods that record nothing of them.
    """
    grouping = grouped(source, methods, columns)
    rows = [
        ("calibration error\non test, %", lines_of(grouping, "calibration")),
        ("precision: selected with\na correct label, %", lines_of(grouping, "precision")),
        ("recall: correct labels\nthat are selected, %", lines_of(grouping, "recall")),
        ("area under ROC curve\nof the clean score", lines_of(grouping, "auc")),
        ("wrong labels replaced\nby the true class, %", lines_of(grouping, "corrected")),
    ]
    return _stack(grouping, rows, "no run recorded calibration, selection or correction")


def _stack(grouping: Grouping, rows: Rows, otherwise: str) -> Figure:
    """Draw one row of panels per measure and one column per noise, in blocks where there are many columns."""
    rows = [(name, lines) for name, lines in rows if lines]
    shown = _shown(grouping, [lines for _, lines in rows])
    if not shown:
        raise Nothing(otherwise)
    wide = canvas.wide(len(shown), WIDE)
    blocks = [shown[start : start + wide] for start in range(0, len(shown), wide)]
    legend = canvas.entries(grouping, _finals([lines for _, lines in rows[::-1]]))
    with canvas.canvas(legend, wide, len(rows) * len(blocks)) as figure:
        grid = figure.subplots(len(rows) * len(blocks), wide, squeeze=False)
        for position, (name, lines) in enumerate(rows):
            for block, columns in enumerate(blocks):
                line_of_panels = grid[block * len(rows) + position]
                for place, panel in enumerate(line_of_panels):
                    if place >= len(columns):
                        panel.set_axis_off()
                        continue
                    _draw(panel, grouping, columns[place], lines)
                    if (block, place) != (0, 0):
                        panel.sharey(grid[position][0])
                        panel.tick_params(labelleft=place == 0)
                    if position == 0:
                        canvas.title(panel, grouping.column_label(columns[place]), PANEL)
                    last = position == len(rows) - 1
                    panel.tick_params(labelbottom=last)
                    panel.set_xlabel("epoch" if last else "")
                line_of_panels[0].set_ylabel(name)
        canvas.note(figure, *_said(grouping, [lines for _, lines in rows]))
    return figure


def _shown(grouping: Grouping, drawn: Sequence[Lines]) -> list[Column]:
    return [column for column in grouping.columns if any(key[1] == column for lines in drawn for key in lines)]


def _draw(panel: Axes, grouping: Grouping, column: Column, lines: Lines) -> None:
    longest, spread = 1, _has_bands(lines)
    for position, row in enumerate(grouping.groups):
        line = lines.get((row.label, column))
        if line is None:
            continue
        longest = max(longest, len(line.mean))
        style, epochs = style_of(position), np.arange(1, len(line.mean) + 1)
        every = max(1, len(epochs) // 6)
        offset = position * every // max(1, len(grouping.groups))
        if spread:
            panel.fill_between(epochs, line.low, line.high, color=style.colour, alpha=0.15, lw=0)
        panel.plot(
            epochs,
            line.mean,
            color=style.colour,
            linestyle=style.dash,
            marker=style.marker,
            markevery=(offset, every),
            markeredgewidth=0,
        )
        if spread and len(epochs) == 1:
            panel.vlines(epochs, line.low, line.high, color=style.colour, linewidth=0.8)  # a band has no width here
        for epoch, value in line.ends:
            panel.plot([epoch], [value], color=style.colour, marker="x", markersize=6, markeredgewidth=1.4)
    canvas.scales(panel, longest)


def _finals(drawn: Sequence[Lines]) -> dict[str, float]:
    """The last known value of each row, averaged over its columns; what is drawn last counts."""
    ends: dict[str, dict[Column, float]] = {}
    for lines in drawn:
        for (label, column), line in lines.items():
            ends.setdefault(label, {})[column] = float(canvas.finite(line.mean)[-1])
    return {label: float(np.mean(list(values.values()))) for label, values in ends.items()}


def _said(grouping: Grouping, drawn: Sequence[Lines]) -> tuple[str, ...]:
    every: list[Line] = [line for lines in drawn for line in lines.values()]
    least = [int(line.counts[line.counts > 0].min()) for line in every]  # an epoch may tell of fewer than all runs
    runs = canvas.runs_text(grouping, [*least, *(line.runs for line in every)])
    several = max(line.runs for line in every) > 1
    name = "bar" if all(len(line.mean) == 1 for line in every) else "band"
    bands = f"{name}: one sample sd" if any(map(_has_bands, drawn)) else "no bands, for there are many rows"
    ends = "× where a run diverged; the mean goes on without it" if any(line.ends for line in every) else ""
    return (f"line: mean of {runs}", bands, ends) if several else (f"line: {runs}", ends)


def _has_bands(lines: Lines) -> bool:
    return len({label for label, _ in lines}) <= canvas.MANY
