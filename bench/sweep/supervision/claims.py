"""Launchers on one host share its GPUs: each place on a GPU is held by one of them, through a lock in a local folder.

The kernel frees the lock of a launcher that dies. Who cannot have the folder goes without: two sweeps then share a GPU
that was meant for one, which costs time and no number.
"""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.devices import Slot, query
from bench.sweep.records import lock


def home() -> Path:
    """The user's folder for it on this machine; not in the home folder, which machines may share."""
    return Path(tempfile.gettempdir()) / f"lnbench-{os.getuid()}"


class Claims:
    """The places on GPUs that this process holds among all launchers of a host."""

    def __init__(self) -> None:
        self._held: dict[Slot, ExitStack] = {}
        self._names: dict[str, str] = {}

    def take(self, slot: Slot) -> bool:
        """Hold a place unless another launcher does; a CPU is nobody's."""
        if slot.gpu is None or slot in self._held:
            return True
        stack = ExitStack()
        try:
            stack.enter_context(lock.hold(_own(home()) / f"{self._name(slot.gpu)}-{slot.number}", 0.0))
        except lock.Busy:
            return False
        except (OSError, ValueError):  # no folder that is ours alone
            pass
        self._held[slot] = stack
        return True

    def give_back(self, slot: Slot) -> None:
        """Let others have it."""
        if slot in self._held:
            self._held.pop(slot).close()

    def _name(self, gpu: str) -> str:
        """One name for a GPU, by whatever number or name launchers know it."""
        if gpu not in self._names:
            rows = query("uuid", f"--id={gpu}")
            name = rows[0][0] if len(rows) == 1 else gpu
            self._names[gpu] = re.sub(r"[^A-Za-z0-9-]", "_", name)
        return self._names[gpu]


def _own(folder: Path) -> Path:
    """Make the folder; ValueError if somebody else has made it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise ValueError(f"{folder}: must be a folder of this user")
    return folder
