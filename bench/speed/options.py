"""What somebody asked the benchmark for, what a level hands back, and how big it all is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.speed.pairs import Pair


class CheckFailed(Exception):
    """What was to be timed is not right, so nothing is timed; the message is one line."""


@dataclass(frozen=True)
class Options:
    """The words of the command line; None: the level's own choice."""

    rounds: int = 5
    quick: bool = False
    every: bool = False  # variants too that make no sense on this machine
    device: str = "cpu"  # "cpu" or "cuda:0"
    precision: str | None = None
    networks: tuple[str, ...] | None = None
    samples: int | None = None
    suite: str | None = None
    methods: tuple[str, ...] | None = None
    seeds: str | None = None
    epochs: int | None = None
    dataset: str = "digits"
    data_dir: Path | None = None
    results: Path | None = None  # a finished results folder

    @property
    def kind(self) -> str:
        """ "cpu" or "cuda"."""
        return self.device.partition(":")[0]

    @property
    def size(self) -> "Size":
        """How big a round is: the tiny one of --quick, or that of the device."""
        return QUICK if self.quick else SIZES[self.kind]


@dataclass(frozen=True)
class Report:
    """What a level found: lines for the terminal, and plain data for the record."""

    lines: tuple[str, ...]
    data: Mapping[str, Any] = field(default_factory=dict)
    markdown: str = ""  # a table for a page, where the level makes one

    @classmethod
    def of(cls, pairs: list[Pair], **more: Any) -> "Report":
        """The report of a level that is nothing but pairs; `more` goes into the record."""
        return cls(tuple(pair.line() for pair in pairs), {"pairs": [pair.to_dict() for pair in pairs], **more})


@dataclass(frozen=True)
class Size:
    """Samples, batches and steps of a round."""

    input_samples: int
    steps: Mapping[str, tuple[int, int]]  # network -> (samples in a batch, steps in a round)
    epoch_network: str
    epoch_samples: int  # for training; a fifth more is evaluated, as CIFAR has it
    batch: int
    matrix: int  # rows of the square product whose rate is the ceiling


# rounds of seconds on a slow core; whole CIFAR-sized sets on a GPU
SIZES = {
    "cpu": Size(50_000, {"cnn9": (32, 1), "resnet18": (32, 1), "digits_cnn": (128, 100)}, "cnn9", 192, 128, 1024),
    "cuda": Size(
        50_000, {"cnn9": (128, 200), "resnet18": (128, 200), "digits_cnn": (128, 500)}, "resnet18", 50_000, 128, 4096
    ),
}
QUICK = Size(256, {"digits_cnn": (16, 2)}, "digits_cnn", 64, 16, 128)
