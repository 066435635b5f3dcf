"""Tables of what was gathered: made, written in a format, and published beside the records."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.config import plain
from bench.evidence.cells import ALL, Table
from bench.files import canonical, make_folder, publish, read_regular
from bench.findings import notes
from bench.findings.gathering import Evidence
from bench.findings.remembering import remembered
from bench.sweep.records.reading import without_collector
from bench.sweep.records.store import Store

WRITTEN = ("csv", "md", "tex", "html")


def table_of(found: Evidence, rule: str, head: str, baseline: str, view: str = "accuracy") -> Table:
    """A table of what was gathered; the views are those of `bench.arguments.evidence`."""
    table = table_of_records(found, rule, head, baseline, view)
    return replace(table, notes=(*table.notes, *notes.of(found)))


def table_of_records(found: Evidence, rule: str, head: str, baseline: str, view: str = "accuracy") -> Table:
    """The table without the notes that depend on today's code and on where runs were computed."""
    plan: dict[str, Any] = {
        "methods": found.methods,
        "columns": found.columns,
        "rule": rule,
        "head": head,
        "baseline": baseline,
        "failed": found.failed | found.corrupt,
        "defaults": {run.config.method.name: run.defaults for run in found.runs},
        "tuned": sorted(name for name, info in found.infos.items() if info.card is not None and info.card.tuned),
    }
    beside = _beside(found, view)

    def computed() -> Table:
        from bench.evidence import tables, views
        from bench.evidence.footnoted import beside_published

        expected = {run.run_id: run.config.to_dict() for run in found.runs}
        with without_collector():
            summaries = [facts.summary(expected[run_id]) for run_id, facts in found.facts.items()]
            basis = tables.basis(summaries, expected=expected, **plan)
            match view:
                case "accuracy":
                    made = tables.accuracy_of(basis)
                case "cost":
                    made = views.cost(basis, found.spent)
                case "published":
                    made = beside_published(basis, *beside)
                case _:
                    made = {"rules": views.rules, "heads": views.heads, "rank": views.rank}[view](basis)
        return replace(made, title=found.suite.title or found.suite.name)

    # a run_id stands for a configuration, a digest for a payload
    digests = found.digests
    title = found.suite.title or found.suite.name
    inputs = ["table", [[run.run_id, digests.get(run.run_id)] for run in found.runs], plan, view, title]
    table: Table = remembered([*inputs, plain(beside)], computed, Table)
    return table


def _beside(found: Evidence, view: str) -> list[Any]:
    """What a view needs besides the payloads of runs."""
    if view == "cost":
        return [sorted((run_id, *spent) for run_id, spent in found.spent.items())]
    if view == "published":
        from bench.evidence import published

        references = published.load()
        table = found.suite.published
        sizes = {run.config.dataset.name: run.info.train_size for run in found.runs}
        return [published.of_table(references, table) if table else references, sizes]
    return []


def text_of(table: Table, form: str, width: int = 100, colour: bool = False) -> str:
    """The table in a format of `bench.evidence.writers`; width and colour matter to "text" alone."""

    def written() -> str:
        from bench.evidence import writers

        if form == "text":
            return writers.to_text(table, width=width, colour=colour)
        return writers.WRITERS[form](table)

    text: str = remembered(["text", asdict(table), form, width, colour], written, str)
    return text


def file_stem(table: Table) -> str:
    """The name of a table's files: the view, and rule and head where they are others than usual."""
    usual = table.rule in ("last", ALL) and table.head == "headline"
    return table.view if usual else f"{table.view}-{table.rule}-{table.head}"


def write_table(store: Store, found: Evidence, table: Table) -> list[Path]:
    """Publish the table in the formats of `WRITTEN` with the manifest of its inputs; return the paths."""
    folder = store.tables / found.suite.name
    name = file_stem(table)
    make_folder(folder)
    paths = []
    for form in WRITTEN:
        paths.append(folder / f"{name}.{form}")
        _put(paths[-1], text_of(table, form).encode())
    _put(folder / f"{name}.manifest.json", canonical(found.digests))
    return paths


def _put(path: Path, data: bytes) -> None:
    with suppress(FileNotFoundError, ValueError):  # none yet, or a link
        if read_regular(path) == data:
            return
    publish(path, data, replace=True)
