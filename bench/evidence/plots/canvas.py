"""Figures without pyplot: panels in a grid, the legend and the notes outside them, and the bytes of files.

No global state, no display, and the same bytes from the same records.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends import backend_registry
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench.evidence.grouping import Grouping
from bench.evidence.plots.looks import RC, SMALL, Style, style_of

PANELS_PER_ROW = 3  # that many panels and a legend of short names fill the width of a page
PANEL, ONE_PANEL, TALL = 2.05, 2.6, 1.75  # inches, of a panel
CHARACTER, LINE = 0.06, 0.16  # inches, of a letter and of a line of the legend
HANDLE = 0.6  # inches, of the line before a name
LONGEST = 48  # characters of a name's line in the legend
ENTRIES = 24  # of the legend in a column: for more rows than a panel is high, the panel grows up to this
MANY = 12  # rows beyond which bands and bars would hide each other and are left out, and panels are larger
LARGER = 1.4
TICKS = 6  # numbers along x for which a panel has room
BACKENDS = {"png": "agg", "svg": "svg", "pdf": "pdf"}
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


class Nothing(ValueError):
    """The records hold nothing that a plot could show; the message is the reason."""


@dataclass(frozen=True)
class Entries:
    """The legend: names with what stands before them, in the order they are read."""

    names: Sequence[str]
    handles: Sequence[Artist]

    @property
    def lines(self) -> list[str]:
        """The names as they are written, too long ones on several lines."""
        return ["\n".join(textwrap.wrap(name, LONGEST, subsequent_indent="  ")) or name for name in self.names]


def entries(grouping: Grouping, finals: Mapping[str, float]) -> Entries:
    """Return rows by their final values, highest first, each with the look of its lines."""
    looks = {row.label: style_of(position) for position, row in enumerate(grouping.groups)}
    order = sorted(finals, key=lambda label: -finals[label])
    return Entries(order, [handle(looks[label]) for label in order])


def handle(style: Style) -> Line2D:
    """What stands for a row in the legend: its line as it is drawn."""
    look = {"linewidth": RC["lines.linewidth"], "markersize": RC["lines.markersize"], "markeredgewidth": 0}
    return Line2D([], [], color=style.colour, linestyle=style.dash, marker=style.marker, **look)


@contextmanager
def canvas(legend: Entries | None, wide: int, high: int, panel: tuple[float, float] | None = None) -> Iterator[Figure]:
    """Give an empty figure with room for panels, of (width, height) in inches, and for a legend beside them."""
    width, height = panel or (PANEL if wide > 1 else ONE_PANEL, TALL)
    if legend and len(legend.names) > MANY:
        width, height = LARGER * width, LARGER * height
    lines = legend.lines if legend else []
    count = sum(line.count("\n") + 1 for line in lines)
    tall = max(height * high + 0.35, min(count, ENTRIES) * LINE + 0.35)
    columns = _legend_columns(count, tall)
    longest = max((len(part) for line in lines for part in line.split("\n")), default=0)
    beside = columns * (HANDLE + CHARACTER * longest) if legend else 0.0
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(width * wide + beside, tall), layout="constrained")
        yield figure
        if legend and legend.names:
            figure.legend(legend.handles, lines, loc="outside right center", ncols=columns)


def _legend_columns(lines: int, height: float) -> int:
    """How many columns hold the legend beside panels of a height in inches."""
    return max(1, -(-lines // max(1, int((height - 0.2) / LINE))))


def wide(count: int, most: int) -> int:
    """How many of `count` panels stand side by side, `most` at the utmost, so that no row is much shorter."""
    return -(-count // -(-count // most))


def note(figure: Figure, *parts: str) -> None:
    """Write below the panels what a reader must know of them."""
    text = "; ".join(part for part in parts if part)
    width = int((figure.get_figwidth() - 0.2) / (0.8 * CHARACTER))
    if text:
        figure.supxlabel("\n".join(textwrap.wrap(text, width)), fontsize=SMALL, color="#404040")


def panels(figure: Figure, high: int, wide: int, used: int | None = None, **shared: Any) -> list[Axes]:
    """Return the panels row by row; those beyond `used` are left blank."""
    made = list(figure.subplots(high, wide, squeeze=False, **shared).flat)
    count = len(made) if used is None else used
    for panel in made[count:]:
        panel.set_axis_off()
    for position, panel in enumerate(made[:count]):
        if position + wide >= count:  # nothing below it, so that shared scales have their numbers here
            panel.tick_params(labelbottom=True)
    return made[:count]


def scales(panel: Axes, epochs: int | None = None) -> None:
    """Let the numbers on the axes be few and round; along x they are epochs, if so many are given."""
    if epochs is not None:
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    if epochs == 1:
        panel.set_xticks([1])
    panel.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    panel.margins(x=0.02)


def ticks(panel: Axes, values: Sequence[float]) -> None:
    """Mark these values along x, with numbers at so many of them as there is room for."""
    every = -(-len(values) // TICKS)
    panel.set_xticks(values, [f"{value:.4g}" if place % every == 0 else "" for place, value in enumerate(values)])


def title(panel: Axes, text: str, width: float) -> None:
    """Write above a panel of a width in inches, on as many lines as it takes."""
    panel.set_title("\n".join(textwrap.wrap(text, max(12, int(width / (CHARACTER * 1.05))))) or text)


def runs_text(grouping: Grouping, counts: Sequence[int]) -> str:
    """Say how many runs are behind what is drawn, and that some are missing."""
    if not counts:
        return ""
    low, high = min(counts), max(counts)
    drawn = f"{high} run{'s' if high > 1 else ''}" if low == high else f"{low} to {high} runs"
    done = sum(entry.payload is not None for row in grouping.groups for entry in row.entries)
    planned = sum(len(row.entries) for row in grouping.groups)
    return drawn + (f" ({planned - done} of {planned} planned runs are missing)" if done < planned else "")


def save(figure: Figure, formats: Sequence[str] = ("png", "svg")) -> dict[str, bytes]:
    """Return the figure's bytes by suffix, such as ".png"; the same figure gives the same bytes."""
    files = {}
    with matplotlib.rc_context(RC):
        if engine := figure.get_layout_engine():
            engine.execute(figure)
            figure.set_layout_engine("none")  # laid out once, not again for each format
        for form in formats:
            out = io.BytesIO()
            figure.set_dpi(RC["savefig.dpi"])  # an SVG leaves 72 behind
            # Figure.savefig would draw everything twice: first to measure what the layout has measured
            drawn = backend_registry.load_backend_module(BACKENDS[form]).FigureCanvas(figure)
            getattr(drawn, f"print_{form}")(out, metadata=METADATA[form])
            files[f".{form}"] = out.getvalue()
    return files


def finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]
