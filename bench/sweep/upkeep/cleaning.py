"""What may be thrown away of a results folder, found first and removed later, so that somebody can be asked in between.

A run goes in one step: its folder is renamed, under its lock, to a name that is no run's, and removed then. Whatever
kills the process, a run is there whole or not at all. Links are not followed. Wrong labels stay: they are small, every
suite may share them, and nobody could tell which of them a sweep is about to use.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench import files
from bench.files import NAME_PATTERN, parse, read_regular, remove, sync_folder
from bench.sweep.records.sample_files import NAME_PATTERN as TABLE
from bench.sweep.records.store import FINISHED, Busy, RunFolder, State, Store

REMOVED = re.compile(r"removed-r[0-9a-f]{20}-[0-9a-f]{32}")
MANIFEST = ".manifest.json"
TABLES = ("csv", "md", "tex", "html")  # the files of a table, beside its manifest
REPORT = "report.html"


@dataclass(frozen=True)
class Target:
    """What goes of one run: all of it, or some of its files; `seen` is what its folder held when it was looked at."""

    run: RunFolder
    kind: str  # a state where the whole run goes, else "quarantine" or "samples"
    whole: bool
    names: tuple[str, ...]  # in the run's folder
    size: int  # bytes
    seen: frozenset[str]


@dataclass
class Plan:
    """What would go, and how many runs stay because a living process holds them."""

    targets: list[Target] = field(default_factory=list)
    derived: list[Path] = field(default_factory=list)  # the record and the tables of a suite whose runs all go
    leftovers: list[Path] = field(default_factory=list)  # folders that a killed removal has left
    held: int = 0

    def __bool__(self) -> bool:
        return bool(self.targets or self.derived or self.leftovers)

    @property
    def finished(self) -> int:
        """How many finished runs go."""
        return sum(target.whole and target.kind in FINISHED for target in self.targets)


@dataclass
class Removed:
    """What went, and a line for each run that did not."""

    runs: int = 0
    files: int = 0
    left: list[str] = field(default_factory=list)


def find(store: Store, states: Collection[State], parts: Collection[str], only: Collection[str] | None = None) -> Plan:
    """Find the runs in one of `states`, and of the other runs the files of `parts` ("quarantine", "samples").

    `only` holds the ids of the runs that are looked at; None: all.
    """
    plan = Plan(leftovers=[store.runs / name for name in _names(store.runs) if REMOVED.fullmatch(name)])
    for run_id in store.run_ids():
        if only is not None and run_id not in only:
            continue
        run = store.run(run_id)
        seen = _inside(run.path)
        found = []
        if states and (state := run.state(quick=True)) in states:
            found.append(_target(run, str(state), True, seen, seen))
        else:
            for part in parts:
                if names := [name for name in seen if _is_of(part, name)]:
                    found.append(_target(run, part, False, names, seen))
        if found and run.locked():
            plan.held += 1
        else:
            plan.targets += found
    return plan


def _target(run: RunFolder, kind: str, whole: bool, names: Iterable[str], seen: frozenset[str]) -> Target:
    size = 0
    for name in names:
        with suppress(FileNotFoundError):  # it went in between
            size += os.lstat(run.path / name).st_size
    return Target(run, kind, whole, tuple(sorted(names)), size, seen)


def _is_of(part: str, name: str) -> bool:
    folder, _, file = name.partition("/")
    return folder == part and bool(file) and (part != "samples" or TABLE.fullmatch(file) is not None)


def _inside(folder: Path) -> frozenset[str]:
    """The files of a folder and of the folders in it. A link is a file; the lock and half-written files are none."""
    found = []
    for parent, folders, names in os.walk(folder):  # which does not walk into links
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        whole = [name for name in (*names, *links) if not files.TEMPORARY_PATTERN.match(name)]
        found += [os.path.relpath(os.path.join(parent, name), folder) for name in whole]
    return frozenset(found) - {"lock"}


def remove_all(plan: Plan) -> Removed:
    """Remove what was found, each run under its lock; who is held, or has changed since, is left and said."""
    done = Removed()
    for path in plan.leftovers:
        shutil.rmtree(path)
    for target in plan.targets:
        if not target.run.path.is_dir():  # somebody else was first, and to lock it would make it again
            continue
        try:
            with target.run.lock(wait=0.2):
                if target.whole and _inside(target.run.path) != target.seen:
                    done.left.append(f"{target.run.path}: has changed since it was looked at, left")
                    continue
                _remove(target)
        except Busy:
            done.left.append(f"{target.run.path}: held by a living process, left")
            continue
        except OSError as error:
            done.left.append(f"{error.filename or target.run.path}: {error.strerror}, left")
            continue
        done.runs += target.whole
        done.files += len(target.names)
    if not (done.left or plan.held):
        _remove_derived(plan.derived)
    return done


def _remove(target: Target) -> None:
    path = target.run.path
    if target.whole:
        gone = path.with_name(f"removed-{path.name}-{uuid.uuid4().hex}")
        files.hook("before removal")
        os.rename(path, gone)  # from here on there is no such run
        sync_folder(path.parent)
        files.hook("removed")
        shutil.rmtree(gone)
        return
    for name in target.names:
        remove(path / name)
    for folder in {(path / name).parent for name in target.names}:
        with suppress(OSError):  # not empty
            folder.rmdir()


def _remove_derived(paths: Iterable[Path]) -> None:
    for path in paths:
        remove(path)
        with suppress(OSError):  # somebody's own files lie there
            path.parent.rmdir()
            path.parent.parent.rmdir()


def derived_of(store: Store, suite: str, version: str) -> list[Path]:
    """The files of a suite beside its runs: its record, what was chosen for it, and its tables and plots."""
    recorded, tables = store.suites / suite, store.tables / suite
    found = []
    if not recorded.is_symlink():  # the record first: what was begun without a choice goes on as float32
        found += [recorded / version, recorded / "chosen" / version]
    if not tables.is_symlink():
        for manifest in (tables / name for name in _names(tables) if name.endswith(MANIFEST)):
            stem = manifest.name.removesuffix(MANIFEST)
            names = _drawn(manifest) or [f"{stem}.{form}" for form in TABLES]
            found += [*(tables / name for name in names), manifest]
        found.append(tables / REPORT)
    return [path for path in found if path.is_file() or path.is_symlink()]


def _drawn(manifest: Path) -> list[str]:
    """The plots that a manifest names; none in that of a table."""
    with suppress(OSError, ValueError):
        told = parse(read_regular(manifest))
        if isinstance(told, dict) and isinstance(told.get("files"), list):
            return [name for name in told["files"] if isinstance(name, str) and NAME_PATTERN.match(name)]
    return []


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
