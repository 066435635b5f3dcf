"""What a cluster's worker does: supervise one run as at home, on what the cluster's engine has given it.

Engines import this module on every node, so it must stay without torch. What it returns is for the driver's eyes; how a
run stands, its folder says.
"""

from __future__ import annotations

import json
import signal
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import hardware
from bench.config import RunConfig
from bench.data.datasets import DatasetInfo
from bench.devices import Slot, visible_gpus
from bench.fingerprint import sources
from bench.sweep.planning.grid import Planned
from bench.sweep.records.store import Store
from bench.sweep.supervision.claims import Claims
from bench.sweep.supervision.executor import execute
from bench.sweep.supervision.leases import Leases
from bench.sweep.supervision.sweep import Sweep

TOKEN = "token"  # a file of the launch's folder, which tells a node that it sees the folder that the driver means
STOP = "stop"  # beside it, once the sweep is to end


@dataclass(frozen=True)
class Request:
    """What the driver asks of a worker; plain JSON, so that nodes may differ in their versions of everything."""

    results: str
    launch: str
    token: str  # what the launch's folder says to those who see it
    gpu: bool  # whether the runs are for GPUs
    per_device: int = 1  # runs that share a GPU
    data_dir: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    how: dict[str, Any] = field(default_factory=dict)  # fields of a Sweep
    run: dict[str, Any] = field(default_factory=dict)  # a Planned, by `pack`
    rerun: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Request:
        return cls(**json.loads(text))

    @property
    def folder(self) -> Path:
        """Where this launch and its workers leave word for each other."""
        return launch_folder(Path(self.results), self.launch)


def launch_folder(results: Path, launch: str) -> Path:
    """Where a launch and its workers leave word for each other while it lasts."""
    return results / "launches" / launch


def pack(run: Planned) -> dict[str, Any]:
    """A planned run as plain JSON."""
    return {**vars(run), "config": run.config.to_dict(), "info": asdict(run.info)}


def unpack(data: dict[str, Any]) -> Planned:
    """The run that `pack` has made this of."""
    return Planned(**{**data, "config": RunConfig.from_dict(data["config"]), "info": DatasetInfo(**data["info"])})


class _Silent:
    """A worker's sweep reports to nobody: the driver watches the folders."""

    def started(self, *_: object) -> None: ...

    def requeued(self, *_: object) -> None: ...

    def ended(self, *_: object) -> None: ...


def probe(text: str, configs: list[dict[str, Any]]) -> dict[str, str]:
    """What a node says of itself: its host, its code, and what would hinder runs there, "" if nothing does.

    `configs` are those of runs that may come to it.
    """
    request = Request.from_json(text)
    wrong = _blind(request)
    if not wrong:
        trains = [RunConfig.from_dict(config).train for config in configs]
        places = [Slot(gpu, 0) for gpu in visible_gpus()] if request.gpu else [Slot(None, 0)]
        try:
            (request.folder / f"seen-{uuid.uuid4().hex}").touch()
            hardware.check(trains, places)
        except (OSError, ValueError) as error:
            wrong = f"{socket.gethostname()}: {error}"
    return {"host": socket.gethostname(), "code": sources(), "wrong": wrong}


def supervise(text: str) -> dict[str, str]:
    """Do one run; return how it seemed to end. `text` is a Request as JSON."""
    request, host = Request.from_json(text), socket.gethostname()
    told = {"host": host, "state": "", "message": "", "reason": "", "refused": _blind(request)}
    if told["refused"]:
        return told
    run, store = unpack(request.run), Store(Path(request.results))
    rerun = frozenset({run.run_id} if request.rerun else ())
    data_dir = Path(request.data_dir) if request.data_dir else None
    with _slot(request) as slot:
        if slot is None:
            return told | {"refused": f"{host} shows its worker no GPU (CUDA_VISIBLE_DEVICES, nvidia-smi)"}
        settings = {"launch": request.launch, "notes": request.notes, "rerun": rerun, **request.how}
        sweep = Sweep(store, [slot], data_dir, "exec", stop_file=request.folder / STOP, **settings)
        with _known(sweep):
            (outcome,) = execute(sweep, [run], _Silent())
    message = outcome.message or sweep.halted
    return told | {"state": str(outcome.state), "message": message, "reason": sweep.reason}


def kill(launch: str) -> None:
    """Kill what runs here for a launch, at once."""
    with _lock:
        mine = [sweep for sweep in _sweeps if sweep.launch == launch]
    for sweep in mine:
        sweep.stop("signal", "killed by its driver", signal.SIGKILL)


_sweeps: list[Sweep] = []  # under way in this process, which may be a Dask worker of several threads
_leases: dict[tuple[int, tuple[str, ...]], Leases] = {}
_lock = threading.Lock()


@contextmanager
def _known(sweep: Sweep) -> Iterator[None]:
    """Let `kill` find a sweep."""
    with _lock:
        _sweeps.append(sweep)
    try:
        yield
    finally:
        with _lock:
            _sweeps.remove(sweep)


def _slot(request: Request) -> Any:
    """A place for the run: the CPU, or one of the GPUs that the engine shows to this process; None if it shows none.

    Ray shows the one that is meant. A Dask worker may have several, and as many runs for each as it has threads; other
    workers of its host may see the same ones.
    """
    if not request.gpu:
        return nullcontext(Slot(None, 0))
    gpus = tuple(visible_gpus())
    if not gpus:
        return nullcontext(None)
    with _lock:
        places = [Slot(gpu, number) for number in range(request.per_device) for gpu in gpus]
        leases = _leases.setdefault((request.per_device, gpus), Leases(places, claims=Claims()))
    return leases.lease()


def _blind(request: Request) -> str:
    """Why this node cannot take part in a launch: it sees no results folder, or another; "" if it can."""
    host, path = socket.gethostname(), request.folder / TOKEN
    try:
        seen = path.read_text(encoding="utf-8")
    except OSError as error:
        return f"{host} does not see the results folder {request.results} ({error.strerror}): all nodes must share it"
    if seen != request.token:
        return f"{host} has another folder at {request.results}: all nodes must share one"
    return ""
