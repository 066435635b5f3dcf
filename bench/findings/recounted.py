"""The tables of a suite against numbers counted another way: those that would be printed, and those that were."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from bench.arguments.evidence import VIEWS
from bench.config import RunConfig
from bench.data.noisy import spec_of
from bench.evidence import recount
from bench.evidence.cells import ALL, Cell, Part, Table
from bench.evidence.recount import Number, Run
from bench.files import parse, read_regular
from bench.findings import everything, tabulating
from bench.findings.gathering import Evidence
from bench.sweep.records.store import Store
from bench.sweep.upkeep.verifying import Report

EXACT = 1e-9  # points by which two routes may differ in their arithmetic
PRINTED, STORED = 0.005, 5e-7  # half of the last digit on a page, and in a CSV file

MANIFEST = ".manifest.json"
SUFFIXES = (".csv", ".md", ".tex", ".html", ".json")
MEAN_RANK = "mean rank"
NAME = re.compile(rf"({'|'.join(VIEWS)})(?:-(?P<rule>[a-z0-9_]+)-(?P<head>[A-Za-z0-9_.-]+))?")
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
        self, store: Store, found: Evidence, records: Mapping[str, Run], baseline: str, report: Report
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
                    self._check_table(self._table(rule, head), rule, head)
                self._check_table(self._table(rule, "headline", "heads"), rule, "headline")
                self._check_ranks(self._table(rule, "headline", "rank"), rule, "headline")
            for head in self.heads:
                self._check_table(self._table("last", head, "rules"), "last", head)
            for view in ("cost", "published"):
                self._check_table(self._table("last", "headline", view), "last", "headline")
            self._check_costs(self._table("last", "headline", "cost"))
        except ValueError as error:  # no table can be made of these runs: their labels differ
            self.report.wrong(self.store.runs, error)
            return
        self.check_written()

    def _table(self, rule: str, head: str, view: str = "accuracy") -> Table:
        return tabulating.table_of(self.found, rule, head, self.baseline, view)

    def _check_table(self, table: Table, rule: str, head: str) -> None:
        """Hold the cells of a view, and the mean ranks beside them, against the recount."""
        self.report.count("tables")
        parts = list(dict.fromkeys(table.parts)) or [Part("", rule, head)]
        for part in parts:
            counted = self._numbers(part)
            where = f"table of {self.found.suite.name}, {part.rule}, {part.head}"
            for row, column, cell in _cells(table, part if table.parts else None):
                if cell.runs:
                    self.report.count("cells")
                    wrong = self._fault(row, column, cell, counted.pop(frozenset(cell.runs), None))
                    if wrong:
                        self.report.wrong(f"{where}: {row}, {column}", wrong)
            if part.rule in recount.RULES:
                self._check_marks(table, part, where)
            for runs, number in counted.items():
                self.report.wrong(where, f"has no cell of the runs {', '.join(sorted(runs))}, which make {number.mean}")
        if not table.parts and table.view != "published":
            self._check_mean_ranks(table, self._ranks(table, rule, head), f"{rule}, {head}")

    def _check_marks(self, table: Table, part: Part, where: str) -> None:
        """Hold the marks of every column against tests made again."""
        for number, column in enumerate(table.columns):
            if table.parts and table.parts[number] != part:
                continue
            cells = {row.label: row.cells[number] for row in table.rows}
            runs = {label: [self.records[run_id] for run_id in cell.runs] for label, cell in cells.items()}
            best, tied = recount.marks(runs, part.rule, part.head)
            for label, cell in cells.items():
                self.report.count("marks")
                if (cell.best, cell.tied) != (label == best, label in tied):
                    said = "highest" if label == best else "not separable from it" if label in tied else "no mark"
                    self.report.wrong(f"{where}: {label}, {column}", f"says {cell.text}, tested again: {said}")

    def _check_costs(self, table: Table) -> None:
        """Hold what the cost view counts against the records; hours are readings of a clock, which none can repeat."""
        rows = {row.label: [[self.records[run_id] for run_id in cell.runs] for cell in row.cells] for row in table.rows}
        base = [label for label in rows if label == self.baseline or label.startswith(f"{self.baseline} [")]
        due = recount.costs(rows, base[0] if len(base) == 1 else None)
        for extra in (extra for extra in table.extras if extra.name in recount.COSTS):
            for row, value in zip(table.rows, extra.values, strict=True):
                counted = due[row.label].get(extra.name)
                self.report.count("costs")
                if not _near(value.value, None if counted is None else float(counted), EXACT):
                    where = f"cost table of {self.found.suite.name}: {row.label}, {extra.name}"
                    self.report.wrong(where, f"says {value.value}, counted again {counted}")

    def _numbers(self, part: Part) -> dict[frozenset[str], Number]:
        if part.rule in recount.RULES:
            return recount.cells(self.groups, part.rule, part.head)
        return recount.gaps(self.groups, part.head)

    def _ranks(self, table: Table, rule: str, head: str) -> dict[str, list[float | None]]:
        """Ranks by label and column of a table of accuracies, from the recount of its cells."""
        counted = recount.cells(self.groups, rule, head)
        means: dict[str, list[float | None]] = {}
        for row in table.rows:
            numbers = [counted.get(frozenset(cell.runs)) for cell in row.cells]
            means[row.label] = [None if number is None else number.mean for number in numbers]
        return recount.ranks(means)

    def _check_ranks(self, table: Table, rule: str, head: str) -> None:
        """Hold the view of ranks against ranks worked out from the recount."""
        self.report.count("tables")
        base = self._table(rule, head)
        due = self._ranks(base, rule, head)
        for number, label in enumerate(base.columns):
            found = next((extra.values for extra in table.extras if extra.column == label), ())
            for row, value in zip(table.rows, found, strict=False):
                rank = due[row.label][number] if row.label in due else None
                self._check_rank(f"{rule}, {head}: {row.label}, {label}", value.value, rank)
            if len(found) != len(table.rows):
                self.report.wrong(f"ranks of {self.found.suite.name}, {rule}, {head}", f"has no column {label}")
        self._check_mean_ranks(table, due, f"{rule}, {head}")

    def _check_mean_ranks(self, table: Table, due: Mapping[str, Sequence[float | None]], where: str) -> None:
        found = next((extra.values for extra in table.extras if extra.name == MEAN_RANK), None)
        known = {label: [rank for rank in ranks if rank is not None] for label, ranks in due.items()}
        if found is None:
            if len(table.rows) > 1 and any(len(ranks) > 1 for ranks in known.values()):
                self.report.wrong(f"table of {self.found.suite.name}, {where}", "has no mean ranks")
            return
        for row, value in zip(table.rows, found, strict=True):
            ranks = known.get(row.label)
            self._check_rank(f"{where}: {row.label}, {MEAN_RANK}", value.value, mean(ranks) if ranks else None)

    def _check_rank(self, where: str, said: float | None, counted: float | None) -> None:
        self.report.count("ranks")
        if not _near(said, counted, EXACT):
            self.report.wrong(f"table of {self.found.suite.name}, {where}", f"says {said}, counted again {counted}")

    def _column(self, config: RunConfig) -> str:
        """The label of a run's column: its noise, after its data set where there are several."""
        noise, several = spec_of(config.noise).label, len({run.config.dataset.name for run in self.found.runs}) > 1
        return f"{config.dataset.name} · {noise}" if several else noise

    def _fault(self, method: str, column: str, cell: Cell, number: Number | None) -> str:
        """What is wrong with a cell, given the recount of its runs."""
        if number is None:
            return f"averages runs that are not of one setting: {', '.join(cell.runs)}"
        configs = [run.config for run in self.found.runs if run.run_id in cell.runs]
        if {(config.method.name, self._column(config)) for config in configs} != {(method, column)}:
            return f"stands in another row or column than its runs {', '.join(cell.runs)}"
        exact = cell.n == number.n and _near(cell.mean, number.mean, EXACT) and _near(cell.sd, number.sd, EXACT)
        shown = [Triple(*found) for found in _triples(f"{cell.number} ({cell.n})")]
        printed = all(triple.fits(number, PRINTED + EXACT) for triple in shown) and len(shown) == bool(number.n)
        return "" if exact and printed else f"says {cell.number} ({cell.n}), counted again {_said(number)}"

    def check_written(self) -> None:
        """Look at each table beside the records: is it of the results that are there now, does it say what they say?"""
        folder = self.store.tables / self.found.suite.name
        paths = [path for view in VIEWS for path in folder.glob(f"{view}*") if path.suffix in SUFFIXES]
        stems = {path.name.removesuffix(MANIFEST).removesuffix(path.suffix) for path in paths}
        for stem in sorted(stems):
            named = NAME.fullmatch(stem)
            rule, head = (named["rule"] or "last", named["head"] or "headline") if named else ("", "")
            if named is None or rule not in (*recount.RULES, ALL):
                self.report.notes.append(f"{folder / stem}.*: no table of ours")
            elif self._is_current(folder / f"{stem}{MANIFEST}"):
                self._check_files(folder / stem, named[1], "last" if rule == ALL else rule, head)
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
        verb = "plot" if manifest.name.startswith("plots") else "table"
        again = f"`{verb} {'--everything' if self.found.suite.name == everything.NAME else self.found.suite.name}`"
        text = f"stale: of {len(now)} results {other} are new or changed since, and {gone} that it was made of are gone"
        self.report.wrong(manifest, f"{text}; {again} makes it again")
        return False

    def _check_files(self, stem: Path, view: str, rule: str, head: str) -> None:
        """Read numbers of accuracies back by a parser of their own; hold the rest against what would be written now."""
        table = self._table(rule, head, view)
        records = tabulating.table_of_records(self.found, rule, head, self.baseline, view)
        numbers = recount.cells(self.groups, rule, head)
        expected = [numbers.get(frozenset(cell.runs)) for _, _, cell in _cells(table) if cell.runs]
        known = [number for number in expected if number is not None]
        if view == "accuracy" and len(known) < len(expected):
            return  # the table itself is wrong, which is said
        for form in tabulating.WRITTEN:
            path = stem.with_name(f"{stem.name}.{form}")
            try:
                text = read_regular(path).decode("utf-8")
                if view == "accuracy" and form != "html":
                    _hold(text, path.suffix, table, [number for number in known if number.n])
                due = tabulating.text_of(table, form)
                if _body(text, path.suffix) != _body(due, path.suffix):
                    raise ValueError("its rows are not those of the records")
                if missing := _said_of(records, form, due) - _lines(text):
                    raise ValueError(f"it does not say: {min(missing):.120}")
                self.report.count("written tables")
            except FileNotFoundError:  # thrown away
                continue
            except (ValueError, KeyError) as error:
                self.report.wrong(path, f"stale or changed: {error}")


