"""Tables and plots from finished runs: derived files, made again whenever what they rest on has changed."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import noise
from bench import cache
from bench.config import cast, plain
from bench.data.noisy import spec_of, split_of, stored_name
from bench.evidence.cells import ALL, Table
from bench.files import canonical, make_folder, publish, read_regular, sha256
from bench.findings import notes
from bench.fingerprint import harness_code, method_code, sources
from bench.sweep.planning.grid import Planned, Suite
from bench.sweep.records.reading import Facts, Payloads, Results, without_collector
from bench.sweep.records.store import Corrupt, State, Store
from methods import registry

if TYPE_CHECKING:
    from bench.config import RunConfig
    from bench.evidence.records import Spent
    from methods.fields import MethodInfo

# on which the numbers and texts of a table rest
LIBRARIES = ("numpy-", "pandas-", "scipy-", "rich-", "tabulate-", "jinja2-")

PAGES = Path(__file__).resolve().parent.parent / "evidence" / "page"


@dataclass
class Evidence:
    """Valid results of planned runs, and why the others have none."""

    suite: Suite
    runs: list[Planned]
    payloads: Payloads = field(default_factory=Payloads)
    facts: dict[str, Facts] = field(default_factory=dict)  # run_id -> what its result says, of those with a payload
    failed: dict[str, str] = field(default_factory=dict)
    corrupt: dict[str, str] = field(default_factory=dict)
    conflicts: list[Path] = field(default_factory=list)
    stale: set[str] = field(default_factory=set)  # finished by other code than today's
    infos: dict[str, MethodInfo] = field(default_factory=dict)  # of each method whose code is named, by its name

    def alarms(self) -> list[str]:
        """What no table may pass over: results that are damaged, and runs that came out in two ways."""
        two_ways = [f"{path}: a second finisher found other numbers than result.json" for path in self.conflicts]
        return [*self.corrupt.values(), *two_ways]

    @property
    def digests(self) -> dict[str, str]:
        """run_id -> digest of its payload."""
        return {run_id: facts.payload for run_id, facts in self.facts.items()}

    @property
    def spent(self) -> dict[str, Spent]:
        """run_id -> the time that it took, of those with a payload."""
        return {run_id: facts.spent for run_id, facts in self.facts.items()}

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(run.config.method.name for run in self.runs))

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(_labels(self.runs).values()))


def _labels(runs: list[Planned]) -> dict[str, str]:
    """Noise as the suite writes it -> the label of its column."""
    return {text: spec_of(run.config.noise).label for text, run in {run.noise: run for run in runs}.items()}


def gather(store: Store, suite: Suite, runs: list[Planned]) -> Evidence:
    """Read every planned run's result: the only road from a run to a number."""
    results = Results(store, [run.run_id for run in runs])
    found = Evidence(suite, runs, results.payloads, results.facts)
    specs = {run.config.method.name: run.spec for run in runs}
    found.infos = {name: info for name, spec in specs.items() if (info := described(spec)) is not None}
    harness = functools.cache(harness_code)  # not asked for before there is a result
    today = functools.cache(lambda name: (harness(), method_code(found.infos[name].file)))
    with without_collector():
        results.look_ahead()
        for run in runs:
            folder = store.run(run.run_id)
            found.conflicts += folder.conflicts()
            try:
                facts = results.read(folder)
            except Corrupt as error:
                found.corrupt[run.run_id] = str(error)
                continue
            if facts is not None:
                if run.config.method.name in found.infos and facts.code != today(run.config.method.name):
                    found.stale.add(run.run_id)
            elif folder.state() is State.FAILED:
                found.failed[run.run_id] = str((folder.last_failure() or {}).get("message", "failed"))
    results.remember()
    return found


@functools.cache
def described(spec: str) -> MethodInfo | None:
    """What is known of a method, by its name or by "file.py:Class"; None of a class from elsewhere named by its record.

    Such a name, as "mine.Class", does not say where the file is; nobody else's code is looked for.
    """
    return registry.describe(spec) if ":" in spec or spec in registry.available() else None


def _once(kind: type[Any], inputs: object, make: Callable[[], Any]) -> Any:
    """The text or table that `make` returns, or that it returned to an earlier process for equal inputs and code."""
    name = sha256(canonical([_makers(), inputs]))[:32]
    found = cache.recall("tables", name)
    if found is not None:
        with suppress(ValueError):  # something of another form
            return cast(found, kind, "remembered")
    value = make()
    cache.keep("tables", name, asdict(value) if is_dataclass(value) and not isinstance(value, type) else value)
    return value


def remembered(inputs: object, make: Callable[[], Any]) -> Any:
    """The JSON value that `make` returns, or that it returned to an earlier process for equal inputs and code."""
    return _once(Any, inputs, make)


