"""How a results folder is: what its runs have come to, what is damaged, who holds what, and what killed writers left.

Looking changes nothing but for two probes of the file system, which are gone afterwards.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import files
from bench.sweep.records.store import RUN_PATTERN, Corrupt, RunFolder, State, Store
from bench.sweep.upkeep.cleaning import REMOVED
from bench.sweep.upkeep.ground import links_hold, locks_hold, room

KNOWN = frozenset({"runs", "noise", "suites", "tables", "published", "examples", "tensorboard", "launches", "slurm"})
LOCKS = Path("/proc/locks")
LEAST_ROOM = 2**30  # bytes: a few checkpoints of large networks


@dataclass
class Health:
    """What was found; paths are in the results folder, `run` is a run_id."""

    there: bool = False
    writable: bool = False
    room: int = 0  # bytes that are free
    locks: bool | None = None  # None: not tried, since nothing can be written
    links: bool | None = None
    states: Counter[str] = field(default_factory=Counter)
    corrupt: list[dict[str, str]] = field(default_factory=list)  # path, reason
    conflicts: list[str] = field(default_factory=list)
    quarantined: int = 0
    stray: list[str] = field(default_factory=list)  # temporary files
    held: list[dict[str, Any]] = field(default_factory=list)  # run, pid, host, by
    unknown: list[str] = field(default_factory=list)
    removals: list[str] = field(default_factory=list)  # runs that a killed `clean` has not finished removing
    launches: list[str] = field(default_factory=list)
    links_in_place: list[str] = field(default_factory=list)  # symbolic links where a folder of ours belongs

    @property
    def damaged(self) -> bool:
        """Whether a result must not be believed, or a run came out in two ways."""
        return bool(self.corrupt or self.conflicts)


def examine(root: Path) -> Health:
    """Look at a results folder, which need not be there yet."""
    found = Health(there=root.is_dir(), room=room(root))
    where = root if found.there else next(parent for parent in root.absolute().parents if parent.exists())
    found.writable = _writable(where)
    if not found.there:
        return found
    found.links_in_place = sorted(name for name in KNOWN - {"published", "examples"} if (root / name).is_symlink())
    if found.links_in_place:
        return found
    if found.writable:
        found.locks, found.links = locks_hold(root), links_hold(root)
    store = Store(root)
    found.unknown = sorted(name for name in os.listdir(root) if name not in KNOWN and not name.startswith("."))
    for name in sorted(_listed(store.runs)):
        if REMOVED.fullmatch(name):
            found.removals.append(f"runs/{name}")
        elif not RUN_PATTERN.fullmatch(name):
            found.unknown.append(f"runs/{name}")
    pids = _lockers()
    for run_id in store.run_ids():
        _look(store.run(run_id), found, pids)
    found.launches = sorted(_listed(root / "launches"))
    found.stray = [str(path.relative_to(root)) for path in stray(root)]
    return found


def stray(root: Path) -> list[Path]:
    """Files that a writer had not finished when it was killed, or has not finished yet; links are not followed."""
    found = []
    for folder, _, names in os.walk(root):
        found += [Path(folder) / name for name in names if files.TEMPORARY_PATTERN.match(name)]
    return sorted(found)


def sweep(root: Path) -> int:
    """Remove stray temporary files and nothing else; return how many. ValueError while a living process holds a run."""
    store = Store(root)
    if held := [run_id for run_id in store.run_ids() if store.run(run_id).locked()]:
        some = ", ".join(held[:3]) + (" ..." if len(held) > 3 else "")
        raise ValueError(f"living processes hold {len(held)} runs ({some}): nothing was removed")
    found = stray(root)
    for path in found:
        files.remove(path)
    return len(found)


def _look(folder: RunFolder, found: Health, pids: dict[tuple[int, int, int], int]) -> None:
    state = folder.state(quick=True)
    found.states[state] += 1
    found.conflicts += [str(path.relative_to(folder.path.parents[1])) for path in folder.conflicts()]
    found.quarantined += len(_listed(folder.path / "quarantine"))
    if state is State.CORRUPT:
        found.corrupt.append({"path": f"runs/{folder.run_id}/result.json", "reason": _reason(folder)})
    if state is State.RUNNING or (state is not State.PLANNED and folder.locked()):
        found.held.append(_holder(folder, pids))


def _reason(folder: RunFolder) -> str:
    try:
        folder.result()
    except Corrupt as error:
        return error.reason
    return "it was while it was looked at"


def _holder(folder: RunFolder, pids: dict[tuple[int, int, int], int]) -> dict[str, Any]:
    """Who holds a run: by the kernel if it is a process of this machine, else by what the last attempt says."""
    with suppress(OSError):
        lock = (folder.path / "lock").stat()
        if pid := pids.get((os.major(lock.st_dev), os.minor(lock.st_dev), lock.st_ino)):
            return {"run": folder.run_id, "pid": pid, "host": os.uname().nodename, "by": "kernel"}
    attempts = folder.attempts()
    start = attempts[-1][0] if attempts else {}
    return {"run": folder.run_id, "pid": start.get("pid"), "host": start.get("host"), "by": "attempt"}


def _lockers() -> dict[tuple[int, int, int], int]:
    """Who holds locks of whole files here: major, minor and inode -> pid, of those that this process may see."""
    found = {}
    with suppress(OSError):  # not Linux
        for line in LOCKS.read_text(encoding="ascii", errors="replace").splitlines():
            words = line.split()
            if len(words) == 8 and words[1] == "FLOCK" and words[4].isdecimal():
                major, minor, inode = words[5].split(":")
                found[int(major, 16), int(minor, 16), int(inode)] = int(words[4])
    return found


def _writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
