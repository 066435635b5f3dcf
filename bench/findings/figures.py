"""The plots there are, and the files they become: drawn again only where the records behind them have changed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.files import NAME_PATTERN, canonical, make_folder, parse, publish, read_regular, sha256
from bench.findings.gathering import Evidence
from bench.findings.remembering import remembered
from bench.names import unknown
from bench.sweep.records.reading import without_collector
from bench.sweep.records.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.evidence.grouping import Grouping
    from bench.evidence.records import Payload

EVIDENCE = Path(__file__).resolve().parent.parent / "evidence"
MANIFEST = "plots.manifest.json"
FORMATS = ("png", "svg")
SLUG = 40  # characters of a column in a file's name
Drawn = Mapping[str, "Figure"]  # what tells a figure from the others of its kind, "" where there is one -> figure


class Ground:
    """What plots are drawn from: the records, sorted once into rows and columns, and what lies beside them."""

    def __init__(self, found: Evidence, store: Store | None = None, data_dir: Path | None = None) -> None:
        self.found, self._store, self.data_dir = found, store, data_dir

    @cached_property
    def grouping(self) -> Grouping:
        """The rows and columns of the table of these runs, with what plots need of each run's history."""
        from bench.evidence.curves import traced

        traces = self.found.payloads.each(traced)
        with without_collector():
            return self._sorted(traces)

    @cached_property
    def lined(self) -> Grouping:
        """The same rows and columns with lines of means in place of histories: they are remembered, these are long."""
        from bench.evidence.curves import lined, packed

        found = self.found
        runs = [[run.run_id, facts.payload if (facts := found.facts.get(run.run_id)) else None] for run in found.runs]
        inputs = ["lines", runs, found.methods, found.columns, self._defaults]
        with without_collector():
            told = remembered(inputs, lambda: packed(self.grouping))
            configs = self._expected
            return lined(self._sorted([f.summary(configs[run_id]) for run_id, f in found.facts.items()]), told)

    def _sorted(self, payloads: Sequence[Payload]) -> Grouping:
        from bench.evidence.grouping import group

        found = self.found
        order = {"methods": found.methods, "columns": found.columns}
        return group(payloads, expected=self._expected, defaults=self._defaults, **order)

    @cached_property
    def _expected(self) -> dict[str, dict[str, Any]]:
        return {run.run_id: run.config.to_dict() for run in self.found.runs}

    @property
    def _defaults(self) -> dict[str, dict[str, Any]]:
        return {run.config.method.name: run.defaults for run in self.found.runs}

    @property
    def store(self) -> Store:
        """The results folder, for plots of what lies beside the records."""
        if self._store is None:
            raise ValueError("this plot reads more than the records, and no results folder is known")
        return self._store


@dataclass(frozen=True)
class Kind:
    """A plot; `beside` says what it reads besides the records, and then it is drawn only if asked for by name."""

    line: str
    draw: Callable[[Ground], Drawn]
    beside: str = ""


@dataclass(frozen=True)
class Written:
    """The files of plots, and why the others could not be drawn."""

    paths: list[Path]
    skipped: dict[str, str]


def write(
    ground: Ground, folder: Path, kinds: Sequence[str] | None = None, formats: Sequence[str] = FORMATS
) -> Written:
    """Draw the kinds asked for, or all that the records alone allow.

    What is there from the same records is not drawn again. ValueError, and nothing is written, if a kind that was
    asked for cannot be drawn.
    """
    found = ground.found
    inputs = {"runs": found.digests, "order": [found.methods, found.columns], "code": drawing_code()}
    inputs["spent"] = sha256(canonical(sorted(found.spent.items())))
    known, files = _previous(folder / MANIFEST, inputs)
    skipped: dict[str, str] = {}
    stems: dict[str, list[str]] = {}
    fresh: dict[str, Figure] = {}
    for kind in kinds or [name for name, kind in KINDS.items() if not kind.beside]:
        before = None if KINDS[kind].beside else known.get(kind)
        if isinstance(before, list) and all(_is_there(folder, stem, files, formats) for stem in before):
            stems[kind] = before
            continue
        if isinstance(before, str):
            skipped[kind] = before
            continue
        drawn = figures_of(ground, kind)
        if isinstance(drawn, str):
            skipped[kind] = drawn
        else:
            fresh |= drawn
            stems[kind] = list(drawn)
    if kinds and skipped:
        raise ValueError("; ".join(f"plot {kind!r} cannot be drawn: {reason}" for kind, reason in skipped.items()))
    make_folder(folder)
    _publish(folder, fresh, formats)
    names = [f"{stem}.{form}" for some in stems.values() for stem in some for form in formats]
    listed = [*names, *(name for name in files if name not in names)]
    told = {kind: what for kind, what in (known | stems | skipped).items() if not KINDS[kind].beside}
    data = canonical({"inputs": inputs, "kinds": told, "files": listed})
    if fresh or (known, files) != (told, listed):
        publish(folder / MANIFEST, data, replace=True)
    return Written([folder / name for name in names], skipped)


def write_all(found: Evidence, folder: Path) -> list[Path]:
    """Draw all that the records alone allow, as PNG and SVG; what is there from the same inputs is not drawn again."""
    return write(Ground(found), folder).paths


