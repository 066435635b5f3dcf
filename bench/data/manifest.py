"""What identifies a data set of files: the name, size and label of each, and how it is decoded.

What was measured is remembered in `.lnbench/` in the data folder, so that a million files are looked at once; `doctor`
looks again.
"""

import contextlib
import hashlib
import io
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.datasets import Dataset
from bench.data.images import ImageFiles
from bench.files import publish

HIDDEN = ".lnbench"
MISSING = -1  # size of a file that is not there
CHUNK = 1000  # files looked at, or decoded, at once


@dataclass(frozen=True, eq=False)
class Manifest:
    """Names relative to the root, sizes in bytes (n,) and labels (n,)."""

    names: Sequence[str]
    sizes: NDArray[np.int64]
    labels: NDArray[np.int64]


def digest(name: str, parts: Mapping[str, Manifest], how: object) -> str:
    """Return the sha256 over the sorted lines "part name size label", the data set's name and its geometry.

    The order in which a folder was listed plays no part.
    """
    found = hashlib.sha256(f"{name}\n{how}\n".encode())
    for part, manifest in sorted(parts.items()):
        rows = zip(manifest.names, manifest.sizes.tolist(), manifest.labels.tolist(), strict=True)
        for line in sorted(f"{part}\t{file}\t{size}\t{label}\n" for file, size, label in rows):
            found.update(line.encode())
    return found.hexdigest()


def names_digest(names: Sequence[str]) -> str:
    """Return the sha256 of a list of names in its order."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def sizes_of(folder: Path, title: str, root: Path, names: Sequence[str], again: bool = False) -> NDArray[np.int64]:
    """Return the size of every file, -1 where there is none; remembered under `title` unless `again` is set."""
    store = folder / HIDDEN / f"{title}-{names_digest(names)[:20]}.npy"
    if not again and (known := _remembered(store, len(names))) is not None:
        return known
    sizes = measure(root, names)
    if (sizes != MISSING).all():
        _remember(store, sizes)
    else:
        _forget(store)
    return sizes


def measure(root: Path, names: Sequence[str]) -> NDArray[np.int64]:
    """Return the size of every file, -1 where there is no regular file, looked up in parallel."""

    def size(name: str) -> int:
        try:
            found = os.stat(os.path.join(root, name))
        except OSError:
            return MISSING
        return found.st_size if stat.S_ISREG(found.st_mode) else MISSING

    def some(start: int) -> list[int]:  # a task for each of a million files would take more memory than the files do
        return [size(name) for name in names[start : start + CHUNK]]

    with ThreadPoolExecutor(8) as pool:
        sizes = [size for part in pool.map(some, range(0, len(names), CHUNK)) for size in part]
    return np.array(sizes, dtype=np.int64)


def broken_list(folder: Path, dataset: str) -> frozenset[str]:
    """Return the names that are left out of a data set because somebody had `doctor --skip-broken` find them."""
    path = _broken_path(folder, dataset)
    # names may hold what else counts as an end of line, but no line feed
    return frozenset(path.read_text(encoding="utf-8").split("\n")[:-1]) if path.is_file() else frozenset()


def skip_broken(dataset: Dataset, folder: Path, progress: Callable[[str], None]) -> int:
    """Decode all image files, and note those that cannot be read; return how many are left out from now on."""
    found = set(broken_list(folder, dataset.info.name))
    for part, images in (("train", dataset.train_images), ("test", dataset.test_images), ("val", dataset.val_images)):
        if isinstance(images, ImageFiles):
            found |= _unreadable(images, part, progress)
    if found:
        path = _broken_path(folder, dataset.info.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        publish(path, "".join(f"{name}\n" for name in sorted(found)).encode(), replace=True)
    return len(found)


def _unreadable(images: ImageFiles, part: str, progress: Callable[[str], None]) -> set[str]:
    bad: set[str] = set()
    for start in range(0, len(images), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(images)))
        try:
            images[rows]
        except ValueError:  # at least one of them: which?
            bad |= {images.name(row) for row in rows.tolist() if not _reads(images, row)}
        progress(f"{part}: {rows[-1] + 1:,} of {len(images):,} images decoded, {len(bad):,} unreadable")
    return bad


def _reads(images: ImageFiles, row: int) -> bool:
    try:
        images[np.array([row])]
    except ValueError:
        return False
    return True


def _broken_path(folder: Path, dataset: str) -> Path:
    return folder / HIDDEN / f"{dataset.rstrip('/')}-broken.txt"


def _remembered(path: Path, count: int) -> NDArray[np.int64] | None:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # never measured, or damaged: measure
        return None
    return found if found.dtype == np.int64 and found.shape == (count,) else None


def _forget(path: Path) -> None:
    with contextlib.suppress(OSError):  # a folder that cannot be written has remembered nothing of ours
        path.unlink(missing_ok=True)


def _remember(path: Path, sizes: NDArray[np.int64]) -> None:
    out = io.BytesIO()
    np.save(out, sizes)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        publish(path, out.getvalue(), replace=True)
    except OSError:  # a folder that cannot be written: measured again each time
        return
