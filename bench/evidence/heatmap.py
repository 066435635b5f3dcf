"""A noise card's transition matrix as a picture."""

import io
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from bench.evidence.plots import RC

WRITTEN = 20  # classes up to which every cell can hold its number


def figure(card: Mapping[str, Any]) -> Figure:
    """Draw P(given | true) as counted from the labels, in percent: one row per true class, empty classes left blank.

    The diagonal keeps its numbers and is grey, so that the scale shows the wrong labels alone.
    """
    if not card["counts"]:
        raise ValueError(f"{card['label']}: no matrix to draw, the true labels are unknown")
    counts = np.array(card["counts"], dtype=np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = 100 * np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    wrong = shares.copy()
    np.fill_diagonal(wrong, np.nan)
    size = min(2.6 + 0.28 * len(counts), 7.5)
    with matplotlib.rc_context({**RC, "axes.grid": False}):
        drawn = Figure(figsize=(size + 0.9, size), layout="constrained")
        axes = drawn.subplots()
        top = float(np.nanmax(wrong)) if np.isfinite(wrong).any() else 0.0
        image = axes.imshow(wrong, cmap=_colours(), vmin=0, vmax=top or 1.0, interpolation="nearest")
        if len(counts) <= WRITTEN:
            _write(axes, shares, top)
            axes.set_xticks(range(len(counts)))
            axes.set_yticks(range(len(counts)))
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


def _colours() -> Any:
    """White for nothing, dark blue for the most frequent confusion, grey for the diagonal and for empty classes."""
    return matplotlib.colormaps["Blues"].with_extremes(bad="#e6e6e6")


def _write(axes: Any, shares: np.ndarray, top: float) -> None:
    for true, row in enumerate(shares):
        for given, value in enumerate(row):
            if np.isfinite(value) and value > 0:
                dark = true != given and value > 0.55 * top
                text = f"{value:.1f}" if value < 99.95 else "100"
                axes.text(given, true, text, ha="center", va="center", fontsize=6, color="white" if dark else "black")
