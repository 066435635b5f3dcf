"""Figures from the records of runs: accuracy over epochs, memorisation, selection, diagnostics.

Built on matplotlib's `Figure` without pyplot: no global state, no display, and the same bytes from the same records.
Runs that may not be averaged are separate lines, as they are separate rows of a table.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench.evidence.curves import Curve, Lines, Measure, calibration_error, lines_of, ratio, score_auc, threshold
from bench.evidence.grouping import Column, Grouping, group
from bench.evidence.records import HEADLINE, Payload, reported_heads, share_per_epoch

# Okabe and Ito's palette without its yellow, which is too light for a line on white paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (5, 1.2, 1.2, 1.2)),
    (0, (8, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 3.0,
    "text.parse_math": False,  # a name may hold a dollar sign
    "svg.fonttype": "none",
    "svg.hashsalt": "evidence",
    "savefig.dpi": 200,
}
PANEL, ONE_PANEL, CHARACTER, LINE = (
    2.05,
    2.6,
    0.06,
    0.16,
)  # inches; three panels and a legend of short names fill a page
PANELS_PER_ROW = 3


@dataclass(frozen=True)
class Style:
    colour: str
    dash: Any  # a matplotlib line style
    marker: str


def style_of(position: int) -> Style:
    """Return the look of the row at `position`: colours and dashes repeat with different periods."""
    return Style(COLOURS[position % 7], DASHES[position % 6], MARKERS[(position + position // 7) % 7])


def accuracy_over_epochs(
    payloads: Iterable[Payload],
    *,
    methods: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    head: str = HEADLINE,
) -> Figure:
    """Draw test accuracy per epoch, one panel per noise: the mean over seeds and a band of one sample sd."""
    grouping = group(payloads, methods=methods, columns=columns)

    def measure(payload: Payload) -> Curve | None:
        return share_per_epoch(payload, "test", payload["totals"]["test"], reported_heads(payload, head))

    lines = lines_of(grouping, measure)
    shown = [column for column in grouping.columns if any(key[1] == column for key in lines)]
    height = -(-len(shown) // PANELS_PER_ROW) or 1
    with _figure(grouping, min(len(shown), PANELS_PER_ROW) or 1, height) as figure:
        axes = figure.subplots(height, min(len(shown), PANELS_PER_ROW) or 1, sharey=True, squeeze=False)
        for panel, column in zip_longest(axes.flat, shown):
            if column is None:
                panel.set_axis_off()
                continue
            _draw(panel, grouping, column, lines)
            panel.set_title(grouping.column_label(column))
            panel.set_xlabel("epoch")
        for panel in axes[:, 0]:
            panel.set_ylabel("accuracy on test, %")
        _legend(figure, grouping, lines)
    return figure


def memorisation(
    payloads: Iterable[Payload], *, methods: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> Figure:
    """Draw what becomes of the wrongly labelled training samples: learnt as given (above) or recovered (below)."""
    grouping = group(payloads, methods=methods, columns=columns)

    def wrong(count: str) -> Measure:
        return lambda p: share_per_epoch(p, count, p["totals"]["trace_wrong"], reported_heads(p))

    return _stack(
        grouping,
        [
            ("memorised: wrong labels\npredicted as given, %", lines_of(grouping, wrong("wrong_fit"))),
            ("recovered: wrong labels\npredicted as true class, %", lines_of(grouping, wrong("wrong_recovered"))),
        ],
    )


def selection(
    payloads: Iterable[Payload], *, methods: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> Figure:
    """Draw what methods select: share of samples, threshold, and how often the knowledge taken and refused is right.

    Rows without data are left out, and so are methods that select nothing.
    """
    grouping = group(payloads, methods=methods, columns=columns)
    right = lines_of(grouping, lambda p: ratio(p, "selection", "selected_right", "selected"))
    taken = lines_of(grouping, lambda p: ratio(p, "knowledge", "open_right", "open"))
    refused = lines_of(grouping, lambda p: ratio(p, "knowledge", "shut_right", "shut"))
    return _stack(
        grouping,
        [
            ("samples selected, %", lines_of(grouping, lambda p: ratio(p, "selection", "selected", "seen"))),
            ("selected samples with\na correct label, %", right),
            ("threshold", lines_of(grouping, threshold, scale=1.0)),
            ("predictions right\namong the selected, %", taken),
            ("predictions right\namong the others, %", refused),
        ],
    )


def diagnostics(
    payloads: Iterable[Payload], *, methods: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> Figure:
    """Draw how well methods know what they know: calibration, selection, and the correction of wrong labels.

    Rows without data are left out, as are methods that record nothing of them.
    """
    grouping = group(payloads, methods=methods, columns=columns)
    precision = lines_of(grouping, lambda p: ratio(p, "selection", "selected_right", "selected"))
    recall = lines_of(grouping, lambda p: ratio(p, "selection", "selected_right", "right_seen"))
    corrected = lines_of(grouping, lambda p: ratio(p, "correction", "wrong_corrected", "wrong_seen"))
    return _stack(
        grouping,
        [
            ("calibration error\non test, %", lines_of(grouping, calibration_error)),
            ("precision: selected with\na correct label, %", precision),
            ("recall: correct labels\nthat are selected, %", recall),
            ("area under ROC curve\nof the clean score", lines_of(grouping, score_auc, scale=1.0)),
            ("wrong labels replaced\nby the true class, %", corrected),
        ],
    )


def save(figure: Figure) -> dict[str, bytes]:
    """Return the figure's bytes by suffix, ".png" and ".svg"; the same figure gives the same bytes."""
    files = {}
    with matplotlib.rc_context(RC):
        if engine := figure.get_layout_engine():
            engine.execute(figure)
            figure.set_layout_engine("none")  # laid out once, not again for each format
    for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None, "Creator": None})):
        out = io.BytesIO()
        with matplotlib.rc_context(RC):
            figure.savefig(out, format=suffix[1:], metadata=metadata)
        files[suffix] = out.getvalue()
    return files


