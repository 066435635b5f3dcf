"""Images decoded once into a memory-mapped file, so that training does not wait for JPEG.

One folder per list of files under `.lnbench/decoded/` in the data folder: `pixels.u8` holds (N, H, W, 3) bytes, and
`complete.json`, written last, says that it is whole. A build that was killed starts again; of two at once, one waits
for the other. The decoder's version is in the key, since other versions may decode to other bits.
"""

import fcntl
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bench.data.datasets import Dataset, Images
from bench.data.images import ImageFiles
from bench.data.manifest import HIDDEN
from bench.files import publish

CHUNK = 512  # images decoded and written at once
SPARE = 2**28  # bytes that stay free on the disk


def folder_of(files: ImageFiles, folder: Path) -> Path:
    """Return where the decoded pixels of `files` belong."""
    import PIL

    key = hashlib.sha256(f"{files.key}\n{len(files)}\n{files.geometry}\nPIL {PIL.__version__}".encode()).hexdigest()
    return folder / HIDDEN / "decoded" / key[:20]


def best(files: ImageFiles, folder: Path) -> Images:
    """Return the decoded pixels, memory-mapped and read-only, if they are complete, and else the files themselves."""
    home = folder_of(files, folder)
    if not _is_complete(home, files):
        return files
    pixels: Images = np.memmap(home / "pixels.u8", dtype=np.uint8, mode="r", shape=files.shape)
    return pixels


def decode(dataset: Dataset, folder: Path, progress: Callable[[str], None]) -> None:
    """Decode all images of a data set that lie in files, unless that is done.

    Raises ValueError if an image cannot be read or the disk has too little room for all parts, which is found out
    beforehand. Nothing half-written is ever used.
    """
    parts = {"train": dataset.train_images, "test": dataset.test_images, "val": dataset.val_images}
    todo = {part: images for part, images in parts.items() if isinstance(images, ImageFiles)}
    if not todo:
        progress(f"{dataset.info.name}: nothing is left to decode")
        return
    place = folder / HIDDEN / "decoded"
    try:
        place.mkdir(parents=True, exist_ok=True)
        _check_room(todo, folder, place)
        for part, files in todo.items():
            _decode_once(part, files, folder_of(files, folder), progress)
    except OSError as error:  # read-only, full, gone
        raise ValueError(f"decoded images cannot be written to {place}: {error.strerror}") from error


def _check_room(todo: Mapping[str, ImageFiles], folder: Path, place: Path) -> None:
    missing: dict[Path, str] = {}
    need = 0
    for part, files in todo.items():
        home = folder_of(files, folder)
        if home not in missing and not _is_complete(home, files):
            missing[home] = part
            # what a killed build has left is removed first, and what another process writes now is not needed twice
            need += max(0, math.prod(files.shape) - _written(home))
    free = shutil.disk_usage(place).free
    if missing and need + SPARE > free:
        parts = ", ".join(missing.values())
        raise ValueError(f"{parts}: decoded images need {need / 2**30:.1f} GiB, {place} has {free / 2**30:.1f} free")


def _decode_once(part: str, files: ImageFiles, home: Path, progress: Callable[[str], None]) -> None:
    with (home.parent / f"{home.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"{part}: another process decodes these images, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)  # let go by the kernel, however that process ends
        if _is_complete(home, files):
            progress(f"{part}: decoded already, {home}")
            return
        shutil.rmtree(home, ignore_errors=True)  # what a killed build has left
        try:
            _build(part, files, home, progress)
        except BaseException:  # an unreadable image, a full disk, Ctrl-C: give the room back
            shutil.rmtree(home, ignore_errors=True)
            raise


def _build(part: str, files: ImageFiles, home: Path, progress: Callable[[str], None]) -> None:
    home.mkdir()
    started = told = time.monotonic()
    with (home / "pixels.u8").open("wb") as out:
        for start in range(0, len(files), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(files)))
            out.write(files[rows].data)
            now = time.monotonic()
            if now - told > 5 or rows[-1] + 1 == len(files):
                told, rate = now, (rows[-1] + 1) / max(now - started, 1e-9)
                left = (len(files) - rows[-1] - 1) / rate
                progress(f"{part}: {rows[-1] + 1:,} of {len(files):,} images, {rate:,.0f} a second, {left:,.0f} s left")
        out.flush()
        os.fsync(out.fileno())
    publish(home / "complete.json", json.dumps({"shape": files.shape, "key": files.key}).encode(), replace=False)


def _written(home: Path) -> int:
    try:
        return (home / "pixels.u8").stat().st_size
    except OSError:  # not begun
        return 0


def _is_complete(home: Path, files: ImageFiles) -> bool:
    try:
        told = json.loads((home / "complete.json").read_bytes())
    except (OSError, ValueError):  # not finished, or damaged
        return False
    return told == {"shape": list(files.shape), "key": files.key} and _written(home) == math.prod(files.shape)
