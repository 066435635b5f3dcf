"""Two ways to start the process of a run: exec a fresh interpreter, or let a fork server fork one.

Importing torch takes more than a second, a fork of a process that has imported it about ten milliseconds.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from bench.sweep.run.forking import LOG_FLAGS, PARENT_VARIABLE, die_with_parent, kill_group

__all__ = ["PARENT_VARIABLE", "Child", "ForkServer", "ServerLost", "die_with_parent", "spawn_exec"]

WORKER = "bench.sweep.run.worker"

_ROOT = Path(__file__).resolve().parents[3]

# glibc gives large blocks back to the kernel, and each new one costs a page fault for every 4 KiB: 10 to 20 % of a
# training step on the CPU. So it keeps them until the run ends, in one heap that fragments: up to a third more memory
# (cnn9 with batches of 128: 1.5 GB against 1.2, of 64: .87 against .81). Other C libraries ignore this
_KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40), "MALLOC_TOP_PAD_": str(2**26)}


class Child(Protocol):
    """The process of one run, leader of a process group of its own."""

    @property
    def pid(self) -> int: ...

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, or minus the signal that killed it; TimeoutError after `timeout` seconds.

        What a dead child leaves in its process group is killed.
        """
        ...

    def send_signal(self, sig: int) -> None:
        """Send a signal to the child's process group; nothing happens if the child has ended."""
        ...


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return the driver's environment with `changes`: our packages are found, and malloc keeps what it was given."""
    merged = {**_KEEP_MEMORY, **os.environ, **changes}
    paths = [str(_ROOT), *filter(None, [merged.get("PYTHONPATH")])]
    return {**merged, "PYTHONPATH": os.pathsep.join(paths)}


class _ExecChild:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._lock = threading.Lock()
        self._swept = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, timeout: float | None = None) -> int:
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"process {self.pid} is still running after {timeout} s") from None
        with self._lock:
            if not self._swept:  # once only: later the number may be another process's
                self._swept = True
                kill_group(self.pid, signal.SIGKILL)
        return code

    def send_signal(self, sig: int) -> None:
        if self._process.returncode is None:  # not reaped: the number is still this child's
            kill_group(self.pid, sig)


