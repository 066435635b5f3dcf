"""Data sets whose content is pinned by a digest, whether they are arrays in memory or image files on disk.

N images, A channels, H x W pixels, C classes. Each set lives in a module of its own, imported when it is named.
"""

import hashlib
import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.data.checksum import Checksum
from bench.data.report import Finding, Report
from bench.names import unknown

_MODULES = {
    "animal10n": "bench.data.animal10n",
    "cifar10": "bench.data.cifar",
    "cifar100": "bench.data.cifar",
    "cifar100_coarse": "bench.data.cifar",
    "clothing1m": "bench.data.clothing1m",
    "clothing1m_all": "bench.data.clothing1m",
    "clothing1m_resampled": "bench.data.clothing1m",
    "digits": "bench.data.digits",
    "fashion_mnist": "bench.data.idx",
    "food101n": "bench.data.food101n",
    "kmnist": "bench.data.idx",
    "mnist": "bench.data.idx",
    "svhn": "bench.data.svhn",
    "webvision_mini": "bench.data.webvision",
    "webvision_mini_imagenet": "bench.data.webvision",
    **{
        f"{colour}_mini_imagenet_{share}": "bench.data.red_mini_imagenet"
        for colour in ("blue", "red")
        for share in (20, 40, 60, 80)
    },
}
_OWN = "bench.data.own"  # of a folder or an .npz file that is named by its path


class MissingDataError(ValueError):
    """Files of a data set are not where they were looked for; the message says how to supply them."""


class Images(Protocol):
    """N images of (H, W, A) uint8: an array, or files that are decoded when rows are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, A)."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """Return the images of `rows` (n,) as (n, H, W, A)."""


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What is known of a data set without its pixels."""

    name: str
    num_classes: int
    train_size: int
    test_size: int
    shape: tuple[int, int, int]  # (A, H, W) that a network sees
    pixel_max: int  # white; a pixel divided by it lies in [0, 1]
    mean: tuple[float, ...]  # per channel, of pixel / pixel_max
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    digest: str  # of labels and pixels or of checksums of the files, so that a run is identified before data are read
    augment: str  # the augmentation used unless a suite says otherwise
    source: str  # whom to cite
    files: tuple[str, ...] = ()  # relative to the data folder
    asymmetric: str | None = None  # the map of asymmetric noise that is meant for these classes
    true_labels: bool = True  # False: training labels are as they were collected, and nobody knows the true ones
    val_size: int = 0  # official validation images with true labels, apart from training and test
    margin: int = 0  # pixels by which stored images are higher and wider than `shape`; a crop takes a window of them
    resident: bool = True  # False: images stay on disk and are read batch by batch
    epoch_size: int | None = None  # an epoch draws so many anew, equally many of each given class; None: all


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
class Files:
    """Published single files, each with its checksum, by their place under the data folder."""

    torchvision_class: str
    members: Mapping[str, Checksum]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A verified data set; images (N, H, W, A) uint8, labels (N,) int64, which are read-only."""

    info: DatasetInfo
    train_images: Images
    train_labels: NDArray[np.int64]
    test_images: Images
    test_labels: NDArray[np.int64]
    val_images: Images | None = None
    val_labels: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        images, labels = (self.train_images, self.test_images, self.val_images), (self.train_labels, self.test_labels)
        for array in (*images, *labels, self.val_labels):
            if isinstance(array, np.ndarray):
                array.setflags(write=False)


@dataclass(frozen=True, slots=True)
class Source:
    """How to get a data set; every function is given the data folder.

    `info` may read lists of files but no pixels where the digest is not known beforehand, `read` verifies what it
    returns, and `examine` says what is there and what is missing. All but `examine` raise MissingDataError for absent
    files and ValueError for files that are not what they should be.
    """

    info: Callable[[Path], DatasetInfo]
    read: Callable[[Path], Dataset]
    examine: Callable[[Path], Report]
    archive: Archive | Files | None = None
    files: Callable[[Path], Dataset] | None = None  # of images in files: as `read`, but nothing is decoded


def available() -> tuple[str, ...]:
    """Return the names of the known data sets, sorted."""
    return tuple(sorted(_MODULES))


def is_own(name: str) -> bool:
    """Tell whether `name` means somebody's own data: a path of a folder or of an .npz file, no known name."""
    return name not in _MODULES and (name.endswith(".npz") or "/" in name)


def source(name: str) -> Source:
    """Return how to get the data set `name`; an unknown name raises a ValueError with the nearest one."""
    if is_own(name):
        own: Callable[[str], Source] = importlib.import_module(_OWN).source
        return own(name)
    if name not in _MODULES:
        raise unknown("dataset", name, _MODULES)
    sources: dict[str, Source] = importlib.import_module(_MODULES[name]).SOURCES
    return sources[name]


