"""Which devices there are, and how many runs at a time each is asked to hold."""

import os
import shutil
import subprocess
from dataclasses import dataclass

BUS_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


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
    return [row[0] for row in query("index")]


def shown(gpu: str | None) -> dict[str, str]:
    """The environment of a process that is to see this GPU alone, or with None no GPU.

    nvidia-smi numbers GPUs by their place on the bus, and CUDA the fastest first unless it is told otherwise.
    """
    return {"CUDA_VISIBLE_DEVICES": gpu or "", **BUS_ORDER}


@dataclass(frozen=True)
class Gpu:
    """What nvidia-smi tells of a GPU; memory in MiB."""

    name: str
    free: float
    total: float


def describe_gpu(gpu: str) -> Gpu | None:
    """A GPU by its index or UUID; None where nvidia-smi tells nothing of it."""
    rows = query("name,memory.free,memory.total", f"--id={gpu}")
    try:
        ((name, free, total),) = rows
        return Gpu(name, float(free), float(total))
    except ValueError:  # no row, or "[N/A]" for a number
        return None


def query(fields: str, *more: str) -> list[list[str]]:
    """What nvidia-smi says to `--query-gpu`, a row of words for each GPU; nothing where it is absent or fails."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits", *more]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = listed.stdout.splitlines() if listed.returncode == 0 else []
    return [[word.strip() for word in row.split(",")] for row in rows if row.strip()]


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
