"""From records to lines: a number per epoch of each run, and its mean and spread over the runs of a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.evidence.grouping import Column, Group, Grouping
from bench.evidence.records import Payload, reported_heads

Curve = Sequence[float | None]
Measure = Callable[[Payload], Curve | None]

LEAST = 10  # samples behind a share that is drawn: fewer say nothing


@dataclass(frozen=True)
class Line:
    """Mean per epoch over the runs that reached it, and the band of one sample sd around it.

    The band stays within what a share can be. `ends` are (epoch, value) of runs that diverged.
    """

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    ends: tuple[tuple[int, float], ...]


Lines = dict[tuple[str, Column], Line]


def lines_of(grouping: Grouping, measure: Measure, scale: float = 100.0) -> Lines:
    lines: Lines = {}
    for row in grouping.groups:
        for column in grouping.columns:
            line = _average(row, column, measure, scale)
            if line is not None:
                lines[row.label, column] = line
    return lines


def _average(row: Group, column: Column, measure: Measure, scale: float) -> Line | None:
    runs = [(run, curve) for run in row.runs(column) if (curve := measure(run))]
    if not runs:
        return None
    padded = np.full((len(runs), max(len(curve) for _, curve in runs)), np.nan)
    for values, (_, curve) in zip(padded, runs, strict=True):
        values[: len(curve)] = [np.nan if value is None else scale * value for value in curve]
    known = ~np.isnan(padded)
    if not known.any():
        return None
    n = known.sum(0)
    mean = np.where(n > 0, np.where(known, padded, 0).sum(0) / np.maximum(n, 1), np.nan)
    squares = np.where(known, (padded - mean) ** 2, 0).sum(0)
    sd = np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1)), 0.0)
    ends = [(len(curve), scale * float(curve[-1])) for run, curve in runs if run["diverged"] and curve[-1] is not None]
    return Line(mean, np.clip(mean - sd, 0, scale), np.clip(mean + sd, 0, scale), tuple(ends))


def ratio(payload: Payload, trace: str, part: str, whole: str) -> Curve | None:
    """Return part / whole per epoch, summed over the networks; None where whole is below LEAST or either is unknown."""
    curve: list[float | None] = []
    for epoch in payload["history"]:
        found = epoch.get(trace) or []
        networks = [found] if isinstance(found, dict) else found  # labels are corrected for all networks together
        parts: list[Any] = [network.get(part) for network in networks]  # None where an older record lacks a count
        wholes: list[Any] = [network.get(whole) for network in networks]
        if None in (*parts, *wholes) or sum(wholes) < LEAST:
            curve.append(None)
        else:
            curve.append(sum(parts) / sum(wholes))
    return _unless_empty(curve)


def threshold(payload: Payload) -> Curve | None:
    """Return the threshold that a method reports per epoch."""
    return _unless_empty([epoch["scalars"].get("threshold") for epoch in payload["history"]])


def calibration_error(payload: Payload) -> Curve | None:
    """Return the expected calibration error on test per epoch, the mean over the heads that the method reports."""
    heads = reported_heads(payload)
    per_epoch = [epoch.get("calibration", {}) for epoch in payload["history"]]
    return _unless_empty([_mean([found.get(head, {}).get("ece") for head in heads]) for found in per_epoch])


def score_auc(payload: Payload) -> Curve | None:
    """Return the area under the ROC curve of the clean score per epoch, the mean over the networks."""
    return _unless_empty([_mean(epoch.get("score_auc") or []) for epoch in payload["history"]])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _unless_empty(curve: Curve) -> Curve | None:
    return None if all(value is None for value in curve) else curve
