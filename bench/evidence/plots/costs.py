"""Accuracy against what it costs: passes over the data, and hours of a device where they are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.evidence.costs import kept, passes
from bench.evidence.curves import Source, grouped
from bench.evidence.grouping import Column, Grouping
from bench.evidence.plots import canvas, points
from bench.evidence.plots.canvas import Entries, Nothing
from bench.evidence.plots.looks import COLOURS, GREY, SMALL, Style
from bench.evidence.plots.points import Point
from bench.evidence.records import Payload

PANEL = (2.3, 2.0)  # inches
WIDE = 3  # panels side by side
MARKERS = {1: "o", 2: "s", 3: "^", 4: "D"}  # by the number of networks
MORE = "P"
SPAN = 8.0  # from this ratio of the dearest to the cheapest on, costs are drawn on a logarithmic scale
NEAR = 1.02  # costs up to this ratio are taken for equal
Hours = Mapping[str, float]


def cost(source: Source, hours: Hours | None = None, device: str = "") -> Figure:
    """Draw accuracy after the last epoch against cost, a point per row; `hours` of a device are by run_id.

    Points are numbered where there are more rows than colours. The grey line joins the rows that no other one beats
    in both cost and accuracy.
    """
    grouping = grouped(source)
    timed = hours if hours and all(run["run_id"] in hours for run in _finished(grouping)) else None
    scales = [("forward passes over the training set,\nsummed over the networks", passes)]
    if timed is not None:
        known, (unit, per_hour) = timed, _unit([timed[run["run_id"]] for run in _finished(grouping)])
        scales.append((f"device {unit} of one run", lambda run: per_hour * known[run["run_id"]]))
    drawn = {
        (number, column): found
        for number, (_, measure) in enumerate(scales)
        for column in grouping.columns
        if (found := _points(grouping, column, measure))
    }
    shown = [column for column in grouping.columns if (0, column) in drawn]
    if not shown:
        raise Nothing("no finished run has an accuracy on test")
    legend, numbered = _legend(grouping, drawn)
    wide = canvas.wide(len(shown), WIDE)
    high = -(-len(shown) // wide)
    with canvas.canvas(legend, wide, high * len(scales), PANEL) as figure:
        made = canvas.panels(figure, high * len(scales), wide)
        for panel in made:
            panel.set_axis_off()
        for number, (name, _) in enumerate(scales):
            for position, column in enumerate(shown):
                panel = made[number * high * wide + position]
                panel.set_axis_on()
                _draw(panel, drawn[number, column], grouping, numbered)
                canvas.title(panel, grouping.column_label(column), PANEL[0])
                panel.set_xlabel(name)
                if position % wide == 0:
                    panel.set_ylabel("accuracy on test, %")
        bars = len(grouping.groups) <= canvas.MANY
        every = [one for found in drawn.values() for one in found.values()]
        said = points.said(every, canvas.runs_text(grouping, [one.runs for one in every]), bars)
        line = "grey line: rows that no other beats in both" if len(grouping.groups) > 1 else ""
        clock = f"{unit} on {device}" if device and timed is not None else ""
        apart = any(shift for found in drawn.values() for shift in _side_by_side(found).values())
        canvas.note(figure, *said, line, "points of nearly equal cost are moved apart" if apart else "", clock)
    return figure


def _unit(hours: Sequence[float]) -> tuple[str, int]:
    """The unit that suits the longest of these, and how many of it an hour has."""
    longest = max(hours, default=1.0)
    return ("hours", 1) if longest >= 1 else ("minutes", 60) if 60 * longest >= 1 else ("seconds", 3600)


def _finished(grouping: Grouping) -> list[Payload]:
    return [entry.payload for row in grouping.groups for entry in row.entries if entry.payload]


def _points(grouping: Grouping, column: Column, measure: Callable[[Payload], float | None]) -> dict[str, Point]:
    found = {}
    for row in grouping.groups:
        runs = kept(row, column)  # as the table of costs has it
        costs = [value for run in runs if (value := measure(run)) is not None]
        if costs and len(costs) == len(runs) and (one := points.point(sum(costs) / len(costs), runs)) is not None:
            found[row.label] = one
    return found


def _networks(grouping: Grouping) -> dict[str, int]:
    told = {row.label: [e.payload["num_networks"] for e in row.entries if e.payload] for row in grouping.groups}
    return {label: counts[0] for label, counts in told.items() if counts}


def _style(position: int, networks: int) -> Style:
    return Style(COLOURS[position % len(COLOURS)], "none", MARKERS.get(networks, MORE))


def _legend(grouping: Grouping, drawn: Mapping[tuple[int, Column], Mapping[str, Point]]) -> tuple[Entries, bool]:
    """The rows by their accuracy, and below them what the markers say; whether the points are numbered."""
    networks, numbered = _networks(grouping), len(grouping.groups) > len(COLOURS)
    values: dict[str, list[float]] = {}
    for found in drawn.values():
        for label, one in found.items():
            values.setdefault(label, []).append(one.mean)
    order = sorted(values, key=lambda label: -sum(values[label]) / len(values[label]))
    place = {row.label: number for number, row in enumerate(grouping.groups)}
    looks = [_style(place[label], networks[label]) for label in order]
    names = [f"{place[label] + 1}  {label}" for label in order] if numbered else list(order)
    handles = [canvas.handle(look) for look in looks]
    for count in sorted({min(networks[label], 5) for label in order}):
        mark = Line2D([], [], linestyle="none", marker=MARKERS.get(count, MORE), color=GREY, markersize=4)
        names.append("1 network" if count == 1 else f"{count if count < 5 else '5 or more'} networks")
        handles.append(mark)
    return Entries(names, handles), numbered


def _draw(panel: Axes, found: Mapping[str, Point], grouping: Grouping, numbered: bool) -> None:
    networks, xs = _networks(grouping), [one.x for one in found.values()]
    front = _front(list(found.values()))
    if len(front) > 1:
        panel.plot(
            [one.x for one in front],
            [one.mean for one in front],
            color="#c4c4c4",
            linewidth=1.0,
            drawstyle="steps-post",
            zorder=1,
            label="_front",
        )
    place, moved = {row.label: number for number, row in enumerate(grouping.groups)}, _side_by_side(found)
    for label, one in found.items():
        points.draw(
            panel,
            [one],
            _style(place[label], networks[label]),
            moved[label],
            joined=False,
            bars=len(grouping.groups) <= canvas.MANY,
        )
        if numbered:
            text, corner = str(place[label] + 1), (2.5 + moved[label], 2)
            panel.annotate(text, (one.x, one.mean), corner, textcoords="offset points", fontsize=SMALL)
    if min(xs) > 0 and max(xs) > SPAN * min(xs):
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.4g}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
    canvas.scales(panel)
    panel.margins(x=0.1)


def _side_by_side(found: Mapping[str, Point]) -> dict[str, float]:
    """How far to move each point, lest those of equal cost cover each other."""
    near: list[list[str]] = []
    for label in sorted(found, key=lambda label: found[label].x):
        if near and found[label].x <= NEAR * found[near[-1][0]].x:
            near[-1].append(label)
        else:
            near.append([label])
    return {label: shift for labels in near for label, shift in zip(labels, points.shifts(len(labels)), strict=True)}


def _front(found: list[Point]) -> list[Point]:
    """The points that none beats in both, cheapest first."""
    front: list[Point] = []
    for one in sorted(found, key=lambda one: (one.x, -one.mean)):
        if not front or one.mean > front[-1].mean:
            front.append(one)
    return front
