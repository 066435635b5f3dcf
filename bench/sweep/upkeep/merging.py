"""Finished runs, wrong labels and suites of other results folders brought into one, verified before they are believed.

A run is copied under its lock and its result.json comes last, so a merge that is killed leaves a run that is not done,
and the same command goes on. What is there already stays; the same run with other numbers is an alarm in conflicts/, as
where two finish it. Links are not followed, and nothing is written into the folders that are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import noise
from bench.config import RunConfig
from bench.files import NAME_PATTERN, canonical, check_name, parse, read_regular, sha256
from bench.sweep.records.result import open_result
from bench.sweep.records.store import Busy, Conflict, RunFolder, Store
from bench.sweep.upkeep.finished import DIGEST, Finished, copy, files_of, inspect, names_of, payload_of, put, read

LABELS = re.compile(r"(n[0-9a-f]{16})(?:-unknown)?\.npz")
INDEX = re.compile(r"[0-9a-f]{20}\.json")
SUITE = re.compile(r"[0-9a-f]{12}\.json")
CONFLICT = re.compile(r"[0-9a-f]{32}\.json")
NO_CHOICE = {"precision": "float32"}  # all there was before there was a choice


@dataclass
class Merged:
    """What was done, or would be. A line of the lists names the file or the suite that it is about."""

    copied: int = 0  # runs
    kept: int = 0  # runs that were there already, with the same payload
    unfinished: int = 0  # runs left in their folders
    strangers: int = 0  # entries of runs/ that are no runs
    labels: int = 0  # label sets that were new
    suites: int = 0  # suites, or versions of one, that were new
    refused: list[str] = field(default_factory=list)  # damaged where they come from
    conflicts: list[str] = field(default_factory=list)  # one run with two payloads
    apart: list[str] = field(default_factory=list)  # suites that were begun in two precisions
    busy: list[str] = field(default_factory=list)  # held by a living process

    def refuse(self, path: Path, error: Exception) -> None:
        """Note that a file is not believed, in one line."""
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self.refused.append(reason if reason.startswith(str(path)) else f"{path}: {reason}")


def open_sources(folders: Sequence[Path], target: Path) -> list[Store]:
    """Return the results folders to read; ValueError for one that is none, or overlaps another or the target."""
    stores, places = [], {target.resolve(): target}
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder}")
        place = folder.resolve()
        for other, name in places.items():
            if place.is_relative_to(other) or other.is_relative_to(place):
                how = "are the same folder" if place == other else "lie one inside the other"
                raise ValueError(f"{folder} and {name} {how}: a merge is of folders that lie apart")
        places[place] = folder
        stores.append(Store(folder))
        if not any(part.is_dir() for part in (stores[-1].runs, stores[-1].noise, stores[-1].suites)):
            raise ValueError(f"{folder} is no results folder: it holds neither runs nor noise nor suites")
    return stores


class Merge:
    """Brings results folders into `target`; with `dry_run` it only says what it would do."""

    def __init__(self, target: Store, dry_run: bool = False) -> None:
        self.target, self.dry_run, self.done = target, dry_run, Merged()
        self._planned: dict[Path, bytes] = {}  # of a dry run: what would have been written
        self._payloads: dict[str, str] = {}  # of a dry run: run_id -> digest of the payload that would be there

    def add(self, source: Store, check: Callable[[RunConfig], object] = lambda config: None) -> None:
        """Bring in what a results folder holds: labels and suites before the runs that rest on them.

        A run is refused if `check` of its configuration raises ValueError.
        """
        self._labels(source)
        self._suites(source)
        run_ids = source.run_ids()
        self.done.strangers += len(names_of(source.runs)) - len(run_ids)
        for run_id in run_ids:
            try:
                finished = inspect(source.run(run_id))
                if finished is not None:
                    config = RunConfig.from_dict(finished.result.payload["config"])
                    check_name("method", config.method.name)  # no place of code, which a later command might look at
                    check(config)
                if finished is None:
                    self.done.unfinished += 1
                elif self.dry_run:
                    self._look(finished)
                else:
                    self._run(finished)
            except Busy:
                self.done.busy.append(f"{self.target.runs / run_id}: held by a living process")
            except Conflict as error:  # where locks do not work, another finisher may be that quick
                self.done.conflicts.append(str(error))
            except ValueError as error:
                self.done.refuse(source.runs / run_id, error)
            except OSError as error:
                if not error.filename or not Path(error.filename).is_relative_to(source.root):
                    raise  # of the target: no run will fare better
                self.done.refuse(source.runs / run_id, error)

    def _run(self, finished: Finished) -> None:
        target = self.target.run(finished.folder.run_id)
        with target.lock():
            known = payload_of(target)
            if known is None:
                copy(finished, target)
                self.done.copied += 1
            elif not self._agree(finished, known):
                put(target.path / "conflicts" / f"{sha256(finished.data)[:32]}.json", finished.data)
            self._alarms(finished.folder)
            target.drop_checkpoints()

    def _look(self, finished: Finished) -> None:
        run_id = finished.folder.run_id
        known = self._payloads.get(run_id) or payload_of(self.target.run(run_id))
        if known is None:
            self._payloads[run_id] = finished.result.payload_sha256
            self.done.copied += 1
        else:
            self._agree(finished, known)
        self._alarms(finished.folder)

    def _agree(self, finished: Finished, known: str) -> bool:
        """Say whether a run found what is known of it already, and count that."""
        if known == finished.result.payload_sha256:
            self.done.kept += 1
            return True
        there = self.target.runs / finished.folder.run_id
        self.done.conflicts.append(f"{finished.folder.path}: found other numbers than {there}, whose result stays")
        return False

    def _alarms(self, folder: RunFolder) -> None:
        """Pass on that a run came out in two ways where it comes from."""
        for path in files_of(folder.path / "conflicts", CONFLICT):
            try:
                data = read_regular(path)
                open_result(data, folder.run_id)
            except (ValueError, OSError) as error:
                self.done.refuse(path, error)
                continue
            self.done.conflicts.append(f"{path}: a second finisher had found other numbers there")
            self._write(self.target.runs / folder.run_id / "conflicts" / path.name, data)

    def _labels(self, source: Store) -> None:
        for path in files_of(source.noise, LABELS):
            try:
                data = read_regular(path)
                noise.from_bytes(data, _noise_id(path))
            except (ValueError, OSError) as error:
                self.done.refuse(path, error)
                continue
            there = self.target.noise / path.name
            if not self._is_sound(there, partial(noise.from_bytes, expect_id=_noise_id(path))):
                self.done.labels += 1
                self._write(there, data, replace=True)
            self._pass_on(path.with_suffix(".json"), there.with_suffix(".json"), parse)
        for path in files_of(source.noise / "index", INDEX):
            self._pass_on(path, self.target.noise / "index" / path.name, parse)
        for path in files_of(source.noise / "files", DIGEST):
            self._pass_on(path, self.target.noise / "files" / path.name, _named(path.name))

    def _suites(self, source: Store) -> None:
        for folder in (source.suites / name for name in names_of(source.suites) if NAME_PATTERN.match(name)):
            for path in files_of(folder, SUITE):
                try:
                    data = read_regular(path)
                    _named(path.stem)(data)
                    chosen = _choice(read(_beside(path)))
                except (ValueError, OSError) as error:
                    self.done.refuse(path, error)
                    continue
                self._suite(path, self.target.suites / folder.name / path.name, data, chosen)

    def _suite(self, path: Path, there: Path, data: bytes, chosen: dict[str, str]) -> None:
        """Store a suite after what was chosen for it; say so if it was begun here with another choice."""
        if not self._is_sound(there, _named(there.stem)):
            self.done.suites += 1
            if chosen != NO_CHOICE:  # before the suite: one that is stored without was begun when there was no choice
                self._write(_beside(there), canonical(chosen))
            self._write(there, data, replace=True)
        try:
            here = _choice(self._there(_beside(there)))
        except ValueError as error:  # damaged in the target: `run` refuses it, too
            self.done.refuse(_beside(there), error)
            return
        if here != chosen:
            said = [", ".join(f"{key} {value}" for key, value in one.items()) for one in (here, chosen)]
            self.done.apart.append(
                f"suite {there.parent.name} was begun with {said[0]} in {self.target.root} and with {said[1]} in "
                f"{path.parents[2]}: their runs cannot be averaged, and its table here is of those with {said[0]}"
            )

    def _pass_on(self, path: Path, there: Path, check: Callable[[bytes], object]) -> None:
        """Copy a file, if there is one and it is sound, unless a sound one is there already: the first stays."""
        if self._is_sound(there, check):
            return
        try:
            data = read_regular(path)
            check(data)
        except FileNotFoundError:
            return
        except (ValueError, OSError) as error:
            self.done.refuse(path, error)
            return
        self._write(there, data, replace=True)

    def _is_sound(self, path: Path, check: Callable[[bytes], object]) -> bool:
        """Whether a file of the target is there, and is what its name says."""
        try:
            data = self._there(path)
            if data is not None:
                check(data)
            return data is not None
        except ValueError:
            return False

    def _there(self, path: Path) -> bytes | None:
        return self._planned.get(path) or read(path)

    def _write(self, path: Path, data: bytes, replace: bool = False) -> None:
        if self.dry_run:
            self._planned[path] = data
        else:
            put(path, data, replace)


def _named(digest: str) -> Callable[[bytes], None]:
    """A check that the sha256 of a file begins with its name."""

    def check(data: bytes) -> None:
        if not sha256(data).startswith(digest):
            raise ValueError(f"its digest is {sha256(data)[: len(digest)]}")

    return check


def _noise_id(path: Path) -> str:
    return path.name[:17]


def _beside(suite: Path) -> Path:
    """Where what was chosen for a suite lies."""
    return suite.parent / "chosen" / suite.name


def _choice(data: bytes | None) -> dict[str, str]:
    chosen = NO_CHOICE if data is None else parse(data)
    if not isinstance(chosen, dict) or not all(isinstance(value, str) for value in chosen.values()):
        raise ValueError("what was chosen for it is no table of words")
    return chosen
