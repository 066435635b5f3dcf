"""Fetch a data set on request: once, under a lock, and out of the archive only what was meant.

Nothing but named members is taken from an archive, each only with its pinned checksum, and a file gets its final name
when it is whole and checked.
"""

import contextlib
import fcntl
import gzip
import os
import socket
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from bench.data.datasets import Archive, Files, MissingDataError, source
from bench.vision import torchvision

MEMBER_CAP = 200_000_000  # bytes of one member; the largest one meant, the training file of CIFAR-100, has 155 MB
TOTAL_CAP = 400_000_000  # bytes of an unpacked archive; CIFAR-10 has 186 MB
SILENCE = 60.0  # seconds without a byte after which a server is given up


def fetch(name: str, folder: Path, progress: Callable[[str], None]) -> None:
    """Put the files of the data set `name` into `folder`, unless they are there already.

    An archive is taken from `folder` if it lies there. Otherwise each file comes from below the base address
    LNBENCH_MIRROR, where it lies at the top or at its place under the data folder, else from torchvision's address.
    `progress` gets one line per thing that happens. Raises MissingDataError if no address serves a file or if nobody
    may serve it, and ValueError for an archive that holds something else.
    """
    wanted = source(name)
    archive = wanted.archive
    if archive is None:
        report = wanted.examine(folder)
        if not report.usable:
            raise MissingDataError(f"{name} cannot be downloaded: {report.where}")
        progress(f"{name} needs no download")
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f".{name}.lock"):
        if _complete(archive, folder):
            progress(f"{name} is complete in {folder}")
            return
        if isinstance(archive, Files):
            _download_files(name, archive, folder, progress)
            progress(f"{name} is ready in {folder}")
            return
        path = folder / archive.filename
        if not path.is_file():
            _download(name, archive, folder, progress)
        progress(f"unpacking {path}")
        _unpack(path, archive, folder)
        progress(f"{name} is ready in {folder}")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go by the kernel when the file closes, however this process ends
        yield


def _complete(archive: Archive | Files, folder: Path) -> bool:
    try:
        for member, checksum in archive.members.items():
            checksum.check((folder / member).read_bytes(), member)
    except (FileNotFoundError, ValueError):  # absent, or damaged: both mean that it must be unpacked again
        return False
    return True


def _download(name: str, archive: Archive, folder: Path, progress: Callable[[str], None]) -> None:
    address = getattr(torchvision().datasets, archive.torchvision_class).url
    _fetch(name, archive.filename, [address], archive.md5, folder, progress)


def _download_files(name: str, files: Files, folder: Path, progress: Callable[[str], None]) -> None:
    for member, checksum in files.members.items():
        target = folder / member
        if target.is_file():
            try:
                checksum.check(target.read_bytes(), member)
            except ValueError:  # damaged: fetch it again
                progress(f"{target} is damaged")
            else:
                continue
        _fetch(name, member, _addresses(files.torchvision_class, target.name), checksum.md5, folder, progress)


def _addresses(torchvision_class: str, filename: str) -> list[str]:
    """Return where torchvision looks for a file: below each mirror, or in the rows of its list."""
    known = getattr(torchvision().datasets, torchvision_class)
    if hasattr(known, "mirrors"):
        return [f"{mirror.rstrip('/')}/{filename}" for mirror in known.mirrors]
    return [address for address, name, _ in known.split_list.values() if name == filename]


def _fetch(name: str, file: str, known: list[str], md5: str, folder: Path, progress: Callable[[str], None]) -> None:
    """Put one file at its place `file` under `folder`, from the first address that serves the right content."""
    datasets, addresses, target = torchvision().datasets, list(known), folder / file
    if mirror := os.environ.get("LNBENCH_MIRROR"):
        # MNIST and its kin share names of files, so that one mirror of them all needs the places of the data folder.
        addresses = [f"{mirror.rstrip('/')}/{place}" for place in dict.fromkeys((target.name, file))] + addresses
    failures = []
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as temporary, _timeout(SILENCE):
        for address in addresses:
            progress(f"downloading {address}")
            try:
                datasets.utils.download_url(address, temporary, target.name, md5)
            except (OSError, HTTPException, ValueError, RuntimeError) as error:  # no server, address or right content
                failures.append(f"{address} ({error})")
                progress(f"failed: {error}")
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(temporary, target.name).replace(target)
            return
    raise MissingDataError(
        f"{name}: no address serves it: {'; '.join(failures)}; put {target.name} into {target.parent} yourself"
    )


@contextlib.contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)  # torchvision passes none, and would wait for ever
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _unpack(path: Path, archive: Archive, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as temporary:
        found: set[str] = set()
        try:
            with _Capped(path) as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as tar:
                for member in tar:
                    _refuse_unsafe(path, member)
                    file = tar.extractfile(member) if member.name in archive.members else None
                    if file is None:  # not asked for, or a folder
                        continue
                    data = file.read()
                    archive.members[member.name].check(data, f"{path}: {member.name}")
                    _write(Path(temporary, member.name), data)
                    found.add(member.name)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:  # cut off, or no archive at all
            raise ValueError(f"{path}: not a whole tar.gz archive ({error})") from error
        if absent := sorted(archive.members.keys() - found):
            raise ValueError(f"{path}: no {absent[0]} in it")
        for name in archive.members:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(temporary, name).replace(target)


def _refuse_unsafe(path: Path, member: tarfile.TarInfo) -> None:
    parts = PurePosixPath(member.name)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"{path}: member {member.name!r} points outside the folder; refused")
    if not (member.isreg() or member.isdir()):
        raise ValueError(f"{path}: member {member.name!r} is a link or a device; refused")
    if member.size > MEMBER_CAP:
        raise ValueError(f"{path}: member {member.name!r} has {member.size} bytes, allowed are {MEMBER_CAP}; refused")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


class _Capped(gzip.GzipFile):
    """A gzip file that refuses to give more than TOTAL_CAP bytes: even a header can be a bomb."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._given = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self._given += len(data)
        if self._given > TOTAL_CAP:
            raise ValueError(f"{self.name}: unpacks to more than {TOTAL_CAP} bytes; refused")
        return data
