"""Handwritten digits, 8 x 8: the data set that needs no download.

Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, in the copy of 1,797
images that scikit-learn ships. scikit-learn itself is not imported, which would take longer than reading the file.
"""

import gzip
import importlib.util
import io
from pathlib import Path

import numpy as np

from bench.data.datasets import Arrays, DatasetInfo, MissingDataError, in_memory

TEST_SIZE = 360  # the last images: 33 to 37 of each class


def read(folder: Path) -> Arrays:
    """Read the digits from scikit-learn's own files; `folder` plays no part."""
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise MissingDataError("digits: they come with scikit-learn, which is not installed; pip install scikit-learn")
    path = Path(package.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise MissingDataError(f"digits: this scikit-learn has no {path}; pip install 'scikit-learn>=1.5'")
    rows = np.loadtxt(io.BytesIO(gzip.decompress(path.read_bytes())), delimiter=",")
    images = rows[:, :-1].astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = rows[:, -1].astype(np.int64)
    return Arrays(images[:-TEST_SIZE], labels[:-TEST_SIZE], images[-TEST_SIZE:], labels[-TEST_SIZE:])


INFO = DatasetInfo(
    name="digits",
    num_classes=10,
    train_size=1437,
    test_size=TEST_SIZE,
    shape=(1, 8, 8),
    pixel_max=16,
    mean=(0.3054,),
    std=(0.3755,),
    class_names=tuple("0123456789"),
    digest="50e64941cbd417c5ca589e05b0add520e53ba01d64b29906711088190b07fe5a",
    augment="none",  # shifted digits are so easy that the methods become indistinguishable
    source="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI; scikit-learn's copy",
    asymmetric="mnist",
)
SOURCES = {"digits": in_memory(INFO, read)}
