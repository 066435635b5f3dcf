"""How many runs share a GPU: as many as was measured to pay, once the first has told that their memory fits."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from math import ceil
from pathlib import Path
from typing import Any

from bench import cache
from bench.devices import Gpu, Slot, describe_gpu, shown
from bench.files import canonical, parse, sha256
from bench.fingerprint import ROOT
from bench.sweep.job import RESOURCES
from bench.sweep.planning.grid import Planned
from bench.sweep.run.forkserver import environment
from bench.sweep.supervision.leases import Leases

COUNTS = (1, 2, 4, 8)  # runs at a time that are tried
SPARE = 0.1  # of a GPU's memory stays free
ENOUGH = 0.95  # of the best rate: fewer runs at nearly the same rate each end sooner, and lose less
WINDOW_SECONDS = 3.0  # of one run alone; n side by side do the same each, in up to n times as long
LIMIT_SECONDS = 240.0  # for the whole measurement: whatever hangs is killed


@dataclass(frozen=True)
class Measured:
    """What several runs side by side achieve on a device, by their number: the sum of their epochs per second."""

    rates: dict[int, float]
    memory_mb: float  # of one
    earlier: bool = False  # remembered from an earlier launch

    @property
    def best(self) -> int:
        """The smallest number of runs that comes near the best rate."""
        return choose(self.rates)

    def __str__(self) -> str:
        tried, when = max(self.rates), "earlier" if self.earlier else "just now"
        number = self.best if self.best > 1 else tried
        gain = f"{self.rates[number] / self.rates[1]:.1f}x the rate of one, measured {when}"
        if self.best > 1:
            return f"{self.best} runs a GPU: {gain}"
        return f"1 run a GPU: {tried} have {gain}" if tried > 1 else "1 run a GPU: there is no memory for two"


def choose(rates: Mapping[int, float]) -> int:
    """The smallest number of runs whose rate is within 5 % of the best."""
    best = max(rates.values())
    return min(number for number, rate in rates.items() if rate >= ENOUGH * best)


def fitting(gpu: Gpu, memory_mb: float) -> int:
    """How many runs of so much memory fit into what is free of a GPU, less a spare tenth; at least 1."""
    return max(1, int((gpu.free - SPARE * gpu.total) // max(memory_mb, 1.0)))


class _Pacer:
    """The process of one run among those that are timed side by side."""

    def __init__(self, run: Planned, gpu: str | None, extra: Mapping[str, str], capture: str) -> None:
        job = json.dumps([run.spec, run.config.to_dict(), asdict(run.info)])
        device = "cpu" if gpu is None else "cuda:0"
        threads = str(run.config.train.threads)
        variables = {**shown(gpu), "OMP_NUM_THREADS": threads, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bench.training.pace", job, device, capture],
            cwd=ROOT,
            env=environment({**variables, **extra}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def answer(self) -> dict[str, float]:
        """What it says next; ValueError if it has died."""
        assert self.process.stdout is not None
        answer: dict[str, float] = json.loads(self.process.stdout.readline())
        return answer

    def go(self, epochs: int) -> None:
        """Let it train a run of so many epochs; OSError if it has died."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{epochs}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Kill it and reap it."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # a line that it was never going to read
                if pipe is not None:
                    pipe.close()
        self.process.wait()


def measure(
    run: Planned,
    gpu: str | None,
    room: Callable[[float], int],
    extra: Mapping[str, str],
    capture: str = "off",
    counts: Sequence[int] = COUNTS,
    seconds: float = WINDOW_SECONDS,
) -> Measured | None:
    """Time short runs like this one side by side on a device (None: the CPU): alone, of so many seconds at least.

    `room(memory_mb)` says how many of so much memory may be started; `extra` goes into their environment. Where more
    cannot be started, the rates of fewer stand; None where not even one can.
    """
    rates: dict[int, float] = {}
    memory = 0.0
    with ExitStack() as stack:
        pacers = [_started(stack, run, gpu, extra, capture)]

        def kill() -> None:
            for pacer in pacers:
                pacer.process.kill()

        watchdog = threading.Timer(LIMIT_SECONDS, kill)
        watchdog.start()
        stack.callback(watchdog.cancel)
        with suppress(ValueError, OSError):  # one has died, of want of memory most likely
            first = pacers[0].answer()
            memory = first["memory_mb"]
            epochs = max(round(first["epochs"]), ceil(first["epochs"] / first["seconds"] * seconds))
            rates[1] = _rate(pacers, epochs)
            most = room(memory)
            able = [number for number in counts if 1 < number <= most]
            pacers += [_started(stack, run, gpu, extra, capture) for _ in range(1, max(able, default=1))]
            for pacer in pacers[1:]:
                pacer.answer()
            for number in able:
                rates[number] = _rate(pacers[:number], epochs)
    return Measured(rates, memory) if rates else None


