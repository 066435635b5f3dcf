"""Histograms of confidence over the training samples: those with a right label against those with a wrong one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from bench.evidence.plots import canvas
from bench.evidence.plots.canvas import Entries, Nothing
from bench.evidence.plots.looks import COLOURS

BINS = 20
EDGES = np.linspace(0.0, 1.0, BINS + 1)
WIDE = 4
PANEL = (1.7, 1.5)  # inches
RIGHT, WRONG = COLOURS[0], COLOURS[1]


@dataclass(frozen=True)
class Histogram:
    """Samples in each of the bins, summed over runs and heads, and the epochs after which they were counted."""

    right: NDArray[np.int64]
    wrong: NDArray[np.int64]
    runs: int
    epochs: frozenset[int]


def counted(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], wrong: NDArray[np.bool_], epoch: int
) -> Histogram:
    """Return the histogram of one run: confidences (H, N) in [0, 1], and which of the N samples are of which kind."""

    def bins(kind: NDArray[np.bool_]) -> NDArray[np.int64]:
        values = confidence[:, kind]
        return np.histogram(np.clip(values[np.isfinite(values)], 0, 1), EDGES)[0].astype(np.int64)

    return Histogram(bins(right), bins(wrong), 1, frozenset({epoch}))


def added(one: Histogram, other: Histogram) -> Histogram:
    return Histogram(one.right + other.right, one.wrong + other.wrong, one.runs + other.runs, one.epochs | other.epochs)


def confidence(histograms: Mapping[str, Histogram], noise: str) -> Figure:
    """Draw one column of a table, a panel per row: the share of each kind of sample by confidence."""
    if not histograms:
        raise Nothing("there is no per-sample table")
    wide = canvas.wide(len(histograms), WIDE)
    high = -(-len(histograms) // wide)
    size = (2.6, 1.9) if len(histograms) == 1 else PANEL
    handles = [
        Patch(facecolor=RIGHT, alpha=0.55, edgecolor=RIGHT),
        Patch(facecolor="none", edgecolor=WRONG, hatch="////"),
    ]
    with canvas.canvas(Entries(["label right", "label wrong"], handles), wide, high, size) as figure:
        made = canvas.panels(figure, high, wide, len(histograms), sharex=True, sharey=True)
        for number, (panel, (name, one)) in enumerate(zip(made, histograms.items(), strict=True)):
            panel.stairs(_share(one.right), EDGES, fill=True, color=RIGHT, alpha=0.55, label="_right")
            panel.stairs(
                _share(one.wrong), EDGES, edgecolor=WRONG, hatch="////", fill=False, linewidth=0.9, label="_wrong"
            )
            canvas.title(panel, name, size[0])
            panel.set_xlim(0, 1)
            panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            if number + wide >= len(histograms):
                panel.set_xlabel("confidence")
            if number % wide == 0:
                panel.set_ylabel("share of samples, %")
        made[0].set_ylim(bottom=0)  # shared by all, and known now that all are drawn
        epochs = sorted({epoch for one in histograms.values() for epoch in one.epochs})
        runs = sorted({one.runs for one in histograms.values()})
        canvas.note(
            figure,
            f"{noise}: training samples by the confidence of what is predicted for them, not augmented, after "
            + (f"epoch {epochs[0]}" if len(epochs) == 1 else f"the last epoch ({epochs[0]} to {epochs[-1]})"),
            f"all heads of {runs[0]} run{'s' if runs[0] > 1 else ''}"
            if len(runs) == 1
            else f"of {runs[0]} to {runs[-1]} runs",
        )
    return figure


def _share(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    total = counts.sum()
    shares: NDArray[np.float64] = 100 * counts / total if total else np.zeros(len(counts))
    return shares
