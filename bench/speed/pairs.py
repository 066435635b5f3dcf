"""Paired timing: two ways of doing the same, in turns, so that a busy machine slows both."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Pair:
    """Seconds of each round of ours and of the peer's, and the peak memory of ours."""

    name: str
    ours: tuple[float, ...]
    peer: tuple[float, ...]
    peak_mib: float | None = None  # of a process of its own that does ours once, above what it had before

    @property
    def ratios(self) -> list[float]:
        """How many times faster ours was, round by round, in ascending order."""
        return sorted(peer / ours for ours, peer in zip(self.ours, self.peer, strict=True))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": median(self.ratios), "ratios": self.ratios}

    def line(self) -> str:
        """One line for a terminal."""
        ratios = self.ratios
        memory = "" if self.peak_mib is None else f"; peak {self.peak_mib:,.0f} MiB"
        return (
            f"{self.name}: {median(ratios):.1f}x ({ratios[0]:.1f} to {ratios[-1]:.1f} in {len(ratios)} rounds); "
            f"ours {median(self.ours):.3f} s, peer {median(self.peer):.3f} s{memory}"
        )


def in_turns(name: str, ours: Callable[[], object], peer: Callable[[], object], rounds: int) -> Pair:
    """Time both once a round, the one that begins changing from round to round, after one unmeasured call of ours."""
    ours()
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for number in range(rounds):
        order = [("ours", ours), ("peer", peer)]
        for who, work in order if number % 2 == 0 else reversed(order):
            started = time.perf_counter()
            work()
            times[who].append(time.perf_counter() - started)
    return Pair(name, tuple(times["ours"]), tuple(times["peer"]))
