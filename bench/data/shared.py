"""The data set of a run: a large one is shared with every other run on this machine, and there in a moment.

The first run reads and verifies all official files and leaves a padded copy (see `padded`); those after it map that.
It is believed as long as the official files, and its own, have the sizes and times they had then; a file that was
changed means that all are read and verified anew. Labels are hashed by every run, pixels are not: what rots on the disk
and keeps size and time is found by `doctor` alone, which hashes a copy's pixels.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bench.data.datasets import Dataset, DatasetInfo, Images, locate, source
from bench.data.padded import Copy, Form, copy_of, stamp

WORTH = 50 * 2**20  # bytes of padded images: a smaller set is read in no time, and takes none of anybody's disk


@dataclass(frozen=True, slots=True, eq=False)
class SharedImages:
    """N images (N, H, W, A) of one part of a data set that runs share; who asks for rows has the official files read.

    `stored` maps all of them in `form`; None where there is no copy on disk.
    """

    key: tuple[str, str]  # digest of the data set, and part: equal keys mean equal pixels
    shape: tuple[int, ...]
    form: Form
    stored: mmap.mmap | None
    read: Callable[[], Images]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.read()[rows]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[np.uint8]:
        return np.array(self.read(), dtype, copy=copy)


def load(
    name: str,
    data_dir: Path | None,
    form_of: Callable[[DatasetInfo], Form],
    pad: Callable[[NDArray[np.uint8], Form], NDArray[np.uint8]],
) -> Dataset:
    """Return the data set `name` as `datasets.load` does, its images shared if it is large and of official files.

    `pad` brings (n, H, W, A) images into the form that `form_of` names. Where no copy can be had, on a full disk or in
    a folder that cannot be written, one line says so and the images are this process's own. Errors are those of
    `datasets.load`.
    """
    name, folder = locate(name, data_dir)
    found = source(name)
    info = found.info(folder)
    read, form, stamps = cache(lambda: found.read(folder)), form_of(info), _stamps(info, folder)
    copy = copy_of(info, form, folder, stamps)
    if not stamps or info.val_size or sum(copy.sizes.values()) < WORTH:
        return read()
    labels, stored = _content(copy, read, lambda images: pad(images, form))
    train = _part(info, "train", info.train_size, form, stored, lambda: read().train_images)
    test = _part(info, "test", info.test_size, form, stored, lambda: read().test_images)
    return Dataset(info, train, labels[: info.train_size], test, labels[info.train_size :])


def _content(
    copy: Copy, read: Callable[[], Dataset], pad: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> tuple[NDArray[np.int64], dict[str, mmap.mmap]]:
    try:
        return copy.opened() or copy.made(read, pad)
    except OSError as error:
        why = error.strerror or error
        print(f"images are not shared with other runs: no copy in {copy.home}: {why}", file=sys.stderr, flush=True)
        return np.concatenate([read().train_labels, read().test_labels]), {}


def _part(
    info: DatasetInfo,
    part: str,
    count: int,
    form: Form,
    stored: dict[str, mmap.mmap],
    read: Callable[[], Images],
) -> SharedImages:
    shape = (count, info.shape[1] + info.margin, info.shape[2] + info.margin, info.shape[0])
    return SharedImages((info.digest, part), shape, form, stored.get(part), read)


def _stamps(info: DatasetInfo, folder: Path) -> dict[str, list[int]]:
    """Size and time of every official file; nothing where one is missing, or where nobody knows them beforehand."""
    try:
        return {file: stamp(folder / file) for file in info.files}
    except OSError:
        return {}
