"""Data sets as read-only arrays whose content is pinned by a digest.

N images, A channels, H x W pixels, C classes. Each set lives in a module of its own, imported when it is named.
"""

import hashlib
import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.data.checksum import Checksum
from bench.names import unknown

_MODULES = {"cifar10": "bench.data.cifar", "digits": "bench.data.digits"}


class MissingDataError(ValueError):
    """Files of a data set are not where they were looked for; the message says how to supply them."""


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What is known of a data set without its files."""

    name: str
    num_classes: int
    train_size: int
    test_size: int
    shape: tuple[int, int, int]  # (A, H, W)
    pixel_max: int  # white; a pixel divided by it lies in [0, 1]
    mean: tuple[float, ...]  # per channel, of pixel / pixel_max
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    digest: str  # of `digest_of`, so that a run is identified before the data are read
    augment: str  # the augmentation used unless a suite says otherwise
    source: str  # whom to cite
    files: tuple[str, ...] = ()  # relative to the data folder


class Arrays(NamedTuple):
    """The content of a data set: images (N, H, W, A) uint8 and labels (N,) int64, for training and test."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Archive:
    """A published archive: only the named members count, each with its checksum."""

    filename: str
    md5: str
    torchvision_class: str  # the class of torchvision.datasets that knows its address
    members: Mapping[str, Checksum]


@dataclass(frozen=True, slots=True)
class Source:
    """How to get a data set: its facts, its reader (given the data folder) and its archive, if one can be fetched."""

    info: DatasetInfo
    read: Callable[[Path], Arrays]
    archive: Archive | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A verified data set; the arrays (images (N, H, W, A) uint8, labels (N,) int64) are read-only."""

    info: DatasetInfo
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]


def available() -> tuple[str, ...]:
    """Return the names that `load` accepts, sorted."""
    return tuple(sorted(_MODULES))


def source(name: str) -> Source:
    """Return how to get the data set `name`; an unknown name raises a ValueError with the nearest one."""
    if name not in _MODULES:
        raise unknown("dataset", name, _MODULES)
    sources: dict[str, Source] = importlib.import_module(_MODULES[name]).SOURCES
    return sources[name]


def info(name: str) -> DatasetInfo:
    """Return the facts of the data set `name`, without reading any data."""
    return source(name).info


def data_folder(data_dir: Path | None = None) -> Path:
    """Return `data_dir`, else the folder of LNBENCH_DATA, else `lnbench` in the user's cache folder."""
    if data_dir is not None:
        return Path(data_dir).expanduser()
    if named := os.environ.get("LNBENCH_DATA"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lnbench"


def load(name: str, data_dir: Path | None = None) -> Dataset:
    """Read the data set `name` and verify it.

    Raises MissingDataError where a file is absent, and ValueError where the content is not the pinned one.
    """
    wanted = source(name)
    folder = data_folder(data_dir)
    missing = [file for file in wanted.info.files if not (folder / file).is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise MissingDataError(
            f"{name}: no {missing[0]}{more} in {folder}; "
            "name the right folder by --data-dir or LNBENCH_DATA, or let --download fetch it"
        )
    arrays = wanted.read(folder)
    found = digest_of(arrays)
    if found != wanted.info.digest:
        raise ValueError(f"{name}: digest of labels and pixels is {found}, expected {wanted.info.digest}")
    for array in arrays:
        array.setflags(write=False)
    return Dataset(wanted.info, *arrays)


def digest_of(arrays: Arrays) -> str:
    """Return the sha256 over labels and pixels, each array preceded by its name and shape."""
    digest = hashlib.sha256()
    for name, array in arrays._asdict().items():
        digest.update(f"{name} {array.shape}\n".encode())
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(little.data)
    return digest.hexdigest()
