"""Finished runs trained once more: the same config, code and kind of device must give the same bytes."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import devices
from bench.evidence.recount import Record, Run, digest, opened, spelt
from bench.exit_codes import INTERRUPTED, ended_by
from bench.files import read_regular
from bench.sweep.planning.grid import Planned
from bench.sweep.records.store import Store
from bench.sweep.upkeep import preflight
from bench.sweep.upkeep.verifying import Report
from methods import registry

if TYPE_CHECKING:
    from bench.sweep.supervision.attempts import Outcome

CODE = ("code", "method_code")
# of an attempt: numbers repeat bit for bit only where these are the same
WITH = ("device", "torch", "numpy", "cuda")
MISSING = "nothing"


@dataclass(frozen=True)
class Comparison:
    """A run trained again. `difference` is the first field that differs, `excuse` why it may; both empty if none."""

    run_id: str
    what: str
    difference: str = ""
    excuse: str = ""
    failure: str = ""  # why it could not be trained again


@dataclass
class Repeated:
    """What came of it; `code` is the exit code of an interruption, 0 if there was none."""

    comparisons: list[Comparison] = field(default_factory=list)
    elsewhere: int = 0  # runs made on a kind of device that this machine lacks
    strange: int = 0  # runs of methods that their records name, whose code nobody has named
    code: int = 0

    @property
    def failed(self) -> bool:
        return any(comparison.failure for comparison in self.comparisons)

    def tell(self, report: Report, store: Store) -> None:
        """Write it into a report."""
        if self.code:
            report.notes.append("interrupted while runs were trained again: none was compared")
        if self.elsewhere:
            report.notes.append(f"{self.elsewhere} runs were made on a kind of device that is not here: not repeated")
        if self.strange:
            report.notes.append(f"{self.strange} runs are of methods from elsewhere, known by name alone: not repeated")
        for found in self.comparisons:
            what = f"{found.run_id} ({found.what}) trained again"
            if found.failure:
                report.notes.append(f"{what}: failed: {found.failure}")
            elif not found.difference:
                report.count("runs trained again, equal byte for byte")
                report.notes.append(f"{what}: equal" + (f", though {found.excuse}" if found.excuse else ""))
            elif found.excuse:
                report.notes.append(f"{what}: {found.excuse}, and it differs: {found.difference}")
            else:
                path = store.runs / found.run_id / "result.json"
                report.wrong(path, f"trained again it differs: {found.difference}")


def pick(run_ids: Sequence[str], number: int) -> list[str]:
    """Return `number` of the runs, at random, but the same ones whenever the same runs are there."""
    salt = "".join(sorted(run_ids))
    return sorted(run_ids, key=lambda run_id: digest(f"{salt}{run_id}".encode()))[:number]


def repeat(
    store: Store, runs: Sequence[Planned], records: Mapping[str, Run], data_dir: Path | None, number: int
) -> Repeated:
    """Train some finished runs of a store again, in a temporary folder that is removed, and compare what they find."""
    kinds = {run_id: record.facts["device_kind"] for run_id, record in records.items()}
    here = {"cpu", "cuda"} if devices.visible_gpus() else {"cpu"}
    finished = [run for run in runs if run.run_id in records]
    named = [run for run in finished if ":" in run.spec or run.spec in registry.available()]
    possible = [run.run_id for run in named if kinds[run.run_id] in here]
    found = Repeated(elsewhere=len(named) - len(possible), strange=len(finished) - len(named))
    chosen = set(pick(possible, number))
    with _interruptible(), tempfile.TemporaryDirectory(prefix="lnbench-rerun-") as folder:
        again = Store(Path(folder))
        for kind in ("cpu", "cuda"):
            todo = [run for run in runs if run.run_id in chosen and kinds[run.run_id] == kind]
            if todo and not found.code:
                outcomes, found.code = _train(again, todo, kind, data_dir)
                if not found.code:
                    pairs = zip(todo, outcomes, strict=True)
                    found.comparisons += [_compare(store, again, run, outcome) for run, outcome in pairs]
    return found


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a request to end pass for Ctrl-C, so that the temporary folder is removed."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _train(store: Store, todo: Sequence[Planned], kind: str, data_dir: Path | None) -> tuple[list[Outcome], int]:
    """Train runs as `run` does; return how they ended, and the exit code of an interruption, 0 if there was none."""
    from bench.sweep.supervision.executor import execute
    from bench.sweep.supervision.progress import Progress
    from bench.sweep.supervision.sweep import Sweep

    slots = devices.slots(kind, 1 if kind == "cuda" else None, max(run.config.train.threads for run in todo))
    preflight.check(store, todo, data_dir, download=False)
    sweep = Sweep(store, slots, data_dir, "exec" if kind == "cuda" else "fork", claim_gpus=True)
    with Progress(store, todo, 0) as progress:
        outcomes = execute(sweep, todo, progress)
    if sweep.reason == "signal":
        return outcomes, ended_by(sweep.signal_number) if sweep.signals > 1 else INTERRUPTED
    return outcomes, 0


def _compare(store: Store, again: Store, run: Planned, outcome: Outcome) -> Comparison:
    what = f"{run.config.method.name} {run.noise} seed {run.config.seed}"
    result = again.run(run.run_id).result()
    if result is None:
        return Comparison(run.run_id, what, failure=outcome.message or f"it is {outcome.state.lower()}")
    stored = opened(read_regular(store.run(run.run_id).path / "result.json"), run.run_id)
    excuse = _excuse(stored, result.payload, result.provenance)
    if spelt(result.payload) == spelt(stored.payload):
        return Comparison(run.run_id, what, excuse=excuse)
    before, now = ({k: v for k, v in p.items() if k not in CODE} for p in (stored.payload, result.payload))
    first = difference(before, now)
    return Comparison(run.run_id, what, difference=first or "in nothing but the digests of its code", excuse=excuse)


def _excuse(stored: Record, payload: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """Why a repetition may differ: other code, or another processor or library. "" if it may not."""
    reasons = ["it was made by other code"] if any(stored.payload[name] != payload[name] for name in CODE) else []
    now = provenance["attempts"][-1]
    for name in (*WITH, "instructions"):
        before = {_with(attempt, name): None for attempt in stored.provenance.get("attempts", [])}
        if other := [str(value) for value in before if value not in (None, _with(now, name))]:
            reasons.append(f"it was made with {name} {', '.join(other)}, and here is {_with(now, name)}")
    return "; ".join(reasons)


def _with(attempt: Mapping[str, Any], name: str) -> Any:
    """What an attempt computed with; the instructions are those of the processor that torch used, None on a GPU."""
    if name == "instructions":
        return (attempt.get("cpu") or {}).get("kernels") if attempt.get("device_kind", "cpu") == "cpu" else None
    return attempt.get(name)


def difference(stored: Any, again: Any, where: str = "") -> str:
    """Name the first field in which two values of JSON differ, "" if none does."""
    if isinstance(stored, dict) and isinstance(again, dict):
        for key in sorted(stored.keys() | again.keys()):
            pair = stored.get(key, MISSING), again.get(key, MISSING)
            if found := difference(*pair, f"{where}.{key}" if where else key):
                return found
        return ""
    if isinstance(stored, list) and isinstance(again, list) and len(stored) == len(again):
        pairs = enumerate(zip(stored, again, strict=True))
        return next((found for i, pair in pairs if (found := difference(*pair, f"{where}[{i}]"))), "")
    if spelt(stored) == spelt(again):
        return ""
    return f"{where} is {_short(stored)} as stored, {_short(again)} now"


def _short(value: object) -> str:
    text = spelt(value).decode()
    return text if len(text) <= 40 else f"{text[:37]}..."
