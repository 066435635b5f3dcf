"""From records to lines: a number per epoch of each run, and its mean and spread over the runs of a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.evidence.grouping import Column, Group, Grouping, group
from bench.evidence.records import HEADLINE, Payload, Summary, reported_heads, share_per_epoch, summary

Curve = Sequence[float | None]
Source = Iterable[Payload] | Grouping

ACCURACY = "accuracy"
LEAST = 10  # samples behind a share that is drawn: fewer say nothing


class Measure(NamedTuple):
    """What is drawn over epochs: a share, in percent, unless `scale` and `most` say otherwise."""

    of: Callable[[Payload], Curve | None]
    scale: float = 100.0
    most: float | None = 100.0  # what no value can exceed


class Traced(Summary):
    """A summary with what plots need of the history in the history's place, a twentieth of its size."""


@dataclass(frozen=True)
class Line:
    """Mean per epoch over the `counts` runs that reached it, their sample sd, and the band of one sd around the mean.

    The sd of one run is NaN. The band stays within what the measure can be. `ends` are (epoch, value) of runs that
    diverged.
    """

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    ends: tuple[tuple[int, float], ...]
    runs: int
    sd: NDArray[np.float64]
    counts: NDArray[np.int64]


Lines = dict[tuple[str, Column], Line]


@dataclass
class Lined(Grouping):
    """Runs sorted into rows and columns without their histories, in whose place are the lines of every measure."""

    lines: Mapping[str, Lines] = field(default_factory=dict)


def grouped(source: Source, methods: Sequence[str] | None = None, columns: Sequence[str] | None = None) -> Grouping:
    """Return runs sorted into rows and columns; what is sorted already stays as it is."""
    return source if isinstance(source, Grouping) else group(source, methods=methods, columns=columns)


def traced(payload: Payload) -> Traced:
    """Return what plots need of a payload: thousands of histories would fill the memory."""
    curves = {name: _packed(measure.of(payload)) for name, measure in MEASURES.items()}
    tests = {head: _packed(_tested(payload, [head])) for head in payload["heads"]}
    return Traced(summary(payload) | {"curves": curves, "tests": tests})


def lines_of(grouping: Grouping, name: str) -> Lines:
    """Return the lines of a measure of `MEASURES`, of the rows and columns that have one."""
    if isinstance(grouping, Lined):
        return grouping.lines[name]
    measure = MEASURES[name]

    def of(payload: Payload) -> Curve | None:
        return payload["curves"][name] if isinstance(payload, Traced) else measure.of(payload)

    return _lines(grouping, measure._replace(of=of))


def accuracy_lines(grouping: Grouping, head: str = HEADLINE) -> Lines:
    """Return the lines of accuracy on test, averaged over the heads that make the number asked for."""
    if isinstance(grouping, Lined) and head == HEADLINE:
        return grouping.lines[ACCURACY]
    return _lines(grouping, Measure(lambda payload: _test_curve(payload, reported_heads(payload, head))))


def packed(grouping: Grouping) -> list[list[Any]]:
    """Return the lines of accuracy and of every measure as JSON values, from which `lined` makes them again."""
    every = {ACCURACY: accuracy_lines(grouping)} | {name: lines_of(grouping, name) for name in MEASURES}
    return [
        [
            name,
            label,
            *column,
            *map(_listed, (line.mean, line.low, line.high, line.sd)),
            line.counts.tolist(),
            line.ends,
            line.runs,
        ]
        for name, lines in every.items()
        for (label, column), line in lines.items()
    ]


def lined(grouping: Grouping, told: Sequence[Sequence[Any]]) -> Lined:
    """Return runs sorted without histories, with the lines that `packed` has told of them."""
    lines: dict[str, Lines] = {name: {} for name in (ACCURACY, *MEASURES)}
    for name, label, dataset, noise, *arrays, counts, ends, runs in told:
        mean, low, high, sd = (np.asarray(values, dtype=np.float64) for values in arrays)
        ended = tuple((int(epoch), float(value)) for epoch, value in ends)
        lines[name][label, (dataset, noise)] = Line(mean, low, high, ended, runs, sd, np.asarray(counts))
    return Lined(grouping.groups, grouping.columns, grouping.notes, lines)


def _listed(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]


