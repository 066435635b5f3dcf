"""What a table says below itself: marks, who does not beat the baseline, what is missing."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.evidence.cells import BEST, DAGGER, DASH, DIVERGED, FAILED, TIED, Cell, Row
from bench.evidence.grouping import Grouping
from bench.evidence.records import accuracy, reported_heads
from bench.evidence.statistics import ALPHA, Comparison, compare_to, limits_text
from bench.names import few

if TYPE_CHECKING:
    import pandas as pd


def legend(rows: Sequence[Row], rule: str, comparisons: int, tuned: Container[str]) -> list[str]:
    """Explain marks and daggers."""
    return [*marks([cell for row in rows for cell in row.cells], comparisons), *told(rows, rule, tuned)]


def told(rows: Sequence[Row], rule: str, tuned: Container[str]) -> list[str]:
    """Say which rows were told more than the noisy labels, and whose settings papers choose."""
    notes = []
    facts: dict[str, list[str]] = {}
    for row in rows:
        if row.needs:
            facts.setdefault(", ".join(need.replace("_", " ") for need in row.needs), []).append(row.label)
    if facts:
        said = "; ".join(f"{need} ({', '.join(labels)})" for need, labels in facts.items())
        notes.append(f"{DAGGER} told more than the noisy labels: {said}")
    # a row with several settings has one for each column, and says so in a note of its own
    if chosen := [row.label for row in rows if row.method in tuned and "} or {" not in row.params]:
        notes.append(f"papers choose settings of these per noise setting, here one serves all: {', '.join(chosen)}")
    if rule == "clean_val":
        notes.append(f"{DAGGER} every number here was selected with clean validation labels")
    return notes


def marks(cells: Sequence[Cell], comparisons: int) -> list[str]:
    """Explain the marks that these cells have."""
    notes = []
    if any(cell.best for cell in cells):
        correction = f", Holm over all {comparisons} pairs" if comparisons > 1 else ""
        notes.append(
            f"{BEST} highest mean of the column; {TIED} not separable from it "
            f"(paired t over shared seeds{correction}, p > {ALPHA}); both in bold"
        )
    return notes + flags(cells)


def flags(cells: Sequence[Cell]) -> list[str]:
    """Explain the marks of runs that diverged or failed."""
    notes = []
    if any(cell.diverged for cell in cells):
        notes.append(f"{DIVERGED} includes runs that diverged, with the accuracy they ended at")
    if any(cell.failed for cell in cells):
        notes.append(f"{FAILED} some of its runs failed and have no number")
    return notes


def limits(counts: Sequence[int], comparisons: int) -> list[str]:
    """Say what so many seeds can show."""
    testable = [n for n in counts if n > 1]
    usual = max(sorted(set(testable or counts)), key=(testable or counts).count)
    notes = [limits_text(usual, comparisons)]
    if 0 < len(testable) < len(counts):
        notes.append("cells of one run have no spread: they are not tested, and a column led by one has no marks")
    return notes


def dependent(grouping: Grouping) -> list[str]:
    """Say where the runs of a cell share wrong labels or seeds with each other: spread and tests take no notice."""
    one, shared, several = [], [], 0
    for column in grouping.columns:
        for row in grouping.groups:
            runs = [run for run in row.runs(column) if run["totals"].get("train_wrong") != 0]
            seeds, labels = {run["config"]["seed"] for run in runs}, {run["noise_id"] for run in runs}
            several += len(runs) > 1
            if len(labels) == 1 < len(runs):
                one.append(f"{row.label}, {grouping.column_label(column)}")
            elif len(runs) > min(len(seeds), len(labels)):
                counts = f"{len(runs)} runs of {len(seeds)} seeds and {len(labels)} sets of labels"
                shared.append(f"{row.label}, {grouping.column_label(column)} ({counts})")
    notes = []
    if one:
        where = "" if len(one) == several else f"{few(one, between='; ')}: "
        notes.append(
            f"{where}all seeds have one set of wrong labels: spread and tests tell of training anew, "
            "not of labels drawn anew"
        )
    if shared:
        notes.append(
            "runs that share a seed or their labels are not independent, but spread and tests take them to be: "
            f"{few(shared, between='; ')}"
        )
    return notes


def unequal_seeds(column: str, cells: Mapping[str, Cell], seeds: pd.DataFrame) -> list[str]:
    """Say where rows have other seeds than others, and whom no test could hold against the highest mean for that."""
    if len(seeds.columns) < 2 or not seeds.isna().any(axis=None):
        return []
    notes = []
    if all(cell.n == cell.planned for cell in cells.values()):  # else the counts tell it
        notes.append(
            f"{column}: rows have different seeds; means and the highest one are of the runs that each row has"
        )
    best = next((label for label, cell in cells.items() if cell.best), None)
    if best is None and max(seeds.notna().sum()) > 1:
        return [*notes, f"{column}: no marks, as the highest mean shares no two seeds with another row"]
    if best is not None:
        alone = [str(name) for name in seeds if (seeds[best].notna() & seeds[name].notna()).sum() < 2]
        if alone:
            notes.append(f"{column}: not tested for want of two seeds that {best} has too: {', '.join(alone)}")
    return notes


def not_better(column: str, seeds: pd.DataFrame, baseline: str | None) -> list[str]:
    """Name the rows that a column does not show to be better than the baseline."""
    if baseline is None or seeds.empty:
        return []
    if baseline not in seeds:
        several = [name for name in map(str, seeds) if name.startswith(f"{baseline} [")]
        which = f"which has {len(several)} rows here" if len(several) > 1 else "which has no row with a number here"
        return [f"{column}: nothing is compared with {baseline}, {which}"]
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


def gaps(grouping: Grouping, missing: Sequence[str], failed: Mapping[str, str], planned: int) -> list[str]:
    """Name the runs that failed, are not done, or diverged."""
    notes = []
    lost = [run_id for run_id in missing if run_id in failed]
    waiting = [run_id for run_id in missing if run_id not in failed]
    if lost:
        reasons = few([f"{run_id} ({failed[run_id]})" for run_id in lost])
        notes.append(f"failed: {len(lost)} of {planned} runs: {reasons}")
    if waiting:
        notes.append(f"not run: {len(waiting)} of {planned} runs: {few(waiting)}")
    runs = [run for row in grouping.groups for column in grouping.columns for run in row.runs(column)]
    if diverged := [run["run_id"] for run in runs if run["diverged"]]:
        notes.append(f"diverged: {len(diverged)} of {len(runs)} runs: {few(diverged)}")
    return notes


def blind(grouping: Grouping, rows: Sequence[Row], rule: str, head: str) -> list[str]:
    """Name the rows without the head asked for, and the runs in which the rule has nothing to select by."""
    notes = []
    if headless := [row.label for row in rows if row.networks is not None and row.head == DASH]:
        notes.append(f"no head {head!r}: {', '.join(headless)}")
    runs = [run for row in grouping.groups for column in grouping.columns for run in row.runs(column)]
    unseen = [run["run_id"] for run in runs if reported_heads(run, head) and accuracy(run, rule, head) is None]
    if unseen:
        notes.append(f"nothing to select by under rule {rule!r}: {len(unseen)} of {len(runs)} runs: {few(unseen)}")
    return notes
