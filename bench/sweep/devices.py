"""Which devices there are, and leasing them: no device holds more runs at once than it is asked to."""

import contextlib
import os
import queue
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """A place for one run: the CPU (gpu None) or a GPU by its index or UUID."""

    gpu: str | None
    number: int

    @property
    def name(self) -> str:
        return f"cuda:{self.gpu}" if self.gpu is not None else "cpu"


def visible_gpus() -> list[str]:
    """GPUs by CUDA_VISIBLE_DEVICES, else by nvidia-smi; torch.cuda is not asked, it would open a context here."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [word.strip() for word in visible.split(",") if word.strip() and word.strip() != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(
        ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return listed.stdout.split() if listed.returncode == 0 else []


def slots(devices: str, per_device: int | None, threads: int) -> list[Slot]:
    """The slots that `--devices` and `--per-device` ask for.

    "auto" takes every GPU, or else the CPU; "cpu"; "cuda:0,1". A GPU has one slot and the CPU as many as it has cores
    for runs of `threads` threads, unless `per_device` says otherwise. ValueError for what is not there.
    """
    if per_device is not None and per_device < 1:
        raise ValueError(f"--per-device must be at least 1, got {per_device}")
    gpus = visible_gpus() if devices != "cpu" else []
    if devices == "cpu" or (devices == "auto" and not gpus):
        cores = len(os.sched_getaffinity(0))
        return [Slot(None, number) for number in range(per_device or max(1, cores // threads))]
    if devices == "auto":
        chosen = gpus
    elif devices == "cuda" or devices.startswith("cuda:"):
        named = [word.strip() for word in devices.partition(":")[2].split(",") if word.strip()]
        chosen = list(dict.fromkeys(named)) or gpus  # each once: `per_device` alone shares a device
        missing = [gpu for gpu in chosen if gpu not in gpus]
        if missing or not chosen:
            raise ValueError(
                f"--devices {devices}: this machine has {', '.join(f'cuda:{g}' for g in gpus) or 'no GPU'}"
            )
    else:
        raise ValueError(f"--devices takes auto, cpu or cuda:0,1; got {devices!r}")
    return [Slot(gpu, number) for number in range(per_device or 1) for gpu in chosen]


class Leases:
    """Hands each slot to one holder at a time."""

    def __init__(self, places: list[Slot]) -> None:
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for place in places:
            self._free.put(place)

    @contextlib.contextmanager
    def lease(self) -> Iterator[Slot]:
        """Hold a slot, waiting for one to become free."""
        slot = self._free.get()
        try:
            yield slot
        finally:
            self._free.put(slot)