def run_curve(run: Payload, name: str) -> NDArray[np.float64] | None:
    """Return one run's line of "accuracy" or a measure of `MEASURES`, NaN where an epoch has no number."""
    if name == "accuracy":
        scale, curve = 100.0, _test_curve(run, reported_heads(run))
    else:
        scale, measure = MEASURES[name].scale, MEASURES[name]
        curve = run["curves"][name] if isinstance(run, Traced) else measure.of(run)
    return None if curve is None else scale * np.asarray(curve, dtype=np.float64)


def _lines(grouping: Grouping, measure: Measure) -> Lines:
    lines: Lines = {}
    for row in grouping.groups:
        for column in grouping.columns:
            line = _average(row, column, measure)
            if line is not None:
                lines[row.label, column] = line
    return lines


def _average(row: Group, column: Column, measure: Measure) -> Line | None:
    runs = [(run, curve) for run in row.runs(column) if (curve := measure.of(run)) is not None and len(curve)]
    if not runs:
        return None
    padded = np.full((len(runs), max(len(curve) for _, curve in runs)), np.nan)
    for values, (_, curve) in zip(padded, runs, strict=True):
        values[: len(curve)] = measure.scale * np.asarray(curve, dtype=np.float64)  # None becomes NaN
    known = np.isfinite(padded)
    if not known.any():
        return None
    n = known.sum(0)
    mean = np.where(n > 0, np.where(known, padded, 0).sum(0) / np.maximum(n, 1), np.nan)
    squares = np.where(known, (padded - mean) ** 2, 0).sum(0)
    sd = np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1)), 0.0)
    ended = [
        (len(curve), values[len(curve) - 1])
        for values, (run, curve) in zip(padded, runs, strict=True)
        if run["diverged"]
    ]
    ends = tuple((epoch, float(value)) for epoch, value in ended if np.isfinite(value))
    low, high = mean - sd, mean + sd
    if measure.most is not None:
        low, high = np.clip(low, 0, measure.most), np.clip(high, 0, measure.most)
    return Line(mean, low, high, ends, len(runs), np.where(n > 1, sd, np.nan), n)


def _packed(curve: Curve | None) -> NDArray[np.float64] | None:
    return None if curve is None else np.asarray(curve, dtype=np.float64)


def _test_curve(payload: Payload, heads: Sequence[str]) -> Curve | None:
    if not isinstance(payload, Traced):
        return _tested(payload, heads)
    curves = [payload["tests"][head] for head in heads]
    if not curves or any(curve is None for curve in curves):
        return None
    averaged: Curve = sum(curves) / len(curves)
    return averaged


def _tested(payload: Payload, heads: Sequence[str]) -> Curve | None:
    return share_per_epoch(payload, "test", payload["totals"]["test"], heads)


def _of_wrong(count: str) -> Callable[[Payload], Curve | None]:
    return lambda payload: share_per_epoch(payload, count, payload["totals"]["trace_wrong"], reported_heads(payload))


def _ratio(trace: str, part: str, whole: str) -> Callable[[Payload], Curve | None]:
    return lambda payload: ratio(payload, trace, part, whole)


def ratio(payload: Payload, trace: str, part: str, whole: str) -> Curve | None:
    """Return part / whole per epoch, summed over the networks; None where whole is below LEAST or either is unknown."""
    curve: list[float | None] = []
    for epoch in payload["history"]:
        found = epoch.get(trace)
        if not found:
            curve.append(None)
            continue
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


MEASURES = {
    "memorised": Measure(_of_wrong("wrong_fit")),
    "recovered": Measure(_of_wrong("wrong_recovered")),
    "selected": Measure(_ratio("selection", "selected", "seen")),
    "precision": Measure(_ratio("selection", "selected_right", "selected")),
    "recall": Measure(_ratio("selection", "selected_right", "right_seen")),
    "threshold": Measure(threshold, scale=1.0, most=None),
    "taken": Measure(_ratio("knowledge", "open_right", "open")),
    "refused": Measure(_ratio("knowledge", "shut_right", "shut")),
    "calibration": Measure(calibration_error),
    "auc": Measure(score_auc, scale=1.0, most=1.0),
    "corrected": Measure(_ratio("correction", "wrong_corrected", "wrong_seen")),
}
