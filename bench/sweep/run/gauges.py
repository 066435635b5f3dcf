"""How full and how busy the GPUs of this machine are, for a display: asked rarely, and beside everything else."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from bench.devices import query

SECONDS = 10.0  # between two looks: each is a process, and some drivers answer in seconds


class Gauge(NamedTuple):
    """Of one GPU: gigabytes of memory, and the share of the last moments in which it computed, in percent."""

    used: float
    total: float
    busy: int | None

    def __str__(self) -> str:
        busy = "" if self.busy is None else f"  {self.busy:3d} % busy"
        return f"{self.used:5.1f} of {self.total:.1f} GB{busy}"


class Gauges:
    """Knows the last look at each GPU. A driver that hangs costs the figures and nothing else."""

    def __init__(self) -> None:
        self._seen: dict[str, Gauge] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def watch(self) -> None:
        """Look from now on, until `stop`; asking again changes nothing."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """Look no more; a look that is going on is not waited for."""
        self._over.set()

    def of(self, gpu: str) -> Gauge | None:
        """The last that was seen of a GPU, given by its index or the beginning of its UUID."""
        if not gpu or gpu.isdecimal():
            return self._seen.get(gpu)
        return next((gauge for name, gauge in self._seen.items() if name.startswith(gpu)), None)

    def _watch(self) -> None:
        while not self._over.is_set():
            self._seen = look()
            self._over.wait(SECONDS)


def look() -> dict[str, Gauge]:
    """What nvidia-smi says of each GPU, under its index and its UUID."""
    found: dict[str, Gauge] = {}
    for row in query("index,uuid,memory.used,memory.total,utilization.gpu"):
        gauge = _gauge(row[2:])
        if gauge is not None:
            found |= {row[0]: gauge, row[1]: gauge}
    return found


def _gauge(words: Sequence[str]) -> Gauge | None:
    try:
        used, total = (float(word) / 1024 for word in words[:2])
    except ValueError:  # "[N/A]", or no row of numbers at all
        return None
    busy = int(words[2]) if len(words) > 2 and words[2].isdecimal() else None
    return Gauge(used, total, busy)
