"""Other tables of the same runs: every selection rule, every head, what it costs, ranks. Each is a `Table`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.evidence import costs, remarks
from bench.evidence.cells import ALL, DASH, NONE, Cell, Extra, Part, Row, Table, Value
from bench.evidence.grouping import Column, Group, Grouping
from bench.evidence.records import HEADLINE, NETWORKS, RULES, Payload, Spent, accuracy, networks_of, reported_heads
from bench.evidence.tables import Basis, accuracy_of, mean_rank, means_of, pairs, ranked_text

if TYPE_CHECKING:
    import pandas as pd

GAP = "oracle gap"
GAP_RULE = "oracle minus last"
MEAN = "mean"


def rules(found: Basis) -> Table:
    """Return the number by every selection rule, and by how much the best epoch on test beats the last one."""
    runs = _runs(found.grouping)
    known = [rule for rule in RULES if not runs or any(accuracy(run, rule, found.head) is not None for run in runs)]
    parts = [Part(rule, rule, found.head) for rule in known]
    columns, comparisons = _side_by_side(found, parts)
    gaps = [_gap(found, column) for column in found.grouping.columns] if "oracle" in known else []
    if gaps:
        parts.append(Part(GAP, GAP_RULE, found.head))
    notes = [f"{rule}: {text}" for rule, text in RULES.items() if rule in known]
    if gaps:
        notes.append(f"{GAP}: {GAP_RULE}, run by run, in points: what choosing the epoch on the test labels adds")
    if unknown := [rule for rule in RULES if rule not in known]:
        notes.append(f"not shown, because no run has anything to select by: {', '.join(unknown)}")
    cells = [[*own, *([gaps[at]] if gaps else [])] for at, own in enumerate(columns)]
    number = "test accuracy by every selection rule, in %: mean ± sample sd over seeds (runs)"
    return _parted(replace(found, rule=ALL), parts, cells, number, "rules", comparisons, notes)


def heads(found: Basis) -> Table:
    """Return the number of each network, of their mean, and of whatever else the methods hand back."""
    runs = _runs(found.grouping)
    networks = list(dict.fromkeys(name for run in runs for name in networks_of(run)))
    others = list(dict.fromkeys(name for run in runs for name in run["heads"] if name not in networks))
    several = any(len(networks_of(run)) > 1 for run in runs)
    order = [*networks, *([NETWORKS] if several else []), *(name for name in others if name != "ensemble")]
    order += ["ensemble"] if "ensemble" in others else []
    parts = [Part(MEAN if head == NETWORKS else head, found.rule, head) for head in order or [HEADLINE]]
    cells, comparisons = _side_by_side(found, parts)
    notes = ["head: what counts as the number of a method in other tables"]
    if several:
        notes.append(f"{MEAN}: of the accuracies of all networks; ensemble: accuracy of their averaged predictions")
        notes.append("the only network of a method is its own mean and ensemble")
    number = f"{RULES[found.rule]}, of each head, in %: mean ± sample sd over seeds (runs)"
    return _parted(replace(found, head=HEADLINE), parts, cells, number, "heads", comparisons, notes)


def cost(found: Basis, spent: Mapping[str, Spent]) -> Table:
    """Return the table of accuracies with what every row costs; `spent` is by run_id."""
    base = found.baseline_label
    made = costs.of(found.grouping, spent, base)
    rows = [made.rows[row.label] for row in found.grouping.groups]

    def extra(name: str, values: Sequence[float | None], text: Callable[[float], str], unit: str = "") -> Extra:
        shown = tuple(NONE if value is None else Value(text(value), value) for value in values)
        return Extra(name, shown, len(found.grouping.columns), unit=unit)

    extras = [
        extra("epochs", [row.epochs for row in rows], "{:g}".format),
        extra("passes", [row.passes for row in rows], "{:,.1f}".format),
        extra("time/run", [row.hours for row in rows], costs.time_text, "h"),
    ]
    if base in made.rows:
        extras.append(extra("passes ratio", [row.passes_ratio for row in rows], costs.times_text))
        extras.append(extra("time ratio", [row.hours_ratio for row in rows], costs.times_text))
    return accuracy_of(found, extras, "cost", made.notes)


def rank(found: Basis) -> Table:
    """Return the rank of every row in each column, its mean, and whether ranks differ at all."""
    from bench.evidence import ranks

    columns = [found.cells(column)[0] for column in found.grouping.columns]
    rows = found.rows(columns)
    means = means_of(found.labels, rows)
    within = ranks.within(means)
    extras = [_ranked(label, at, rows, within) for at, label in enumerate(found.labels)]
    extras += mean_rank(found.labels, rows)[0]
    pairs = zip(found.grouping.columns, found.labels, strict=True)
    datasets = len({dataset for (dataset, _), label in pairs if label in within.index})
    notes = [
        ranked_text("rank", means),
        *_friedman(ranks.comparable(means), datasets),
        *remarks.flags([cell for row in rows for cell in row.cells]),
        *remarks.told(rows, found.rule, found.tuned),
        *found.gaps(),
        *remarks.blind(found.grouping, rows, found.rule, found.head),
    ]
    bare, placed = tuple(replace(row, cells=()) for row in rows), tuple(replace(extra, after=0) for extra in extras)
    number = f"rank of the mean of: {RULES[found.rule]}"
    return found.table((), bare, number, notes=tuple(notes), extras=placed, view="rank")


def _ranked(label: str, at: int, rows: Sequence[Row], within: pd.DataFrame) -> Extra:
    values = []
    for row in rows:
        cell = row.cells[at]
        count = "" if cell.n == cell.planned else cell.count
        known = label in within.index and row.label in within
        value = float(within.loc[label, row.label]) if known else None  # type: ignore[arg-type]
        values.append(Value(DASH if value is None else f"{value:g}", value, count, cell.flags))
    return Extra("rank", tuple(values), 0, label)


def _friedman(means: pd.DataFrame, datasets: int) -> list[str]:
    """Friedman's test and the critical difference, or why there is none."""
    from bench.evidence import ranks

    n, k = means.shape
    if refused := ranks.refusal(n, k, datasets):
        return [f"no test: {refused}"]
    test, difference = ranks.friedman(means), ranks.critical_difference(k, n)
    said = "" if test.p < ranks.ALPHA else ": no row is shown to differ from any other"
    return [
        f"{test.text}{said}; {ranks.settings_text(n, datasets)}",
        f"Nemenyi's critical difference at {ranks.ALPHA:g} is {difference:.2f}: closer mean ranks are not separable",
    ]


