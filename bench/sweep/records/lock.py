"""The lock of a run: it saves work, and the kernel frees it when its holder dies, however that happens.

It is flock on a file that stays: POSIX locks vanish when any descriptor of the file is closed, and a lock file that is
deleted on release lets two owners in.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from bench.files import make_folder

POLL = 0.02  # seconds between two tries

_held: set[int] = set()


class Busy(RuntimeError):
    """Another process holds the run."""


def _let_go_in_child() -> None:
    # a forked child shares the lock: without this, a loader worker would keep a dead run locked
    for fd in _held:
        os.close(fd)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)


@contextlib.contextmanager
def hold(path: Path, wait: float) -> Iterator[None]:
    """Hold the lock file at `path`, making it and its folder if need be; Busy after `wait` seconds."""
    fd = _acquire(path, time.monotonic() + wait)
    _held.add(fd)
    try:
        yield
    finally:
        if fd in _held:  # in a forked child it is closed already, and its number may be in use again
            _held.discard(fd)
            os.close(fd)


def _acquire(path: Path, deadline: float) -> int:
    while True:
        make_folder(path.parent)
        with contextlib.suppress(FileNotFoundError):  # the folder was cleaned away in between
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            if _try_lock(fd, path):
                return fd
        if time.monotonic() >= deadline:
            raise Busy(f"run {path.parent.name} is held by another process")
        time.sleep(POLL)


def _try_lock(fd: int, path: Path) -> bool:
    """Lock an open file or close it."""
    locked = False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # who cleans a folder away holds its lock while doing so: a lock on a file without a name holds nobody off
        locked = os.path.samestat(os.fstat(fd), os.stat(path))
    except BlockingIOError:
        pass
    finally:
        if not locked:
            os.close(fd)
    return locked


def is_held(path: Path) -> bool:
    """Say whether a living process, maybe this one, holds the lock file at `path`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):  # nothing that anybody could hold
            return False
        raise
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
