"""Padded copies of data sets on disk, mapped by every process that wants one, so that N processes hold it once.

A copy is a folder: `train.u8` and `test.u8` hold padded images, `labels.i64` the labels of both, and `complete.json`,
written last, says that they are whole, how they looked when they were, and what they were made from. A copy that was
killed on the way is made again; of two processes that want one, one waits for the other.

Who opens a copy believes its pixels for the sizes and times of their files and of those they were read from, and hashes
only the labels: hashing pixels would read all of what is to be mapped. `findings`, for `doctor`, hashes them too.

A channels, H x W pixels.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import mmap
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.data.datasets import Dataset, DatasetInfo
from bench.data.report import Finding
from bench.files import publish, sha256

FOLDER = Path(".lnbench", "padded")  # in the data folder
SPARE = 2**28  # bytes that stay free on the disk
CHUNK = 1000  # images padded and written at once
VERSION = 1  # of what the files hold; part of a copy's name, so that each version of the code finds its own
LABELS, COMPLETE = "labels.i64", "complete.json"
PARTS = ("train", "test")


class Form(NamedTuple):
    """How images are stored: with so many pixels around them, mirrored or black ones, channels last or first."""

    padding: int
    reflect: bool
    channels_last: bool

    def shape(self, image: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the shape in which an image of (A, H, W) is stored."""
        channels, height, width = image[0], image[1] + 2 * self.padding, image[2] + 2 * self.padding
        return (height, width, channels) if self.channels_last else (channels, height, width)

    def __str__(self) -> str:
        edge, layout = "mirrored" if self.reflect else "black", "nhwc" if self.channels_last else "nchw"
        return f"{self.padding}-{edge}-{layout}"


class Content(NamedTuple):
    """What a copy holds: labels of both parts (N,) int64, and by part the stored images."""

    labels: NDArray[np.int64]
    pixels: dict[str, mmap.mmap]  # copied on writing: what is written is seen by this process and reaches no file


@dataclass(frozen=True, slots=True)
class Copy:
    """Where the copy of a data set in one form belongs, and what must be true of it."""

    home: Path
    told: dict[str, Any]  # what it must say that it was made from
    sizes: dict[str, int]  # bytes of each part

    def opened(self) -> Content | None:
        """Map the copy if it is whole and was made from what is there today."""
        try:
            told = json.loads((self.home / COMPLETE).read_bytes())
            if not isinstance(told, dict) or {**told, "files": None} != {**self.told, "files": None}:
                return None
            labels = (self.home / LABELS).read_bytes()
            if sha256(labels) != told["files"][LABELS]["sha256"]:
                return None
            pixels = {part: _mapped(self.home / f"{part}.u8", told["files"][f"{part}.u8"]) for part in PARTS}
        except (OSError, ValueError, KeyError, TypeError):  # not finished, damaged, or being made anew
            return None
        fits = all(len(pixels[part]) == size for part, size in self.sizes.items())
        return Content(np.frombuffer(labels, "<i8"), pixels) if fits else None

    def made(self, read: Callable[[], Dataset], pad: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> Content:
        """Make the copy from what `read` returns, and map it, unless another process has made it by then.

        Raises OSError where it cannot be: a folder that is not ours, a full disk. What `read` raises ends it, too.
        """
        self.home.parent.mkdir(parents=True, exist_ok=True)
        with (self.home.parent / f"{self.home.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # let go by the kernel, however a process ends
            if (found := self.opened()) is not None:
                return found
            dataset = read()
            shutil.rmtree(self.home, ignore_errors=True)  # what a killed process has left, or of files that changed
            try:
                self._write(dataset, pad)
            except BaseException:  # a full disk, Ctrl-C: give the room back
                shutil.rmtree(self.home, ignore_errors=True)
                raise
            if (found := self.opened()) is None:
                raise OSError(errno.EIO, "what was written does not read back")
            return found

    def _write(self, dataset: Dataset, pad: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> None:
        if shutil.disk_usage(self.home.parent).free < sum(self.sizes.values()) + SPARE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.home.mkdir()
        files = {}
        for part, images in (("train", dataset.train_images), ("test", dataset.test_images)):
            rows = np.arange(len(images))
            files[f"{part}.u8"] = _written(
                self.home / f"{part}.u8",
                (pad(images[rows[start : start + CHUNK]]).data for start in range(0, len(images), CHUNK)),
            )
        labels = np.concatenate([dataset.train_labels, dataset.test_labels]).astype("<i8")
        files[LABELS] = _written(self.home / LABELS, [labels.data])
        publish(self.home / COMPLETE, json.dumps({**self.told, "files": files}, indent=1).encode(), replace=False)


def copy_of(info: DatasetInfo, form: Form, folder: Path, sources: dict[str, list[int]]) -> Copy:
    """Return the copy in `form` of a data set that was read from files of these sizes and times."""
    image = (info.shape[0], info.shape[1] + info.margin, info.shape[2] + info.margin)
    one = math.prod(form.shape(image))
    told = {"version": VERSION, "name": info.name, "digest": info.digest, "form": str(form), "sources": sources}
    home = folder / FOLDER / f"{info.name}-{info.digest[:12]}-{form}-v{VERSION}"
    return Copy(home, told, {"train": info.train_size * one, "test": info.test_size * one})


def stamp(path: Path) -> list[int]:
    """Return size and time of a file, which tell one that was changed; OSError where there is none."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def findings(name: str, folder: Path) -> tuple[Finding, ...]:
    """Say what the copies of a data set take on the disk, and whether they still hold what was written."""
    found = []
    for home in sorted((folder / FOLDER).glob(f"{name}-*/")):
        size = sum(path.stat().st_size for path in home.iterdir() if path.is_file())
        what = f"{size / 2**20:,.0f} MiB in {home}"
        try:
            files = json.loads((home / COMPLETE).read_bytes())["files"]
            damaged = [file for file, said in files.items() if _digest(home / file) != said["sha256"]]
        except FileNotFoundError:
            found.append(Finding("note", f"{what}: a copy that is being made or was never finished; it can be removed"))
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            damaged = [COMPLETE]
        if damaged:
            found.append(Finding("broken", f"{home / damaged[0]} is damaged; remove {home}, and a run makes it anew"))
        else:
            found.append(
                Finding("note", f"{what}: images as runs map them; it can be removed, and a run makes it anew")
            )
    return tuple(found)


def _written(path: Path, pieces: Iterable[memoryview]) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("wb") as out:
        for piece in pieces:
            out.write(piece)
            digest.update(piece)
        out.flush()
        os.fsync(out.fileno())
    return {"stamp": stamp(path), "sha256": digest.hexdigest()}


def _mapped(path: Path, said: dict[str, Any]) -> mmap.mmap:
    """Map a file copy-on-write; ValueError if it is not the one that was written."""
    with path.open("rb") as file:
        now = os.fstat(file.fileno())
        if [now.st_size, now.st_mtime_ns] != said["stamp"]:
            raise ValueError(f"{path} was changed")
        pixels = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    pixels.madvise(mmap.MADV_WILLNEED)  # an epoch goes through it in random order
    return pixels


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
