"""Results of many runs, each verified once: what was found of a file is remembered by the digest of its bytes.

Every byte is read and hashed each time, so damage is always noticed. Parsing and checking a record take fifty times
longer than that, and are left out for bytes that passed before, or done when somebody looks at the payload.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, overload

from bench import cache as memory
from bench import files
from bench.files import canonical, parse_loosely, sha256
from bench.sweep import result
from bench.sweep.store import Corrupt, RunFolder, Store

Payload = dict[str, Any]


class Facts(NamedTuple):
    """What a valid result.json says, but for its numbers."""

    file: str  # sha256 of its bytes
    payload: str  # that of the canonical payload
    code: str
    method_code: str
    noise_id: str
    truth: bool  # the true labels are known


class Payloads(Sequence[Payload]):
    """Payloads in the order they were added; those not parsed yet are, all together, when the first is looked at."""

    def __init__(self) -> None:
        self._entries: list[tuple[RunFolder, str, Payload | None]] = []

    def add(self, folder: RunFolder, file: str, payload: Payload | None) -> None:
        """Add the payload of a verified result.json whose bytes have the sha256 `file`; None: parse it when needed."""
        self._entries.append((folder, file, payload))

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Payload: ...
    @overload
    def __getitem__(self, index: slice) -> list[Payload]: ...
    def __getitem__(self, index: int | slice) -> Payload | list[Payload]:
        return self._loaded()[index]

    def __iter__(self) -> Iterator[Payload]:
        return iter(self._loaded())

    def _loaded(self) -> list[Payload]:
        if any(payload is None for _, _, payload in self._entries):
            with without_collector():
                self._entries = [
                    (folder, file, _parsed(folder, file) if payload is None else payload)
                    for folder, file, payload in self._entries
                ]
        return [payload for _, _, payload in self._entries if payload is not None]


def _parsed(folder: RunFolder, file: str) -> Payload:
    data = folder.result_bytes()
    if data is None or sha256(data) != file:
        raise Corrupt(folder.path / "result.json", "was changed while it was read")
    record = parse_loosely(data)
    assert isinstance(record, dict)  # these bytes passed open_result
    payload: Payload = record["payload"]
    return payload


class Results:
    """The results of planned runs. `read` each of them, then `remember`."""

    def __init__(self, store: Store, run_ids: Sequence[str]) -> None:
        self.facts: dict[str, Facts] = {}  # run_id -> facts, of the valid results read so far
        self.payloads = Payloads()
        self._name = sha256(canonical([str(store.root.resolve()), list(run_ids), _checkers()]))[:24]
        self._known = _known(memory.recall("results", self._name))

    def read(self, folder: RunFolder) -> Facts | None:
        """Return the facts of a run's result, None if there is none; Corrupt if any rule of validity is broken."""
        data = folder.result_bytes()
        if data is None:
            return None
        file, payload = sha256(data), None
        facts = self._known.get(folder.run_id)
        if facts is None or facts.file != file:
            opened = folder.opened(data)
            payload = opened.payload
            truth = payload["totals"].get("train_wrong") is not None
            told = (payload["code"], payload["method_code"], payload["noise_id"])
            facts = Facts(file, opened.payload_sha256, *told, truth)
        self.facts[folder.run_id] = facts
        self.payloads.add(folder, file, payload)
        return facts

    def remember(self) -> None:
        """Let later processes know what was verified."""
        if self.facts != self._known:
            memory.keep("results", self._name, {run_id: list(facts) for run_id, facts in self.facts.items()})


@cache
def _checkers() -> str:
    """Digest of the code that decides whether a result is valid: what an older one believed is looked at again."""
    return sha256(b"".join(Path(str(module.__file__)).read_bytes() for module in (files, result)))


def _known(found: object) -> dict[str, Facts]:
    """Facts by run_id, entries of another form left out."""
    known = {}
    for run_id, entry in found.items() if isinstance(found, dict) else ():
        match entry:
            case [str(file), str(payload), str(code), str(method_code), str(noise_id), bool(truth)]:
                known[run_id] = Facts(file, payload, code, method_code, noise_id, truth)
    return known


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Keep Python from looking for circles while many records are read: there are none, and it takes half the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
