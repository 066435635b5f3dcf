"""The answer of `compare`: contests between methods, with all they rest on and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.evidence.cells import DAGGER
from bench.evidence.contests import Contest, Duel
from bench.evidence.grouping import Group, Grouping
from bench.findings.gathering import Evidence

Key = tuple[str, str, str]  # labels of our row, of theirs, and of the column


@dataclass(frozen=True)
class Cost:
    """What the runs of a row took, each a mean over runs; `device` is what the hours are of, "" where they differ."""

    networks: tuple[int, ...]
    epochs: tuple[int, ...]
    passes: float | None  # forward, over the training set, summed over the networks; scoring included
    hours: float | None
    device: str
    runs: int


@dataclass(frozen=True)
class Answer:
    """All that was found; `images` are intervals over new seeds and new images, `no_images` why some are not there."""

    found: Evidence
    grouping: Grouping
    contests: tuple[Contest, ...]
    rule: str
    head: str
    names: Sequence[str]
    costs: dict[str, Cost]
    cost_notes: tuple[str, ...]
    images: dict[Key, tuple[float, float]]
    no_images: str

    def marked(self, row: Group) -> str:
        """A row's label, with a dagger where its method is told more than the noisy labels."""
        return row.label + (DAGGER if self.needs(row) else "")

    def needs(self, row: Group) -> list[str]:
        """The facts beyond the noisy labels that a row's method is told."""
        told = {need for entry in row.entries if entry.payload for need in entry.payload["needs"]}
        info = self.found.infos.get(row.method)
        return sorted(told | set(info.needs if info is not None else ()))

    def image_interval(self, contest: Contest, duel: Duel) -> tuple[float, float] | None:
        return self.images.get((contest.ours.label, contest.theirs.label, duel.column))


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """How many times theirs ours is; None where one is not known, or theirs is nothing."""
    return ours / theirs if ours is not None and theirs else None
