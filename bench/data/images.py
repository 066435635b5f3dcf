"""Images in files, decoded when their rows are asked for: in parallel, to one size, always RGB.

N images, stored H x W. Decoding lets go of the interpreter lock, so threads share the work. Orientation tags of cameras
are not applied, as torchvision's folders don't apply them.
"""

import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

PIXEL_CAP = 64_000_000  # of one image, also while it is resized: a larger one is no photograph but a bomb
MOST_THREADS = 16
_UNSPEAKABLE = re.compile("[\\0\\\\\\n\ud800-\udfff]")  # what no line of UTF-8 can hold; Windows' separator


@dataclass(frozen=True, slots=True)
class Geometry:
    """How an image of any size becomes (height, width).

    "squash" resizes to exactly that; "short_side" resizes the shorter side to the larger of both and takes the centre,
    as torchvision's Resize and CenterCrop do to the bit.
    """

    height: int
    width: int
    resize: Literal["squash", "short_side"] = "squash"
    resample: Literal["bilinear", "bicubic"] = "bilinear"

    def __str__(self) -> str:
        return f"{self.height}x{self.width} {self.resize} {self.resample}"


class ImageFiles:
    """N image files as an array of (N, H, W, 3) uint8 whose rows are read from disk each time they are asked for.

    Names take N times the bytes of the longest one. `key` identifies names, sizes and geometry.
    """

    def __init__(self, root: Path, names: Sequence[str], geometry: Geometry, key: str = "") -> None:
        """Raises ValueError for a name that is absolute or leads out of `root`."""
        for name in names:
            check_inside(name)
        self.root, self.geometry, self.key = root, geometry, key
        self._folders: dict[str, bool] = {}  # does a link lead out of the root?
        self._names = np.array([name.encode() for name in names], dtype=np.bytes_)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self._names), self.geometry.height, self.geometry.width, 3

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images of `rows` (n,) as (n, H, W, 3); ValueError naming the first file that is no image."""
        out = np.empty((len(rows), *self.shape[1:]), np.uint8)
        _hush()

        def place(at: int) -> None:
            path = self.path(int(rows[at]))
            self._check_link(path)
            out[at] = decode(path, self.geometry)

        list(_pool(os.getpid()).map(place, range(len(rows))))
        return out

    def path(self, row: int) -> Path:
        """Return where image `row` lies."""
        return self.root / self.name(row)

    def name(self, row: int) -> str:
        """Return the name of image `row`, relative to the root."""
        text: str = bytes(self._names[row]).decode()
        return text

    def _check_link(self, path: Path) -> None:
        """Raise ValueError if a link leads from the root to elsewhere; folders are looked up once."""
        folder = os.path.dirname(path)
        if folder not in self._folders:
            self._folders[folder] = leads_out(folder, self.root)
        if self._folders[folder] or (os.path.islink(path) and leads_out(path, self.root)):
            raise ValueError(f"image {path} lies behind a link that leads out of {self.root}")


def leads_out(path: str | Path, root: str | Path) -> bool:
    """Tell whether links on the way to `path` lead out of `root`, which may be a link itself."""
    home = os.path.realpath(root)
    return os.path.commonpath([home, os.path.realpath(path)]) != home


def check_inside(name: str) -> None:
    """Raise ValueError for a name that is absolute, leads out of its folder, or is not one line of UTF-8."""
    if not name or name[0] == "/" or ".." in name.split("/") or _UNSPEAKABLE.search(name):
        raise ValueError(f"image name {name!r} must be a path inside the data set's folder, on one line of UTF-8")


def decode(path: Path, geometry: Geometry) -> NDArray[np.uint8]:
    """Return an image file as (H, W, 3) uint8; ValueError naming the file if it is missing, broken or a bomb."""
    with _opened(path) as image:
        return np.asarray(_resized(image.convert("RGB"), geometry))


def size_of(path: Path) -> tuple[int, int]:
    """Return height and width without decoding; ValueError as for `decode`."""
    _hush()
    with _opened(path) as image:
        return image.height, image.width


@contextmanager
def _opened(path: Path) -> "Iterator[Image]":
    """Open an image file; whatever is wrong with it, then or later in the block, raises a ValueError that names it."""
    from PIL import Image as pil

    try:
        with pil.open(path) as image:
            if image.width * image.height > PIXEL_CAP:
                raise ValueError(f"has {image.width} x {image.height} pixels, allowed are {PIXEL_CAP:,}")
            yield image
    except FileNotFoundError:
        raise ValueError(f"there is no image {path}") from None
    except (
        *(OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, OverflowError, struct.error, zlib.error),
        *(pil.DecompressionBombError, pil.DecompressionBombWarning),
    ) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"image {path} cannot be read: {why}") from None


def _resized(image: "Image", geometry: Geometry) -> "Image":
    from PIL.Image import Resampling

    filters = {"bilinear": Resampling.BILINEAR, "bicubic": Resampling.BICUBIC}
    target, (width, height) = (geometry.width, geometry.height), image.size
    size = target
    if geometry.resize == "short_side":
        side, short = max(target), min(width, height)
        size = (side * width // short, side * height // short)
    if size[0] * max(size[1], height) > PIXEL_CAP:  # Pillow resizes all rows to the new width first
        raise ValueError(f"is too long, {width} x {height}, to be resized to {size[0]} x {size[1]}")
    if size != image.size:
        image = image.resize(size, filters[geometry.resample])
    if size == target:
        return image
    left, top = round((size[0] - target[0]) / 2), round((size[1] - target[1]) / 2)
    return image.crop((left, top, left + target[0], top + target[1]))


def _hush() -> None:
    """Silence Pillow: it warns of odd palettes and EXIF data, which change no pixel, and of what our cap refuses."""
    warnings.filterwarnings("ignore", module=r"PIL\.")  # here and not on import: whoever tests resets the filters


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads of this process: those of its parent do not live on in a fork."""
    return ThreadPoolExecutor(min(max(2, len(os.sched_getaffinity(0))), MOST_THREADS), "decode")
