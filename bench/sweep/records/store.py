"""The results folder: one folder per run, and the state of a run read off its files.

A state is never written anywhere. A run is done when its result.json is there and valid, it is running while a living
process holds its lock, and everything else follows from the records of its attempts and its checkpoints.
"""

import contextlib
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from enum import StrEnum, auto
from pathlib import Path
from typing import Any

from bench import files
from bench.files import canonical, check_name, make_folder, parse, publish, read_regular, remove, sha256
from bench.sweep.records import lock
from bench.sweep.records.lock import Busy
from bench.sweep.records.result import Corrupt, Result, glance, open_result, run_id_of, run_id_of_bytes, seal

__all__ = ["FINISHED", "Busy", "Conflict", "Corrupt", "Result", "RunFolder", "State", "Store", "run_id_of"]

RUN_PATTERN = re.compile(r"r[0-9a-f]{20}")
CHECKPOINT_PATTERN = re.compile(r"ckpt-(\d{6})-([0-9a-f]{16})\.pt", re.ASCII)
ATTEMPT_PATTERN = re.compile(r"[0-9a-f]{32}")
FAILURES = frozenset({"error", "oom", "io", "killed", "timeout"})  # classes of end records; the others are no failure
KEPT_CHECKPOINTS = 2
_FOLDERS = frozenset({"attempts", "conflicts", "quarantine", "samples"})  # of a run, in which files are published


class State(StrEnum):
    """What the files of a run say about it."""

    PLANNED = auto()
    RUNNING = auto()
    INTERRUPTED = auto()
    FAILED = auto()
    DIVERGED = auto()
    DONE = auto()
    CORRUPT = auto()


FINISHED = (State.DONE, State.DIVERGED)


class Conflict(RuntimeError):
    """Two finishers of one run found different things; the message names both records."""


