"""Accuracy against one hyper-parameter: runs of one method that differ in it and in nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from bench.evidence.curves import Source, grouped
from bench.evidence.grouping import PARAMS, UNSET, Entry, Grouping, short, short_value
from bench.evidence.plots import canvas, points
from bench.evidence.plots.canvas import Entries, Nothing
from bench.evidence.plots.looks import style_of
from bench.evidence.plots.points import Point

PANEL = (2.3, 2.0)  # inches
WIDE = 3  # panels side by side
SPAN = 16.0  # from this ratio of the largest to the smallest value on, the axis is logarithmic
ACROSS = 24  # letters that have room below a panel
CHOSEN = (PARAMS, "train.")  # keys that a user sets, unlike digests of code


@dataclass(frozen=True)
class Sweep:
    """The values that one setting of a method took, in order, and a line for each column and rest of the settings."""

    method: str
    name: str
    values: tuple[str, ...]  # as JSON
    lines: dict[str, tuple[Point, ...]]  # x is the value, or its place where values are no numbers

    @property
    def numeric(self) -> bool:
        return all(_number(value) is not None for value in self.values)


def sensitivity(source: Source) -> Figure:
    """Draw accuracy after the last epoch against each setting that varies, a panel per method and setting."""
    grouping = grouped(source)
    found = sweeps(grouping)
    if not found:
        raise Nothing("no method was run with two values of a setting and all else equal")
    labels = list(dict.fromkeys(label for one in found for label in one.lines))
    looks = {label: style_of(position) for position, label in enumerate(labels)}
    wide = canvas.wide(len(found), WIDE)
    legend = Entries(labels, [canvas.handle(looks[label]) for label in labels])
    with canvas.canvas(legend, wide, -(-len(found) // wide), PANEL) as figure:
        made = canvas.panels(figure, -(-len(found) // wide), wide, len(found))
        for number, (panel, one) in enumerate(zip(made, found, strict=True)):
            for shift, (label, line) in zip(points.shifts(len(one.lines)), one.lines.items(), strict=True):
                points.draw(panel, line, looks[label], shift)
            canvas.title(panel, one.method, PANEL[0])
            canvas.scales(panel)
            _axis(panel, one)
            panel.set_xlabel(short(one.name))
            if number % wide == 0:
                panel.set_ylabel("accuracy on test, %")
        every = [one for sweep in found for line in sweep.lines.values() for one in line]
        canvas.note(figure, *points.said(every, canvas.runs_text(grouping, [one.runs for one in every])))
    return figure


def sweeps(grouping: Grouping) -> list[Sweep]:
    """Return what varies: for each method, each setting with several values in runs that are else comparable."""
    found = []
    for method in dict.fromkeys(row.method for row in grouping.groups):
        entries = [e for row in grouping.groups if row.method == method for e in row.entries if e.payload]
        names = sorted({name for entry in entries for name in entry.key if name.startswith(CHOSEN)})
        varying = [name for name in names if len({entry.key.get(name, UNSET) for entry in entries}) > 1]
        for name in varying:
            if (one := _sweep(grouping, method, name, entries)) is not None:
                found.append(one)
    return found


def _sweep(grouping: Grouping, method: str, name: str, entries: Sequence[Entry]) -> Sweep | None:
    lines: dict[tuple[str, str], dict[str, list[Entry]]] = {}
    for entry in entries:
        rest = {key: value for key, value in entry.key.items() if key != name}
        line = lines.setdefault((" · ".join(entry.column), json.dumps(rest, sort_keys=True)), {})
        line.setdefault(entry.key.get(name, UNSET), []).append(entry)
    kept = [line for line in lines.values() if len(line) > 1]
    values = _ordered({value for line in kept for value in line})
    labels = _labels(grouping, name, [next(iter(line.values()))[0] for line in kept])
    numeric = all(_number(value) is not None for value in values)
    drawn: dict[str, tuple[Point, ...]] = {}
    for label, line in zip(labels, kept, strict=True):
        xs = {value: _number(value) or 0.0 if numeric else float(place) for place, value in enumerate(values)}
        runs = {value: [entry.payload for entry in line[value] if entry.payload] for value in values if value in line}
        made = [points.point(xs[value], payloads) for value, payloads in runs.items()]
        drawn[label] = tuple(one for one in made if one is not None)
    drawn = {label: line for label, line in drawn.items() if line}
    return Sweep(method, name, tuple(values), drawn) if drawn else None


def _labels(grouping: Grouping, name: str, firsts: Sequence[Entry]) -> list[str]:
    """A name for each line, by one of its runs: the column, and the settings in which lines of a column differ."""
    labels = []
    for entry in firsts:
        beside = [other.key for other in firsts if other.column == entry.column]
        keys = sorted({key for other in beside for key in other} - {name})
        keys = [key for key in keys if len({other.get(key, UNSET) for other in beside}) > 1]
        if "dataset.digest" in keys:
            keys = [key for key in keys if key != "dataset_digest"]  # one fact, recorded twice
        others = ", ".join(f"{short(key)}={short_value(key, entry.key.get(key, UNSET))}" for key in keys)
        labels.append(grouping.column_label(entry.column) + (f" [{others}]" if others else ""))
    return labels


def _ordered(values: set[str]) -> list[str]:
    """Numbers by size, before words."""
    return sorted(values, key=lambda value: (_number(value) is None, _number(value) or 0.0, value))


def _number(value: str) -> float | None:
    """The number that a setting's JSON text is."""
    try:
        found = json.loads(value)
    except ValueError:  # "unset"
        return None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _axis(panel: Axes, one: Sweep) -> None:
    if not one.numeric:
        names = [short_value(one.name, value) for value in one.values]
        panel.set_xticks(range(len(names)), names)
        if sum(map(len, names)) > ACROSS:
            panel.tick_params(axis="x", rotation=30)
        panel.margins(x=0.15)
        return
    numbers = [_number(value) or 0.0 for value in one.values]
    if min(numbers) > 0 and max(numbers) >= SPAN * min(numbers):
        panel.set_xscale("log")
        panel.xaxis.set_minor_locator(NullLocator())
    canvas.ticks(panel, numbers)
    panel.margins(x=0.09)
