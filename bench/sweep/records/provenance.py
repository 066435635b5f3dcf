"""Where and with what an attempt at a run computed: recorded, and never part of what decides a number."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import socket
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import hardware
from bench.sweep.job import Job

PACKAGES = ("torchvision", "pandas", "scipy", "scikit-learn", "joblib", "pillow")  # beside torch and numpy
DRIVER = Path("/proc/driver/nvidia/version")
MACHINE = Path("/etc/machine-id")


def environment(job: Job) -> dict[str, Any]:
    """What may differ between two attempts without any number of the payload knowing.

    The name of the host stays in the record of the attempt, for whoever looks for a run; a result holds `host_hash`
    alone, by which runs of one machine can be told without naming it.
    """
    on_gpu, train = job.device.startswith("cuda"), job.config["train"]
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "host_hash": host_hash(),
        "pid": os.getpid(),
        "device": torch.cuda.get_device_name(0) if on_gpu else hardware.processor().name,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cuda": torch.version.cuda,
        "packages": versions(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu(),
        "gpu": _gpu() if on_gpu else None,
        "arithmetic": {
            "precision": train["precision"],  # what is permitted: bf16 by autocast, tf32 of matrices and convolutions
            "deterministic": train["deterministic"],
            "threads": torch.get_num_threads(),
        },
        **job.notes,
    }


def versions() -> dict[str, str]:
    """Versions of installed packages that compute, or hand over what is computed with."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def host_hash() -> str:
    """16 hex digits that tell machines apart: over the random id of the system and its name."""
    try:
        machine = MACHINE.read_bytes().strip()
    except OSError:  # a container without one: its name is random as a rule
        machine = b""
    return hashlib.sha256(b"lnbench\0" + machine + b"\0" + socket.gethostname().encode()).hexdigest()[:16]


def _cpu() -> dict[str, Any]:
    processor = hardware.processor()
    return {
        "name": processor.name,
        "cores": len(os.sched_getaffinity(0)),
        "flags": sorted(processor.flags),
        "kernels": torch.backends.cpu.get_cpu_capability(),  # the instruction set that torch computes with
    }


def _gpu() -> dict[str, Any]:
    found = torch.cuda.get_device_properties(0)
    return {
        "name": found.name,
        "memory_mb": found.total_memory // 2**20,
        "capability": f"{found.major}.{found.minor}",
        "driver": driver(),
        "cudnn": torch.backends.cudnn.version(),
    }


def driver() -> str | None:
    """The version of NVIDIA's kernel module, which no call of torch tells; None where there is none."""
    try:
        told = DRIVER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    number = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", told)
    return number[1] if number else None
