"""Paired timing: ways of doing the same, in turns, so that a busy machine slows all of them."""

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal, NamedTuple


class Cost(NamedTuple):
    """What one round took, in seconds."""

    wall: float
    cpu: float  # of this process and of its children that have ended and were waited for


@dataclass(frozen=True)
class Pair:
    """Seconds of each round of ours and of the peer's; CPU-seconds too where they were taken."""

    name: str
    ours: tuple[float, ...]
    peer: tuple[float, ...]
    peak_mib: float | None = None  # what ours holds at most
    ours_cpu: tuple[float, ...] = ()
    peer_cpu: tuple[float, ...] = ()
    figure: Literal["wall", "cpu"] = "wall"  # which of the two ratios is the level's
    bar: float | None = None  # the ratio to reach
    samples: int = 0  # of a round
    facts: Mapping[str, Any] = field(default_factory=dict)  # of both sides, for the record
    sides: tuple[str, str] = ("ours", "peer")  # what a line calls them

    @property
    def ratios(self) -> list[float]:
        """How many times faster ours was, round by round, in ascending order."""
        return _ratios(self.ours, self.peer)

    @property
    def cpu_ratios(self) -> list[float]:
        """How many times fewer CPU-seconds ours took, round by round, in ascending order; empty if not taken."""
        return _ratios(self.ours_cpu, self.peer_cpu)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, with the ratios and their medians."""
        more: dict[str, Any] = {"ratio": median(self.ratios), "ratios": self.ratios}
        if self.ours_cpu:
            more |= {"cpu_ratio": median(self.cpu_ratios), "cpu_ratios": self.cpu_ratios}
        if self.samples:
            more["samples_per_second"] = [self.samples / median(times) for times in (self.ours, self.peer)]
        if self.samples and self.ours_cpu:
            more["samples_per_cpu_second"] = [self.samples / median(times) for times in (self.ours_cpu, self.peer_cpu)]
        return {**asdict(self), **more}

    def line(self) -> str:
        """One line for a terminal: the level's ratio first."""
        spreads = {"wall": spread(self.ratios), "cpu": spread(self.cpu_ratios)}
        rounds = f"in {len(self.ratios)} round{'s' if len(self.ratios) > 1 else ''}"
        if self.ours_cpu:
            other = "wall" if self.figure == "cpu" else "cpu"
            words = {"wall": "wall", "cpu": "CPU-seconds"}
            ratio = f"{spreads[self.figure]} {words[self.figure]}, {spreads[other]} {words[other]} {rounds}"
        else:
            ratio = f"{spreads['wall'][:-1]} {rounds})"
        bar = "" if self.bar is None else f"; bar {self.bar:g}x"
        memory = "" if self.peak_mib is None else f"; peak {self.peak_mib:,.0f} MiB"
        times = ", ".join(
            f"{side} {median(taken):.3f} s" for side, taken in zip(self.sides, (self.ours, self.peer), strict=True)
        )
        return f"{self.name}: {ratio}{bar}; {times}{self._rates()}{memory}"

    def _rates(self) -> str:
        """Samples a second of both, and what ours reaches of the machine's matrix rate, where these are known."""
        text = ""
        if self.samples:
            per_core = self.figure == "cpu"
            sides = (self.ours_cpu, self.peer_cpu) if per_core else (self.ours, self.peer)
            own, theirs = (f"{self.samples / median(times):,.0f}" for times in sides)
            text += f"; {own} and {theirs} samples a {'core-second' if per_core else 'second'}"
        if "share_of_matrix_rate" in self.facts:
            text += f"; {100 * self.facts['share_of_matrix_rate']:.0f} % of the matrix rate"
        return text


def _ratios(ours: tuple[float, ...], peer: tuple[float, ...]) -> list[float]:
    return sorted(theirs / own for own, theirs in zip(ours, peer, strict=True))


def spread(ratios: list[float]) -> str:
    """The median and, in brackets, the smallest and the largest of ascending ratios; empty for none."""
    if not ratios:
        return ""
    digits = 1 if median(ratios) >= 2.5 else 2
    return f"{median(ratios):.{digits}f}x ({ratios[0]:.{digits}f} to {ratios[-1]:.{digits}f})"


def cpu_seconds() -> float:
    """CPU time of this process and of its children, these from when they have ended and were waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def measured(work: Callable[[], object]) -> Cost:
    """Do the work once; return what it took."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    work()
    return Cost(time.perf_counter() - wall, cpu_seconds() - cpu)


def in_turns(sides: Mapping[str, Callable[[], Cost]], rounds: int, warm_ups: int = 1) -> dict[str, tuple[Cost, ...]]:
    """Let every side do its round, the order turned about from round to round (A B, B A, ...).

    Before that, each does `warm_ups` rounds that do not count. Returns the costs of each side, round by round.
    """
    for run in (run for _ in range(warm_ups) for run in sides.values()):
        run()
    costs: dict[str, list[Cost]] = {name: [] for name in sides}
    for number in range(rounds):
        names = list(sides)
        for name in names if number % 2 == 0 else reversed(names):
            costs[name].append(sides[name]())
    return {name: tuple(taken) for name, taken in costs.items()}


def paired(name: str, ours: tuple[Cost, ...], peer: tuple[Cost, ...], **more: Any) -> Pair:
    """The pair of two sides that were measured in turns; `more` are its other fields."""
    walls = [tuple(cost.wall for cost in side) for side in (ours, peer)]
    cpus = [tuple(cost.cpu for cost in side) for side in (ours, peer)]
    return Pair(name, walls[0], walls[1], ours_cpu=cpus[0], peer_cpu=cpus[1], **more)
