"""SVHN: house numbers from street views, 32 x 32, in the cropped format of its .mat files.

Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, 2011. Label 10 means the digit 0.
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.checksum import Checksum
from bench.data.datasets import Arrays, DatasetInfo, Files, by_checksums, digest_of_checksums

CHECKSUMS = {
    "train_32x32.mat": Checksum("e26dedcc434d2e4c54c9b2d4a06d8373"),
    "test_32x32.mat": Checksum("eb5a983be6a315427106f1b164d9cef3"),
}


def read(folder: Path) -> Arrays:
    """Read both files after checking them; images become (N, 32, 32, 3), labels 0..9."""
    train, test = (_checked(folder / name, checksum) for name, checksum in CHECKSUMS.items())
    return Arrays(*train, *test)


def _checked(path: Path, checksum: Checksum) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    data = path.read_bytes()
    checksum.check(data, path)
    return parsed(data, path)


def parsed(data: bytes, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the images (N, 32, 32, 3) and labels 0..9 in the bytes of a .mat file."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(io.BytesIO(data), variable_names=("X", "y"))  # type: ignore[arg-type]  # it reads from files too
        pixels, labels = np.asarray(content["X"]), np.asarray(content["y"]).reshape(-1)
    except (MatReadError, ValueError, KeyError, TypeError, OSError, EOFError, struct.error, zlib.error) as error:
        raise ValueError(f"{path}: no .mat file with X and y ({error})") from None
    if (
        pixels.dtype != np.uint8
        or pixels.ndim != 4
        or pixels.shape[:3] != (32, 32, 3)
        or pixels.shape[3] != len(labels)
    ):
        raise ValueError(f"{path}: X must be uint8 (32, 32, 3, N) with N labels, got {pixels.dtype} {pixels.shape}")
    bad = np.flatnonzero((labels < 1) | (labels > 10))
    if len(bad):
        raise ValueError(f"{path}: label must lie in 1..10, got {labels[bad[0]]} at index {bad[0]}")
    images = np.ascontiguousarray(pixels.transpose(3, 0, 1, 2))
    return images, (labels % 10).astype(np.int64)


INFO = DatasetInfo(
    name="svhn",
    num_classes=10,
    train_size=73_257,
    test_size=26_032,
    shape=(3, 32, 32),
    pixel_max=255,
    mean=(0.4377, 0.4438, 0.4728),
    std=(0.1980, 0.2010, 0.1970),
    class_names=tuple("0123456789"),
    digest=digest_of_checksums("svhn", CHECKSUMS),
    augment="none",  # a mirrored 2 is no 2
    source="Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, 2011",
    files=tuple(CHECKSUMS),
)
SOURCES = {"svhn": by_checksums(INFO, read, Files("SVHN", CHECKSUMS))}
