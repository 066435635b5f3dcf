"""Matrices of classes, panel by panel: counted noise (true to given), and confusion on test (true to predicted)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.evidence import heatmap
from bench.evidence.plots import canvas
from bench.evidence.plots.canvas import Nothing

WIDE = 4
WRITTEN = 10  # classes up to which a cell of a panel holds its number
PANEL = (1.95, 2.2)  # inches


@dataclass(frozen=True)
class Matrix:
    """Counts (C, C) or (C, C + 1), whose last column holds what was no class: rows are true classes."""

    name: str
    counts: NDArray[np.int64]
    told: str  # below the name, such as how many were wrong


def transition(matrices: Sequence[Matrix]) -> Figure:
    """Draw P(given | true) as counted from the stored labels, a panel per noise."""
    return _panels(matrices, "given class", "share of the true class that got this label, %")


def confusion(matrices: Sequence[Matrix], noise: str) -> Figure:
    """Draw P(predicted | true) on test after the last epoch, a panel per row of the table."""
    return _panels(matrices, "predicted class", f"{noise}: share of the true class predicted so on test, %")


def _panels(matrices: Sequence[Matrix], across: str, scale: str) -> Figure:
    if not matrices:
        raise Nothing("there is no matrix to draw")
    shown = [heatmap.shares(one.counts.astype(np.float64))[:, : len(one.counts)] for one in matrices]
    largest = heatmap.top(*shown)
    wide = canvas.wide(len(shown), WIDE)
    high = -(-len(shown) // wide)
    size = (3.3, 3.4) if len(shown) == 1 else PANEL
    with canvas.canvas(None, wide, high, size) as figure:
        figure.set_figwidth(size[0] * wide + 0.8)
        made = canvas.panels(figure, high, wide, len(shown))
        for number, (panel, one, values) in enumerate(zip(made, matrices, shown, strict=True)):
            panel.grid(False)
            image = heatmap.draw(panel, values, largest, WRITTEN, digits=0)
            panel.tick_params(labelsize=6, length=2)
            canvas.title(panel, one.name, size[0])
            panel.set_title(f"{panel.get_title()}\n{one.told}")
            if number + wide >= len(shown):
                panel.set_xlabel(across)
            if number % wide == 0:
                panel.set_ylabel("true class")
        bar = figure.colorbar(image, ax=made, shrink=min(1.0, 0.9 if high == 1 else 2.0 / high), aspect=25)
        bar.set_label("off the diagonal, %")
        canvas.note(
            figure, f"{scale.removesuffix(', %')}, in %", "the diagonal is grey, so that the colours show the rest"
        )
    return figure
