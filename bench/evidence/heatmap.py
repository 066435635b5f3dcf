"""Matrices of classes as pictures: a noise card's transition matrix, and panels of transitions or confusions."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from bench.evidence.plots.looks import RC

WRITTEN = 20  # classes up to which every cell can hold its number


def figure(card: Mapping[str, Any]) -> Figure:
    """Draw P(given | true) as counted from the labels, in percent: one row per true class, empty classes left blank.

    The diagonal keeps its numbers and is grey, so that the scale shows the wrong labels alone.
    """
    if not card["counts"]:
        raise ValueError(f"{card['label']}: no matrix to draw, the true labels are unknown")
    shown = shares(np.array(card["counts"], dtype=np.float64))
    size = min(2.6 + 0.28 * len(shown), 7.5)
    with matplotlib.rc_context({**RC, "axes.grid": False}):
        drawn = Figure(figsize=(size + 0.9, size), layout="constrained")
        axes = drawn.subplots()
        image = draw(axes, shown, top(shown))
        axes.set_xlabel("given class")
        axes.set_ylabel("true class")
        title = f"{card['label']}  {card['noise_id']}\n"
        title += f"{card['wrong']:,} of {card['num_samples']:,} labels wrong ({100 * card['actual']:.2f} %)"
        axes.set_title(title)
        bar = drawn.colorbar(image, ax=axes, shrink=0.8)
        bar.set_label("share of the true class, %")
    return drawn


def png(card: Mapping[str, Any]) -> bytes:
    """Return the figure as a PNG; equal cards give equal bytes."""
    out = io.BytesIO()
    with matplotlib.rc_context(RC):
        figure(card).savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return counts as percent of their rows, NaN in an empty row."""
    totals = counts.sum(axis=1, keepdims=True)
    return 100 * np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)


def top(*shown: NDArray[np.float64]) -> float:
    """Return the largest share off the diagonals: the end of the colour scale."""
    found = [values[~np.eye(len(values), dtype=np.bool_)] for values in shown]
    known = np.concatenate([values[np.isfinite(values)] for values in found]) if found else np.array([])
    return float(known.max()) if known.size and known.max() > 0 else 1.0


def draw(axes: Axes, shown: NDArray[np.float64], scale: float, written: int = WRITTEN, digits: int = 1) -> AxesImage:
    """Draw shares in percent with the colours up to `scale`, numbers in the cells up to `written` classes."""
    wrong = shown.copy()
    np.fill_diagonal(wrong, np.nan)
    image = axes.imshow(wrong, cmap=_colours(), vmin=0, vmax=scale, interpolation="nearest")
    if len(shown) <= written:
        _write(axes, shown, scale, digits)
        axes.set_xticks(range(len(shown)))
        axes.set_yticks(range(len(shown)))
    return image


def _colours() -> Any:
    """White for nothing, dark blue for the most frequent confusion, grey for the diagonal and for empty classes."""
    return matplotlib.colormaps["Blues"].with_extremes(bad="#e6e6e6")


def _write(axes: Axes, shown: NDArray[np.float64], scale: float, digits: int) -> None:
    for true, row in enumerate(shown):
        for given, value in enumerate(row):
            if np.isfinite(value) and value >= (0.5 * 10**-digits if digits == 0 else 1e-12):
                dark = true != given and value > 0.55 * scale
                text = f"{value:.{digits}f}" if value < 99.95 else "100"
                axes.text(given, true, text, ha="center", va="center", fontsize=6, color="white" if dark else "black")