def _hold(text: str, suffix: str, table: Table, expected: Sequence[Number]) -> None:
    """Compare the numbers in a written table with the recount; ValueError where they differ."""
    printed = list(_printed(text, suffix, table))
    within = (STORED if suffix == ".csv" else PRINTED) + EXACT
    if len(printed) != len(expected):
        raise ValueError(f"it has {len(printed)} numbers, the records give {len(expected)}")
    for triple, number in zip(printed, expected, strict=True):
        if not triple.fits(number, within):
            raise ValueError(f"it says {_said(triple)}, the records {_said(number)}")


def _body(text: str, suffix: str) -> list[str]:
    """What a written table says of its rows; notes, which tell of today's code too, are left out."""
    if suffix == ".csv":
        return text.splitlines()
    if suffix == ".html":
        return re.findall(r"<h2>.*?</h2>|<thead>.*?</thead>|<tbody>.*?</tbody>", text, flags=re.DOTALL)
    return [line for line in text.splitlines() if line.startswith(("|", "**", r"\textbf{")) or " & " in line]


def _said_of(records: Table, form: str, due: str) -> set[str]:
    """Lines of a table besides its rows, without those on today's code: a later one may say these otherwise."""
    return _lines(tabulating.text_of(records, form)) & _lines(due)


def _lines(text: str) -> set[str]:
    return {line for line in text.splitlines() if line.strip()}


def _cells(table: Table, part: Part | None = None) -> Iterator[tuple[str, str, Cell]]:
    """Method, column and cell, of one part where a table has several."""
    for row in table.rows:
        for number, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
            if part is None or table.parts[number] == part:
                yield row.method, column, cell


def _printed(text: str, suffix: str, table: Table) -> Iterator[Triple]:
    """The numbers of a written table, line by line; ValueError if a line is not that of the row that is due."""
    if suffix == ".csv":
        found = [facts for facts in csv.DictReader(io.StringIO(text, newline="")) if facts["n"]]  # no other columns
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
    for number, sd, n in TRIPLE.findall(text):
        yield float(number), _number(sd), int(n)


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