def _runs(grouping: Grouping) -> list[Payload]:
    return [entry.payload for row in grouping.groups for entry in row.entries if entry.payload]


def _side_by_side(found: Basis, parts: Sequence[Part]) -> tuple[list[list[list[Cell]]], int]:
    """The cells of every part of every column, and how many pairs were compared in one at most."""
    columns, comparisons = [], 0
    for column in found.grouping.columns:
        own = []
        for part in parts:
            cells, seeds = found.cells(column, part.rule, part.head)
            own.append([_of_head(cell, row, part.head) for cell, row in zip(cells, found.grouping.groups, strict=True)])
            comparisons = max(comparisons, pairs(seeds))
        columns.append(own)
    return columns, comparisons


def _of_head(cell: Cell, row: Group, head: str) -> Cell:
    """A cell of a head that no run of its row has is not one of missing runs."""
    runs = [entry.payload for entry in row.entries if entry.payload]
    return replace(cell, planned=0, failed=0) if runs and not any(reported_heads(run, head) for run in runs) else cell


def _gap(found: Basis, column: Column) -> list[Cell]:
    return [found.cell(row, column, _gaps(row, column, found.head)) for row in found.grouping.groups]


def _gaps(row: Group, column: Column, head: str) -> list[float | None]:
    pairs = [(accuracy(run, "oracle", head), accuracy(run, "last", head)) for run in row.runs(column)]
    return [None if best is None or last is None else 100 * (best - last) for best, last in pairs]


def _parted(
    found: Basis,
    parts: Sequence[Part],
    columns: Sequence[Sequence[Sequence[Cell]]],
    number: str,
    view: str,
    comparisons: int,
    said: Sequence[str],
) -> Table:
    """A table with several cells of each column."""
    rows = found.rows([cells for own in columns for cells in own])
    notes = [*remarks.legend(rows, found.rule, comparisons, found.tuned), *said, *found.gaps()]
    labels = [label for label in found.labels for _ in parts]
    named = tuple(parts) * len(found.labels)
    return found.table(labels, rows, number, notes=tuple(notes), parts=named, view=view)
