"""Accuracy against the noise rate: a panel for each kind of noise that was run at several rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from bench.evidence.curves import Source, grouped
from bench.evidence.grouping import Column, Group, Grouping
from bench.evidence.plots import canvas, points
from bench.evidence.plots.canvas import PANELS_PER_ROW, Nothing
from bench.evidence.plots.looks import style_of
from bench.evidence.plots.points import Point
from bench.evidence.records import noise_text

PANEL = (2.3, 2.0)  # inches
Kind = tuple[str, str]  # data set, noise without its rate


def rate(source: Source) -> Figure:
    """Draw accuracy after the last epoch against the rate asked for, one line per row, with t intervals."""
    grouping = grouped(source)
    kinds = {kind: steps for kind, steps in rates_of(grouping).items() if len(steps) > 1}
    drawn = {kind: lines for kind, steps in kinds.items() if (lines := _lines(grouping, steps))}
    if not drawn:
        raise Nothing("no noise of one kind was run at two rates or more")
    several = len({dataset for dataset, _ in grouping.columns}) > 1
    wide = canvas.wide(len(drawn), PANELS_PER_ROW)
    finals: dict[str, list[float]] = {}
    for lines in drawn.values():
        for label, pieces in lines.items():
            last = max((one for line in pieces for one in line), key=lambda one: one.x)
            finals.setdefault(label, []).append(last.mean)
    legend = canvas.entries(grouping, {label: sum(values) / len(values) for label, values in finals.items()})
    bars = len(finals) <= canvas.MANY
    position = {row.label: number for number, row in enumerate(grouping.groups)}
    with canvas.canvas(legend, wide, -(-len(drawn) // wide), PANEL) as figure:
        made = canvas.panels(figure, -(-len(drawn) // wide), wide, len(drawn))
        for number, (panel, ((dataset, noise), lines)) in enumerate(zip(made, drawn.items(), strict=True)):
            known = sorted({one.x for pieces in lines.values() for line in pieces for one in line})
            for shift, (label, pieces) in zip(points.shifts(len(lines)), lines.items(), strict=True):
                for line in pieces:
                    points.draw(panel, line, style_of(position[label]), shift if bars else 0.0, bars=bars)
            canvas.title(panel, f"{dataset} · {noise}" if several else noise, PANEL[0])
            canvas.scales(panel)
            panel.margins(x=0.09)
            canvas.ticks(panel, known)
            panel.set_xlabel("noise rate asked for, %")
            if number % wide == 0:
                panel.set_ylabel("accuracy on test, %")
        whole = [pieces for lines in drawn.values() for pieces in lines.values()]
        every = [one for pieces in whole for line in pieces for one in line]
        apart = "joined where all but the noise is equal" if any(len(pieces) > 1 for pieces in whole) else ""
        canvas.note(figure, *points.said(every, canvas.runs_text(grouping, [one.runs for one in every]), bars), apart)
    return figure


def rates_of(grouping: Grouping) -> dict[Kind, list[tuple[float, Column]]]:
    """Return the columns of each kind of noise by their rates in percent, lowest first.

    Labels none of which is wrong are those of every kind at rate 0.
    """
    noises: dict[Column, Mapping[str, Any]] = {}
    wrong: dict[Column, set[int | None]] = {}
    for row in grouping.groups:
        for entry in row.entries:
            noises.setdefault(entry.column, entry.config["noise"])
            if entry.payload:
                wrong.setdefault(entry.column, set()).add(entry.payload["totals"].get("train_wrong"))
    found: dict[Kind, dict[float, Column]] = {}
    clean = {column[0]: column for column in grouping.columns if wrong.get(column) == {0}}
    for column in grouping.columns:
        if column not in clean.values() and (share := noises[column].get("rate")) is not None:
            text = noise_text(noises[column]).replace(f" {100 * share:.10g}%", "", 1)
            found.setdefault((column[0], text), {})[100 * share] = column
    for (dataset, _), steps in found.items():
        if dataset in clean:
            steps.setdefault(0.0, clean[dataset])
    return {kind: sorted(steps.items()) for kind, steps in found.items()}


def _lines(grouping: Grouping, steps: list[tuple[float, Column]]) -> dict[str, list[list[Point]]]:
    """The points of each row, in a list for each setting of everything but the noise and what a method is given."""
    found = {}
    for row in grouping.groups:
        pieces: dict[tuple[tuple[str, str], ...], list[Point]] = {}
        for x, column in steps:
            if (one := points.point(x, row.runs(column))) is not None:
                pieces.setdefault(_setting(row, column), []).append(one)
        if pieces:
            found[row.label] = [*pieces.values()]
    return found


def _setting(row: Group, column: Column) -> tuple[tuple[str, str], ...]:
    key = next(entry.key for entry in row.entries if entry.column == column and entry.payload)
    return tuple(sorted((name, value) for name, value in key.items() if not name.startswith(("method", "code"))))
