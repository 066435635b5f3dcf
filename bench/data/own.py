"""Somebody's own data: an .npz of arrays, or a folder of images with a folder per class.

Five lines make a data set:

    import numpy as np
    np.savez_compressed(
        "mine.npz", train_images=x, train_labels=y, test_images=x2, test_labels=y2, class_names=["cat", "dog"]
    )

Images are uint8 (N, H, W) or (N, H, W, A), labels integers from 0 without gaps; `class_names` may name classes beside
those that training images have. `val_images` and `val_labels` may hold validation images with true labels. Training
labels count as true, so that noise can be injected, unless `labels_are_true` is False: then `--noise none` trains on
them as they are.
"""

import hashlib
import lzma
import math
import os
import struct
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.datasets import Arrays, Dataset, DatasetInfo, MissingDataError, Source, digest_of
from bench.data.report import Finding, Report
from bench.names import unknown

REQUIRED = ("train_images", "train_labels", "test_images", "test_labels")
OPTIONAL = ("val_images", "val_labels", "class_names", "labels_are_true")
MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # bytes; all arrays are kept in it
WHERE = "save the arrays train_images, train_labels, test_images and test_labels with numpy.savez"
AT_ONCE = 2**22  # pixels that are counted at a time, so that little memory is needed
# What numpy and zipfile raise for bytes that are cut, encrypted, damaged or no archive.
_UNREADABLE = (
    *(ValueError, OSError, EOFError, KeyError, TypeError, RuntimeError, MemoryError, ArithmeticError, lzma.LZMAError),
    *(struct.error, zlib.error, zipfile.BadZipFile, TokenError),
)

Array = NDArray[Any]


def source(name: str) -> Source:
    """Return how to get the data named by a path: of an .npz file, or of a folder of images."""
    if not name.endswith(".npz"):
        from bench.data import own_folder

        return own_folder.source(name)
    return Source(
        lambda folder: load(name, folder).info, lambda folder: load(name, folder), lambda folder: examine(name, folder)
    )


def load(name: str, folder: Path) -> Dataset:
    """Read the arrays and check that they make a data set; ValueError in one line for what does not."""
    path = folder / name
    if not path.is_file():
        raise MissingDataError(f"there is no file {path}; {WHERE}")
    found = path.stat()
    return _load(path, found.st_size, found.st_mtime_ns)


def examine(name: str, folder: Path) -> Report:
    """Say what is in the file."""
    try:
        dataset = load(name, folder)
    except MissingDataError as error:
        return Report(name, (Finding("missing", str(error)),), WHERE, "")
    except ValueError as error:
        return Report(name, (Finding("broken", str(error)),), WHERE, "")
    info = dataset.info
    shape = "x".join(map(str, (*info.shape[1:], info.shape[0])))
    findings = [
        Finding("ok", f"{folder / name}: {shape} pixels, {info.num_classes} classes, digest {info.digest[:12]}")
    ]
    counts = np.bincount(dataset.train_labels, minlength=info.num_classes)
    findings.append(Finding("ok", f"{counts.min():,} to {counts.max():,} training samples per class"))
    truth = "count as true: noise can be injected" if info.true_labels else "may be wrong: --noise none"
    findings.append(Finding("note", f"training labels {truth}"))
    used = f"{info.train_size:,} images for training, {info.test_size:,} for testing"
    return Report(name, tuple(findings), WHERE, used + (f", {info.val_size:,} for validation" if info.val_size else ""))


@lru_cache(maxsize=2)  # a set, and another from which foreign images come
def _load(path: Path, size: int, changed: int) -> Dataset:
    arrays = _read(path)
    train, test = (_images(path, f"{part}_images", arrays) for part in ("train", "test"))
    labels = {part: _labels(path, f"{part}_labels", arrays) for part in ("train", "test")}
    names = _class_names(path, arrays, np.unique(labels["train"]))
    true_labels = _labels_are_true(path, arrays)
    val, val_labels = None, None
    if "val_images" in arrays or "val_labels" in arrays:
        val, val_labels = _images(path, "val_images", arrays), _labels(path, "val_labels", arrays)
    for part, images, known in (
        ("train", train, labels["train"]),
        ("test", test, labels["test"]),
        ("val", val, val_labels),
    ):
        if images is not None and known is not None:
            _fit(path, part, images, known, train.shape[1:], labels["train"])
    mean, std = _mean_and_std(train)
    info = DatasetInfo(
        name=path.name,
        num_classes=len(names),
        train_size=len(train),
        test_size=len(test),
        shape=(train.shape[3], train.shape[1], train.shape[2]),
        pixel_max=255,
        mean=mean,
        std=std,
        class_names=names,
        digest=_digest(Arrays(train, labels["train"], test, labels["test"]), val, val_labels, len(names), true_labels),
        augment="none",
        source=f"own data, {path.name}",
        true_labels=true_labels,
        val_size=0 if val is None else len(val),
    )
    return Dataset(info, train, labels["train"], test, labels["test"], val, val_labels)