def check(names: Sequence[str]) -> list[str]:
    """Return the kinds named, each once; ValueError for one that does not exist."""
    for name in names:
        if name not in KINDS:
            raise unknown("plot", name, [*KINDS, "list"])
    return list(dict.fromkeys(names))


def listed() -> str:
    """Return a line for each kind."""
    width = max(map(len, KINDS))
    lines = [f"{name:<{width}}  {kind.line}" for name, kind in KINDS.items() if not kind.beside]
    more = [f"{name:<{width}}  {kind.line} ({kind.beside})" for name, kind in KINDS.items() if kind.beside]
    return "\n".join(["from the records alone:", *lines, "only when asked for, because they read more:", *more])


@without_collector()  # which would go through all these records again and again
def figures_of(ground: Ground, kind: str) -> dict[str, Figure] | str:
    """Figures by the stem of their files; the reason why there is none."""
    from bench.evidence.plots import Nothing

    try:
        drawn = KINDS[kind].draw(ground)
    except Nothing as reason:
        return str(reason)
    figures: dict[str, Figure] = {}
    for name, figure in drawn.items():
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:SLUG]
        stem = f"{kind}-{slug}" if slug and len(drawn) > 1 else kind
        while stem in figures:
            stem += "-"
        figures[stem] = figure
    return figures


@without_collector()
def _publish(folder: Path, figures: Mapping[str, Figure], formats: Sequence[str]) -> None:
    if not figures:
        return
    from bench.evidence.plots import save

    for stem, figure in figures.items():
        for suffix, data in save(figure, formats).items():
            publish(folder / f"{stem}{suffix}", data, replace=True)


def _is_there(folder: Path, stem: str, files: Sequence[str], formats: Sequence[str]) -> bool:
    names = [f"{stem}.{form}" for form in formats]
    return all(name in files and (folder / name).is_file() for name in names)


def _previous(manifest: Path, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What was drawn here from the same inputs: stems or a reason by kind, and the names of the files."""
    try:
        found = parse(read_regular(manifest))
    except (OSError, ValueError):  # none yet, or damaged: draw
        return {}, []
    match found:
        case {"inputs": before, "kinds": dict() as kinds, "files": [*files]} if before == inputs:
            known = {kind: what for kind, what in kinds.items() if kind in KINDS and _sound(what)}
            return known, [name for name in files if isinstance(name, str) and NAME_PATTERN.match(name)]
    return {}, []


def _sound(what: object) -> bool:
    if isinstance(what, list):
        return bool(what) and all(isinstance(stem, str) and NAME_PATTERN.match(stem) for stem in what)
    return isinstance(what, str)


def drawing_code() -> str:
    """Digest of the drawing code: plots of an older one are not taken for today's."""
    digest = hashlib.sha256()
    for path in [Path(__file__), *sorted(EVIDENCE.rglob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _one(name: str) -> Callable[[Ground], Drawn]:
    """Draw by the function of that name in bench.evidence.plots, which needs the records alone."""

    def draw(ground: Ground) -> Drawn:
        from bench.evidence import plots

        figure: Figure = getattr(plots, name)(ground.lined)
        return {"": figure}

    return draw


def _cost(ground: Ground) -> Drawn:
    from bench.evidence import plots
    from bench.evidence.costs import hours_of

    hours, device = hours_of(ground.found.spent)
    return {"": plots.cost(ground.lined, hours=hours, device=device)}


def _confidence(ground: Ground) -> Drawn:
    from bench.evidence.plots.confidence import confidence
    from bench.findings import beside

    found = beside.histograms(ground.store, ground.grouping)
    return {column: confidence(rows, column) for column, rows in found.items()}


def _confusion(ground: Ground) -> Drawn:
    from bench.evidence.plots.matrices import confusion
    from bench.findings import beside

    found = beside.confusions(ground.store, ground.grouping, ground.data_dir)
    return {column: confusion(matrices, column) for column, matrices in found.items()}


def _transition(ground: Ground) -> Drawn:
    from bench.evidence.plots.matrices import transition
    from bench.findings import beside

    return {"": transition(beside.transitions(ground.store, ground.grouping))}


KINDS = {
    "accuracy": Kind(
        "accuracy on test over epochs: mean over seeds, band of one sample sd", _one("accuracy_over_epochs")
    ),
    "memorisation": Kind("wrong labels learnt as given, and recovered, over epochs", _one("memorisation")),
    "selection": Kind(
        "share and threshold of what is selected, and how much of it is right, over epochs", _one("selection")
    ),
    "diagnostics": Kind(
        "calibration, precision and recall of the selected labels, AUC of the score, corrected labels, over epochs",
        _one("diagnostics"),
    ),
    "rate": Kind("accuracy against the noise rate, where one kind of noise has several", _one("rate")),
    "cost": Kind(
        "accuracy against forward passes, and hours if one device made all runs; marked by the number of networks",
        _cost,
    ),
    "critical_difference": Kind(
        "mean ranks over three settings or more, and who is not separable", _one("critical_difference")
    ),
    "sensitivity": Kind("accuracy against a hyper-parameter in which runs of one method differ", _one("sensitivity")),
    "confidence": Kind(
        "confidence of rightly against wrongly labelled training samples, last epoch",
        _confidence,
        "per-sample tables of `run --per-sample`",
    ),
    "confusion": Kind("true against predicted class on test, last epoch", _confusion, "predictions, and the data set"),
    "transition": Kind("true against given class, as counted", _transition, "the stored labels"),
}
