"""The table of accuracies: who is best, who cannot be told from the best, and who does not beat the baseline."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.evidence.cells import BEST, DAGGER, DASH, DIVERGED, TIED, Cell, Row, Table
from bench.evidence.grouping import Column, Group, Grouping, group
from bench.evidence.records import HEADLINE, RULES, Payload, accuracy, check_rule, reported_heads, text_of
from bench.evidence.statistics import (
    ALPHA,
    Comparison,
    compare_to,
    highest,
    limits_text,
    mean,
    not_separable,
    sample_sd,
)
from bench.evidence.writers import WRITERS, to_csv, to_json, to_latex, to_markdown, to_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "WRITERS",
    "Cell",
    "Row",
    "Table",
    "accuracies",
    "accuracy_table",
    "to_csv",
    "to_json",
    "to_latex",
    "to_markdown",
    "to_text",
]

IDS_SHOWN = 6


def accuracy_table(
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
    refuse_missing: bool = False,
) -> Table:
    """Average runs over seeds into one cell per method and noise.

    `methods` and `columns` (noise labels) order rows and columns. `expected` maps the run_id of every planned run to
    its configuration and `failed` the run_id of a failed one to its reason: both only show what is missing.
    `defaults` maps methods to default hyper-parameters; other values are shown in the row's label. `tuned` holds the
    methods whose users choose settings per noise setting: the table says which they are. With
    `refuse_missing` an incomplete table raises ValueError, for tables that go into a paper.
    """
    check_rule(rule)
    payloads = list(payloads)
    heads = sorted({HEADLINE, "ensemble"} | {name for payload in payloads for name in payload["heads"]})
    if payloads and head not in heads:
        raise ValueError(f"head must be one of {', '.join(heads)}; got {head!r}")
    expected, failed = expected or {}, failed or {}
    grouping = group(payloads, methods=methods, columns=columns, expected=expected, defaults=defaults)
    done = {payload["run_id"] for payload in payloads}
    missing = tuple(run_id for run_id in expected if run_id not in done)
    if refuse_missing and missing:
        raise ValueError(f"{len(missing)} of {len(expected)} planned runs are missing: {_ids(missing)}")

    built = {row.label: [_cell(row, column, rule, head) for column in grouping.columns] for row in grouping.groups}
    notes: list[str] = []
    counts: list[int] = []
    comparisons = 0
    for i, column in enumerate(grouping.columns):
        seeds = accuracies(grouping, column, rule, head)
        tied = not_separable(seeds)
        for label in tied:
            built[label][i] = replace(built[label][i], tied=True)
        if tied:
            best = str(highest(seeds))
            built[best][i] = replace(built[best][i], best=True)
        notes += _not_better(grouping.column_label(column), seeds, _label_of(grouping, baseline))
        counts += [int(n) for n in seeds.notna().sum()]
        comparisons = max(comparisons, len(seeds.columns) * (len(seeds.columns) - 1) // 2)

    rows = tuple(_row(row, tuple(built[row.label]), head) for row in grouping.groups)
    notes = [
        *_legend(rows, rule, comparisons, tuned),
        *_limits(counts, comparisons),
        *notes,
        *grouping.notes,
        *_gaps(grouping, rows, rule, head, missing, failed, len(expected)),
    ]
    return Table(
        header=_header(grouping, rule),
        columns=tuple(grouping.column_label(column) for column in grouping.columns),
        rows=rows,
        notes=tuple(notes),
        rule=rule,
        head=head,
        baseline=baseline,
        missing=missing,
    )


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


def _cell(row: Group, column: Column, rule: str, head: str) -> Cell:
    runs = row.runs(column)
    values = [100 * value for run in runs if (value := accuracy(run, rule, head)) is not None]
    return Cell(
        mean=mean(values),
        sd=sample_sd(values),
        n=len(values),
        planned=row.planned(column),
        runs=tuple(run["run_id"] for run in runs),
        diverged=sum(bool(run["diverged"]) for run in runs),
    )


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


def _header(grouping: Grouping, rule: str) -> dict[str, str]:
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
        "number": f"{RULES[rule]}, in %: mean ± sample sd over seeds (runs)",
        "seeds": every(seeds) + (f"; noise seeds {every(noise_seeds)}" if noise_seeds != seeds else ""),
    }


def _samples(payload: Payload) -> str:
    """Return how many samples a run trained, validated and tested on, foreign images and trusted samples apart."""
    totals, trusted = payload["totals"], payload["config"]["dataset"].get("trusted", 0)
    text = f"{totals['train']} train / {totals['val']} validation / {totals['test']} test"
    official = totals.get("val_clean", totals["val"])
    apart = f" / {official} clean validation" if official and official != totals["val"] else ""
    return text + apart + (f" / {trusted} trusted, taken out of training" if trusted else "")


def _legend(rows: tuple[Row, ...], rule: str, comparisons: int, tuned: Container[str]) -> list[str]:
    cells = [cell for row in rows for cell in row.cells]
    notes = []
    if any(cell.best for cell in cells):
        correction = f", Holm over all {comparisons} pairs" if comparisons > 1 else ""
        notes.append(
            f"{BEST} highest mean of the column; {TIED} not separable from it "
            f"(paired t over shared seeds{correction}, p > {ALPHA}); both in bold"
        )
    if any(cell.diverged for cell in cells):
        notes.append(f"{DIVERGED} includes runs that diverged, with the accuracy they ended at")
    told: dict[str, list[str]] = {}
    for row in rows:
        if row.needs:
            told.setdefault(", ".join(need.replace("_", " ") for need in row.needs), []).append(row.label)
    if told:
        facts = "; ".join(f"{need} ({', '.join(labels)})" for need, labels in told.items())
        notes.append(f"{DAGGER} told more than the noisy labels: {facts}")
    if chosen := [row.label for row in rows if row.method in tuned]:
        notes.append(f"papers choose settings of these per noise setting, here one serves all: {', '.join(chosen)}")
    if rule == "clean_val":
        notes.append(f"{DAGGER} every number here was selected with clean validation labels")
    return notes


def _limits(counts: list[int], comparisons: int) -> list[str]:
    if not comparisons:
        return []
    testable = [n for n in counts if n > 1]
    usual = max(sorted(set(testable or counts)), key=(testable or counts).count)
    notes = [limits_text(usual, comparisons)]
    if 0 < len(testable) < len(counts):
        notes.append("cells of one run have no spread: they are not tested, and a column led by one has no marks")
    return notes


def _label_of(grouping: Grouping, method: str | None) -> str | None:
    """The row of a method, whatever its label adds; the method itself where it has none, or several."""
    labels = [row.label for row in grouping.groups if row.method == method]
    return labels[0] if len(labels) == 1 else method


def _not_better(column: str, seeds: pd.DataFrame, baseline: str | None) -> list[str]:
    """Name the rows that a column does not show to be better than the baseline."""
    if baseline is None or seeds.empty:
        return []
    if baseline not in seeds:
        return [f"{column}: nothing is compared with {baseline}, which has no row with a number here"]
    compared = compare_to(seeds, baseline)
    family = sum(test.adjusted is not None for test in compared.values())
    said = [f"{name} ({verdict})" for name, test in compared.items() if (verdict := _verdict(test))]
    if not said:
        return [f"{column}: every other method is better than {baseline} ({_test_name(family)})"] if compared else []
    return [f"{column}: not shown to be better than {baseline} ({_test_name(family)}): {', '.join(said)}"]


def _test_name(family: int) -> str:
    return f"paired t, Holm over {family}" if family > 1 else "paired t" if family else "no test possible"


def _verdict(test: Comparison) -> str:
    """Return why a method does not beat the baseline, or "" if it does."""
    if test.difference is None:
        return "no shared seed"
    points = f"{100 * test.difference:+.2f} points"
    lower = "lower mean, " if test.difference < 0 else ""
    if test.adjusted is None:
        return f"{points}, {lower}not tested: " + ("one shared seed" if test.n < 2 else "no spread")
    if test.adjusted > ALPHA:
        return f"{points}, {lower}not separable, p = {test.adjusted:.2g}"
    return f"{points}, worse, p = {test.adjusted:.2g}" if test.difference < 0 else ""


def _gaps(
    grouping: Grouping,
    rows: tuple[Row, ...],
    rule: str,
    head: str,
    missing: tuple[str, ...],
    failed: Mapping[str, str],
    planned: int,
) -> list[str]:
    notes = []
    lost = [run_id for run_id in missing if run_id in failed]
    waiting = [run_id for run_id in missing if run_id not in failed]
    if lost:
        reasons = ", ".join(f"{run_id} ({failed[run_id]})" for run_id in lost[:IDS_SHOWN])
        notes.append(f"failed: {len(lost)} of {planned} runs: {reasons}{_more(lost)}")
    if waiting:
        notes.append(f"not run: {len(waiting)} of {planned} runs: {_ids(waiting)}")
    runs = [run for row in grouping.groups for column in grouping.columns for run in row.runs(column)]
    if diverged := [run["run_id"] for run in runs if run["diverged"]]:
        notes.append(f"diverged: {len(diverged)} of {len(runs)} runs: {_ids(diverged)}")
    if headless := [row.label for row in rows if row.networks is not None and row.head == DASH]:
        notes.append(f"no head {head!r}: {', '.join(headless)}")
    blind = [run["run_id"] for run in runs if reported_heads(run, head) and accuracy(run, rule, head) is None]
    if blind:
        notes.append(f"nothing to select by under rule {rule!r}: {len(blind)} of {len(runs)} runs: {_ids(blind)}")
    return notes


def _ids(run_ids: Sequence[str]) -> str:
    return ", ".join(run_ids[:IDS_SHOWN]) + _more(run_ids)


def _more(run_ids: Sequence[str]) -> str:
    return f" and {len(run_ids) - IDS_SHOWN} more" if len(run_ids) > IDS_SHOWN else ""
