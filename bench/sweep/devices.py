"""Which devices there are, and leasing them: no device holds more runs at once than it is asked to."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
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


class Leases:
    """Hands each slot to one holder at a time, in the order of asking; a device may be held to fewer than it has."""

    def __init__(self, places: Sequence[Slot], limits: Mapping[str, int] | None = None) -> None:
        """`limits` says how many slots of a device, by its name, may be held at once: at first; others, all."""
        self._places = list(places)
        self._most = Counter(slot.name for slot in places)  # that a device may ever have again
        self._limits = {**self._most, **(limits or {})}
        self._held: set[Slot] = set()
        self._used: dict[Slot, float] = dict.fromkeys(places, 0.0)
        self._counted = time.monotonic()
        self._waiting: deque[Future[Slot]] = deque()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def lease(self) -> Iterator[Slot]:
        """Hold a slot, waiting for one to become free."""
        turn: Future[Slot] = Future()
        with self._lock:
            self._waiting.append(turn)
            self._hand_out()
        slot = turn.result()
        try:
            yield slot
        finally:
            with self._lock:
                self._count_time()
                self._held.discard(slot)
                self._hand_out()

    def held(self, device: str) -> int:
        """How many slots of a device, by its name, are held."""
        with self._lock:
            return self._count()[device]

    def used(self, slot: Slot) -> float:
        """Seconds of its device that a slot has had so far: of a second among n holders, 1/n."""
        with self._lock:
            self._count_time()
            return self._used[slot]

    def allow(self, device: str, number: int) -> int:
        """Let `number` slots of a device be held at once, if it may have so many; return how many it has now.

        What is held stays so: with fewer slots than holders, the next one waits longer.
        """
        with self._lock:
            self._limits[device] = max(1, min(number, self._most[device]))
            self._hand_out()
            return self._limits[device]

    def lower(self, device: str) -> int:
        """Take a slot from a device for good, but never its last; return how many it has now."""
        with self._lock:
            self._most[device] = self._limits[device] = max(1, self._limits[device] - 1)
            return self._limits[device]

    def _count_time(self) -> None:
        """Share the time since the last call among those who held slots in it."""
        now, count = time.monotonic(), self._count()
        for slot in self._held:
            self._used[slot] += (now - self._counted) / count[slot.name]
        self._counted = now

    def _count(self) -> Counter[str]:
        return Counter(slot.name for slot in self._held)

    def _hand_out(self) -> None:
        """Give what is free to whoever has waited longest, from the device with the fewest runs."""
        self._count_time()
        while self._waiting:
            count = self._count()
            free = [s for s in self._places if s not in self._held and count[s.name] < self._limits[s.name]]
            if not free:
                return
            slot = min(free, key=lambda s: count[s.name])
            self._held.add(slot)
            self._waiting.popleft().set_result(slot)
