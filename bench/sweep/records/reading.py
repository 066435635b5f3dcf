"""Results of many runs, each verified once: what was found of a file is remembered by the digest of its bytes.

Every byte is read and hashed each time, so damage is always noticed. Parsing and checking a record take fifty times
longer than that: they are left out for bytes that passed before, and spread over the cores for many that did not. A
payload is parsed again only when somebody looks at its history, for ten thousand of them fill the memory.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, overload

from bench import cache as memory
from bench import files
from bench.evidence import records
from bench.evidence.records import Spent, Summary
from bench.files import canonical, parse_loosely, sha256
from bench.sweep.records import result
from bench.sweep.records.store import Corrupt, RunFolder, Store

MANY = 400  # records from which on it pays to start processes for them: that takes as long as checking 200
CHUNK = 50  # records handed to a process at a time

Payload = dict[str, Any]
Item = TypeVar("Item")
Made = TypeVar("Made")


class Facts(NamedTuple):
    """What a valid result.json says."""

    file: str  # sha256 of its bytes
    payload: str  # that of the canonical payload
    told: dict[str, Any]  # the summary of the payload but for the config, which the run_id stands for
    made: list[str]  # by what its epochs were computed, one after the other; empty where the record does not say
    spent: Spent = Spent()

    @property
    def code(self) -> tuple[str, str]:
        """Digests of the harness and of the method's file."""
        return self.told["code"], self.told["method_code"]

    @property
    def noise_id(self) -> str:
        return str(self.told["noise_id"])

    @property
    def truth(self) -> bool:
        """Whether the true labels are known."""
        return self.told["totals"].get("train_wrong") is not None

    def summary(self, config: Mapping[str, Any]) -> Summary:
        """Return what a table needs of the run of this config."""
        return Summary(self.told | {"config": config})


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

    def each(self, make: Callable[[Payload], Made]) -> list[Made]:
        """Return what `make`, a function of a module, makes of each; nothing else of what had to be parsed is kept.

        The histories of thousands of runs fill the memory, and of so many several processes make it.
        """
        waiting = [(str(folder.path), file) for folder, file, payload in self._entries if payload is None]
        apart = _apart(partial(_made_of, make), waiting) if len(waiting) >= MANY else {}

        def made(folder: RunFolder, file: str, payload: Payload | None) -> Made:
            found = apart.get(file)
            return make(_parsed(folder, file) if payload is None else payload) if found is None else found

        with without_collector():
            return [made(*entry) for entry in self._entries]

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
    """The results of planned runs. `look_ahead` where there may be many, `read` each of them, then `remember`."""

    def __init__(self, store: Store, run_ids: Sequence[str]) -> None:
        self.facts: dict[str, Facts] = {}  # run_id -> facts, of the valid results read so far
        self.payloads = Payloads()
        self._store, self._run_ids = store, list(run_ids)
        # one memory for the folder: a run that another suite has, too, is not checked anew
        self._name = sha256(canonical([str(store.root.resolve()), _checkers()]))[:24]
        found = memory.recall("results", self._name)
        self._remembered: dict[str, Any] = found if isinstance(found, dict) else {}
        self._known = _known(self._remembered, self._run_ids)
        self._believed = dict(self._known)

    def look_ahead(self) -> None:
        """Check results that nothing is remembered of in several processes, if there are so many that it pays.

        A remembered one whose file is another now is checked by `read`, alone.
        """
        new = [run_id for run_id in self._run_ids if run_id not in self._known]
        paths = [str(path) for run_id in new if (path := self._store.run(run_id).path / "result.json").exists()]
        if len(paths) >= MANY:
            self._known |= _apart(_check, paths)

    def read(self, folder: RunFolder) -> Facts | None:
        """Return the facts of a run's result, None if there is none; Corrupt if any rule of validity is broken."""
        data = folder.result_bytes()
        if data is None:
            return None
        file, payload = sha256(data), None
        facts = self._known.get(folder.run_id)
        if facts is None or facts.file != file:
            facts, payload = _facts(folder, data)
        self.facts[folder.run_id] = facts
        self.payloads.add(folder, file, payload if len(self._run_ids) < MANY else None)
        return facts

    def remember(self) -> None:
        """Let later processes know what was verified."""
        new = {run_id: list(facts) for run_id, facts in self.facts.items() if facts != self._believed.get(run_id)}
        if new:
            there = {*self._store.run_ids()}
            kept = {run_id: entry for run_id, entry in self._remembered.items() if run_id in there}
            memory.keep("results", self._name, kept | new)


