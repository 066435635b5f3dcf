"""What a figure was measured on, and the ceilings of that machine."""

import os
import platform
import subprocess
import time
from typing import Any

import numpy as np

from bench import hardware
from bench.fingerprint import ROOT
from bench.speed.peer import pipeline

DATASHEET = {"H100": 989.0, "H200": 989.0, "A100": 312.0}  # dense bf16, TFLOP/s, of the SXM cards


def describe(device: str) -> dict[str, Any]:
    """Versions, processor, instruction set, cores, load, commit, device and the peer's image pipeline."""
    import torch

    return {
        "numpy": np.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": hardware.processor().name,
        "instructions": sorted(hardware.processor().flags),
        "cores": len(os.sched_getaffinity(0)),
        "device": torch.cuda.get_device_name(0) if device.startswith("cuda") else "cpu",
        "peer_images": pipeline(),
        **commit(),
    }


def header(facts: dict[str, Any]) -> str:
    """The first lines of a report."""
    dirty = " and changes" if facts.get("dirty") else ""
    return (
        f"numpy {facts['numpy']}, torch {facts['torch']}, {facts['processor']}, {facts['cores']} cores, "
        f"{' '.join(facts['instructions']) or 'no vector instructions that matter here'}\n"
        f"device {facts['device']}; commit {facts.get('commit', 'unknown')[:12]}{dirty}; load {load()[0]:.2f}; "
        f"the peer's images: {facts['peer_images']}"
    )


def has_fast_bf16(device: str) -> bool:
    """Whether bfloat16 is worth a look on this device: a GPU, or a processor that multiplies it."""
    return device.startswith("cuda") or bool({"amx_bf16", "avx512_bf16"} & hardware.processor().flags)


def load() -> tuple[float, float, float]:
    """The load averages of the machine over 1, 5 and 15 minutes."""
    return os.getloadavg()


def commit() -> dict[str, Any]:
    """The commit of this checkout and whether files differ from it; nothing where there is no git."""
    try:
        words = (["rev-parse", "HEAD"], ["status", "--porcelain"])
        head, changes = (
            subprocess.run(["git", *more], cwd=ROOT, capture_output=True, text=True, check=False) for more in words
        )
    except OSError:  # git is not installed
        return {}
    return {"commit": head.stdout.strip(), "dirty": bool(changes.stdout.strip())} if head.returncode == 0 else {}


def matrix_rate(device: str, precision: str, rows: int) -> float:
    """TFLOP/s of a square matrix product of one thread, by its CPU time, or of the GPU: what a network could reach."""
    import torch

    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    a, b = (torch.randn(rows, rows, dtype=kind, device=device) for _ in range(2))
    on_gpu = device.startswith("cuda")
    now, best = time.perf_counter if on_gpu else time.process_time, float("inf")
    for _ in range(10):
        started = now()
        a @ b
        if on_gpu:
            torch.cuda.synchronize()
        best = min(best, now() - started)
    torch.set_num_threads(threads)
    return 2 * rows**3 / best / 1e12


def datasheet_rate(device_name: str, precision: str) -> float | None:
    """TFLOP/s of dense bf16 by the datasheet, or None for another precision or an unknown card."""
    if precision != "bf16":
        return None
    return next((rate for card, rate in DATASHEET.items() if card in device_name), None)


def forward_flops(network: str) -> float:
    """Floating point operations of one image forward through a network, two for a multiply-add."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from bench.speed.ours import images_for
    from bench.training import networks

    info = images_for(network, 1, 1).info
    built = networks.build(network, info, seed=0).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        built(torch.zeros(1, *info.shape))
    return float(counter.get_total_flops())
