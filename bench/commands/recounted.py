"""The tables of a suite against numbers counted another way: those that would be printed, and those that were."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.commands import derived
from bench.data.noisy import spec_of
from bench.evidence import recount
from bench.evidence.cells import Cell, Table
from bench.evidence.recount import Number, Run
from bench.files import parse, read_regular
from bench.sweep.store import Store
from bench.sweep.verifying import Report

EXACT = 1e-9  # points by which two routes may differ in their arithmetic
PRINTED, STORED = 0.005, 5e-7  # half of the last digit on a page, and in a CSV file

MANIFEST = ".manifest.json"
NAME = re.compile(r"accuracy(?:-(?P<rule>[a-z0-9_]+)-(?P<head>[A-Za-z0-9_.-]+))?")
LABEL = re.compile(r"[A-Za-z0-9._-]+")  # a method, at the beginning of its line
# a number, its spread and its count as Markdown and LaTeX print them
TRIPLE = re.compile(r"(\d+\.\d\d)(?: (?:±|\\\(\\pm\\\)) (\d+\.\d\d))?[*}]* \((\d+)[/)]")


class Triple(NamedTuple):
    """A number as it was printed."""

    mean: float
    sd: float | None
    n: int

    def fits(self, number: Number, within: float) -> bool:
        """Whether it is that number, rounded."""
        return self.n == number.n and _near(self.mean, number.mean, within) and _near(self.sd, number.sd, within)


class Recount:
    """The records of a suite's finished runs, and what tables must say of them."""

    def __init__(
        self, store: Store, found: derived.Evidence, records: Mapping[str, Run], baseline: str, report: Report
    ) -> None:
        self.store, self.found, self.records, self.baseline, self.report = store, found, records, baseline, report
        self.groups = recount.together(records.values())
        self.heads = ["headline", *sorted({"ensemble"}.union(*(run.facts["heads"] for run in records.values())))]

    def check(self) -> None:
        """Hold every cell under every rule and of every head against its recount, then the tables that were written."""
        differing = sorted(self.found.digests.keys() ^ self.records.keys())
        for run_id in differing:
            path = self.store.runs / run_id / "result.json"
            self.report.wrong(path, "`table` and `verify` do not agree on whether it is valid")
        if differing:
            return
        try:
            for rule in recount.RULES:
                for head in self.heads:
                    self._check_table(derived.table_of(self.found, rule, head, self.baseline), rule, head)
        except ValueError as error:  # no table can be made of these runs: their labels differ
            self.report.wrong(self.store.runs, error)
            return
        self._check_written()

    def _check_table(self, table: Table, rule: str, head: str) -> None:
        self.report.count("tables")
        counted = recount.cells(self.groups, rule, head)
        where = f"table of {self.found.suite.name}, {rule}, {head}"
        for row, column, cell in _cells(table):
            if cell.runs:
                self.report.count("cells")
                wrong = self._fault(row, column, cell, counted.pop(frozenset(cell.runs), None))
                if wrong:
                    self.report.wrong(f"{where}: {row}, {column}", wrong)
        for runs, number in counted.items():
            self.report.wrong(where, f"has no cell of the runs {', '.join(sorted(runs))}, which make {number.mean}")

    def _fault(self, method: str, column: str, cell: Cell, number: Number | None) -> str:
        """What is wrong with a cell, given the recount of its runs."""
        if number is None:
            return f"averages runs that are not of one setting: {', '.join(cell.runs)}"
        configs = [run.config for run in self.found.runs if run.run_id in cell.runs]
        if {(config.method.name, spec_of(config.noise).label) for config in configs} != {(method, column)}:
            return f"stands in another row or column than its runs {', '.join(cell.runs)}"
        exact = cell.n == number.n and _near(cell.mean, number.mean, EXACT) and _near(cell.sd, number.sd, EXACT)
        shown = [Triple(*found) for found in _triples(f"{cell.number} ({cell.n})")]
        printed = all(triple.fits(number, PRINTED + EXACT) for triple in shown) and len(shown) == bool(number.n)
        return "" if exact and printed else f"says {cell.number} ({cell.n}), counted again {_said(number)}"

    def _check_written(self) -> None:
        """Look at each table beside the records: is it of the results that are there now, does it say what they say?"""
        folder = self.store.tables / self.found.suite.name
        for stem in sorted({path.name.partition(".")[0] for path in folder.glob("accuracy*")}):
            named = NAME.fullmatch(stem)
            rule, head = (named["rule"] or "last", named["head"] or "headline") if named else ("", "")
            if rule not in recount.RULES:
                self.report.notes.append(f"{folder / stem}.*: no table of ours")
            elif self._is_current(folder / f"{stem}{MANIFEST}"):
                self._check_files(folder / stem, rule, head)
        self._is_current(folder / f"plots{MANIFEST}", needed=False)

    def _is_current(self, manifest: Path, needed: bool = True) -> bool:
        """Whether a manifest names the payloads that are there; a violation if not."""
        try:
            inputs = parse(read_regular(manifest))
        except FileNotFoundError:
            if needed:
                self.report.wrong(manifest, "is missing: of which results these tables are is not known")
            return False
        except ValueError as error:
            self.report.wrong(manifest, error)
            return False
        if isinstance(inputs, dict) and isinstance(inputs.get("inputs"), dict):  # that of the plots
            inputs = inputs["inputs"].get("runs")
        now = {run_id: record.payload_sha256 for run_id, record in self.records.items()}
        if inputs == now:
            self.report.count("manifests")
            return True
        known = inputs if isinstance(inputs, dict) else {}
        other = sum(known.get(run_id) != digest for run_id, digest in now.items())
        gone = len(known.keys() - now.keys())
        again = "`plot`" if manifest.name.startswith("plots") else "`table`"
        text = f"stale: {other} of {len(now)} results are not the ones it was made of, {gone} of those are gone"
        self.report.wrong(manifest, f"{text}; {again} makes it again")
        return False

    def _check_files(self, stem: Path, rule: str, head: str) -> None:
        table = derived.table_of(self.found, rule, head, self.baseline)
        numbers = recount.cells(self.groups, rule, head)
        expected = [numbers.get(frozenset(cell.runs)) for _, _, cell in _cells(table) if cell.runs]
        known = [number for number in expected if number is not None]
        if len(known) == len(expected):  # else the table itself is wrong, which is said
            for suffix in (".csv", ".md", ".tex"):
                self._check_file(stem.with_name(stem.name + suffix), table, [number for number in known if number.n])

    def _check_file(self, path: Path, table: Table, expected: Sequence[Number]) -> None:
        try:
            text = read_regular(path).decode("utf-8")
            printed = list(_printed(text, path.suffix, table))
        except FileNotFoundError:  # thrown away
            return
        except (ValueError, KeyError) as error:
            self.report.wrong(path, f"stale or changed: {error}")
            return
        within = (STORED if path.suffix == ".csv" else PRINTED) + EXACT
        if len(printed) != len(expected):
            self.report.wrong(
                path, f"stale or changed: it has {len(printed)} numbers, the records give {len(expected)}"
            )
            return
        for triple, number in zip(printed, expected, strict=True):
            if not triple.fits(number, within):
                self.report.wrong(path, f"stale or changed: it says {_said(triple)}, the records {_said(number)}")
                return
        self.report.count("written tables")