def spawn_exec(argv: Sequence[str], env: Mapping[str, str], log: Path, module: str = WORKER) -> Child:
    """Start `python -m module argv...` in a session of its own with `env` over our environment; output goes to `log`.

    The process has to call die_with_parent itself, with the pid in BENCH_PARENT_PID.
    """
    shown = environment({**env, PARENT_VARIABLE: str(os.getpid())})
    # -P: the driver's working directory must not shadow a package
    command = [sys.executable, "-P", "-m", module, *argv]
    with open(os.open(log, LOG_FLAGS, 0o666), "wb") as output:
        process = subprocess.Popen(
            command,
            env=shown,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _ExecChild(process)


class ServerLost(RuntimeError):
    """The fork server died."""


class _ForkedChild:
    def __init__(self, pid: int, server: "_Connection") -> None:
        self.pid = pid
        self._server = server
        self._ended: Future[int] = Future()

    def wait(self, timeout: float | None = None) -> int:
        try:
            return self._ended.result(timeout)
        except TimeoutError:
            raise TimeoutError(f"process {self.pid} is still running after {timeout} s") from None

    def send_signal(self, sig: int) -> None:
        # by way of the server: it alone reaps, so it knows whether the number is still this child's
        with contextlib.suppress(ServerLost):  # then the child is dead
            self._server.send({"pid": self.pid, "signal": int(sig)})

    def end(self, status: int) -> None:
        self._ended.set_result(status)


def _refusal(number: int | None, reason: str, log: Path) -> Exception:
    return RuntimeError(reason) if number is None else OSError(number, reason, str(log))


class _Connection:
    """The driver's end of one server process."""

    def __init__(self, target: str, preload: Sequence[str]) -> None:
        self._lock = threading.Lock()  # guards the three below
        self._waiting: dict[int, tuple[Future[_ForkedChild], Path]] = {}
        self._children: dict[int, _ForkedChild] = {}
        self._requests = 0
        self._send_lock = threading.Lock()
        self._ready: Future[None] = Future()
        self.alive = True
        self._socket, theirs = socket.socketpair()
        # hash seed and thread pools are fixed when the server starts: a child cannot change them for itself
        pinned = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        arguments = [str(theirs.fileno()), str(os.getpid()), target, *preload]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bench.sweep.run.forking", *arguments],
                # a package that asks for GPUs as it is imported must not touch CUDA, which no fork survives
                env=environment({"PYTHONHASHSEED": "0", "PYTORCH_NVML_BASED_CUDA_CHECK": "1", **pinned}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, name="fork server", daemon=True)
        self._reader.start()
        try:
            self._ready.result()
        except BaseException:  # it could not import its packages, or the driver was interrupted
            self.close()
            raise

    def spawn(self, argv: Sequence[str], env: Mapping[str, str], log: Path) -> _ForkedChild:
        answer: Future[_ForkedChild] = Future()
        with self._lock:
            if not self.alive:
                raise ServerLost("the fork server is gone")
            self._requests += 1
            number = self._requests
            self._waiting[number] = answer, log
        self.send({"id": number, "argv": list(argv), "env": dict(env), "log": os.path.abspath(log)})
        return answer.result()

    def send(self, message: dict[str, Any]) -> None:
        try:
            with self._send_lock:
                self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:  # a broken pipe, or closed by close()
            raise ServerLost("the fork server is gone") from None

    def _read(self) -> None:
        with contextlib.suppress(ConnectionResetError), self._socket.makefile("rb") as lines:
            for line in lines:
                self._receive(json.loads(line))
        # only when the server is reaped has the kernel sent its children their SIGKILL
        code = self._process.wait()
        with self._lock:
            self.alive = False
            waiting, children = list(self._waiting.values()), list(self._children.values())
            self._waiting.clear()
            self._children.clear()
        for child in children:
            kill_group(child.pid, signal.SIGKILL)  # for what the child itself had started
            child.end(-signal.SIGKILL)
        lost = ServerLost(f"the fork server ended with code {code}")
        for answer, _ in waiting:
            answer.set_exception(lost)
        if not self._ready.done():
            self._ready.set_exception(lost)

    def _receive(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self._ready.set_result(None)
        elif "status" in message:
            with self._lock:
                child = self._children.pop(message["pid"])
            child.end(message["status"])
        else:
            with self._lock:
                answer, log = self._waiting.pop(message["id"])
                if "pid" in message:
                    child = self._children[message["pid"]] = _ForkedChild(message["pid"], self)
            if "pid" in message:
                answer.set_result(child)
            else:
                answer.set_exception(_refusal(message["errno"], message["error"], log))

    def close(self) -> None:
        with contextlib.suppress(OSError):  # not connected: the server is dead
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._socket.close()


class ForkServer:
    """Starts runs by forking; safe to use from several threads.

    `target` is module:function, called with argv in the child, which exits with the int it returns. If the server dies
    its children die (their code is -9), and the next spawn starts another server, once.
    """

    def __init__(self, target: str = f"{WORKER}:main", preload: Sequence[str] = ("torch", "numpy")) -> None:
        self._target = target
        self._preload = tuple(preload)
        self._lock = threading.Lock()
        self._server: _Connection | None = None
        self._starts = 0
        self._closed = False

    def start(self) -> None:
        """Start the server and wait until it has imported its packages (seconds); nothing if it runs."""
        self._running()

    def _running(self) -> _Connection:
        with self._lock:
            if self._server is None or not self._server.alive:
                if self._closed:
                    raise ServerLost("the fork server is closed")
                if self._starts == 2:
                    raise ServerLost("the fork server died twice; start runs by exec instead")
                self._starts += 1
                if self._server is not None:
                    self._server.close()
                self._server = _Connection(self._target, self._preload)
            return self._server

    @property
    def pid(self) -> int | None:
        """Return the pid of the server, None before start() and after close()."""
        return None if self._server is None else self._server.pid

    def spawn(self, argv: Sequence[str], env: Mapping[str, str], log: Path) -> Child:
        """Fork a child that runs the target with `env` over the server's environment; its output goes to `log`.

        It computes with env["OMP_NUM_THREADS"] threads, 1 by default. Raises OSError where the log cannot be opened or
        the fork fails, ServerLost if the server died a second time.
        """
        try:
            return self._running().spawn(argv, env, log)
        except ServerLost:
            return self._running().spawn(argv, env, log)

    def close(self) -> None:
        """Kill the children and end the server."""
        with self._lock:
            if self._server is not None:
                self._server.close()
            self._server = None
            self._closed = True