class Store:
    """A results folder; nothing is created until something is written."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.runs = self.root / "runs"
        self.noise = self.root / "noise"
        self.suites = self.root / "suites"
        self.tables = self.root / "tables"
        for path in (self.runs, self.noise, self.suites, self.tables):
            if path.is_symlink():  # what others packed must not lead a writer out of the folder
                raise ValueError(f"{path}: must be a folder; links are not followed")

    def run(self, run_id: str) -> "RunFolder":
        """Return the folder of a run, which may not exist yet; ValueError for a bad name or a link in its place."""
        if not RUN_PATTERN.fullmatch(run_id):
            raise ValueError(f"run {run_id!r} must be 'r' and 20 hexadecimal digits")
        path = self.runs / run_id
        if path.is_symlink():
            raise ValueError(f"{path}: must be a folder; links are not followed")
        return RunFolder(path)

    def run_ids(self) -> list[str]:
        """Return the sorted names of the run folders; links and other names are no runs."""
        try:
            with os.scandir(self.runs) as entries:
                return sorted(
                    entry.name
                    for entry in entries
                    if RUN_PATTERN.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
                )
        except FileNotFoundError:
            return []

    def save_suite(self, name: str, asked: Mapping[str, Any], chosen: Mapping[str, str] | None = None) -> Path:
        """Store a suite as it was asked for under its digest, once: a changed suite is a new file.

        What the machine that began it has `chosen` for it is stored beside it, and holds wherever the suite goes on.
        ValueError if another machine was first and chose otherwise.
        """
        data = canonical(asked)
        path = self.suites / check_name("suite", name) / f"{sha256(data)[:12]}.json"
        make_folder(path.parent)
        if chosen:  # before the suite: one that is stored without was begun when there was no choice
            beside = _choices(path)
            make_folder(beside.parent)
            publish(beside, canonical(chosen), replace=False)
            first = self.chosen(name, asked) or {}
            if first != chosen:
                words = ", ".join(f"{key} {value}" for key, value in first.items())
                raise ValueError(f"suite {name!r} was begun elsewhere just now, with {words}: give the command again")
        if not publish(path, data, replace=False) and not _holds(path, data):
            publish(path, data, replace=True)  # the name says what belongs here: what lay here was damaged
        return path

    def chosen(self, name: str, asked: Mapping[str, Any]) -> dict[str, str] | None:
        """Return what was chosen for a suite when it was begun, {} if there was no choice; None if it was not begun.

        Raises ValueError, naming the file, if that is damaged.
        """
        path = self.suites / check_name("suite", name) / f"{sha256(canonical(asked))[:12]}.json"
        try:
            data = _read(_choices(path))
            if data is None:
                return {} if path.is_file() else None
            chosen = parse(data)
        except ValueError as error:
            raise ValueError(f"{_choices(path)}: damaged: {error}") from None
        if not isinstance(chosen, dict) or not all(isinstance(value, str) for value in chosen.values()):
            raise ValueError(f"{_choices(path)}: damaged: no table of words")
        return chosen


def _choices(suite: Path) -> Path:
    return suite.parent / "chosen" / suite.name


class RunFolder:
    """The files of one run. Writers hold its lock; readers need none, and a file may vanish under them."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.run_id = self.path.name

    @contextlib.contextmanager
    def lock(self, wait: float = 2.0) -> Iterator[None]:
        """Hold the run, making its folder if need be; Busy if it is held elsewhere for more than `wait` seconds.

        Once held, what killed writers left half-written in the folder is removed.
        """
        with lock.hold(self.path / "lock", wait):
            for path in self._half_written():
                remove(path)
            yield

    def _half_written(self) -> list[Path]:
        half_written, found = files.TEMPORARY_PATTERN.match, []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.path) as entries:
            for entry in entries:
                if entry.name in _FOLDERS and entry.is_dir(follow_symlinks=False):
                    found += [Path(entry.path, name) for name in filter(half_written, _names(Path(entry.path)))]
                elif half_written(entry.name):
                    found.append(Path(entry.path))
        return found

    def tidy(self) -> None:
        """Remove what a kill between a result and the end of its process has left; a run in use stays as it is.

        A folder in which nothing can be removed stays as it is, too: nothing that it holds is read.
        """
        if self._half_written() or self.checkpoints():
            with contextlib.suppress(Busy, OSError), self.lock(wait=0):
                self.drop_checkpoints()

    def locked(self) -> bool:
        """Say whether a living process, maybe this one, holds the run."""
        return lock.is_held(self.path / "lock")

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Store the config unless it is there already; ValueError if it is another run's."""
        data = canonical(config)
        if run_id_of_bytes(data) != self.run_id:
            raise ValueError(f"this config is that of run {run_id_of_bytes(data)}, not of {self.run_id}")
        if not _holds(self.path / "config.json", data):
            publish(self.path / "config.json", data, replace=True)

    def config(self) -> dict[str, Any] | None:
        """Return the stored config, None if absent; Corrupt if it is not the one the folder is named for."""
        path = self.path / "config.json"
        data = _read(path)
        if data is None:
            return None
        if run_id_of_bytes(data) != self.run_id:
            raise Corrupt(path, "its hash is not the name of its folder")
        config = parse(data)
        assert isinstance(config, dict)  # only write_config can have given these bytes the folder's name
        return config

    def result(self) -> Result | None:
        """Return the finished result, None if absent; Corrupt if any rule of validity is broken."""
        data = self.result_bytes()
        return None if data is None else self.opened(data)

    def result_bytes(self) -> bytes | None:
        """Return the bytes of result.json, None if absent; Corrupt if it is no regular file."""
        return _read(self.path / "result.json")

    def opened(self, data: bytes) -> Result:
        """Return the result that these bytes of result.json are; Corrupt if any rule of validity is broken."""
        try:
            return open_result(data, self.run_id)
        except ValueError as error:
            raise Corrupt(self.path / "result.json", str(error)) from None

    def commit(self, payload: Mapping[str, Any], provenance: Mapping[str, Any]) -> Result:
        """Make the run DONE and return its result; where another finisher was first, return that one's.

        Raises Conflict if the other found another payload (both are kept), ValueError if the result is not valid.
        """
        data = seal(payload, provenance)
        result = open_result(data, self.run_id)
        path = self.path / "result.json"
        while not publish(path, data, replace=False):
            try:
                first = self.result()
            except Corrupt:
                self.quarantine(path)
                continue
            if first is None:  # moved away since
                continue
            if first.payload_sha256 != result.payload_sha256:
                other = self.path / "conflicts" / f"{uuid.uuid4().hex}.json"
                make_folder(other.parent)
                publish(other, data, replace=False)
                raise Conflict(f"{path}: this run was finished with another payload; ours is kept as {other}")
            return first
        return result

    def conflicts(self) -> list[Path]:
        """Return the payloads of later finishers that differ from the result: the run is not deterministic here."""
        return [self.path / "conflicts" / name for name in _names(self.path / "conflicts") if name.endswith(".json")]

    def checkpoints(self) -> list[tuple[int, Path]]:
        """Return (epochs done, path) of each checkpoint, newest first, by their names alone."""
        matches = filter(None, map(CHECKPOINT_PATTERN.fullmatch, _names(self.path)))
        return [(int(match[1]), self.path / match[0]) for match in sorted(matches, key=lambda m: m[0], reverse=True)]

    def save_checkpoint(self, epoch: int, data: bytes) -> None:
        """Store the state after `epoch` epochs under its digest and drop all but the newest two checkpoints."""
        if not 0 <= epoch < 1_000_000:
            raise ValueError(f"a checkpoint's epoch must be in [0, 999999], got {epoch}")
        publish(self.path / f"ckpt-{epoch:06d}-{sha256(data)[:16]}.pt", data, replace=True)
        for _, path in self.checkpoints()[KEPT_CHECKPOINTS:]:
            remove(path)

    def load_checkpoint(self) -> tuple[int, bytes] | None:
        """Return (epochs done, bytes) of the newest checkpoint with the digest of its name; others are quarantined."""
        for epoch, path in self.checkpoints():
            with contextlib.suppress(Corrupt):
                data = _read(path)
                if data is None:  # dropped by another launcher since it was listed
                    continue
                if path.stem.endswith(sha256(data)[:16]):
                    return epoch, data
            self.quarantine(path)
        return None

    def epochs_done(self) -> int:
        """Return how many epochs the newest checkpoint holds, by its name; 0 without one."""
        return next((epoch for epoch, _ in self.checkpoints()), 0)

    def drop_checkpoints(self) -> None:
        """Remove every checkpoint."""
        for _, path in self.checkpoints():
            remove(path)

    def save_predictions(self, data: bytes) -> str:
        """Store the predictions (bytes of a .npy file) under their sha256, which is returned in full."""
        digest = sha256(data)
        publish(self.path / f"predictions-{digest[:16]}.npy", data, replace=True)
        return digest

    def start_attempt(self, record: Mapping[str, Any]) -> str:
        """Store the start record of an attempt and return the attempt's uuid.

        Attempts are numbered from 1 in the field "number", unless the record brings its own.
        """
        number = 1 + max((_number(start) for start, _ in self.attempts()), default=0)
        attempt = uuid.uuid4().hex
        make_folder(self.path / "attempts")
        publish(self._attempt(attempt, ".json"), canonical({"number": number, **record}), replace=False)
        return attempt

    def end_attempt(self, attempt: str, record: Mapping[str, Any]) -> None:
        """Store the end record of an attempt; the first stands, be it the run's own or its supervisor's."""
        publish(self._attempt(attempt, ".end.json"), canonical(record), replace=False)

    def close_attempts(self, record: Mapping[str, Any], launch: str) -> None:
        """Store the end record of a launch's attempts that have none, for a process that died without a word.

        An attempt of another launch may be alive: it is left to its own supervisor.
        """
        for name in _names(self.path / "attempts"):
            attempt = name.removesuffix(".json")
            if ATTEMPT_PATTERN.fullmatch(attempt) and not self._attempt(attempt, ".end.json").exists():
                start = _read_record(self._attempt(attempt, ".json"))
                if start is not None and start.get("launch") == launch:
                    self.end_attempt(attempt, record)

    def _attempt(self, attempt: str, ending: str) -> Path:
        return self.path / "attempts" / f"{attempt}{ending}"

    def attempts(self) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Return (start record, end record or None) of each attempt in the order of their numbers.

        A damaged start record counts as no attempt, a damaged end record as none: at worst the run is trained again.
        """
        found = []
        for name in _names(self.path / "attempts"):
            attempt = name.removesuffix(".json")
            if ATTEMPT_PATTERN.fullmatch(attempt):
                start = _read_record(self._attempt(attempt, ".json"))
                if start is not None:
                    found.append((start, _read_record(self._attempt(attempt, ".end.json"))))
        return sorted(found, key=lambda pair: _number(pair[0]))

    def last_failure(self) -> dict[str, Any] | None:
        """Return the end record of the newest attempt that failed, None if none did."""
        ends = [end for _, end in self.attempts() if end is not None and end.get("class") in FAILURES]
        return ends[-1] if ends else None

    def quarantine(self, path: Path) -> Path | None:
        """Move a file of this run into quarantine/ under a name of its own; None if it is gone."""
        target = self.path / "quarantine" / f"{path.name}.{uuid.uuid4().hex}"
        make_folder(target.parent)
        files.hook("before quarantine")
        try:
            os.rename(path, target)
        except FileNotFoundError:
            return None
        files.sync_folder(target.parent)
        files.sync_folder(self.path)
        return target

    def state(self, quick: bool = False) -> State:
        """Return the state of the run: by result.json, the lock, the last attempt and the checkpoints, in this order.

        With quick=True an intact result is believed by its seal, without reading its history: for lists of many runs.
        """
        state = self._finished(quick)
        if state is not None:
            return state
        if self.locked():
            return State.RUNNING
        attempts = self.attempts()
        if not attempts:
            return State.INTERRUPTED if self.checkpoints() else State.PLANNED
        end = attempts[-1][1]
        failed = end is not None and end.get("class") in FAILURES and end.get("final") is True
        return State.FAILED if failed else State.INTERRUPTED

    def _finished(self, quick: bool) -> State | None:
        try:
            data = self.result_bytes()
            if data is None:
                return None
            diverged = glance(data, self.run_id) if quick else None
            if diverged is None:
                diverged = self.opened(data).payload["diverged"]
        except Corrupt:
            return State.CORRUPT
        return State.DIVERGED if diverged else State.DONE


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read(path: Path) -> bytes | None:
    try:
        return read_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise Corrupt(path, str(error)) from None


def _holds(path: Path, data: bytes) -> bool:
    try:
        return _read(path) == data
    except Corrupt:  # a link: publish puts the file in its place
        return False


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        data = _read(path)
        record = None if data is None else parse(data)
    except ValueError:  # a record emptied or torn by a power cut
        return None
    return record if isinstance(record, dict) else None


def _number(start: Mapping[str, Any]) -> int:
    number = start.get("number")
    return number if isinstance(number, int) else 0
