"""What a submission tells of its runs, and which runs its methods lack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.evidence import records
from bench.evidence.records import noise_text
from bench.files import canonical
from bench.sharing import protocol
from bench.sharing.protocol import Cell, Protocol
from bench.sharing.submission import Given
from bench.sweep.upkeep.finished import Finished

TEXTS = ("noise_id", "code", "method_code", "device_kind", "dataset_digest")
LISTS = ("heads", "headline", "needs")


@dataclass
class Told:
    """What a leaderboard needs of a run: its summary, and what its provenance says of how it came about."""

    run_id: str
    payload: str  # digest
    protocol: str  # key
    summary: dict[str, Any]
    started: str = ""
    commit: str = ""
    torch: str = ""
    device: str = ""

    @property
    def method(self) -> str:
        return str(self.summary["config"]["method"]["name"])

    @property
    def cell(self) -> Cell:
        """Noise and seeds."""
        return protocol.cell_of(self.summary["config"])


def told_by(finished: Finished, key: str) -> Told:
    """What a record tells of a run that belongs to the protocol of this key."""
    payload, provenance = finished.result.payload, finished.result.provenance
    attempts = provenance.get("attempts")
    last = attempts[-1] if isinstance(attempts, list) and attempts and isinstance(attempts[-1], dict) else {}
    made = {name: str(last.get(name, ""))[:80] for name in ("started", "torch", "device")}
    commit = str(last.get("commit", ""))[:40] + (" with changes" if last.get("dirty") else "")
    told = dict(records.summary(payload))
    return Told(finished.folder.run_id, finished.result.payload_sha256, key, told, commit=commit, **made)


def check_shape(payload: Mapping[str, Any]) -> None:
    """Raise ValueError unless what tables and pages show of a valid record has the types that a harness writes."""
    for name in TEXTS:
        if not isinstance(payload[name], str):
            raise ValueError(f"{name} must be a text, got {payload[name]!r:.60}")
    for name in LISTS:
        if not isinstance(payload[name], list) or not all(isinstance(word, str) for word in payload[name]):
            raise ValueError(f"{name} must be a list of texts, got {payload[name]!r:.60}")
    heads, headline = payload["heads"], payload["headline"]
    if len(set(heads)) != len(heads) or not headline or not set(headline) <= set(heads):
        raise ValueError(f"headline must name some of the heads {', '.join(heads)}, got {headline!r:.60}")
    if type(payload["num_networks"]) is not int or payload["num_networks"] < 1:
        raise ValueError(f"num_networks must be a whole number above 0, got {payload['num_networks']!r:.60}")


def gaps(protocols: Sequence[Protocol], runs: Sequence[Told], given: Mapping[str, Given]) -> list[str]:
    """A line for each method that lacks runs of the protocol it belongs to, or of which none is there."""
    found = []
    for one in protocols:
        rows: dict[str, list[Told]] = {}
        for told in runs:
            if told.protocol == one.key:
                rows.setdefault(told.method, []).append(told)
        for method, own in sorted(rows.items()):
            for params, some in _variants(own).items():
                if missing := one.cells - {told.cell for told in some}:
                    found.append(_gap(f"{method} {params}".strip(), one, missing))
    done = {told.method for told in runs}
    return found + [f"{name}: none of {own.planned} runs" for name, own in given.items() if name not in done]


def _variants(runs: Sequence[Told]) -> dict[str, list[Told]]:
    """The runs of a method, apart by hyper-parameters where one noise and seed was met with several."""
    cells = Counter(told.cell for told in runs)
    if max(cells.values()) == 1:
        return {"": list(runs)}
    found: dict[str, list[Told]] = {}
    for told in runs:
        found.setdefault(records.text_of(told.summary["config"]["method"]["params"]), []).append(told)
    return found


def _gap(method: str, one: Protocol, missing: Iterable[Cell]) -> str:
    """What a method lacks, such as "mine: symmetric 50% lacks seeds 3, 4"."""
    lost: dict[bytes, list[int]] = {}
    for name, (seed, *_) in sorted(missing):
        lost.setdefault(name, []).append(seed)
    said = []
    for spec in one.noise:
        if seeds := lost.get(canonical(spec)):
            every = len(seeds) == len(one.seeds)
            said.append(f"{noise_text(spec)} lacks " + ("all seeds" if every else f"seed {', '.join(map(str, seeds))}"))
    return f"{method}: {'; '.join(said)}"
