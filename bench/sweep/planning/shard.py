"""A part of the runs, for machines that share nothing: which part a run is in, its name alone decides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.sweep.planning.grid import Planned

MOST = 100_000


@dataclass(frozen=True)
class Shard:
    """Part `index`, from 0, of `count` parts.

    A run stays in its part whatever other runs there are, so that a suite may grow while machines work on it. The parts
    are equally large only by chance.
    """

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def holds(self, run_id: str) -> bool:
        """Whether a run is in this part."""
        return part(run_id, self.count) == self.index

    def of(self, runs: Sequence[Planned]) -> list[Planned]:
        """The runs of this part, in their order."""
        return [run for run in runs if self.holds(run.run_id)]


def part(run_id: str, count: int) -> int:
    """The number, from 0, of the part that a run is in if there are `count`."""
    return int(run_id[1:], 16) % count  # it is a digest: its last digits are as good as drawn


def parse(text: str) -> Shard:
    """The part that I/N means; ValueError for anything else."""
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if match is None:
        raise ValueError(f"--shard takes I/N, such as 0/4 for the first of four parts; got {text!r}")
    index, count = int(match[1]), int(match[2])
    if not 1 <= count <= MOST:
        raise ValueError(f"--shard I/N needs N from 1 to {MOST:,}, got {text!r}")
    if index >= count:
        raise ValueError(f"--shard I/{count} needs I from 0 to {count - 1}, got {text!r}")
    return Shard(index, count)
