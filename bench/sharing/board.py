"""From checked submissions to the leaderboard: a section for each protocol, plain data for a page and for machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench import config as cfg
from bench.evidence.cells import DAGGER, DASH, Cell, Row, Table
from bench.evidence.records import RULES, Summary
from bench.files import canonical
from bench.findings import everything
from bench.findings.gathering import described
from bench.sharing.checking import Checked
from bench.sharing.entries import Entries
from bench.sharing.protocol import Protocol
from bench.sharing.submission import is_link
from bench.sharing.told import Told
from methods import registry

PER_COLUMN = "settings per column"
NO_RUNS = Cell(None, None, 0, 0)
OWN = "own"  # what is said of code that is not this harness's
TRAINING = ("network", "epochs", "preset", "precision")  # what is told of it above a table
VERDICTS = ("accepted", "incomplete", "unchecked", "refused")
LIMITS = ("train_limit", "test_limit", "trusted")


@dataclass(frozen=True)
class Line:
    """A row of a section; `rank` is the mean rank over the columns, None for a row that is not ranked."""

    entry: str
    by: str
    link: str
    followed: bool  # the link is an address that a page may link to
    method: str
    params: str
    told: tuple[str, ...]
    networks: str
    trained: str  # networks and epochs, where rows differ in them
    rank: float | None
    cells: tuple[dict[str, Any], ...]
    date: str
    code: str
    source: str
    why: str = ""  # it is not ranked


@dataclass(frozen=True)
class Section:
    """The entries of one protocol, best mean rank first; `partial` are those that are incomplete or unchecked."""

    key: str
    title: str
    facts: dict[str, str]
    columns: tuple[str, ...]
    ranked: tuple[Line, ...]
    partial: tuple[Line, ...]
    notes: tuple[str, ...]


def sections(entries: Entries) -> list[Section]:
    """One section for each protocol that somebody keeps, those with most entries first."""
    found: dict[str, Protocol] = {}
    for one in entries.checked:
        if not one.faults:
            used = {told.protocol for told in one.runs}
            for protocol in one.protocols:
                if protocol.key in used:
                    found.setdefault(protocol.key, protocol)
    made = [_Maker(entries, protocol).section() for protocol in found.values()]
    return sorted(made, key=lambda section: (-len(section.ranked), -len(section.partial), section.key))


class _Maker:
    """Makes the section of a protocol."""

    def __init__(self, entries: Entries, protocol: Protocol) -> None:
        self.entries, self.protocol, self.labels = entries, protocol, entries.labels
        self.columns = tuple(dict.fromkeys(protocol.columns))
        self.facts: dict[str, tuple[Checked, Told]] = {}  # run_id of a row -> where it comes from
        self.repeated: list[str] = []

    def section(self) -> Section:
        complete = [one for one in self.entries.checked if one.verdict == "accepted"]
        partial = [one for one in self.entries.checked if one.verdict in ("incomplete", "unchecked")]
        seen: dict[tuple[str, ...], str] = {}
        table, rest = self._table(complete, seen), self._table(partial, seen)
        notes = [] if table is None else list(table.notes)
        lines = [] if table is None else self._ranked(table)
        others = [] if rest is None else [self._line(rest, row, None, marks=False) for row in rest.rows]
        return Section(
            key=self.protocol.key,
            title=self._title(),
            facts=self._facts(table or rest),
            columns=self.columns,
            ranked=tuple(lines),
            partial=tuple(others),
            notes=(*notes, *self.repeated),
        )

    def _table(self, some: Sequence[Checked], seen: dict[tuple[str, ...], str]) -> Table | None:
        """The table of the rows of some submissions; a row that stands in two of them is taken from the first."""
        from bench.evidence.tables import accuracy_table

        summaries, defaults = [], {}
        for one in some:
            rows: dict[str, list[Told]] = {}
            for told in one.runs:
                if told.protocol == self.protocol.key:
                    rows.setdefault(told.method, []).append(told)
            for method, runs in rows.items():
                label = f"{self.labels[one.place]} · {method}"
                other = seen.setdefault(tuple(sorted(told.payload for told in runs)), label)
                if other != label:
                    self.repeated.append(f"{label}: the same runs as {other}, shown once")
                    continue
                defaults[label] = _defaults(runs[0])
                summaries += [self._renamed(one, told, label) for told in runs]
        if not summaries:
            return None
        order = list(defaults)
        return accuracy_table(
            summaries, methods=order, columns=self.columns, rule=self.protocol.rule, defaults=defaults
        )

    def _renamed(self, one: Checked, told: Told, label: str) -> Summary:
        """A run under the name of its row: two submissions may hold the same one."""
        config = told.summary["config"]
        run_id = f"{one.place}:{told.run_id}"
        self.facts[run_id] = (one, told)
        named = {**config, "method": {**config["method"], "name": label}}
        return Summary({**told.summary, "run_id": run_id, "config": named})

    def _ranked(self, table: Table) -> list[Line]:
        import pandas as pd

        from bench.evidence.ranks import average_ranks, comparable

        means = pd.DataFrame({row.label: [cell.mean for cell in row.cells] for row in table.rows}, dtype=float)
        ranks = {str(label): float(rank) for label, rank in average_ranks(comparable(means)).items() if rank == rank}
        lines = [self._line(table, row, ranks.get(row.label)) for row in table.rows]
        return sorted(lines, key=lambda line: (line.rank is None, line.rank or 0.0))

    def _line(self, table: Table, row: Row, rank: float | None, marks: bool = True) -> Line:
        behind = [self.facts[run_id] for cell in row.cells for run_id in cell.runs]
        one, runs = behind[0][0], [told for _, told in behind]
        method = runs[0].method
        extra = row.label.removeprefix(f"{self.labels[one.place]} · {method}").strip().strip("[]")
        settings = {canonical([told.summary["config"][name] for name in ("method", "train")]) for told in runs}
        cells = dict(zip(table.columns, row.cells, strict=True))
        train = [told.summary["config"]["train"] for told in runs]
        codes = sorted({told.summary["method_code"] for told in runs})
        return Line(
            entry=self.labels[one.place],
            by=one.by,
            link=one.link,
            followed=is_link(one.link),
            method=method + (DAGGER if row.needs else ""),
            params=", ".join([*([extra] if extra else []), *([PER_COLUMN] if len(settings) > 1 else [])]),
            told=tuple(need.replace("_", " ") for need in row.needs),
            networks=row.networks_text,
            trained=_usual(f"{one['network']}, {one['epochs']} epochs" for one in train),
            rank=rank,
            cells=tuple(self._cell(cells.get(column, NO_RUNS), marks) for column in self.columns),
            date=max(told.started for told in runs)[:10] or DASH,
            code=", ".join(code[:8] for code in codes),
            source=_source(method, codes, one),
            why="" if one.verdict == "accepted" else f"{one.verdict}: {one.reasons[0]}",
        )

    def _cell(self, cell: Cell, marks: bool) -> dict[str, Any]:
        """A cell as a page shows it, counted against the seeds of the protocol."""
        cell = replace(cell, planned=len(self.protocol.seeds))
        if not marks:
            cell = replace(cell, best=False, tied=False)
        shown = {"text": cell.number, "count": cell.count, "mark": cell.mark, "bold": cell.best or cell.tied}
        return {**shown, "mean": cell.mean, "sd": cell.sd, "n": cell.n, "best": cell.best, "tied": cell.tied}

    def _title(self) -> str:
        data, train = self.protocol.setting["dataset"], self.protocol.setting["train"]
        network = f", {train['network']}, {train['epochs']} epochs" if "network" in train else ""
        return f"{data['name']}{network}"

    def _facts(self, table: Table | None) -> dict[str, str]:
        data, train = self.protocol.setting["dataset"], self.protocol.setting["train"]
        seeds = [pair[0] for pair in self.protocol.seeds]
        facts = {
            "number": f"{RULES[self.protocol.rule]}, in %: mean ± sample sd over seeds (runs)",
            "samples": "" if table is None else table.header["samples"],
            "rank": "mean of the ranks in the columns, 1 for the highest mean; equal means share theirs",
            "seeds": ", ".join(map(str, seeds)),
            "noise": ", ".join(self.protocol.columns),
            "training": ", ".join(f"{name} {train[name]}" for name in TRAINING if name in train),
            "data": f"{data['name']}, digest {str(data['digest'])[:12]}, {100 * data['val']:g} % held out"
            + "".join(f", {name.replace('_', ' ')} {data[name]}" for name in LIMITS if data.get(name)),
            "protocol": f"{self.protocol.key}, version {self.protocol.setting['protocol']}",
        }
        return {name: text for name, text in facts.items() if text}


def _defaults(told: Told) -> Mapping[str, Any]:
    config = cfg.RunConfig.from_dict(told.summary["config"])
    return everything.defaults_of(config, described(config.method.name))


def _source(method: str, codes: Sequence[str], one: Checked) -> str:
    """Whether a row's method is this harness's, by its code, or somebody's own."""
    if method not in registry.available():
        return f"{OWN}: {one.enclosed.get(method, 'source not enclosed')}"
    from bench.fingerprint import method_code

    return (
        "" if list(codes) == [method_code(registry.describe(method).file)] else f"{OWN}: not the code of this harness"
    )


