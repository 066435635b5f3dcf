"""Each column of ours followed by published numbers, each with a footnote of its own.

The footnote holds the source, whose number it is, network, noise, split, epochs and selection rule, and whether ours
may be compared with it: no number is printed without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.evidence import published, remarks
from bench.evidence.cells import NONE, Cell, Extra, Part, Table, Value
from bench.evidence.grouping import Column, Group
from bench.evidence.published import KIND_TEXTS, Match, Reference, Setting
from bench.evidence.records import RULES
from bench.evidence.tables import Basis, pairs

OURS, THEIRS = "ours", "published"
NOTHING = "published numbers: none is known for these methods, data sets and kinds of noise"


def beside_published(found: Basis, references: Sequence[Reference], sizes: Mapping[str, int]) -> Table:
    """Return ours beside the references that answer it; `sizes` are the numbers of training images by data set."""
    columns: list[list[Cell]] = []
    extras: list[Extra] = []
    footnotes: list[str] = []
    compared = 0
    for at, column in enumerate(found.grouping.columns):
        cells, seeds = found.cells(column)
        columns.append(cells)
        compared = max(compared, pairs(seeds))
        values = []
        for row, cell in zip(found.grouping.groups, cells, strict=True):
            matches = _matches(found, row, column, cell, references, sizes)
            values.append([_value(match, cell, footnotes) for match in matches])
        for place in range(max(map(len, values), default=0)):
            shown = tuple(own[place] if place < len(own) else NONE for own in values)
            name = THEIRS if place == 0 else f"{THEIRS} {place + 1}"
            extras.append(Extra(name, shown, at + 1, found.labels[at]))
    rows = found.rows(columns)
    notes = [
        *remarks.legend(rows, found.rule, compared, found.tuned),
        *([] if footnotes else [NOTHING]),
        *found.gaps(),
        *remarks.blind(found.grouping, rows, found.rule, found.head),
    ]
    number = f"ours: {RULES[found.rule]}, in %: mean ± sample sd over seeds (runs); published: as footnoted"
    parts = tuple(Part(OURS, found.rule, found.head) for _ in found.labels)
    told = {"parts": parts, "extras": tuple(extras), "footnotes": tuple(footnotes)}
    return found.table(found.labels, rows, number, notes=tuple(notes), view="published", **told)


def _matches(
    found: Basis, row: Group, column: Column, cell: Cell, references: Sequence[Reference], sizes: Mapping[str, int]
) -> list[Match]:
    entries = [entry for entry in row.entries if entry.column == column]
    if not entries:
        return []
    run = next((entry.payload for entry in entries if entry.payload), None)
    setting = Setting.of(
        entries[0].config,
        sizes.get(column[0], 0),
        rule=found.rule,
        head=found.head,
        n=cell.n,
        networks=1 if run is None else run["num_networks"],
    )
    if run is not None:  # as it was counted
        setting = replace(setting, split=published.split_text(run["totals"]["train"], run["totals"]["val"]))
    return published.nearest(published.matching(references, setting))


def _value(match: Match, cell: Cell, footnotes: list[str]) -> Value:
    """The number as printed, behind which its footnote is put down."""
    reference = match.reference
    verdict = published.verdict(cell.mean, cell.sd, cell.n, match)
    points = "" if verdict.difference is None else f" {verdict.difference:+.2f} points,"
    ours = f"ours:{points} {verdict.text}"
    whose = f"{reference.source} ({KIND_TEXTS[reference.kind]}, as {reference.label!r})"
    footnotes.append("; ".join([whose, reference.protocol, ours, *match.remarks]))
    return Value(reference.number, reference.value, notes=(len(footnotes),))
