"""Archives on disk: written whole or not at all, the same bytes for the same content; read as a stranger's.

What is unpacked was listed beforehand with its size and sha256, has a name that an export may write, and no link.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import re
import shutil
import stat
import struct
import tempfile
import time
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from bench.files import make_folder, read_regular, sha256, sync_folder
from bench.sharing.submission import MANIFEST, NAMES, Submission

MOST_FILES = 300_000  # of an archive: fifty times those of a suite of thousands of runs
MOST_BYTES = 8 * 2**30  # of all files together, unpacked
MOST_OF_ONE = 512 * 2**20
MOST_OF_LIST = 64 * 2**20
STALE_SECONDS = 3600.0
LEVEL = 6  # of compression
CHUNK = 2**20
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
PREFIX = "lnbench-unpacked-"
STORED_ARRAYS = re.compile(r"noise/[^/]+\.npz")

# what zipfile raises for bytes that are cut, encrypted, overlapping, or packed in ways it does not know
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, NotImplementedError),
    *(ValueError, OverflowError, LookupError, AttributeError),
)


class Unsound(ValueError):
    """An archive, or a folder in place of one, that is not what an export writes; the message says why."""


def write(path: Path, files: Iterable[tuple[str, bytes]], force: bool = False) -> bool:
    """Publish an archive of (name, content) in the order given; False if the same bytes are there already.

    Until it is complete it has no name, so that whatever ends this process leaves nothing. ValueError, unless `force`,
    if something else lies at `path`.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ValueError(f"{path}: must be a regular file; links are not followed")
    with _nameless(path.parent) as (file, temporary):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
            for name, data in files:
                entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, data, compresslevel=LEVEL)
        file.flush()
        os.fsync(file.fileno())
        if path.exists():
            if _equal(file, path):
                return False
            if not force:
                raise ValueError(f"{path} holds something else: --force writes over it")
        _name(file, temporary, path)
    sync_folder(path.parent)
    return True


@contextlib.contextmanager
def _nameless(folder: Path) -> Iterator[tuple[IO[bytes], Path | None]]:
    """A file in a folder that is gone when its process is; with a temporary name where a file must have one."""
    temporary = None
    try:
        fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
        temporary = folder / f"export.tmp-{uuid.uuid4().hex}"
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(fd, "w+b") as file:
            yield file, temporary
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _name(file: IO[bytes], temporary: Path | None, path: Path) -> None:
    """Give the file its name, in one step, in place of what has it."""
    if temporary is None:
        temporary = path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex}")
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:  # with a folder given, the link is made to what the name under /proc stands for
            os.link(f"/proc/self/fd/{file.fileno()}", temporary, src_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)
    os.replace(temporary, path)


def _equal(file: IO[bytes], path: Path) -> bool:
    if os.fstat(file.fileno()).st_size != path.stat().st_size:
        return False
    file.seek(0)
    with path.open("rb") as other:
        while (data := file.read(CHUNK)) == other.read(CHUNK):
            if not data:
                return True
    return False


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[Path, Submission]]:
    """An archive, or a folder that one was unpacked into, as a results folder whose files are those that it lists.

    Unsound with the first reason why it is none.
    """
    if path.is_dir():
        yield path, _checked_folder(path)
        return
    with _room() as folder:
        yield folder, _unpack(path, folder)


