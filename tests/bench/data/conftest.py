import hashlib
import pickle
import struct
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bench import vision
from bench.data import cifar
from bench.data.checksum import Checksum
from bench.data.datasets import Archive, Source, digest_of, in_memory


class _Python2Pickler(pickle._Pickler):
    """Writes every string as Python 2 did, so that the files look like the official ones."""

    def _save_string(self, value: str | bytes) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)

    dispatch = pickle._Pickler.dispatch | {str: _save_string, bytes: _save_string}


def python2_pickle(value: object, path: Path) -> None:
    with path.open("wb") as file:
        _Python2Pickler(file, protocol=2).dump(value)


def checksum_of(path: Path) -> Checksum:
    data = path.read_bytes()
    return Checksum(hashlib.md5(data).hexdigest(), hashlib.sha256(data).hexdigest())


def rows_of(seed: int, num: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num, 3072), dtype=np.uint8)


@pytest.fixture
def tiny_cifar(tmp_path: Path) -> Callable[..., tuple[cifar.Layout, Path]]:
    """Make the files of a layout with a few images each, and return the layout with their checksums."""

    def make(layout: cifar.Layout = cifar.CIFAR10, num: int = 4) -> tuple[cifar.Layout, Path]:
        folder = tmp_path / "data"
        kinds = [layout] if layout is cifar.CIFAR10 else [cifar.CIFAR100, cifar.CIFAR100_COARSE]
        meta = {kind.names_key.decode(): list(kind.class_names) for kind in kinds}
        for number, file in enumerate(layout.checksums):
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            batch = {"data": rows_of(number, num), "filenames": ["a.png"] * num, "batch_label": f"batch {number}"}
            for kind in kinds:
                batch[kind.label_key.decode()] = [
                    (kind.num_classes - 2 + number + i) % kind.num_classes for i in range(num)
                ]
            python2_pickle(batch if file in layout.train + layout.test else meta, path)
        return replace(layout, checksums={file: checksum_of(folder / file) for file in layout.checksums}), folder

    return make


@pytest.fixture
def tiny_source(tiny_cifar, monkeypatch) -> tuple[Source, Path]:
    """Put a tiny data set in the place of cifar10, and return it with the folder that holds its files."""
    layout, folder = tiny_cifar()
    real = cifar.SOURCES["cifar10"].archive
    archive = Archive(real.filename, "set by the test", real.torchvision_class, layout.checksums)
    info = replace(cifar.CIFAR10_INFO, digest=digest_of(cifar.read(layout, folder)), train_size=20, test_size=4)
    source = in_memory(info, partial(cifar.read, layout), archive)
    monkeypatch.setitem(cifar.SOURCES, "cifar10", source)
    return source, folder


@pytest.fixture
def write_batch() -> Callable[..., cifar.Layout]:
    """Put another batch in the place of one, with its checksum, as an attacker who forged both would."""

    def write(layout: cifar.Layout, folder: Path, file: str, batch: object) -> cifar.Layout:
        python2_pickle(batch, folder / file)
        return replace(layout, checksums={**layout.checksums, file: checksum_of(folder / file)})

    return write


@pytest.fixture
def torchvision() -> ModuleType:
    """torchvision, whether or not it was built for this torch."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*was not built for torch", category=RuntimeWarning)
        return vision.torchvision()