def _usual(values: Any) -> str:
    """The most frequent of some texts, and that there are others."""
    counts = Counter(values).most_common()
    if not counts:
        return ""
    return f"{counts[0][0]}" + (f" and {len(counts) - 1} others" if len(counts) > 1 else "")


def _made(one: Checked) -> list[str]:
    """Harness, commit, device and time of a submission's runs, by their records."""
    if not one.runs:
        return []
    days = sorted({told.started[:10] for told in one.runs if told.started})
    when = [" to ".join(dict.fromkeys((days[0], days[-1])))] if days else []
    commits = _usual(told.commit[:10] + told.commit[40:] for told in one.runs if told.commit)
    devices = _usual(f"{told.device}, torch {told.torch}" for told in one.runs if told.device)
    return [
        *when,
        f"lnbench {one.version}" + (f", commit {commits}" if commits else ""),
        *([devices] if devices else []),
    ]


def as_dict(entries: Entries) -> dict[str, Any]:
    """All that is known, as plain JSON types."""
    told = [
        {
            **{
                "place": one.place,
                "entry": entries.labels[one.place],
                "name": one.name,
                "by": one.by,
                "link": one.link,
            },
            **{"verdict": one.verdict, "reasons": one.reasons, "notes": one.notes, "made": _made(one)},
            **{"runs": len(one.runs), "methods": sorted({told.method for told in one.runs})},
        }
        for one in entries.checked
    ]
    counts = Counter(one.verdict for one in entries.checked)
    return {
        "schema": 1,
        "counts": {verdict: counts[verdict] for verdict in VERDICTS},
        "submissions": told,
        "conflicts": entries.conflicts,
        "protocols": [asdict(section) for section in sections(entries)],
    }
