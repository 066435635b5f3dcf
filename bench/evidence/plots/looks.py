"""How plots look: colours that the colour-blind tell apart, with dashes and markers, at the sizes of print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
SMALL = 6.5  # points, of notes and of numbers in cells
GREY = "#8c8c8c"
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
    "hatch.linewidth": 0.5,
    "text.parse_math": False,  # a name may hold a dollar sign
    "svg.fonttype": "none",
    "svg.hashsalt": "evidence",
    "pdf.fonttype": 42,  # TrueType: journals refuse Type 3
    "savefig.dpi": 200,
}


@dataclass(frozen=True)
class Style:
    colour: str
    dash: Any  # a matplotlib line style
    marker: str


def style_of(position: int) -> Style:
    """Return the look of the row at `position`: colours and dashes repeat with different periods."""
    return Style(COLOURS[position % 7], DASHES[position % 6], MARKERS[(position + position // 7) % 7])
