"""Somebody's own data: an .npz of arrays, or a folder of images with a folder per class.

Five lines make a data set:

    import numpy as np
    np.savez_compressed(
        "mine.npz", train_images=x, train_labels=y, test_images=x2, test_labels=y2, class_names=["cat", "dog"]
    )

Images are uint8 (N, H, W) or (N, H, W, A), labels integers from 0. `val_images` and `val_labels` may hold validation
images with true labels. Training labels count as true, so that noise can be injected, unless `labels_are_true` is
False: then `--noise none` trains on them as they are.
"""

import io
import struct
import zipfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.datasets import Arrays, Dataset, DatasetInfo, MissingDataError, Source, digest_of
from bench.data.report import Finding, Report
from bench.names import unknown

REQUIRED = ("train_images", "train_labels", "test_images", "test_labels")
OPTIONAL = ("val_images", "val_labels", "class_names", "labels_are_true")
SIZE_CAP = 2**35  # bytes of an unpacked array
WHERE = "save the arrays train_images, train_labels, test_images and test_labels with numpy.savez"
_UNREADABLE = (ValueError, OSError, EOFError, KeyError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile)


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


@cache
def _load(path: Path, size: int, changed: int) -> Dataset:
    arrays = _read(path)
    train, test = (_images(path, f"{part}_images", arrays) for part in ("train", "test"))
    labels = {part: _labels(path, f"{part}_labels", arrays) for part in ("train", "test")}
    num_classes = int(max(labels["train"].max(), labels["test"].max())) + 1
    names = _class_names(path, arrays, num_classes)
    val, val_labels = None, None
    if "val_images" in arrays or "val_labels" in arrays:
        val, val_labels = _images(path, "val_images", arrays), _labels(path, "val_labels", arrays)
    for part, images, known in (
        ("train", train, labels["train"]),
        ("test", test, labels["test"]),
        ("val", val, val_labels),
    ):
        if images is not None and known is not None:
            _fit(path, part, images, known, train.shape[1:], len(names))
    flat = train.reshape(-1, train.shape[3]) / 255
    info = DatasetInfo(
        name=path.name,
        num_classes=len(names),
        train_size=len(train),
        test_size=len(test),
        shape=(train.shape[3], train.shape[1], train.shape[2]),
        pixel_max=255,
        mean=tuple(round(float(value), 4) for value in flat.mean(axis=0)),
        std=tuple(round(max(float(value), 1e-3), 4) for value in flat.std(axis=0)),
        class_names=names,
        digest=_digest(Arrays(train, labels["train"], test, labels["test"]), val, val_labels),
        augment="none",
        source=f"own data, {path.name}",
        true_labels=bool(arrays.get("labels_are_true", True)),
        val_size=0 if val is None else len(val),
    )
    return Dataset(info, train, labels["train"], test, labels["test"], val, val_labels)


def _digest(arrays: Arrays, val: NDArray[np.uint8] | None, val_labels: NDArray[np.int64] | None) -> str:
    if val is None or val_labels is None:
        return digest_of(arrays)
    return digest_of(Arrays(*arrays[:2], np.concatenate([arrays[2], val]), np.concatenate([arrays[3], val_labels])))


def _read(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename.removesuffix(".npy"): member.file_size for member in archive.infolist()}
            for name in sizes:
                if name not in (*REQUIRED, *OPTIONAL):
                    raise unknown("array", name, (*REQUIRED, *OPTIONAL))
                if sizes[name] > SIZE_CAP:
                    raise ValueError(f"{name} unpacks to {sizes[name]:,} bytes, allowed are {SIZE_CAP:,}")
            missing = [name for name in REQUIRED if name not in sizes]
            if missing:
                raise ValueError(f"no array {missing[0]}; wanted are {', '.join(REQUIRED)}")
            return {
                name: np.lib.format.read_array(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
                for name in sizes
            }
    except _UNREADABLE as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: {why}") from None


def _images(path: Path, name: str, arrays: dict[str, NDArray[np.generic]]) -> NDArray[np.uint8]:
    if name not in arrays:
        raise ValueError(f"{path}: no array {name}, but its labels")
    images = arrays[name]
    if images.dtype != np.uint8:
        raise ValueError(
            f"{path}: {name} must be uint8 in 0..255, got {images.dtype}; convert by (255 * x).astype('uint8')"
        )
    if images.ndim not in (3, 4) or not images.size or (images.ndim == 4 and images.shape[3] > 4):
        raise ValueError(f"{path}: {name} must be (N, H, W) or (N, H, W, channels), got shape {images.shape}")
    return np.asarray(images if images.ndim == 4 else images[..., None], dtype=np.uint8)


def _labels(path: Path, name: str, arrays: dict[str, NDArray[np.generic]]) -> NDArray[np.int64]:
    if name not in arrays:
        raise ValueError(f"{path}: no array {name}, but its images")
    labels = arrays[name]
    if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iu":
        raise ValueError(f"{path}: {name} must be integers of shape (N,), got {labels.dtype} of shape {labels.shape}")
    values = labels.astype(np.int64)
    bad = np.flatnonzero(values < 0)
    if len(bad):
        raise ValueError(f"{path}: {name} must be at least 0, got {values[bad[0]]} at index {bad[0]}")
    return values


def _class_names(path: Path, arrays: dict[str, NDArray[np.generic]], num_classes: int) -> tuple[str, ...]:
    if num_classes < 2:
        raise ValueError(f"{path}: at least 2 classes are needed, got {num_classes}")
    if "class_names" not in arrays:
        return tuple(f"class {label}" for label in range(num_classes))
    names = arrays["class_names"]
    if names.dtype.kind != "U" or names.ndim != 1 or len(names) < num_classes:
        raise ValueError(f"{path}: class_names must be at least {num_classes} texts, got {names.dtype} {names.shape}")
    return tuple(str(name) for name in names)


def _fit(
    path: Path,
    part: str,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    shape: tuple[int, ...],
    num_classes: int,
) -> None:
    if len(images) != len(labels):
        raise ValueError(f"{path}: {len(images):,} {part}_images, but {len(labels):,} {part}_labels")
    if images.shape[1:] != shape:
        raise ValueError(f"{path}: {part}_images are {images.shape[1:]}, train_images {shape}")
    bad = np.flatnonzero(labels >= num_classes)
    if len(bad):
        raise ValueError(f"{path}: {part}_labels must lie in 0..{num_classes - 1}, got {labels[bad[0]]} at {bad[0]}")
