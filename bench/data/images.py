"""Images in files, decoded when their rows are asked for: in parallel, to one size, always RGB.

N images, stored H x W. Decoding lets go of the interpreter lock, so threads share the work. Orientation tags of cameras
are not applied, as torchvision's folders don't apply them.
"""

import os
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

PIXEL_CAP = 64_000_000  # of one image: a larger one is no photograph but a bomb
MOST_THREADS = 16


@dataclass(frozen=True, slots=True)
class Geometry:
    """How an image of any size becomes (height, width).

    "squash" resizes to exactly that; "short_side" resizes the shorter side to the larger of both and takes the centre.
    """

    height: int
    width: int
    resize: Literal["squash", "short_side"] = "squash"
    resample: Literal["bilinear", "bicubic"] = "bilinear"

    def __str__(self) -> str:
        return f"{self.height}x{self.width} {self.resize} {self.resample}"


class ImageFiles:
    """N image files as an array of (N, H, W, 3) uint8 whose rows are read from disk each time they are asked for.

    A million names take as many bytes as their letters. `key` identifies names, sizes and geometry.
    """

    def __init__(self, root: Path, names: Sequence[str], geometry: Geometry, key: str = "") -> None:
        """Raises ValueError for a name that is absolute or leads out of `root`."""
        for name in names:
            check_inside(name)
        self.root, self.geometry, self.key = root, geometry, key
        self._names = np.array([name.encode() for name in names], dtype=np.bytes_)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self._names), self.geometry.height, self.geometry.width, 3

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images of `rows` (n,) as (n, H, W, 3); ValueError naming the first file that is no image."""
        out = np.empty((len(rows), *self.shape[1:]), np.uint8)

        def place(at: int) -> None:
            out[at] = decode(self.path(int(rows[at])), self.geometry)

        list(_pool(os.getpid()).map(place, range(len(rows))))
        return out

    def path(self, row: int) -> Path:
        """Return where image `row` lies."""
        return self.root / self.name(row)

    def name(self, row: int) -> str:
        """Return the name of image `row`, relative to the root."""
        text: str = bytes(self._names[row]).decode()
        return text


def check_inside(name: str) -> None:
    """Raise ValueError for a name that is absolute or has parts that lead out of its folder."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name:
        raise ValueError(f"image name {name!r} must be a path inside the data set's folder")


def decode(path: Path, geometry: Geometry) -> NDArray[np.uint8]:
    """Return an image file as (H, W, 3) uint8; ValueError naming the file if it is missing, broken or a bomb."""
    from PIL import Image as pil

    try:
        with pil.open(path) as image:
            if image.width * image.height > PIXEL_CAP:
                raise ValueError(f"has {image.width} x {image.height} pixels, allowed are {PIXEL_CAP:,}")
            return np.asarray(_resized(image.convert("RGB"), geometry))
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
    target = (geometry.width, geometry.height)
    if geometry.resize == "squash":
        return image if image.size == target else image.resize(target, filters[geometry.resample])
    side, (width, height) = max(target), image.size
    short = min(width, height)
    size = (side * width // short, side * height // short)
    if size != image.size:
        image = image.resize(size, filters[geometry.resample])
    left, top = (size[0] - target[0]) // 2, (size[1] - target[1]) // 2
    return image.crop((left, top, left + target[0], top + target[1]))


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads of this process: those of its parent do not live on in a fork."""
    return ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), MOST_THREADS), "decode")