@functools.cache
def _makers() -> list[str]:
    """All that decides what a table says, besides the records."""
    installed = set()
    for folder in sys.path:
        with suppress(OSError):  # a zip archive, or a folder that is not there
            installed |= {name for name in os.listdir(folder or ".") if name.endswith(".dist-info")}
    files = sorted(path for path in PAGES.iterdir() if path.is_file() and path.suffix != ".py")  # not __pycache__
    pages = sha256(b"".join(path.read_bytes() for path in files))
    return [sources(), pages, sys.version, *sorted(name for name in installed if name.startswith(LIBRARIES))]


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
    table: Table = _once(Table, [*inputs, plain(beside)], computed)
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

    text: str = _once(str, ["text", asdict(table), form, width, colour], written)
    return text


WRITTEN = ("csv", "md", "tex", "html")


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


def write_plots(found: Evidence, folder: Path) -> list[Path]:
    """Draw the plots that the records allow, as PNG and SVG; what is there from the same inputs is not drawn again."""
    from bench.findings import figures

    return figures.write(figures.Ground(found), folder).paths


def noise_lines(store: Store, found: Evidence) -> list[str]:
    """What the labels of each column really contain, from the stored labels, with the id of every seed."""
    lines = []
    for label, runs in noise_of(found).items():
        ids = ", ".join(f"{config.noise.seed} {facts.noise_id}" for config, facts in runs)
        try:
            stored = [stored_labels(store, facts.noise_id, facts.truth) for _, facts in runs]
            settings = [config.to_dict() for config, _ in runs]
            inputs = [[one["dataset"], one["noise"], sha256(data)] for one, data in zip(settings, stored, strict=True)]
            names = [facts.noise_id for _, facts in runs]
            told = list(zip(settings, names, stored, strict=True))
            lines.append(_once(str, ["noise", inputs], functools.partial(_line, told)))
        except (FileNotFoundError, ValueError) as error:  # the numbers stand without it; the page says so
            lines.append(f"{label}: the stored labels are not readable ({error})")
        lines.append(f"by noise seed: {ids}")
    return lines


def column_labels(found: Evidence) -> dict[str, str]:
    """run_id -> the label of the run's column, with the data set before it if the table has several."""
    labels, several = _labels(found.runs), len({run.config.dataset.name for run in found.runs}) > 1
    return {
        run.run_id: f"{run.config.dataset.name} · {labels[run.noise]}" if several else labels[run.noise]
        for run in found.runs
    }


def noise_of(found: Evidence) -> dict[str, list[tuple[RunConfig, Facts]]]:
    """A finished run for each noise seed of each column, by the column's label, in the order of the seeds."""
    columns: dict[str, dict[int, tuple[RunConfig, Facts]]] = {}
    labels = column_labels(found)
    for run in found.runs:
        if (facts := found.facts.get(run.run_id)) is not None:
            columns.setdefault(labels[run.run_id], {}).setdefault(run.config.noise.seed, (run.config, facts))
    return {label: [runs for _, runs in sorted(seeds.items())] for label, seeds in columns.items()}


def _line(told: list[tuple[dict[str, Any], str, bytes]]) -> str:
    """One column's labels, given as settings of a run, noise_id and stored bytes for each seed."""
    cards = [card_from(config, noise_id, data) for config, noise_id, data in told]
    rates = [card["effective"] for card in cards]
    spread = f"; effective {min(rates):.3f} to {max(rates):.3f} over the seeds" if len(set(rates)) > 1 else ""
    return noise.card_line(cards[0]) + spread


def card_of(store: Store, payload: dict[str, Any]) -> dict[str, Any]:
    """The card of a run's labels, counted on what it trained on."""
    truth = payload["totals"]["train_wrong"] is not None
    return card_from(payload["config"], payload["noise_id"], stored_labels(store, payload["noise_id"], truth))


def stored_labels(store: Store, noise_id: str, truth: bool) -> bytes:
    """The file of the labels with an id, which may be stored with or without the true ones."""
    return read_regular(store.noise / f"{stored_name(noise_id, truth)}.npz")


def card_from(config: dict[str, Any], noise_id: str, stored: bytes) -> dict[str, Any]:
    """The card of labels stored under an id. Equal labels of two recipes share one file: the config tells which."""
    labels, _ = noise.from_bytes(stored, noise_id)
    seed = config["noise"]["seed"]
    spec = noise.NoiseSpec.from_dict({name: value for name, value in config["noise"].items() if name != "seed"})
    labels = replace(labels, spec=spec, seed=seed)
    parts = split_of(labels, config["dataset"], seed)
    data = config["dataset"]
    return noise.card(labels, dataset=data["name"], digest=data["digest"], train_index=parts.train_index)
