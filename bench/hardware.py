"""What the machine is good at: which precision pays on it, and what it cannot compute at all.

Nothing here imports torch: a processor is asked by its flags, a GPU by nvidia-smi, so that a driver opens no context.
"""

import os
import platform
import shutil
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bench.config import TrainConfig
from bench.devices import Slot, query, slots

CPUINFO = Path("/proc/cpuinfo")
FLAGS = ("amx_bf16", "amx_tile", "avx512_bf16", "avx512f", "avx2")
TENSOR_CORES = 8.0  # compute capability from which on a GPU multiplies bfloat16 and TF32 faster than float32


@dataclass(frozen=True)
class Processor:
    """The processor of this machine."""

    name: str
    flags: frozenset[str]  # those of FLAGS that it has

    @property
    def amx(self) -> bool:
        """Whether it multiplies tiles of bfloat16: without, bf16 is at best as fast as float32, at worst 1/7 of it."""
        return {"amx_bf16", "amx_tile"} <= self.flags


class Choice(NamedTuple):
    """A precision, and what it was chosen for."""

    precision: str
    reason: str


def processor() -> Processor:
    """The processor by /proc/cpuinfo, which is read once; where there is none, a name without flags."""
    return _read(CPUINFO)


@cache
def _read(path: Path) -> Processor:
    found: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if not line.strip():  # the next core, of the same kind
                    break
                key, _, value = line.partition(":")
                found[key.strip()] = value.strip()
    except OSError:  # not Linux, or /proc is hidden
        pass
    flags = frozenset(FLAGS) & set(found.get("flags", "").split())
    return Processor(found.get("model name", platform.machine()), flags)


def choose(devices: str = "auto") -> Choice:
    """The precision that pays where `--devices` sends the runs: bf16 on GPUs from Ampere on and CPUs with AMX.

    Otherwise float32. ValueError for devices that are not there.
    """
    gpus = [slot.gpu for slot in slots(devices, None, 1) if slot.gpu is not None]
    if not gpus:
        return Choice("bf16", "this CPU has AMX") if processor().amx else Choice("float32", "this CPU has no AMX")
    capability = _capability(gpus)
    if capability is None:
        return Choice("float32", "nvidia-smi does not tell what this GPU can do")
    reason = f"this GPU has compute capability {capability}"
    return Choice("bf16" if capability >= TENSOR_CORES else "float32", reason)


def check(trains: Iterable[TrainConfig], places: Iterable[Slot]) -> None:
    """ValueError in one line for runs that cannot be computed where they are to go."""
    gpus = {slot.gpu for slot in places}
    for train in trains:
        if train.precision == "tf32":
            _check_tf32(gpus)
        if train.compile and None in gpus and shutil.which(_compiler()) is None:
            raise ValueError(
                f"compile=true needs a C++ compiler on the CPU, and {_compiler()!r} is not found: install one, name it "
                "in CXX, or leave compile out"
            )


def _check_tf32(gpus: Collection[str | None]) -> None:
    named = [gpu for gpu in gpus if gpu is not None]
    if len(named) < len(gpus):  # what a CPU would make of the permission is float32 under another name
        raise ValueError("precision tf32 is a format of NVIDIA GPUs, and the runs would go to the CPU: take float32")
    capability = _capability(named)
    if capability is not None and capability < TENSOR_CORES:
        raise ValueError(f"precision tf32 needs compute capability {TENSOR_CORES}, and this GPU has {capability}")


def _compiler() -> str:
    """The compiler that torch will call."""
    return os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")


def _capability(gpus: Collection[str]) -> float | None:
    """The lowest compute capability of these GPUs, each named by its index or its UUID's beginning; None if unknown."""
    rows = [row for row in query("index,uuid,compute_cap") if len(row) == 3]  # "No devices were found" is none
    if not rows:
        return None
    meant = [[row for row in rows if gpu == row[0] or row[1].startswith(gpu)] for gpu in gpus]
    among = [row for found in meant for row in found] if all(meant) else rows  # a slice of a GPU has a name of its own
    try:
        return min(float(row[2]) for row in among)
    except ValueError:  # "[N/A]"
        return None
