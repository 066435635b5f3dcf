"""One side of a comparison: a process that is told when to do a round, and says what the round took.

Ours starts as the process of a run does, with its environment; the peer's as its authors would start it. So neither has
the other's memory or settings, and each can be asked for its peak. `python -m bench.speed.side SOCKET REQUEST`
"""

import contextlib
import importlib
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.fingerprint import ROOT
from bench.speed.pairs import Cost, in_turns, measured
from bench.sweep.run.forking import PARENT_VARIABLE, die_with_parent
from bench.sweep.run.forkserver import spawn_exec

MODULE = "bench.speed.side"
Work = Callable[[], object]  # does a round


class SideLost(RuntimeError):
    """A side ended before its time; the message is one line."""


@dataclass(frozen=True)
class Request:
    """What a side does: `factory` ("module:function") is called with `arguments`, and what it returns is the round."""

    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    harness: bool = True  # started as a run is; else with nothing but the thread count set
    threads: int = 1
    device: str = "cpu"


class _Process(Protocol):
    def wait(self, timeout: float | None = None) -> int: ...


class Side:
    """The driver's end of one side."""

    def __init__(self, request: Request, folder: Path) -> None:
        """Start the process; `ready` must be called before the first round."""
        self._log = folder / "log.txt"
        self._began = time.perf_counter()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "side"))
        self._listener.listen(1)
        self._listener.settimeout(0.1)
        self._process = _start(request, folder / "side", self._log)
        self._lines: Any = None

    def ready(self) -> None:
        """Wait until it can do its first round."""
        with self._listener, self._accepted(self._listener) as connection:
            self._lines = connection.makefile("rw", encoding="utf-8")
        self._answer()
        self.setup_seconds = time.perf_counter() - self._began  # imports, data, networks

    def _accepted(self, listener: socket.socket) -> socket.socket:
        while True:
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                connection.settimeout(None)
                return connection
            with contextlib.suppress(TimeoutError, subprocess.TimeoutExpired):
                self._process.wait(0)
                raise SideLost(self._last_words())

    def _answer(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise SideLost(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        lines = [line for line in self._log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        return f"a side ended early: {lines[-1].strip() if lines else 'it said nothing'}"

    def _ask(self, word: str) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError):  # the answer that does not come tells
            self._lines.write(f"{word}\n")
            self._lines.flush()
        return self._answer()

    def round(self) -> Cost:
        """Let it do a round."""
        answer = self._ask("round")
        return Cost(answer["wall"], answer["cpu"])

    def facts(self) -> dict[str, Any]:
        """Seconds before the first round, and peak memory in MiB of its process and of its GPU."""
        return {"setup_s": self.setup_seconds, **self._ask("facts")}

    def close(self) -> None:
        """Let it end: it does so when nobody is there any more to ask it."""
        self._listener.close()
        if self._lines is not None:
            with contextlib.suppress(BrokenPipeError):  # it is gone
                self._lines.close()
        self._process.wait()


def _start(request: Request, address: Path, log: Path) -> _Process:
    words = [str(address), json.dumps(vars(request))]
    environment = {
        name: str(request.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    }
    environment["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    if request.harness:
        return spawn_exec(words, environment, log, MODULE)
    environment |= {PARENT_VARIABLE: str(os.getpid()), "PYTHONPATH": str(ROOT)}
    with log.open("wb") as output:
        command = [sys.executable, "-P", "-m", MODULE, *words]
        return subprocess.Popen(
            command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )


@contextlib.contextmanager
def sides(requests: Mapping[str, Request], at_once: bool = False) -> Iterator[dict[str, Side]]:
    """Start all sides one after the other, or at once, which spoils the time each takes; end them with the block."""
    folder = Path(tempfile.mkdtemp(prefix="speed-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        started = {}
        for number, (name, request) in enumerate(requests.items()):
            own = folder / str(number)
            own.mkdir()
            started[name] = Side(request, own)
            stack.callback(started[name].close)
            if not at_once:
                started[name].ready()
        for side in started.values() if at_once else ():
            side.ready()
        yield started


def compared(
    requests: Mapping[str, Request], rounds: int, at_once: bool = False
) -> tuple[dict[str, tuple[Cost, ...]], dict[str, dict[str, Any]]]:
    """Let all sides do their rounds in turns: the costs of each round, and the facts about each side, by its name."""
    with sides(requests, at_once) as started:
        costs = in_turns({name: side.round for name, side in started.items()}, rounds)
        return costs, {name: side.facts() for name, side in started.items()}


def main(argv: list[str]) -> int:
    """Be a side: make ready, then do what is asked, line by line."""
    address, text = argv
    if PARENT_VARIABLE in os.environ:
        die_with_parent(int(os.environ[PARENT_VARIABLE]))
    request = Request(**json.loads(text))
    module, _, function = request.factory.partition(":")
    import torch

    torch.set_num_threads(request.threads)
    work: Work = getattr(importlib.import_module(module), function)(**request.arguments)

    def whole() -> None:
        work()
        if request.device.startswith("cuda"):
            torch.cuda.synchronize()

    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        with connection.makefile("rw", encoding="utf-8") as lines:
            lines.write("{}\n")
            lines.flush()
            for line in lines:
                answer = measured(whole)._asdict() if line.strip() == "round" else _peaks(request)
                lines.write(f"{json.dumps(answer)}\n")
                lines.flush()
    return 0


def _peaks(request: Request) -> dict[str, Any]:
    """The most memory that this process, or one of its children that have ended, held."""
    import torch

    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    gpu = torch.cuda.max_memory_allocated() / 2**20 if request.device.startswith("cuda") else None
    return {"peak_mib": most / 1024, "peak_gpu_mib": gpu}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