def _stack(grouping: Grouping, rows: list[tuple[str, Lines]]) -> Figure:
    """Draw one row of panels per measure and one column per noise."""
    rows = [(title, lines) for title, lines in rows if lines]
    shown = [c for c in grouping.columns if any(key[1] == c for _, lines in rows for key in lines)]
    with _figure(grouping, len(shown) or 1, len(rows) or 1) as figure:
        axes = figure.subplots(len(rows) or 1, len(shown) or 1, sharex="col", sharey="row", squeeze=False)
        if not rows:
            axes[0, 0].set_axis_off()
            axes[0, 0].text(0.5, 0.5, "no run recorded this", ha="center", transform=axes[0, 0].transAxes)
        for panels, (title, lines) in zip(axes, rows, strict=False):
            panels[0].set_ylabel(title)
            for panel, column in zip(panels, shown, strict=True):
                _draw(panel, grouping, column, lines)
        for column, title_panel, last_panel in zip(shown, axes[0], axes[-1], strict=False):
            title_panel.set_title(grouping.column_label(column))
            last_panel.set_xlabel("epoch")
        _legend(figure, grouping, {key: line for _, lines in rows[::-1] for key, line in lines.items()})
    return figure


def _draw(panel: Axes, grouping: Grouping, column: Column, lines: Lines) -> None:
    for position, row in enumerate(grouping.groups):
        line = lines.get((row.label, column))
        if line is None:
            continue
        style, epochs = style_of(position), np.arange(1, len(line.mean) + 1)
        every = max(1, len(epochs) // 6)
        offset = position * every // max(1, len(grouping.groups))
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
        for epoch, value in line.ends:
            panel.plot([epoch], [value], color=style.colour, marker="x", markersize=6, markeredgewidth=1.4)
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    panel.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    panel.margins(x=0.02)
    if max((len(line.mean) for line in lines.values()), default=0) == 1:
        panel.set_xticks([1])


def _legend(figure: Figure, grouping: Grouping, lines: Lines) -> None:
    """List the rows beside the panels, the highest final value first."""

    def final(label: str) -> float:
        ends = [line.mean[~np.isnan(line.mean)][-1] for key, line in lines.items() if key[0] == label]
        return float(np.mean(ends))

    drawn = {row.label: style_of(i) for i, row in enumerate(grouping.groups) if any(k[0] == row.label for k in lines)}
    order = sorted(drawn, key=final, reverse=True)
    handles = [
        Line2D([], [], color=drawn[label].colour, linestyle=drawn[label].dash, marker=drawn[label].marker, mew=0)
        for label in order
    ]
    if handles:
        columns = _legend_columns(len(handles), figure.get_figheight())
        figure.legend(handles, order, loc="outside right center", ncols=columns)


def _legend_columns(entries: int, height: float) -> int:
    """How many columns hold the legend beside panels of a height in inches."""
    return max(1, -(-entries // int(height / LINE)))


@contextmanager
def _figure(grouping: Grouping, wide: int, high: int) -> Iterator[Figure]:
    legend, tall = 0.6 + CHARACTER * max((len(row.label) for row in grouping.groups), default=0), 1.75 * high + 0.35
    panels = PANEL * wide if wide > 1 else ONE_PANEL
    columns = _legend_columns(len(grouping.groups), tall)
    with matplotlib.rc_context(RC):
        yield Figure(figsize=(panels + legend * columns, tall), layout="constrained")
