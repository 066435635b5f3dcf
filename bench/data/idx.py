"""MNIST, Fashion-MNIST and KMNIST from their IDX files, packed by gzip or not.

LeCun et al., Gradient-based Learning Applied to Document Recognition, 1998; Xiao et al., Fashion-MNIST, 2017,
arXiv:1708.07747; Clanuwat et al., Deep Learning for Classical Japanese Literature, 2018, arXiv:1812.01718.
"""

import gzip
import hashlib
import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.checksum import Checksum
from bench.data.datasets import (
    Arrays,
    Dataset,
    DatasetInfo,
    Files,
    MissingDataError,
    Source,
    digest_of,
    digest_of_checksums,
)
from bench.data.report import Finding, Report

SIDE = 28
SIZE_CAP = 60_000 * SIDE * SIDE + 16  # bytes of the largest unpacked file
PARTS = (("train", 60_000), ("t10k", 10_000))
KINDS = ("images-idx3-ubyte", "labels-idx1-ubyte")


@dataclass(frozen=True, eq=False)
class Idx:
    """One of the three sets: its folder, and the checksum of every packed file."""

    info: DatasetInfo
    folder: str
    checksums: Mapping[str, Checksum]

    @property
    def source(self) -> Source:
        """The set as the registry of data sets wants it."""
        return Source(self.find, self.read, self.examine, Files(self.folder, self.checksums))

    def find(self, folder: Path) -> DatasetInfo:
        """The facts; files that were unpacked by somebody have no published checksum, and so their own digest."""
        plain = self._plain(folder)
        if not plain:
            return self.info
        stamps = tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in plain)
        return replace(self.info, digest=_content_digest(self, folder, stamps))

    def read(self, folder: Path) -> Dataset:
        """The set; ValueError naming the file that is not what it should be."""
        return Dataset(self.find(folder), *self._arrays(folder))

    def examine(self, folder: Path) -> Report:
        """Say which files are there, and whether anybody vouches for them."""
        findings = [self._state(folder, name) for name in self.checksums]
        if all(finding.state == "ok" for finding in findings):
            try:
                self._arrays(folder)
            except ValueError as error:
                findings.append(Finding("broken", str(error)))
            else:
                findings.append(self._vouched(folder))
        where = f"run ... --dataset {self.info.name} --download; {self.info.source}"
        return Report(self.info.name, tuple(findings), where, "60,000 images for training, 10,000 for testing")

    def _state(self, folder: Path, name: str) -> Finding:
        path = self._used(folder, name)
        return Finding("missing", f"{folder / name}, packed or not") if path is None else Finding("ok", str(path))

    def _vouched(self, folder: Path) -> Finding:
        names = ", ".join(path.name for path in self._plain(folder))
        if not names:
            return Finding("ok", "the files are the official ones")
        return Finding("note", f"of a right form, but no published checksum vouches for unpacked files: {names}")

    def _used(self, folder: Path, name: str) -> Path | None:
        """The file that is read for `name`: the packed one, which has a published checksum, before the unpacked one."""
        places = (folder / name, folder / name.removesuffix(".gz"))
        return next((path for path in places if path.is_file()), None)

    def _plain(self, folder: Path) -> list[Path]:
        """The unpacked files that are read, for which no published checksum vouches."""
        used = [self._used(folder, name) for name in self.checksums]
        return [path for path in used if path is not None and path.suffix != ".gz"]

    def _arrays(self, folder: Path) -> Arrays:
        parts = [self._part(folder, part, count) for part, count in PARTS]
        return Arrays(*parts[0], *parts[1])

    def _part(self, folder: Path, part: str, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        images, labels = (self._content(folder, f"{self.folder}/raw/{part}-{kind}.gz") for kind in KINDS)
        return _images(*images, count), _labels(*labels, count)

    def _content(self, folder: Path, name: str) -> tuple[Path, bytes]:
        path = self._used(folder, name)
        if path is None:
            raise MissingDataError(
                f"{self.info.name}: no {name} in {folder}, packed or not; name the right folder by --data-dir or "
                "LNBENCH_DATA, or let --download fetch it"
            )
        if path.stat().st_size > SIZE_CAP:
            raise ValueError(f"{path}: has {path.stat().st_size:,} bytes, allowed are {SIZE_CAP:,}")
        data = path.read_bytes()
        if path.suffix == ".gz":
            self.checksums[name].check(data, path)
            data = _unpacked(data, path)
        return path, data


@cache
def _content_digest(which: Idx, folder: Path, stamps: tuple[tuple[Path, int, int], ...]) -> str:
    """Return the digest of what is read; `stamps` (path, size, time) tell a changed file, which is read anew."""
    return hashlib.sha256(digest_of(which._arrays(folder)).encode()).hexdigest()


def _unpacked(data: bytes, path: Path) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            found = file.read(SIZE_CAP + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: not a whole gzip file ({error})") from None
    if len(found) > SIZE_CAP:
        raise ValueError(f"{path}: unpacks to more than {SIZE_CAP:,} bytes")
    return found


def _images(path: Path, data: bytes, count: int) -> NDArray[np.uint8]:
    body = _body(data, 2051, (count, SIDE, SIDE), path)
    return body.reshape(count, SIDE, SIDE, 1).copy()


def _labels(path: Path, data: bytes, count: int) -> NDArray[np.int64]:
    labels = _body(data, 2049, (count,), path)
    if labels.max() > 9:
        raise ValueError(f"{path}: label must lie in 0..9, got {labels.max()} at index {labels.argmax()}")
    return labels.astype(np.int64)


def _body(data: bytes, magic: int, shape: tuple[int, ...], path: Path) -> NDArray[np.uint8]:
    header = 4 * (1 + len(shape))
    if len(data) < header or struct.unpack(">i", data[:4])[0] != magic:
        raise ValueError(f"{path}: no IDX file with magic number {magic}")
    found = struct.unpack(f">{len(shape)}i", data[4:header])
    if found != shape or len(data) != header + int(np.prod(shape)):
        raise ValueError(
            f"{path}: {found} in {len(data):,} bytes, expected {shape} in {header + int(np.prod(shape)):,}"
        )
    return np.frombuffer(data, np.uint8, offset=header)


def _idx(
    name: str, folder: str, md5: tuple[str, str, str, str], names: tuple[str, ...], source: str, asymmetric: str | None
) -> Idx:
    files = [f"{folder}/raw/{part}-{kind}.gz" for part, _ in PARTS for kind in KINDS]
    checksums = {file: Checksum(one) for file, one in zip(files, md5, strict=True)}
    info = DatasetInfo(
        name=name,
        num_classes=10,
        train_size=60_000,
        test_size=10_000,
        shape=(1, SIDE, SIDE),
        pixel_max=255,
        mean=(0.1307,),  # of MNIST; published code uses it for the other two as well
        std=(0.3081,),
        class_names=names,
        digest=digest_of_checksums(name, checksums),
        augment="none",
        source=source,
        files=tuple(files),
        asymmetric=asymmetric,
    )
    return Idx(info, folder, checksums)


_MNIST = _idx(
    "mnist",
    "MNIST",
    (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    tuple("0123456789"),
    "LeCun et al., Gradient-based Learning Applied to Document Recognition, 1998",
    "mnist",
)
_FASHION = _idx(
    "fashion_mnist",
    "FashionMNIST",
    (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "Xiao et al., Fashion-MNIST, 2017, arXiv:1708.07747",
    "fashion_mnist",
)
_KMNIST = _idx(
    "kmnist",
    "KMNIST",
    (
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    ),
    ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    "Clanuwat et al., Deep Learning for Classical Japanese Literature, 2018, arXiv:1812.01718",
    None,
)
SOURCES = {which.info.name: which.source for which in (_MNIST, _FASHION, _KMNIST)}
