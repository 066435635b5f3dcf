"""What the driver asks of a cluster's engine, Ray or Dask, and no more: place a task, tell when it has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor
from typing import Any, Protocol


class ClusterLost(RuntimeError):
    """The engine does not answer any more."""


@dataclass(frozen=True)
class Need:
    """What one run takes of a node."""

    threads: int
    gpu: bool | None  # None: one if the cluster has any
    per_device: int = 1  # runs that share a GPU

    @property
    def share(self) -> float:
        """The part of a GPU that is asked for: engines count in steps of 1/10,000, and shares must not exceed 1."""
        return floor(10_000 / self.per_device) / 10_000 if self.gpu else 0.0

    def settled(self, gpus: float) -> Need:
        """The same with a decision on GPUs, for a cluster that has so many."""
        return replace(self, gpu=gpus > 0) if self.gpu is None else self

    def fitting(self, cpus: float, gpus: float) -> int:
        """How many runs a node of so much has room for."""
        rooms = [floor(cpus / self.threads)]
        if self.gpu:
            rooms.append(floor(round(gpus / self.share, 6)))
        return max(0, min(rooms))

    def __str__(self) -> str:
        cores = f"{self.threads} CPU core" + ("s" if self.threads > 1 else "")
        if not self.gpu:
            return cores
        return f"{cores} and " + ("a GPU" if self.per_device == 1 else f"1/{self.per_device} of a GPU")


@dataclass(frozen=True)
class Told:
    """What came back of a task: for a person to read, and no evidence."""

    host: str = ""
    state: str = ""  # as the worker saw it; "" if nothing came back
    message: str = ""
    reason: str = ""  # why the worker's sweep ended early, if it did
    refused: str = ""  # why the worker did not begin, if it did not

    @classmethod
    def of(cls, answer: Mapping[str, str]) -> Told:
        """What `placed.supervise` has returned."""
        return cls(**answer)

    @classmethod
    def lost(cls, error: object) -> Told:
        """Of a task that brought nothing back: its worker has died, or cannot begin."""
        return cls(message=f"its task was lost: {first_line(error)}")


def first_line(error: object) -> str:
    """The first sentence of what an engine says of an error, which may fill a page."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].partition(". ")[0].rstrip(".") if lines else type(error).__name__


class Engine(Protocol):
    """What places tasks. Any of its methods raises ClusterLost once the cluster is gone."""

    @property
    def need(self) -> Need:
        """What a run takes, GPUs decided."""
        ...

    def room(self) -> int:
        """How many runs the cluster would hold now if it did nothing else."""
        ...

    def probe(self, request: str, configs: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
        """What `placed.probe` says on each node; ValueError naming a node that cannot say anything."""
        ...

    def submit(self, request: str) -> Any:
        """Have `placed.supervise` called, once, on a node with room for it; return a ticket."""
        ...

    def ended(self, timeout: float) -> list[tuple[Any, Told]]:
        """The tickets whose tasks have ended since the last call, lost ones too; wait so long for the first."""
        ...

    def cancel(self, launch: str) -> None:
        """Kill what runs for a launch, and drop what waits."""
        ...