def info(name: str, data_dir: Path | None = None) -> DatasetInfo:
    """Return the facts of the data set `name`, without reading any pixels of a known one."""
    name, folder = locate(name, data_dir)
    return source(name).info(folder)


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
    name, folder = locate(name, data_dir)
    return source(name).read(folder)


def examine(name: str, data_dir: Path | None = None) -> Report:
    """Say what is there of the data set `name`, what is missing, where to get it and what will be used."""
    name, folder = locate(name, data_dir)
    return source(name).examine(folder)


def in_memory(info: DatasetInfo, read: Callable[[Path], Arrays], archive: Archive | Files | None = None) -> Source:
    """Return the source of a set of arrays whose labels and pixels have a known digest."""
    return _of_arrays(info, partial(_read_pinned, info, read), archive)


def by_checksums(info: DatasetInfo, read: Callable[[Path], Arrays], archive: Archive | Files) -> Source:
    """Return the source of a set of arrays whose `read` checks every file by its published checksum."""
    return _of_arrays(info, partial(_read_checked, info, read), archive)


def digest_of_checksums(name: str, checksums: Mapping[str, Checksum]) -> str:
    """Return the sha256 over a data set's name and the checksums of its files: it pins what nobody here has read."""
    lines = [f"{file} {checksum.md5} {checksum.sha256 or '-'}\n" for file, checksum in sorted(checksums.items())]
    return hashlib.sha256("".join([f"{name}\n", *lines]).encode()).hexdigest()


def locate(name: str, data_dir: Path | None = None) -> tuple[str, Path]:
    """Return the name under which a run knows a data set, and the folder in which it is looked for.

    Known names stay and are looked for in the data folder. Of somebody's own path the last part is the name (a folder's
    with a slash behind it) and the rest the folder.
    """
    if not is_own(name):
        return name, data_folder(data_dir)
    base = data_folder(data_dir) if data_dir is not None else Path()
    path = (base / Path(name).expanduser()).resolve()
    return path.name + ("" if name.endswith(".npz") else "/"), path.parent


def require(info: DatasetInfo, folder: Path) -> None:
    """Raise MissingDataError unless all files of `info` lie in the data folder."""
    missing = [file for file in info.files if not (folder / file).is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise MissingDataError(
            f"{info.name}: no {missing[0]}{more} in {folder}; "
            "name the right folder by --data-dir or LNBENCH_DATA, or let --download fetch it"
        )


def _of_arrays(info: DatasetInfo, read: Callable[[Path], Dataset], archive: Archive | Files | None) -> Source:
    return Source(lambda _: info, read, partial(_examine, info, read, archive), archive)


def _read_checked(info: DatasetInfo, read: Callable[[Path], Arrays], folder: Path) -> Dataset:
    require(info, folder)
    dataset = Dataset(info, *read(folder))
    train, test = len(dataset.train_labels), len(dataset.test_labels)
    if (train, test) != (info.train_size, info.test_size):
        raise ValueError(
            f"{info.name}: {train:,} images for training and {test:,} for testing, "
            f"expected {info.train_size:,} and {info.test_size:,}"
        )
    return dataset


def _read_pinned(info: DatasetInfo, read: Callable[[Path], Arrays], folder: Path) -> Dataset:
    require(info, folder)
    arrays = read(folder)
    found = digest_of(arrays)
    if found != info.digest:
        raise ValueError(f"{info.name}: digest of labels and pixels is {found}, expected {info.digest}")
    return Dataset(info, *arrays)


def _examine(
    info: DatasetInfo, read: Callable[[Path], Dataset], archive: Archive | Files | None, folder: Path
) -> Report:
    findings = [
        Finding("ok", f"{folder / file}") if (folder / file).is_file() else Finding("missing", f"{folder / file}")
        for file in info.files
    ]
    if all(finding.state == "ok" for finding in findings):
        try:
            read(folder)
            findings.append(Finding("ok", f"the files are the official ones, digest {info.digest[:12]}"))
        except MissingDataError as error:
            findings.append(Finding("missing", str(error)))
        except ValueError as error:
            findings.append(Finding("broken", str(error)))
    used = f"{info.train_size:,} images for training, {info.test_size:,} for testing"
    where = info.source if archive is None else f"run ... --dataset {info.name} --download; {info.source}"
    return Report(info.name, tuple(findings), where, used)


def digest_of(arrays: Arrays) -> str:
    """Return the sha256 over labels and pixels, each array preceded by its name and shape."""
    digest = hashlib.sha256()
    for name, array in arrays._asdict().items():
        digest.update(f"{name} {array.shape}\n".encode())
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(little.data)
    return digest.hexdigest()