def _digest(
    arrays: Arrays,
    val: NDArray[np.uint8] | None,
    val_labels: NDArray[np.int64] | None,
    num_classes: int,
    true_labels: bool,
) -> str:
    """Return the sha256 over all that a run depends on: arrays, part by part, number of classes, trust in labels."""
    lines = [digest_of(arrays), f"{num_classes} classes", f"labels are true: {true_labels}"]
    if val is not None and val_labels is not None:
        lines.append(digest_of(Arrays(val, val_labels, val[:0], val_labels[:0])))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _mean_and_std(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return both of each channel of pixel / 255, to four digits, from whole numbers and so without rounding errors."""
    mean, std = [], []
    step = max(1, AT_ONCE // images[0].size)
    for channel in range(images.shape[3]):
        counts = np.zeros(256, dtype=np.int64)
        for start in range(0, len(images), step):
            counts += np.bincount(images[start : start + step, ..., channel].ravel(), minlength=256)
        values = np.arange(256) / 255
        centre = float(np.average(values, weights=counts))
        mean.append(round(centre, 4))
        # A channel of one value would be divided by nought.
        std.append(round(max(math.sqrt(np.average((values - centre) ** 2, weights=counts)), 1e-3), 4))
    return tuple(mean), tuple(std)


def _read(path: Path) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            for name in members:
                if name not in (*REQUIRED, *OPTIONAL):
                    raise unknown("array", name, (*REQUIRED, *OPTIONAL))
            missing = [name for name in REQUIRED if name not in members]
            if missing:
                raise ValueError(f"no array {missing[0]}; wanted are {', '.join(REQUIRED)}")
            total = sum(member.file_size for member in members.values())
            if total > MEMORY:
                raise ValueError(f"unpacks to {total:,} bytes, but this machine has {MEMORY:,} bytes of memory")
            return {name: _array(archive, member) for name, member in members.items()}
    except _UNREADABLE as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: {why}") from None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """Unpack an array if its header claims no more than the member holds: numpy would take the memory unasked."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds Python objects, which are not read; save numbers or texts")
    if math.prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(f"{member.filename} claims to hold {shape} {dtype}, but has {member.file_size:,} bytes")
    with archive.open(member) as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _images(path: Path, name: str, arrays: dict[str, Array]) -> NDArray[np.uint8]:
    if name not in arrays:
        raise ValueError(f"{path}: no array {name}, but its labels")
    images = arrays[name]
    if images.dtype != np.uint8:
        how = "(255 * x).round().astype('uint8') if x lies in 0..1"
        if images.dtype.kind != "f":
            how = "x.astype('uint8') if x lies in 0..255"
        raise ValueError(f"{path}: {name} must be uint8 in 0..255, got {images.dtype}; convert by {how}")
    if images.ndim not in (3, 4) or not images.size or (images.ndim == 4 and images.shape[-1] > 4):
        raise ValueError(f"{path}: {name} must be (N, H, W) or (N, H, W, channels), got shape {images.shape}")
    return np.asarray(images if images.ndim == 4 else images[..., None], dtype=np.uint8)


def _labels(path: Path, name: str, arrays: dict[str, Array]) -> NDArray[np.int64]:
    if name not in arrays:
        raise ValueError(f"{path}: no array {name}, but its images")
    labels = arrays[name]
    if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iu":
        nan = np.flatnonzero(labels != labels)  # nothing else is unequal to itself
        where = f", nan at index {nan[0]}" if len(nan) else ""
        raise ValueError(
            f"{path}: {name} must be integers of shape (N,), got {labels.dtype} of shape {labels.shape}{where}"
        )
    bad = np.flatnonzero((labels < 0) | (labels > np.iinfo(np.int32).max))
    if len(bad):
        raise ValueError(f"{path}: {name} must be numbers of classes from 0, got {labels[bad[0]]} at index {bad[0]}")
    return labels.astype(np.int64)


def _labels_are_true(path: Path, arrays: dict[str, Array]) -> bool:
    said = arrays.get("labels_are_true", np.array(True))
    if said.dtype != bool or said.shape != ():  # text "False" would count as true
        raise ValueError(f"{path}: labels_are_true must be True or False, got {said.dtype} {said.tolist()!s:.40}")
    return bool(said)


def _class_names(path: Path, arrays: dict[str, Array], seen: NDArray[np.int64]) -> tuple[str, ...]:
    """Return a name for every class; `seen` are those of the training labels, ascending."""
    if len(seen) < 2:
        raise ValueError(f"{path}: at least 2 classes are needed in train_labels, got {len(seen)}")
    if "class_names" not in arrays:
        if len(seen) <= seen[-1]:
            gap = int(np.flatnonzero(seen != np.arange(len(seen)))[0])
            raise ValueError(
                f"{path}: train_labels reach {seen[-1]}, but none is {gap}; number the classes from 0 without gaps, "
                "or name all of them in class_names"
            )
        return tuple(f"class {label}" for label in seen)
    names = arrays["class_names"]
    if names.dtype.kind != "U" or names.ndim != 1 or len(names) <= seen[-1]:
        raise ValueError(f"{path}: class_names must be at least {seen[-1] + 1} texts, got {names.dtype} {names.shape}")
    return tuple(str(name) for name in names)


def _fit(
    path: Path,
    part: str,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    shape: tuple[int, ...],
    trained: NDArray[np.int64],
) -> None:
    if len(images) != len(labels):
        raise ValueError(f"{path}: {len(images):,} {part}_images, but {len(labels):,} {part}_labels")
    if images.shape[1:] != shape:
        raise ValueError(f"{path}: {part}_images are {images.shape[1:]}, train_images {shape}")
    bad = np.flatnonzero(~np.isin(labels, trained))
    if len(bad):
        raise ValueError(
            f"{path}: {part}_labels has {labels[bad[0]]} at index {bad[0]}, a class without training image"
        )
