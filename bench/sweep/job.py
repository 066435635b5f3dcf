"""What a supervisor tells the process of one run, and what the process's exit code tells back."""

from __future__ import annotations

import errno
import json
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """Exit codes of a run's process; a negative one is the signal that killed it."""

    OK = 0
    ERROR = 70
    OOM = 71
    BUSY = 73
    IO = 74
    INTERRUPTED = 75
    UNCAPTURED = 76  # its steps could not be captured: another process has to run them as they are written


CLASSES = {
    Exit.ERROR: "error",
    Exit.OOM: "oom",
    Exit.IO: "io",
    Exit.INTERRUPTED: "interrupted",
    Exit.UNCAPTURED: "uncaptured",
}


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)  # the storage's fault, whatever was being written
STORAGE_ERRORS = (*FULL, errno.EROFS, errno.EACCES)

RESOURCES = "resources.json"  # in the folder of a run: how much GPU memory its process has held, once it knows
SHARE = "share.json"  # beside it: which part of the time of its GPU it had, once its process has ended


@dataclass(frozen=True)
class Job:
    """One attempt at one run. None of it but the config can change a number."""

    config: dict[str, Any]
    method: str  # what methods.registry.load takes
    results: str
    data_dir: str | None
    device: str  # "cpu" or "cuda:0" within what CUDA_VISIBLE_DEVICES shows
    final: dict[str, bool] = field(default_factory=dict)  # failure class -> is this its last allowed attempt
    notes: dict[str, Any] = field(default_factory=dict)  # for the provenance: launch id, commit, slot
    rerun: bool = False  # train again what other code has finished
    per_sample: str | None = None  # write tables of the training samples: of the "last" epoch, or of "every" one
    capture: str = "off"  # record steps and replay them: "off", "auto" (on a GPU) or "always" (or fail)
    checkpoint_seconds: float = 0.0  # between two checkpoints at least; 0: one after every epoch
    strict_env: bool = False  # set checkpoints aside that other versions of Python, torch, numpy or CUDA have made
    tensorboard: bool = False  # write scalars for TensorBoard beside the records

    def to_argv(self) -> list[str]:
        return [json.dumps(asdict(self))]

    @classmethod
    def from_argv(cls, argv: list[str]) -> Job:
        return cls(**json.loads(argv[0]))
