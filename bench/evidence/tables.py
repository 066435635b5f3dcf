"""Runs into cells, and cells into the table of accuracies: who is best, and who cannot be told from the best."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.evidence import remarks
from bench.evidence.cells import DASH, NONE, Cell, Extra, Row, Table, Value
from bench.evidence.grouping import Column, Group, Grouping, group
from bench.evidence.records import HEADLINE, RULES, Payload, accuracy, check_rule, reported_heads, text_of
from bench.evidence.statistics import highest, mean, not_separable, sample_sd
from bench.evidence.writers import WRITERS, to_csv, to_html, to_json, to_latex, to_markdown, to_text
from bench.names import few

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "WRITERS",
    "Basis",
    "Cell",
    "Row",
    "Table",
    "accuracies",
    "accuracy_table",
    "basis",
    "to_csv",
    "to_html",
    "to_json",
    "to_latex",
    "to_markdown",
    "to_text",
]

MEAN_RANK = "mean rank"
LISTED = 10  # seeds that follow each other, each of which is still written


@dataclass(frozen=True)
class Basis:
    """Runs sorted into rows and columns, how a number is read off them, and what is known of runs without a result."""

    grouping: Grouping
    rule: str = "last"
    head: str = HEADLINE
    baseline: str | None = None
    tuned: Container[str] = ()
    failed: Mapping[str, str] | None = None  # run_id -> reason
    missing: tuple[str, ...] = ()
    planned: int = 0

    @property
    def labels(self) -> list[str]:
        """Return the columns as they are printed."""
        return [self.grouping.column_label(column) for column in self.grouping.columns]

    @property
    def baseline_label(self) -> str | None:
        """Return the row of the baseline, whatever its label adds; the method itself where it has none, or several."""
        labels = [row.label for row in self.grouping.groups if row.method == self.baseline]
        return labels[0] if len(labels) == 1 else self.baseline

    def cell(self, row: Group, column: Column, values: Sequence[float | None]) -> Cell:
        """Return the cell of `values`, one for each finished run of the row and column, in percent or points."""
        runs, failed = row.runs(column), self.failed or {}
        known = [value for value in values if value is not None]
        return Cell(
            mean=mean(known),
            sd=sample_sd(known),
            n=len(known),
            planned=row.planned(column),
            runs=tuple(run["run_id"] for run in runs),
            diverged=sum(bool(run["diverged"]) for run in runs),
            failed=sum(e.payload is None and e.column == column and e.run_id in failed for e in row.entries),
        )

    def cells(
        self, column: Column, rule: str | None = None, head: str | None = None
    ) -> tuple[list[Cell], pd.DataFrame]:
        """Return the cells of a column, one a row, with their marks, and the accuracies that these rest on."""
        rule, head = rule or self.rule, head or self.head
        found = {}
        for row in self.grouping.groups:
            shares = [accuracy(run, rule, head) for run in row.runs(column)]
            found[row.label] = self.cell(row, column, [None if share is None else 100 * share for share in shares])
        seeds = accuracies(self.grouping, column, rule, head)
        tied = not_separable(seeds)
        best = str(highest(seeds)) if tied else None
        return [replace(cell, tied=label in tied, best=label == best) for label, cell in found.items()], seeds

    def rows(self, columns: Sequence[Sequence[Cell]]) -> tuple[Row, ...]:
        """Return the rows, given the cells of each column."""
        groups = enumerate(self.grouping.groups)
        return tuple(_row(row, tuple(column[at] for column in columns), self.head) for at, row in groups)

    def table(self, columns: Sequence[str], rows: tuple[Row, ...], number: str, **more: Any) -> Table:
        """Return a table of these rows; `number` says what its cells are."""
        return Table(
            header=_header(self.grouping, number),
            columns=tuple(columns),
            rows=rows,
            rule=self.rule,
            head=self.head,
            baseline=self.baseline,
            missing=self.missing,
            **more,
        )

    def gaps(self) -> list[str]:
        """Say which rows were split, and which runs have no number."""
        gaps = remarks.gaps(self.grouping, self.missing, self.failed or {}, self.planned)
        return [*self.grouping.notes, *gaps]


def basis(
    payloads: Iterable[Payload],
    *,
    methods: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    rule: str = "last",
    head: str = HEADLINE,
    baseline: str | None = None,
    expected: Mapping[str, Mapping[str, Any]] | None = None,
    failed: Mapping[str, str] | None = None,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
    tuned: Container[str] = (),
) -> Basis:
    """Sort runs into what every view of them starts from.

    `methods` and `columns` (noise labels) order rows and columns. `expected` maps the run_id of every planned run to
    its configuration and `failed` the run_id of a failed one to its reason: both only show what is missing.
    `defaults` maps methods to default hyper-parameters; other values are shown in the row's label. `tuned` holds the
    methods whose users choose settings per noise setting: the table says which they are.
    """
    check_rule(rule)
    payloads = list(payloads)
    heads = sorted({HEADLINE, "ensemble"} | {name for payload in payloads for name in payload["heads"]})
    if payloads and head not in heads:
        raise ValueError(f"head must be one of {', '.join(heads)}; got {head!r}")
    expected = expected or {}
    grouping = group(payloads, methods=methods, columns=columns, expected=expected, defaults=defaults)
    done = {payload["run_id"] for payload in payloads}
    missing = tuple(run_id for run_id in expected if run_id not in done)
    return Basis(grouping, rule, head, baseline, tuned, failed or {}, missing, len(expected))


def accuracy_table(payloads: Iterable[Payload], *, refuse_missing: bool = False, **plan: Any) -> Table:
    """Average runs over seeds into one cell per method and noise; `plan` is that of `basis`.

    With `refuse_missing` an incomplete table raises ValueError, for tables that go into a paper.
    """
    found = basis(payloads, **plan)
    if refuse_missing and found.missing:
        raise ValueError(f"{len(found.missing)} of {found.planned} planned runs are missing: {few(found.missing)}")
    return accuracy_of(found)


def accuracy_of(found: Basis, extras: Sequence[Extra] = (), view: str = "accuracy", said: Sequence[str] = ()) -> Table:
    """Return the table of accuracies and mean ranks, with `extras` behind these; `said` are notes on them."""
    columns, notes = [], []
    counts: list[int] = []
    comparisons = rivals = 0
    for label, column in zip(found.labels, found.grouping.columns, strict=True):
        cells, seeds = found.cells(column)
        columns.append(cells)
        notes += remarks.unequal_seeds(
            label, {r.label: c for r, c in zip(found.grouping.groups, cells, strict=True)}, seeds
        )
        notes += remarks.not_better(label, seeds, found.baseline_label)
        counts += [int(n) for n in seeds.notna().sum()]
        comparisons, rivals = max(comparisons, pairs(seeds)), max(rivals, len(seeds.columns))
    rows = found.rows(columns)
    ranked, about = mean_rank(found.labels, rows)
    notes = [
        *remarks.legend(rows, found.rule, comparisons, found.tuned),
        *(remarks.limits(counts, comparisons) if rivals > 1 else []),
        *remarks.dependent(found.grouping),
        *about,
        *said,
        *notes,
        *found.gaps(),
        *remarks.blind(found.grouping, rows, found.rule, found.head),
    ]
    number = f"{RULES[found.rule]}, in %: mean ± sample sd over seeds (runs)"
    return found.table(found.labels, rows, number, notes=tuple(notes), extras=(*ranked, *extras), view=view)


def pairs(seeds: pd.DataFrame) -> int:
    """Return how many pairs of rows a column compares: those that share two seeds."""
    known = seeds.notna().to_numpy(int)
    shared = known.T @ known
    return int((shared[np.triu_indices(len(shared), 1)] > 1).sum())


def mean_rank(labels: Sequence[str], rows: Sequence[Row]) -> tuple[list[Extra], list[str]]:
    """Return the column of mean ranks and what it rests on; nothing where fewer than two columns have numbers."""
    from bench.evidence.ranks import within

    means = means_of(labels, rows)
    ranks = within(means)
    if len(ranks) < 2 or len(ranks.columns) < 2:
        return [], []
    averages = {str(label): float(ranks[label].mean()) for label in ranks}
    values = [
        Value(f"{averages[row.label]:.2f}", averages[row.label]) if row.label in averages else NONE for row in rows
    ]
    return [Extra(MEAN_RANK, tuple(values), len(labels))], [ranked_text(MEAN_RANK, means)]


def means_of(labels: Sequence[str], rows: Sequence[Row]) -> pd.DataFrame:
    """Return means in percent by column (rows) and row (columns), NaN where there is no number."""
    import pandas as pd

    found = {row.label: [float("nan") if cell.mean is None else cell.mean for cell in row.cells] for row in rows}
    return pd.DataFrame(found, index=list(labels), dtype=float)


def ranked_text(name: str, means: pd.DataFrame) -> str:
    """Say what is ranked among what, and name the rows and columns that are left out."""
    from bench.evidence.ranks import comparable

    kept = comparable(means)
    lacking = [str(label) for label in means if label not in kept]
    empty = [str(label) for label in means.index.difference(kept.index, sort=False)]
    over = f"{len(kept)} column{'' if len(kept) == 1 else 's'}"
    text = f"{name}: over {over}, among {len(kept.columns)} rows; 1 is best, equal means share the mean of their ranks"
    text += f"; without a rank, as they lack a number in a column: {few(lacking)}" if lacking else ""
    return text + (f"; columns left out, as a row has no number there: {few(empty)}" if empty else "")


def accuracies(grouping: Grouping, column: Column, rule: str = "last", head: str = HEADLINE) -> pd.DataFrame:
    """Return one line per (seed, noise seed, noise_id) and one column per row of the table, NaN where no run is."""
    import pandas as pd

    records = [
        (run["config"]["seed"], run["config"]["noise"]["seed"], run["noise_id"], row.label, value)
        for row in grouping.groups
        for run in row.runs(column)
        if (value := accuracy(run, rule, head)) is not None
    ]
    index = ["seed", "noise_seed", "noise_id"]
    long = pd.DataFrame(records, columns=[*index, "row", "accuracy"])
    wide = long.pivot(index=index, columns="row", values="accuracy")  # raises where two runs claim one cell and seed
    return wide[[row.label for row in grouping.groups if row.label in wide]]


def _row(row: Group, cells: tuple[Cell, ...], head: str) -> Row:
    runs = [entry.payload for entry in row.entries if entry.payload]
    heads = reported_heads(runs[0], head) if runs else []
    named = DASH if not heads else heads[0] if len(heads) == 1 else f"mean of {len(heads)}"
    params = dict.fromkeys(text_of(entry.config["method"]["params"]) for entry in row.entries)
    return Row(
        label=row.label,
        method=row.method,
        params=" or ".join(params),
        networks=runs[0]["num_networks"] if runs else None,
        head=named,
        needs=tuple(sorted({need for run in runs for need in run["needs"]})),
        cells=cells,
    )


def _header(grouping: Grouping, number: str) -> dict[str, str]:
    entries = [entry for row in grouping.groups for entry in row.entries]
    configs = [entry.config for entry in entries]

    def every(values: Iterable[object]) -> str:
        return ", ".join(dict.fromkeys(text_of(value) for value in values)) or DASH

    seeds = sorted({config["seed"] for config in configs})
    noise_seeds = sorted({config["noise"]["seed"] for config in configs})
    return {
        "dataset": every(config["dataset"]["name"] for config in configs),
        "samples": every(_samples(entry.payload) for entry in entries if entry.payload),
        "network": every(config["train"]["network"] for config in configs),
        "epochs": every(config["train"]["epochs"] for config in configs),
        "preset": every(config["train"]["preset"] for config in configs),
        "number": number,
        "seeds": ranges(seeds) + (f"; noise seeds {ranges(noise_seeds)}" if noise_seeds != seeds else ""),
    }


def ranges(numbers: Sequence[int]) -> str:
    """Return ascending whole numbers as text, more than `LISTED` that follow each other as in 0-99."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    words = [[f"{part[0]}-{part[-1]}"] if len(part) > LISTED else [str(number) for number in part] for part in parts]
    return ", ".join(word for some in words for word in some) or DASH


def _samples(payload: Payload) -> str:
    """Return how many samples a run trained, validated and tested on, foreign images and trusted samples apart."""
    totals, trusted = payload["totals"], payload["config"]["dataset"].get("trusted", 0)
    text = f"{totals['train']} train / {totals['val']} validation / {totals['test']} test"
    official = totals.get("val_clean", totals["val"])
    apart = f" / {official} clean validation" if official and official != totals["val"] else ""
    return text + apart + (f" / {trusted} trusted, taken out of training" if trusted else "")
