"""The process behind ForkServer: it has imported torch, and forks a child for each run.

It has one thread, imports third-party packages and none of ours, so that each run loads the code of today, computes
nothing and never touches CUDA, because neither thread pools nor a CUDA context survive a fork.

The driver sends one JSON object a line and gets one a line:
    {"id", "argv", "env", "log"} -> {"id", "pid"} at once or {"id", "errno", "error"}, and {"pid", "status"} at the end
    {"pid", "signal"}            -> nothing
"""

import contextlib
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

PARENT_VARIABLE = "BENCH_PARENT_PID"  # in each run's environment: the pid whose death ends the run
LOG_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
UNCAUGHT = 70  # exit code of a child whose target raised
INTERRUPTED = 75
# open once anything has asked CUDA how many GPUs there are, of which torch need not know; NVML does not open it
CUDA_DEVICE = "/dev/nvidia-uvm"

_PR_SET_PDEATHSIG = 1
_WATCH_MS = 500
# the driver alone decides what these mean: the server lives until its driver dies, its children get them by request
_OUTLIVED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when `parent` dies, or leave now (75) if it is dead already.

    The kernel watches the *thread* that started this process, which must therefore outlive it.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(INTERRUPTED)


def kill_group(pid: int, sig: int) -> None:
    """Send a signal to a process group; fine if it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # only zombies are left
        os.killpg(pid, sig)


class _Server:
    """The server's side: one thread, one poll loop."""

    def __init__(self, connection: socket.socket, driver: int, target: str) -> None:
        self._connection = connection
        self._driver = driver
        self._target = target
        self._live: set[int] = set()
        self._received = b""
        self._wake, self._woken = os.pipe()

    def serve(self) -> None:
        """Serve until the driver is gone, then kill every child."""
        for fd in (self._wake, self._woken):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        for sig in (signal.SIGCHLD, *_OUTLIVED):
            signal.signal(sig, lambda number, frame: None)
        # a wake-up for the loop, which asks for its parent: the signal also comes when a mere thread of the driver ends
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        poller = select.poll()
        poller.register(self._connection, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        try:
            self._answer({"ready": True})
            while os.getppid() == self._driver:
                ready = [fd for fd, _ in poller.poll(_WATCH_MS)]
                if self._wake in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake, 4096)
                if self._connection.fileno() in ready and not self._receive():
                    break
                self._reap()
        except (BrokenPipeError, ConnectionResetError):  # the driver died while we wrote or read
            pass
        finally:
            for pid in self._live:
                kill_group(pid, signal.SIGKILL)

    def _answer(self, message: dict[str, Any]) -> None:
        self._connection.sendall(json.dumps(message).encode() + b"\n")

    def _receive(self) -> bool:
        data = self._connection.recv(1 << 16)
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "signal" not in message:
                self._start(message)
            elif message["pid"] in self._live:
                kill_group(message["pid"], message["signal"])
        return bool(data)

    def _reap(self) -> None:
        for pid in list(self._live):
            # seen dead but not yet reaped, the child keeps its number: nobody else's group can be hit
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                kill_group(pid, signal.SIGKILL)
                _, status = os.waitpid(pid, 0)
                self._live.discard(pid)
                self._answer({"pid": pid, "status": os.waitstatus_to_exitcode(status)})

    def _start(self, request: dict[str, Any]) -> None:
        try:
            pid = self._fork(request)
        except OSError as error:
            self._answer({"id": request["id"], "errno": error.errno, "error": error.strerror})
        except RuntimeError as error:
            self._answer({"id": request["id"], "errno": None, "error": str(error)})
        else:
            self._live.add(pid)
            self._answer({"id": request["id"], "pid": pid})

    def _fork(self, request: dict[str, Any]) -> int:
        _check_forkable()
        server = os.getpid()
        with contextlib.ExitStack() as stack:  # the child never leaves this block: it ends in _become
            log = os.open(request["log"], LOG_FLAGS, 0o666)
            stack.callback(os.close, log)
            started, starting = os.pipe()
            stack.callback(os.close, started)
            # a signal between the fork and the child's own handlers would be lost
            signal.pthread_sigmask(signal.SIG_BLOCK, _OUTLIVED)
            try:
                pid = os.fork()
                if pid == 0:
                    self._become(request, server, log, (started, starting))
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _OUTLIVED)
                os.close(starting)
            os.read(started, 1)  # ends when the child leads its own group, so that a signal to the group finds it
            return pid

    def _become(self, request: dict[str, Any], server: int, log: int, start: tuple[int, int]) -> NoReturn:
        """Be the child: as near as can be to a process made by exec, running the target."""
        code = UNCAUGHT
        try:
            die_with_parent(server)
            os.setsid()
            for fd in start:  # the server goes on
                os.close(fd)
            os.dup2(log, 1)
            os.dup2(log, 2)
            _default_signals()
            for fd in (log, self._wake, self._woken):
                os.close(fd)
            self._connection.close()
            code = _run(self._target, request["argv"], {**request["env"], PARENT_VARIABLE: str(server)})
        except BaseException:  # whatever it is, it must not reach the server's loop in this process
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):  # a full disk; a stream that the target closed
                    stream.flush()
            os._exit(code & 0xFF)


def _check_forkable() -> None:
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise RuntimeError(f"the fork server has {threads} threads, and a fork would copy one; start runs by exec")
    torch = sys.modules.get("torch")
    if (torch is not None and torch.cuda.is_initialized()) or _is_open(CUDA_DEVICE):
        raise RuntimeError("the fork server has touched CUDA, which no fork survives; start runs by exec")


def _is_open(device: str) -> bool:
    """Whether this process has a device file open, or one whose name goes on from there."""
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            if os.readlink(f"/proc/self/fd/{fd}").startswith(device):
                return True
    return False


def _default_signals() -> None:
    signal.set_wakeup_fd(-1)
    for sig in (signal.SIGCHLD, *_OUTLIVED):
        signal.signal(sig, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _OUTLIVED)


def _run(target: str, argv: list[str], env: Mapping[str, str]) -> int:
    os.environ.update(env)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if os.environ.get("PYTHONFAULTHANDLER"):
        faulthandler.enable()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    module, _, function = target.partition(":")
    sys.argv = [module, *argv]
    importlib.invalidate_caches()  # the code may be younger than the server
    try:
        code = getattr(importlib.import_module(module), function)(argv)
    except SystemExit as leaving:  # as the interpreter does
        if leaving.code is not None and not isinstance(leaving.code, int):
            print(leaving.code, file=sys.stderr)
            return 1
        code = leaving.code or 0
    return int(code)


def main(arguments: Sequence[str]) -> int:
    """Run the server; arguments: descriptor of its socket, the driver's pid, the target, packages to import."""
    descriptor, driver, target, *preload = arguments
    for package in preload:
        importlib.import_module(package)
    gc.collect()
    gc.freeze()  # a child's collections leave these objects alone: walking them would copy most of our pages
    with socket.socket(fileno=int(descriptor)) as connection:
        connection.set_inheritable(False)
        _Server(connection, int(driver), target).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