def _facts(folder: RunFolder, data: bytes) -> tuple[Facts, Payload]:
    """What the bytes of a result.json say, every rule of validity checked; Corrupt if one is broken."""
    opened = folder.opened(data)
    told = records.summary(opened.payload)
    del told["config"]
    spent = _spent(opened.provenance, len(opened.payload["history"]))
    return Facts(sha256(data), opened.payload_sha256, dict(told), _made(opened.provenance), spent), opened.payload


def _spent(provenance: Mapping[str, Any], epochs: int) -> Spent:
    """What the last attempt took; of a run that went on from a checkpoint that is not what the run took."""
    attempts = provenance.get("attempts")
    start = attempts[-1] if isinstance(attempts, list) and attempts and isinstance(attempts[-1], dict) else {}
    seconds, sharing = provenance.get("seconds"), start.get("sharing")
    if provenance.get("epochs_this_attempt", epochs) != epochs or type(seconds) not in (int, float):
        seconds = None
    return Spent(
        seconds=None if seconds is None or not 0 <= seconds <= sys.float_info.max else float(seconds),
        device=str(start.get("device") or ""),
        host=str(start.get("host_hash") or ""),
        started=str(start.get("started") or ""),
        sharing=sharing if type(sharing) is int else None,
    )


def _made(provenance: Mapping[str, Any]) -> list[str]:
    """What the attempts that a result rests on computed with, equal neighbours once."""
    made: list[str] = []
    attempts = provenance.get("attempts")
    for start in reversed(attempts if isinstance(attempts, list) else []):
        if not isinstance(start, dict) or not start.get("torch") or not start.get("device"):
            break
        kernels = (start.get("cpu") or {}).get("kernels") if start.get("device_kind", "cpu") == "cpu" else None
        text = f"torch {start['torch']} on {start['device']}{f' ({kernels})' if kernels else ''}"
        if not made or made[-1] != text:
            made.append(text)
        if not start.get("from_epoch"):  # it began anew, or its record is too old to say
            break
    return made[::-1]


def _apart(work: Callable[[Sequence[Item]], dict[str, Made]], items: Sequence[Item]) -> dict[str, Made]:
    """What `work` finds of chunks of `items` in a process per core; nothing on one, and less if a process is lost.

    Whoever asked does what is not found here by itself: that costs time alone.
    """
    found: dict[str, Made] = {}
    if (cores := len(os.sched_getaffinity(0))) == 1:
        return found
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    with contextlib.suppress(TerminatedWorkerError):
        for part in Parallel(n_jobs=cores, return_as="generator_unordered", max_nbytes=None)(
            delayed(work)(chunk) for chunk in chunks
        ):
            found |= part
    get_reusable_executor().shutdown(wait=True)
    return found


def _check(paths: Sequence[str]) -> dict[str, Facts]:
    """The facts of the valid results among these; whoever asks again hears what is wrong with the others."""
    found = {}
    with without_collector():
        for path in paths:
            folder = RunFolder(Path(path).parent)
            with contextlib.suppress(Corrupt, OSError):
                data = folder.result_bytes()
                if data is not None:
                    found[folder.run_id] = _facts(folder, data)[0]
    return found


def _made_of(make: Callable[[Payload], Made], entries: Sequence[tuple[str, str]]) -> dict[str, Made]:
    """What is made of each payload, by the sha256 of its file; whoever asks again hears what is wrong with others."""
    found = {}
    with without_collector():
        for path, file in entries:
            with contextlib.suppress(Corrupt, OSError):
                found[file] = make(_parsed(RunFolder(Path(path)), file))
    return found


@cache
def _checkers() -> str:
    """Digest of the code that decides whether a result is valid: what an older one believed is looked at again."""
    sources = [Path(__file__), *(Path(str(module.__file__)) for module in (files, result, records))]
    return sha256(b"".join(path.read_bytes() for path in sources))


def _known(remembered: Mapping[str, Any], run_ids: Sequence[str]) -> dict[str, Facts]:
    """What is remembered of these runs, entries of another form left out."""
    known = {}
    for run_id in run_ids:
        match remembered.get(run_id):
            case [str(file), str(payload), {"accuracies": dict(), "totals": dict()} as told, [*made], [*spent]]:
                if (took := _took(spent)) is not None:
                    known[run_id] = Facts(file, payload, told, [str(text) for text in made], took)
    return known


def _took(entry: Sequence[object]) -> Spent | None:
    match entry:
        case [float() | None as seconds, str(device), str(host), str(started), int() | None as sharing]:
            return Spent(seconds, device, host, started, sharing)
    return None


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
