"""The accuracy table under every selection rule and head, of which the page shows one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.evidence.cells import Cell, Row, Table, Value
from bench.evidence.records import HEADLINE, RULES, accuracy
from bench.findings.sections.subject import Subject

ORACLE, CHECKED = "oracle", "clean_val"
CHOICES = {
    "last": "the last epoch",
    "last10": "the mean of the last epochs",
    "noisy_val": "best on noisy validation",
    CHECKED: "best on clean validation †",
    ORACLE: "best on test, which nobody may choose",
}
WARNINGS = {
    ORACLE: "An oracle: the epoch of every number below was chosen on the test labels. No such number may be claimed.",
    CHECKED: "Chosen with clean labels: the epoch of every number below was chosen on validation samples whose true "
    "labels are known.",
}


def of(subject: Subject) -> dict[str, Any]:
    """Tables in the order of the rules and heads, with the rule and the head that the page begins with."""
    order = [(rule, head) for rule in RULES for head in subject.heads]
    return {
        "rules": [(rule, f"{rule}: {CHOICES[rule]}") for rule in RULES],
        "heads": [(head, "headline: the mean of the networks" if head == HEADLINE else head) for head in subject.heads],
        "rule": subject.rule,
        "head": subject.args.head,
        "variants": [_variant(subject.tables[pair]) for pair in order],
    }


def of_runs(subject: Subject) -> dict[str, list[int | None]]:
    """Accuracy on test of each finished run, in hundredths of a percent, by "rule head" in the order of the records."""
    return {
        f"{rule} {head}": [_hundredths(accuracy(summary, rule, head)) for summary in subject.summaries.values()]
        for rule in RULES
        for head in subject.heads
    }


def _hundredths(value: float | None) -> int | None:
    return None if value is None else round(10_000 * value)


def _variant(table: Table) -> dict[str, Any]:
    return {
        "rule": table.rule,
        "head": table.head,
        "name": f"{table.rule} {table.head}",
        "says": f"{RULES[table.rule]}, in %: mean ± sample sd over seeds (runs)",
        "warning": WARNINGS.get(table.rule, ""),
        "columns": [(heading, bool(column)) for column, heading in _headings(table)],
        "rows": [_row(row, cells) for row, cells in zip(table.rows, _cells(table), strict=True)],
        "notes": table.notes,
    }


def _headings(table: Table) -> list[tuple[str, str]]:
    """Whose a column is, "" if it is about whole rows, and its heading."""
    return [(column, column or name) for column, name, _ in table.placed()]


def _cells(table: Table) -> list[tuple[Cell | Value, ...]]:
    """What stands in the columns, row by row."""
    columns = [cells for _, _, cells in table.placed()]
    return list(zip(*columns, strict=True)) if columns else [() for _ in table.rows]


def _row(row: Row, cells: Sequence[Cell | Value]) -> dict[str, Any]:
    networks = "" if row.networks is None else row.networks
    return {
        **{"label": row.marked_label, "method": row.method, "networks": row.networks_text, "sort": networks},
        **{"head": row.head, "cells": [_cell(cell) for cell in cells]},
    }


def _cell(cell: Cell | Value) -> dict[str, Any]:
    value = cell.mean if isinstance(cell, Cell) else cell.value
    return {"text": cell.text, "value": "" if value is None else value, "look": "marked" if cell.strong else "plain"}