def _cells(table: Table) -> Iterator[tuple[str, str, Cell]]:
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            yield row.method, column, cell


def _printed(text: str, suffix: str, table: Table) -> Iterator[Triple]:
    """The numbers of a written table, line by line; ValueError if a line is not that of the row that is due."""
    if suffix == ".csv":
        found = list(csv.DictReader(io.StringIO(text, newline="")))
        _same_lines([(facts["method"], facts["column"]) for facts in found], [cell[:2] for cell in _cells(table)])
        for facts in found:
            if facts["mean_percent"]:
                yield Triple(float(facts["mean_percent"]), _number(facts["sd_points"]), int(facts["n"]))
        return
    if suffix == ".md":
        lines = [line for line in text.splitlines() if line.startswith("|")][2:]  # without the headings
    else:
        lines = [line for line in text.splitlines() if " & " in line][1:]
    names = [LABEL.match(line.lstrip("| ").replace("\\_", "_")) for line in lines]
    _same_lines([name and name[0] for name in names], [row.method for row in table.rows])
    for line in lines:
        yield from (Triple(*triple) for triple in _triples(line))


def _same_lines(found: Sequence[object], due: Sequence[object]) -> None:
    if found != due:
        wrong = next((i for i, (one, other) in enumerate(zip(found, due, strict=False)) if one != other), len(due))
        raise ValueError(f"line {wrong + 1} of its {len(found)} is not that of the records, which make {len(due)}")


def _triples(text: str) -> Iterator[tuple[float, float | None, int]]:
    for mean, sd, n in TRIPLE.findall(text):
        yield float(mean), _number(sd), int(n)


def _number(text: str) -> float | None:
    return float(text) if text else None


def _near(value: float | None, other: float | None, within: float) -> bool:
    if value is None or other is None:
        return value is other
    return abs(value - other) <= within


def _said(number: Number | Triple) -> str:
    if number.mean is None:
        return "nothing"
    return f"{number.mean:.6f}" + ("" if number.sd is None else f" ± {number.sd:.6f}") + f" ({number.n})"
