"""ANIMAL-10N: ten animals that people confuse, 64 x 64, labelled by people who do.

Song et al., SELFIE, ICML 2019. Either folders training/ and testing/ with the label before the first underscore of each
name, or the binary files data_batch_1.bin .. data_batch_5.bin and test_batch.bin: records of a 4-byte id, a 4-byte
label and 64 x 64 pixels, channel after channel.
"""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.datasets import Arrays, Dataset, DatasetInfo, MissingDataError, Source, digest_of
from bench.data.images import Geometry
from bench.data.photos import Listing, Part, PhotoSet
from bench.data.report import Finding, Report

HOMES = ("animal10n", "Animal-10N", "ANIMAL-10N", "raw_image_ver", ".")
CLASSES = (
    *("cat", "lynx", "wolf", "coyote", "cheetah"),
    *("jaguar", "chimpanzee", "orangutan", "hamster", "guinea pig"),
)
SIDE, RECORD = 64, 8 + 3 * 64 * 64
BINARY = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
SUFFIXES = (".jpg", ".jpeg", ".png")


def find(folder: Path) -> Listing:
    """List the folders training/ and testing/."""
    root = next((folder / home for home in HOMES if (folder / home / "training").is_dir()), None)
    if root is None:
        raise MissingDataError(f"animal10n: no folder training/ and no {BINARY[0]} in {folder} or in animal10n/")
    parts = {"train": _part(root, "training"), "test": _part(root, "testing")}
    return Listing(root, parts, CLASSES, (Finding("ok", f"image files in {root}"),))


def _part(root: Path, place: str) -> Part:
    names, labels = [], []
    for path in sorted((root / place).glob("*")):
        if path.suffix.lower() not in SUFFIXES:
            continue
        digit = path.name.partition("_")[0]
        if not digit.isdecimal() or int(digit) >= len(CLASSES):
            raise ValueError(f"{path}: the name must begin with a label 0..9 and an underscore")
        names.append(f"{place}/{path.name}")
        labels.append(int(digit))
    if not names:
        raise MissingDataError(f"animal10n: no images in {root / place}")
    return Part(names, np.array(labels, dtype=np.int64))


_PHOTOS = PhotoSet(
    name="animal10n",
    find=find,
    geometry=Geometry(SIDE, SIDE),
    shape=(3, SIDE, SIDE),
    cite="Song et al., SELFIE: Refurbishing Unclean Samples for Robust Deep Learning, ICML 2019",
    where="from its authors, dm.kaist.ac.kr/datasets/animal-10n",
    used="all training images with the labels that people gave; the test images",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    resident=True,
    augment="none",  # as SELFIE trains
)


def _binary_home(folder: Path) -> Path | None:
    return next((folder / home for home in HOMES if (folder / home / BINARY[0]).is_file()), None)


@cache
def _arrays(home: Path) -> Arrays:
    parts = [_records(home / name) for name in BINARY]
    images, labels = zip(*parts, strict=True)
    return Arrays(np.concatenate(images[:5]), np.concatenate(labels[:5]), images[5], labels[5])


def _records(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if not path.is_file():
        raise MissingDataError(f"animal10n: no {path}")
    data = np.fromfile(path, dtype=np.uint8)
    if not len(data) or len(data) % RECORD:
        raise ValueError(f"{path}: {len(data):,} bytes are no whole number of records of {RECORD:,}")
    rows = data.reshape(-1, RECORD)
    labels = np.ascontiguousarray(rows[:, 4:8]).view(">i4")[:, 0].astype(np.int64)
    if not ((labels >= 0) & (labels < len(CLASSES))).all():  # written on a machine of the other byte order
        labels = np.ascontiguousarray(rows[:, 4:8]).view("<i4")[:, 0].astype(np.int64)
    bad = np.flatnonzero((labels < 0) | (labels >= len(CLASSES)))
    if len(bad):
        raise ValueError(f"{path}: label must lie in 0..9, got {labels[bad[0]]} in record {bad[0]}")
    images = rows[:, 8:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels


def info(folder: Path) -> DatasetInfo:
    """The facts of whichever layout is there."""
    home = _binary_home(folder)
    if home is None:
        return _PHOTOS.info(folder)
    arrays = _arrays(home)
    return DatasetInfo(
        *("animal10n", 10, len(arrays.train_labels), len(arrays.test_labels), (3, SIDE, SIDE), 255),
        *(_PHOTOS.mean, _PHOTOS.std, CLASSES, hashlib.sha256(digest_of(arrays).encode()).hexdigest(), _PHOTOS.augment),
        _PHOTOS.cite,
        true_labels=False,
    )


def read(folder: Path) -> Dataset:
    """The set of whichever layout is there."""
    home = _binary_home(folder)
    return _PHOTOS.read(folder) if home is None else Dataset(info(folder), *_arrays(home))


def examine(folder: Path) -> Report:
    """Look at whichever layout is there."""
    home = _binary_home(folder)
    if home is None:
        return _PHOTOS.examine(folder)
    _arrays.cache_clear()  # to look again
    try:
        arrays = _arrays(home)
    except MissingDataError as error:
        return Report("animal10n", (Finding("missing", str(error)),), _PHOTOS.where, _PHOTOS.used)
    except ValueError as error:
        return Report("animal10n", (Finding("broken", str(error)),), _PHOTOS.where, _PHOTOS.used)
    text = f"binary files in {home}: {len(arrays.train_labels):,} for training, {len(arrays.test_labels):,} for testing"
    return Report("animal10n", (Finding("ok", text),), _PHOTOS.where, _PHOTOS.used)


def files(folder: Path) -> Dataset:
    """The set of whichever layout is there, image files not looked into."""
    return _PHOTOS.files(folder) if _binary_home(folder) is None else read(folder)


SOURCES = {"animal10n": Source(info, read, examine, files=files)}
