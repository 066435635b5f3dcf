"""Tables and plots from finished runs: derived files, made again whenever what they rest on has changed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import noise
from bench.data.noisy import split_of, stored_name
from bench.files import canonical, parse, publish, read_regular
from bench.fingerprint import harness_code, method_code
from bench.sweep.grid import Planned, Suite
from bench.sweep.store import Corrupt, State, Store
from methods import registry

if TYPE_CHECKING:
    from bench.evidence.cells import Table

EVIDENCE = Path(__file__).resolve().parent.parent / "evidence"


@dataclass
class Evidence:
    """Valid results of planned runs, and why the others have none."""

    suite: Suite
    runs: list[Planned]
    payloads: list[dict[str, Any]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    corrupt: dict[str, str] = field(default_factory=dict)
    conflicts: list[Path] = field(default_factory=list)
    stale: set[str] = field(default_factory=set)  # finished by other code than today's
    digests: dict[str, str] = field(default_factory=dict)  # run_id -> digest of its payload

    def alarms(self) -> list[str]:
        """What no table may pass over: results that are damaged, and runs that came out in two ways."""
        two_ways = [f"{path}: a second finisher found other numbers than result.json" for path in self.conflicts]
        return [*self.corrupt.values(), *two_ways]

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(run.config.method.name for run in self.runs))

    @property
    def columns(self) -> list[str]:
        from bench.evidence.records import noise_text

        return list(dict.fromkeys(noise_text(run.config.to_dict()["noise"]) for run in self.runs))


def gather(store: Store, suite: Suite, runs: list[Planned]) -> Evidence:
    """Read every planned run's result: the only road from a run to a number."""
    found = Evidence(suite, runs)
    today = {spec: (harness_code(), method_code(registry.describe(spec).file)) for spec in {run.spec for run in runs}}
    for run in runs:
        folder = store.run(run.run_id)
        found.conflicts += folder.conflicts()
        try:
            result = folder.result()
        except Corrupt as error:
            found.corrupt[run.run_id] = str(error)
            continue
        if result is not None:
            found.payloads.append(result.payload)
            found.digests[run.run_id] = result.payload_sha256
            if (result.payload["code"], result.payload["method_code"]) != today[run.spec]:
                found.stale.add(run.run_id)
        elif folder.state() is State.FAILED:
            found.failed[run.run_id] = str((folder.last_failure() or {}).get("message", "failed"))
    return found


def table_of(found: Evidence, rule: str, head: str, baseline: str) -> Table:
    """The accuracy table of what was gathered."""
    from bench.evidence.tables import accuracy_table

    expected = {run.run_id: run.config.to_dict() for run in found.runs}
    table = accuracy_table(
        found.payloads,
        methods=found.methods,
        columns=found.columns,
        rule=rule,
        head=head,
        baseline=baseline,
        expected=expected,
        failed=found.failed | found.corrupt,
        defaults={run.config.method.name: run.defaults for run in found.runs},
        tuned={run.config.method.name for run in found.runs if _tuned(run)},
    )
    return replace(table, notes=(*table.notes, *_preset_note(found), *_stale_note(found)))


def _preset_note(found: Evidence) -> list[str]:
    """The hyper-parameters that the preset sets in place of a method's defaults."""
    said = {}
    for run in found.runs:
        own = {field.name: field.default for field in registry.describe(run.spec).fields}
        other = [f"{name}={value}" for name, value in run.defaults.items() if value != own[name]]
        if other:
            said[run.config.method.name] = f"{run.config.method.name} ({', '.join(other)})"
    presets = dict.fromkeys(run.config.train.preset for run in found.runs)
    return [f"set by the preset {', '.join(presets)}: {', '.join(said.values())}"] if said else []


def _stale_note(found: Evidence) -> list[str]:
    names = sorted({run.config.method.name for run in found.runs if run.run_id in found.stale})
    text = f"{len(found.stale)} runs were made by other code than today's: {', '.join(names)}"
    return [f"{text} (run --stale rerun trains them again)"] if names else []


def _tuned(run: Planned) -> bool:
    card = registry.describe(run.spec).card
    return card is not None and bool(card.tuned)


