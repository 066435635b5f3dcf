"""What a submission tells of its runs, and which runs its methods lack."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.evidence import records
from bench.evidence.grouping import group
from bench.evidence.records import Summary, noise_text
from bench.files import canonical
from bench.sharing import protocol
from bench.sharing.protocol import Cell, Protocol
from bench.sharing.submission import Given
from bench.sweep.upkeep.finished import Finished

TEXTS = ("noise_id", "code", "method_code", "device_kind", "dataset_digest")
CODES = ("code", "method_code")
CODE = re.compile(r"[0-9a-f]{16}")
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
    for name in CODES:
        if not CODE.fullmatch(payload[name]):
            raise ValueError(f"{name} must be 16 hexadecimal digits, got {payload[name]!r:.60}")
    if payload["dataset_digest"] != payload["config"]["dataset"]["digest"]:
        raise ValueError("dataset_digest is not the one of its configuration")
    heads, headline = payload["heads"], payload["headline"]
    if len(set(heads)) != len(heads) or not headline or not set(headline) <= set(heads):
        raise ValueError(f"headline must name some of the heads {', '.join(heads)}, got {headline!r:.60}")
    if type(payload["num_networks"]) is not int or payload["num_networks"] < 1:
        raise ValueError(f"num_networks must be a whole number above 0, got {payload['num_networks']!r:.60}")


def gaps(protocols: Sequence[Protocol], runs: Sequence[Told], given: Mapping[str, Given]) -> list[str]:
    """A line for each row that lacks runs of the protocol it belongs to, and each method of which none is there.

    A row is one of the leaderboard's tables: runs of a column that differ in anything but seeds stand in several.
    """
    found = []
    for one in protocols:
        rows: dict[str, list[Told]] = {}
        for told in runs:
            if told.protocol == one.key:
                rows.setdefault(told.method, []).append(told)
        for _, own in sorted(rows.items()):
            for row in group([Summary(told.summary) for told in own]).groups:
                if missing := one.cells - {protocol.cell_of(entry.config) for entry in row.entries}:
                    found.append(_gap(row.label, one, missing))
    done = {told.method for told in runs}
    return found + [f"{name}: none of {own.planned} runs" for name, own in given.items() if name not in done]


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