def _started(stack: ExitStack, run: Planned, gpu: str | None, extra: Mapping[str, str], capture: str) -> _Pacer:
    pacer = _Pacer(run, gpu, extra, capture)
    stack.callback(pacer.end)
    return pacer


def _rate(pacers: Sequence[_Pacer], epochs: int) -> float:
    for pacer in pacers:
        pacer.go(epochs)
    answers = [pacer.answer() for pacer in pacers]
    return sum(answer["epochs"] / answer["seconds"] for answer in answers)


def remembered(run: Planned, index: str, gpu: Gpu, extra: Mapping[str, str], capture: str) -> Measured | None:
    """What `measure` finds for runs like this one on a GPU, kept in the user's cache folder.

    It holds for a name of GPU, a version of torch, a method, and whatever decides how a step of the network runs; what
    a GPU had no room for because others were using it is not kept. None where nothing could be measured.
    """
    train, info = run.config.train, run.info
    how = [train.network, train.batch_size, train.precision, train.channels_last, train.compile, list(info.shape)]
    method = [run.config.method.name, run.networks]
    key = [gpu.name, metadata.version("torch"), *method, *how, capture, bool(extra), list(COUNTS)]
    name = sha256(canonical(key))[:20]
    measured = _recalled(name)
    if measured is None:
        print(f"measuring how many runs of {train.network} a GPU is good for ...", file=sys.stderr)
        measured = measure(run, index, lambda memory: fitting(gpu, memory), extra, capture)
        if measured is not None and (measured.rates.keys() >= set(COUNTS) or gpu.free >= (1 - SPARE) * gpu.total):
            rates = {str(number): rate for number, rate in measured.rates.items()}
            cache.keep("packing", name, {"rates": rates, "memory_mb": measured.memory_mb})
    return measured


def _recalled(name: str) -> Measured | None:
    stored = cache.recall("packing", name)
    try:
        rates = {int(number): float(rate) for number, rate in stored["rates"].items()}
        return Measured(rates, float(stored["memory_mb"]), earlier=True) if min(rates.values()) > 0 else None
    except (ValueError, KeyError, TypeError, AttributeError):  # never measured, or by code that kept something else
        return None


@dataclass(frozen=True)
class Plan:
    """The slots that there may come to be, and by the names of devices how many of them pay, and what is free."""

    slots: list[Slot]
    shares: dict[str, int]
    gpus: dict[str, Gpu]


def plan(run: Planned, slots: Sequence[Slot], extra: Mapping[str, str], capture: str) -> Plan:
    """Find how many runs like this one each GPU of the slots is good for, and say so on standard error."""
    shares: dict[str, int] = {}
    gpus: dict[str, Gpu] = {}
    by_name: dict[str, Measured | None] = {}
    for slot in slots:
        gpu = None if slot.gpu is None else describe_gpu(slot.gpu)
        if slot.gpu is None or gpu is None:
            print(f"1 run on {slot.name}: nvidia-smi tells nothing of it; --per-device N sets more", file=sys.stderr)
            continue
        if gpu.name not in by_name:
            by_name[gpu.name] = remembered(run, slot.gpu, gpu, extra, capture)
            lost = "1 run a GPU: nothing could be measured; --per-device N sets more"
            print(by_name[gpu.name] or lost, file=sys.stderr)
        measured = by_name[gpu.name]
        if measured is not None and measured.best > 1:
            shares[slot.name], gpus[slot.name] = measured.best, gpu
    places = [replace(slot, number=n) for n in range(max(COUNTS)) for slot in slots if n < shares.get(slot.name, 1)]
    return Plan(places, shares, gpus)


class Packing:
    """Opens as many slots of a GPU as the memory allows that runs have told they take; one is open until then."""

    def __init__(self, leases: Leases, most: Mapping[str, int], gpus: Mapping[str, Gpu]) -> None:
        """`most` and `gpus`, as they were before the first run, go by the name of a device."""
        self._leases, self._most, self._gpus = leases, most, gpus
        self._largest = 0.0
        self._open = dict.fromkeys(most, 1)
        self._lock = threading.Lock()

    def look(self, slot: Slot, folder: Path) -> None:
        """Look what the run in `folder` has told of its memory, if anything; let as many run as fit."""
        try:
            told: Any = parse((folder / RESOURCES).read_bytes())
            memory = float(told["memory_mb"])
        except (OSError, ValueError, KeyError, TypeError):  # not yet
            return
        with self._lock:
            self._largest = max(self._largest, memory)
            for device, gpu in self._gpus.items():
                # a device opens with the first run that it holds: until then nothing shows that it works
                if device == slot.name or self._open[device] > 1:
                    self._resize(device, gpu)

    def _resize(self, device: str, gpu: Gpu) -> None:
        number = self._leases.allow(device, min(self._most[device], fitting(gpu, self._largest)))
        if number != self._open[device]:
            self._open[device] = number
            size, free = self._largest / 1024, gpu.free / 1024
            print(f"{device}: {number} runs at a time, of {size:.1f} GB each; {free:.1f} GB were free", file=sys.stderr)
