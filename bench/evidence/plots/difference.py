"""Critical-difference diagram: mean ranks over settings, and which methods Nemenyi's test cannot tell apart.

Demšar, JMLR 7 (2006), figure 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.evidence import ranks
from bench.evidence.curves import Source, grouped
from bench.evidence.grouping import Grouping
from bench.evidence.plots import canvas
from bench.evidence.plots.canvas import CHARACTER, Nothing
from bench.evidence.plots.looks import COLOURS, GREY, RC, SMALL
from bench.evidence.records import accuracy
from bench.evidence.statistics import ALPHA, mean
from bench.names import few

if TYPE_CHECKING:
    import pandas as pd

AXIS = 3.4  # inches, at least, of the scale of ranks
NAMED = 5  # settings in a list of many
STEP = 0.17  # inches between two names
BAR = 0.075  # inches between two bars


def critical_difference(source: Source) -> Figure:
    """Draw mean ranks over settings in which all these rows have a number; Nothing for fewer than three settings."""
    grouping = grouped(source)
    table = means(grouping)
    complete = ranks.comparable(table)
    datasets = len({str(setting).split(" · ")[0] for setting in complete.index})
    if refused := ranks.refusal(len(complete), len(complete.columns), datasets):
        raise Nothing(refused)
    friedman = ranks.friedman(complete)
    order = [(str(label), float(rank)) for label, rank in ranks.average_ranks(complete).items()]
    difference = ranks.critical_difference(len(order), len(complete), ALPHA)
    groups = ranks.groups(dict(order), difference)
    left = [
        str(setting).split(" · ")[1] if datasets == 1 else str(setting)
        for setting in table.index.difference(complete.index)
    ]
    lacking = [str(label) for label in table.columns.difference(complete.columns, sort=False)]
    notes = [
        f"ranks of mean accuracy after the last epoch (1 is best), {ranks.settings_text(len(complete), datasets)}",
        f"left out because a method has no number there: {few(left, NAMED)}" if left else "",
        f"without a rank, having no number in a setting: {few(lacking, NAMED)}" if lacking else "",
        f"CD: critical difference of Nemenyi's test at {ALPHA:g}; a bar joins methods that it does not separate",
        friedman.text + ("" if friedman.p < ALPHA else ": no method is shown to differ from any other"),
    ]
    return _diagram(order, groups, difference, notes)


def means(grouping: Grouping) -> pd.DataFrame:
    """Return mean accuracy by setting (data set and noise) and row; NaN where a row has no run."""
    import pandas as pd

    rows: dict[str, dict[str, float]] = {}
    for column in grouping.columns:
        for row in grouping.groups:
            if not any(entry.payload for entry in row.entries):
                continue
            values = [value for run in row.runs(column) if (value := accuracy(run)) is not None]
            found = mean(values)
            rows.setdefault(" · ".join(column), {})[row.label] = math.nan if found is None else found
    return pd.DataFrame.from_dict(rows, orient="index")


def _diagram(
    order: list[tuple[str, float]], groups: list[tuple[str, ...]], difference: float, notes: list[str]
) -> Figure:
    count = len(order)
    half = -(-count // 2)
    names = CHARACTER * (max(len(label) for label, _ in order) + 7)
    bars = _levels(groups)
    depth = BAR * (max(bars, default=-1) + 2)
    width = max(AXIS, 0.16 * count)
    tall = 0.62 + depth + STEP * (half + 0.5)
    with matplotlib.rc_context({**RC, "axes.grid": False}):
        figure = Figure(figsize=(width + 2 * names, tall + 0.16 * 5), layout="constrained")
        panel = figure.subplots()
        panel.set_axis_off()
        panel.set_xlim(1 - names / width * (count - 1), count + names / width * (count - 1))
        panel.set_ylim(-tall + 0.62, 0.62)  # inches
        _scale(panel, count, difference)
        place = dict(order)
        for level, members in zip(bars, groups, strict=True):
            y, inset = -BAR * (level + 1), 0.004 * (count - 1)
            xs = [place[members[0]] - inset, place[members[-1]] + inset]
            panel.plot(xs, [y, y], color=COLOURS[0], linewidth=2.4, solid_capstyle="butt", label="_group")
        for position, (label, rank) in enumerate(order):
            on_left = position < half
            y = -depth - STEP * ((position if on_left else count - 1 - position) + 0.5)
            end = 1 - 0.02 * (count - 1) if on_left else count + 0.02 * (count - 1)
            panel.plot([rank, rank, end], [0, y, y], color=GREY, linewidth=0.7, label="_name")
            panel.plot([rank], [0], marker="o", color="black", markersize=2.6, label="_rank")
            text = f"{label}  {rank:.2f}" if on_left else f"{rank:.2f}  {label}"
            gap = -0.01 * (count - 1) if on_left else 0.01 * (count - 1)
            panel.text(end + gap, y, text, ha="right" if on_left else "left", va="center", fontsize=7)
        canvas.note(figure, *notes)
    return figure


def _scale(panel: Axes, count: int, difference: float) -> None:
    """The axis of ranks, and above it the length of the critical difference."""
    panel.plot([1, count], [0, 0], color="black", linewidth=0.8, label="_axis")
    step = max(1, round(count / 12))
    for rank in range(1, count + 1):
        panel.plot([rank, rank], [0, 0.05], color="black", linewidth=0.7, label="_tick")
        if (rank - 1) % step == 0:
            panel.text(rank, 0.09, str(rank), ha="center", va="bottom", fontsize=7)
    shown = min(difference, count - 1.0)
    panel.plot([1, 1 + shown], [0.36, 0.36], color="black", linewidth=1.4, marker="|", label="_cd")
    more = " (more than the axis is long)" if difference > count - 1 else ""
    panel.text(1 + shown / 2, 0.42, f"CD = {difference:.2f}{more}", ha="center", va="bottom", fontsize=SMALL)


def _levels(groups: list[tuple[str, ...]]) -> list[int]:
    """The line below the axis on which each group's bar lies, so that those that share a method do not touch."""
    levels: list[int] = []
    for number, members in enumerate(groups):
        taken = {levels[other] for other in range(number) if set(groups[other]) & set(members)}
        levels.append(next(level for level in range(len(groups)) if level not in taken))
    return levels
