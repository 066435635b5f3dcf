"""A number of several runs as a point: the mean, and a t interval where there are two runs or more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

from bench.evidence.plots.looks import Style
from bench.evidence.records import Payload, accuracy
from bench.evidence.statistics import t_interval

LEVEL = 0.95
STEP, SPREAD = 3.0, 14.0  # typographic points, between neighbours at one x and between the outermost


@dataclass(frozen=True)
class Point:
    """Accuracy in percent at `x`: the mean over `runs`, its interval within [0, 100], how many of them diverged."""

    x: float
    mean: float
    interval: tuple[float, float] | None
    runs: int
    diverged: int


def point(x: float, payloads: Iterable[Payload]) -> Point | None:
    """Return the point of runs, None where none has a number."""
    known = [(payload, value) for payload in payloads if (value := accuracy(payload)) is not None]
    values = [100 * value for _, value in known]
    if not values:
        return None
    interval = t_interval(values, LEVEL)
    within = None if interval is None else (max(0.0, interval[0]), min(100.0, interval[1]))
    diverged = sum(bool(payload["diverged"]) for payload, _ in known)
    return Point(x, sum(values) / len(values), within, len(values), diverged)


def shifts(count: int) -> list[float]:
    """How far to the right to draw each of so many points at one x, in typographic points: side by side."""
    step = min(STEP, SPREAD / count) if count else 0.0
    return [step * (place - (count - 1) / 2) for place in range(count)]


def draw(
    panel: Axes, points: Sequence[Point], style: Style, shift: float = 0.0, *, joined: bool = True, bars: bool = True
) -> None:
    """Draw points, joined by the line of their row; `shift` moves the ink alone, the data stay where they are."""
    before = len(panel.lines)
    xs = [one.x for one in points]
    if joined:
        panel.plot(xs, [one.mean for one in points], color=style.colour, linestyle=style.dash, label="_line")
    for x, one in zip(xs, points, strict=True):
        if bars and one.interval is not None:
            panel.plot([x, x], one.interval, color=style.colour, linewidth=0.9, label="_interval", marker="_")
        panel.plot(
            [x],
            [one.mean],
            color=style.colour,
            linestyle="none",
            marker=style.marker,
            markeredgewidth=0.8 if one.runs == 1 else 0.0,
            markerfacecolor="white" if one.runs == 1 else style.colour,
            markersize=4.2,
            label="_point",
        )
        if one.diverged:
            panel.plot([x], [one.mean], color=style.colour, marker="x", markersize=7, markeredgewidth=1.2, label="_x")
    moved = panel.transData + ScaledTranslation(shift / 72, 0, panel.figure.dpi_scale_trans)
    for line in panel.lines[before:]:
        line.set_transform(moved)


def said(points: Sequence[Point], runs: str, bars: bool = True) -> tuple[str, ...]:
    """Say what points and bars are, as far as there are such."""
    several = any(one.runs > 1 for one in points)
    return (
        f"point: {'mean of ' if several else ''}{runs}, accuracy after the last epoch",
        f"bar: {100 * LEVEL:g} % t interval over the runs" if several and bars else "",
        "no bars, for there are many rows" if several and not bars else "",
        "hollow: one run" if any(one.runs == 1 for one in points) else "",
        "× with runs that diverged" if any(one.diverged for one in points) else "",
    )
