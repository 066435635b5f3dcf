"""Files that are whole or absent: canonical JSON, digests, and the one function that writes a record.

A reader never meets half a record: bytes reach the disk under a unique temporary name and take their own name in one
step. `hook` is called with a tag at every step that changes the disk, so that a test can stop the process at each.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import stat
import uuid
from collections.abc import Callable
from pathlib import Path

# \Z and not $: a name must not end in a line break
NAME_PATTERN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
TEMPORARY_PATTERN = re.compile(r".+\.tmp-[0-9a-f]{32}\Z", re.DOTALL)

_LINK_REFUSED = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK})
_PUBLISH_TRIES = 3
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
# what comes from a parser holds no circle: not looking for one saves a sixth
_ENCODER_OF_PARSED = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True, check_circular=False
)


def _no_hook(tag: str) -> None:
    pass


hook: Callable[[str], None] = _no_hook


def canonical(obj: object) -> bytes:
    """Return the one JSON spelling of `obj`: sorted keys, no spaces, ASCII, no final newline.

    Raises ValueError for NaN and infinity, TypeError for a key that is not a string or a value that JSON lacks.
    """
    _require_string_keys(obj)
    return _ENCODER.encode(obj).encode("ascii")


def _require_string_keys(obj: object) -> None:
    if isinstance(obj, dict):
        for key, value in obj.items():
            if not isinstance(key, str):  # json would write 1 as "1", and the record would not read back as written
                raise TypeError(f"keys of a record must be strings, got {key!r}")
            _require_string_keys(value)
    elif isinstance(obj, list | tuple):
        for value in obj:
            _require_string_keys(value)


def is_canonical(data: bytes, parsed: object) -> bool:
    """Say whether `data` is the canonical spelling of `parsed`, which parse or parse_loosely has made of it.

    It catches what a digest of the parsed object misses, such as another last digit of a float.
    """
    try:
        return _ENCODER_OF_PARSED.encode(parsed).encode("ascii") == data
    except (ValueError, RecursionError):  # a number such as 1e999 parses to infinity, which has no spelling
        return False


def parse(data: bytes) -> object:
    """Return the object that the JSON in `data` (UTF-8) spells; ValueError for duplicate keys, NaN and infinity."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None


def parse_loosely(data: bytes) -> object:
    """Return what parse does in half the time: of equal keys the last counts, and NaN and infinity pass.

    For bytes whose digest is known, or that `is_canonical` will look at: it sees all of these.
    """
    try:
        return json.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"JSON repeats the key {next(key for key in keys if keys.count(key) > 1)!r}")
    return unique


def _refuse_constant(constant: str) -> object:
    raise ValueError(f"JSON holds {constant}, which is not a number")


def sha256(data: bytes) -> str:
    """Return the sha256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def check_name(kind: str, name: str) -> str:
    """Return `name`, or raise ValueError if it cannot be the name of a `kind` (suite, table, method, ...)."""
    if not NAME_PATTERN.match(name):
        raise ValueError(
            f"{kind} name {name!r} must be 1 to 64 letters, digits, '.', '_' or '-', and begin with a letter or digit"
        )
    return name


def read_regular(path: Path) -> bytes:
    """Return the bytes of a regular file; ValueError for a link or anything else, FileNotFoundError if absent."""
    try:
        # O_NONBLOCK: opening a pipe must not wait for a writer
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a symbolic link, a socket
            raise ValueError(f"{path}: must be a regular file; links are not followed") from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError(f"{path}: must be a regular file")
        with open(fd, "rb", buffering=0, closefd=False) as file:
            return file.readall()
    finally:
        os.close(fd)


def publish(path: Path, data: bytes, replace: bool) -> bool:
    """Put `data` at `path`, whole and durable, or leave `path` as it was; return whether this call put it there.

    With replace=False the first writer wins: False means that `path` existed, and the caller compares. An error (full
    disk, no permission) is raised after the temporary file is removed.
    """
    for _ in range(_PUBLISH_TRIES - 1):
        try:
            return _publish_once(path, data, replace)
        except FileNotFoundError:
            # whoever took this folder's lock swept our temporary file: only where locks do not work
            continue
    return _publish_once(path, data, replace)


def _publish_once(path: Path, data: bytes, replace: bool) -> bool:
    # a name of its own for every try: with a fixed one, a single kill would block every later write
    temporary = path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex}")
    try:
        _write_synced(temporary, data)
        placed = _rename(temporary, path) if replace else _link(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to report
            temporary.unlink()
        raise
    if placed:
        sync_folder(path.parent)
        hook("folder synced")
    return placed


def _write_synced(path: Path, data: bytes) -> None:
    hook("before open")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        hook("opened")
        half = len(data) // 2
        view = memoryview(data)
        _write_all(fd, view[:half])
        hook("half written")
        _write_all(fd, view[half:])
        hook("written")
        os.fsync(fd)
        hook("synced")
    finally:
        os.close(fd)


def _write_all(fd: int, view: memoryview) -> None:
    while view:  # write may take less than it was given
        view = view[os.write(fd, view) :]


def _rename(temporary: Path, path: Path) -> bool:
    os.rename(temporary, path)
    hook("renamed")
    return True


def _link(temporary: Path, path: Path) -> bool:
    try:
        os.link(temporary, path)
        placed = True
        hook("linked")
    except FileExistsError:
        placed = False
    except OSError as error:
        if error.errno not in _LINK_REFUSED:
            raise
        # some network and FUSE file systems have no hard links; here two writers at one instant may both win
        placed = not os.path.lexists(path)
        if placed:
            return _rename(temporary, path)
    remove(temporary)
    return placed


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system without fsync on folders
            raise
    finally:
        os.close(fd)


def make_folder(path: Path) -> None:
    """Make a folder and its parents, durably; ValueError if a link stands at `path`."""
    if path.is_symlink():
        raise ValueError(f"{path}: must be a folder; links are not followed")
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_folder(path.parent)
    hook("before mkdir")
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file; fine if it is gone."""
    hook("before unlink")
    path.unlink(missing_ok=True)