def write_table(store: Store, found: Evidence, table: Table) -> list[Path]:
    """Publish the table as CSV, Markdown and LaTeX with the manifest of its inputs; return the paths."""
    from bench.evidence import writers

    folder = store.tables / found.suite.name
    name = "accuracy" if (table.rule, table.head) == ("last", "headline") else f"accuracy-{table.rule}-{table.head}"
    texts = {"csv": writers.to_csv(table), "md": writers.to_markdown(table), "tex": writers.to_latex(table)}
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for suffix, text in texts.items():
        paths.append(folder / f"{name}.{suffix}")
        publish(paths[-1], text.encode(), replace=True)
    publish(folder / f"{name}.manifest.json", canonical(found.digests), replace=True)
    return paths


def write_plots(found: Evidence, folder: Path) -> list[Path]:
    """Draw the plots that the records allow, as PNG and SVG; what is there from the same inputs is not drawn again."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {"runs": found.digests, "order": [found.methods, found.columns], "code": _code()}
    manifest = folder / "plots.manifest.json"
    previous = _previous(manifest)
    if previous.get("inputs") == inputs and all((folder / name).is_file() for name in previous["files"]):
        return [folder / name for name in previous["files"]]
    from bench.evidence import plots

    drawn = {
        "accuracy": plots.accuracy_over_epochs(found.payloads, methods=found.methods, columns=found.columns),
        "memorisation": plots.memorisation(found.payloads, methods=found.methods, columns=found.columns),
    }
    if any(epoch["selection"] for payload in found.payloads for epoch in payload["history"]):
        drawn["selection"] = plots.selection(found.payloads, methods=found.methods, columns=found.columns)
    if any("calibration" in epoch for payload in found.payloads for epoch in payload["history"]):
        drawn["diagnostics"] = plots.diagnostics(found.payloads, methods=found.methods, columns=found.columns)
    names = []
    for stem, figure in drawn.items():
        for suffix, data in plots.save(figure).items():
            names.append(f"{stem}{suffix}")
            publish(folder / names[-1], data, replace=True)
    publish(manifest, canonical({"inputs": inputs, "files": names}), replace=True)
    return [folder / name for name in names]


def _previous(manifest: Path) -> dict[str, Any]:
    try:
        found = parse(read_regular(manifest))
    except (FileNotFoundError, ValueError):  # none yet, or damaged: draw
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("files"), list) else {}


def _code() -> str:
    """Digest of the drawing code: plots of an older one are not taken for today's."""
    digest = hashlib.sha256()
    for path in sorted(EVIDENCE.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def noise_lines(store: Store, found: Evidence) -> list[str]:
    """What the labels of each column really contain, from the stored labels, with the id of every seed."""
    columns: dict[str, dict[int, dict[str, Any]]] = {}
    for payload in found.payloads:
        seeds = columns.setdefault(noise_spec(payload).label, {})
        seeds.setdefault(payload["config"]["noise"]["seed"], payload)
    lines = []
    for label, seeds in columns.items():
        ids = ", ".join(f"{seed} {payload['noise_id']}" for seed, payload in sorted(seeds.items()))
        try:
            cards = [card_of(store, payload) for _, payload in sorted(seeds.items())]
        except (FileNotFoundError, ValueError) as error:  # the numbers stand without it; the page says so
            lines.append(f"{label}: the stored labels are not readable ({error})")
        else:
            rates = [card["effective"] for card in cards]
            spread = f"; effective {min(rates):.3f} to {max(rates):.3f} over the seeds" if len(set(rates)) > 1 else ""
            lines.append(noise.card_line(cards[0]) + spread)
        lines.append(f"by noise seed: {ids}")
    return lines


def noise_spec(payload: dict[str, Any]) -> noise.NoiseSpec:
    return noise.NoiseSpec.from_dict({k: v for k, v in payload["config"]["noise"].items() if k != "seed"})


def card_of(store: Store, payload: dict[str, Any]) -> dict[str, Any]:
    """The card of a run's labels, counted on what it trained on. Equal labels of two recipes share one stored file."""
    data, seed = payload["config"]["dataset"], payload["config"]["noise"]["seed"]
    name = stored_name(payload["noise_id"], payload["totals"]["train_wrong"] is not None)
    labels, _ = noise.from_bytes(read_regular(store.noise / f"{name}.npz"), payload["noise_id"])
    labels = replace(labels, spec=noise_spec(payload), seed=seed)
    parts = split_of(labels, data, seed)
    return noise.card(labels, dataset=data["name"], digest=data["digest"], train_index=parts.train_index)