@contextlib.contextmanager
def regular(path: Path) -> Iterator[io.BufferedReader]:
    """A regular file, open for reading; Unsound at once for a link, a pipe, or whatever else is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a symbolic link, a socket
            raise Unsound("is no regular file") from None
        raise
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Unsound("is no regular file")
        yield file


def _unpack(path: Path, folder: Path) -> Submission:
    with _reading(path) as (archive, entries):
        submission = _listed(_take(archive, entries[MANIFEST], MOST_OF_LIST))
        _same_names(entries.keys() - {MANIFEST}, submission)
        if (free := shutil.disk_usage(folder).free) < (size := sum(file.bytes for file in submission.files.values())):
            said = f"{path.name} needs {size:,} bytes to be unpacked, {free:,} are free"
            raise OSError(errno.ENOSPC, said, str(folder.parent))
        for name, file in submission.files.items():
            if entries[name].file_size != file.bytes:
                raise Unsound(f"{name} has {entries[name].file_size:,} bytes, {file.bytes:,} by {MANIFEST}")
            data = _take(archive, entries[name], file.bytes)
            _same_bytes(name, data, submission)
            make_folder((folder / name).parent)
            (folder / name).write_bytes(data)
    return submission


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """An archive and its entries by name, none of which is what no export writes."""
    try:
        with regular(path) as file, zipfile.ZipFile(file) as archive:
            yield archive, _entries(archive)
    except Unsound:
        raise
    except _UNREADABLE as error:
        said = str(error).splitlines()
        raise Unsound(f"no sound archive: {said[0] if said else type(error).__name__}") from None


def _entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    listed = archive.infolist()
    if len(listed) > MOST_FILES:
        raise Unsound(f"it has {len(listed):,} entries, {MOST_FILES:,} are allowed")
    if (size := sum(entry.file_size for entry in listed)) > MOST_BYTES:
        raise Unsound(f"it would be {size:,} bytes unpacked, {MOST_BYTES:,} are allowed")
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in listed:
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise Unsound(f"{entry.filename!r} is a link")
        if entry.is_dir():  # added by who packed it again; nothing is made of it
            continue
        if entry.filename != MANIFEST and not NAMES.fullmatch(entry.filename):
            raise Unsound(f"{entry.filename!r} is no name that an export writes")
        if entry.filename in found:
            raise Unsound(f"{entry.filename} is in it twice")
        if entry.compress_type not in METHODS or entry.flag_bits & 1:
            raise Unsound(f"{entry.filename} is encrypted, or packed in another way than an export's")
        found[entry.filename] = entry
    if MANIFEST not in found:
        raise Unsound(f"it holds no {MANIFEST}: it was not written by `export`")
    return found


def _take(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    """The content of an entry, of which no more is unpacked than may be there."""
    most = min(most, MOST_OF_ONE)
    if entry.file_size > most:
        raise Unsound(f"{entry.filename} has {entry.file_size:,} bytes, {most:,} are allowed")
    with archive.open(entry) as file:
        data = file.read(most + 1)
    if len(data) != entry.file_size:
        raise Unsound(f"{entry.filename} has other than the {entry.file_size:,} bytes that the archive says")
    return data


def _listed(data: bytes) -> Submission:
    try:
        return Submission.from_bytes(data)
    except ValueError as error:
        raise Unsound(str(error)) from None


def _same_names(found: Iterable[str], submission: Submission) -> None:
    found, listed = set(found), submission.files.keys()
    for name in sorted(found - listed):
        raise Unsound(f"{name} is not listed in {MANIFEST}")
    for name in sorted(listed - found):
        raise Unsound(f"{name} is missing, and {MANIFEST} lists it")


def _same_bytes(name: str, data: bytes, submission: Submission) -> None:
    if sha256(data) != submission.files[name].sha256:
        raise Unsound(f"{name}: its digest is not the one in {MANIFEST}")
    if STORED_ARRAYS.fullmatch(name):
        _check_stored(name, data)


def _check_stored(name: str, data: bytes) -> None:
    """Arrays that a harness writes are not compressed: none may grow beyond its file when it is read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as arrays:
            stored = all(array.compress_type == zipfile.ZIP_STORED for array in arrays.infolist())
    except _UNREADABLE:
        raise Unsound(f"{name} holds no arrays") from None
    if not stored:
        raise Unsound(f"{name} holds compressed arrays, which no harness writes")


def _checked_folder(folder: Path) -> Submission:
    found: dict[str, Path] = {}
    for where, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(where, name)
            if path.is_symlink():
                raise Unsound(f"{path.relative_to(folder)} is a link")
        found |= {str(Path(where, name).relative_to(folder)): Path(where, name) for name in names}
    submission = _listed(_read(found.pop(MANIFEST), MOST_OF_LIST))
    _same_names(found, submission)
    for name, file in submission.files.items():
        data = _read(found[name], min(MOST_OF_ONE, file.bytes))
        if len(data) != file.bytes:
            raise Unsound(f"{name} has {len(data):,} bytes, {file.bytes:,} by {MANIFEST}")
        _same_bytes(name, data, submission)
    return submission


def _read(path: Path, most: int) -> bytes:
    if (size := path.stat().st_size) > most:
        raise Unsound(f"{path.name} has {size:,} bytes, {most:,} are allowed")
    try:
        return read_regular(path)
    except ValueError as error:
        raise Unsound(str(error)) from None


@contextlib.contextmanager
def _room() -> Iterator[Path]:
    """A temporary folder, held while it is used: what killed processes have left is removed by the next one."""
    _clear()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _clear() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            found = folder.lstat()
            young = time.time() - found.st_mtime < STALE_SECONDS  # its maker may not hold it yet
            if young or found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
                continue
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: it is in use
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(held)
