"""The arrays that a noise family needs beside labels and images: matrices, scores, labels of people or from a file.

A file that a spec names is known by its content: a run's identity holds its sha256 and its name without the folder,
and a copy lies beside the noise, so that moving or losing the file changes nothing.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import noise
from bench.data.datasets import DatasetInfo, MissingDataError, data_folder, info
from bench.files import make_folder, publish, read_regular
from noise import NoiseSpec, formats, human
from noise.tables import read_table

Array = NDArray[Any]
# sets whose images are not read here, but whose size decides which labels released code draws
LABELS_ONLY = {"imagenet32": 1_281_149}


def pinned(spec: NoiseSpec) -> NoiseSpec:
    """Return the spec with its file named by content; ValueError if the file cannot be read."""
    if "path" not in spec.options or spec.options["sha256"]:
        return spec
    digest = hashlib.sha256(_read(spec)).hexdigest()
    options = {**spec.options, "path": Path(spec.options["path"]).name, "sha256": digest}
    return replace(spec, options=options)


def keep(spec: NoiseSpec, folder: Path) -> None:
    """Copy the file that an unpinned spec names into `folder`, under its sha256."""
    if "path" not in spec.options or spec.options["sha256"]:
        return
    data = _read(spec)
    make_folder(folder)
    publish(folder / hashlib.sha256(data).hexdigest(), data, replace=False)


def attached(
    spec: NoiseSpec, dataset: DatasetInfo, data_dir: Path | None, folder: Path | None = None
) -> dict[str, Array]:
    """Return what the family of `spec` needs by name; a pinned file is taken from `folder`.

    Raises MissingDataError for files of a data set that are not there, and ValueError for content that does not fit.
    """
    family = noise.family_of(spec.family)
    found: dict[str, Array] = {}
    for name in (*family.needs, *family.uses):
        if name not in found:
            found |= _SOURCES[name](spec, dataset, data_dir, folder)
    return found


def _read(spec: NoiseSpec, folder: Path | None = None) -> bytes:
    path, digest = Path(spec.options["path"]).expanduser(), spec.options["sha256"]
    if not spec.options["path"]:
        raise ValueError(f"noise {spec}: family {spec.family!r} needs the path of a file")
    if digest and folder is not None:
        path = folder / digest
    try:
        data = read_regular(path)
    except FileNotFoundError:
        raise ValueError(f"noise {spec}: there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"noise {spec}: {path} cannot be read: {error}") from None
    if digest and hashlib.sha256(data).hexdigest() != digest:
        raise ValueError(f"noise {spec}: {path} holds other content than its sha256 says")
    return data


def _matrix(spec: NoiseSpec, dataset: DatasetInfo, data_dir: Path | None, folder: Path | None) -> dict[str, Array]:
    return {"matrix": read_table(_read(spec, folder), spec.options["path"])}


def _scores(spec: NoiseSpec, dataset: DatasetInfo, data_dir: Path | None, folder: Path | None) -> dict[str, Array]:
    return {"scores": read_table(_read(spec, folder), spec.options["path"])}


def _labels(spec: NoiseSpec, dataset: DatasetInfo, data_dir: Path | None, folder: Path | None) -> dict[str, Array]:
    from bench.data import label_files

    return label_files.read(_read(spec, folder), spec.options["path"])


def _human(spec: NoiseSpec, dataset: DatasetInfo, data_dir: Path | None, folder: Path | None) -> dict[str, Array]:
    file, given, clean = human.KEYS[spec.options["labels"]]
    path = data_folder(data_dir) / "cifar-n" / file
    if not path.is_file():
        raise MissingDataError(
            f"noise {spec}: no {path}; the file comes from github.com/UCSC-REAL/cifar-10-100n (CC BY-NC 4.0)"
        )
    data = read_regular(path)
    arrays = formats.read_cifar_n(data)
    for key in (given, clean):
        if key not in arrays:
            raise ValueError(f"noise {spec}: {path} has no {key}; it has {', '.join(sorted(arrays))}")
    digest = np.array(hashlib.sha256(data).hexdigest())
    return {"human_given": arrays[given], "human_clean": arrays[clean], "human_sha256": digest}


def _source_size(spec: NoiseSpec, dataset: DatasetInfo, data_dir: Path | None, folder: Path | None) -> dict[str, Array]:
    source = spec.options["source"]
    return {"source_size": np.array(LABELS_ONLY.get(source) or info(source, data_dir).train_size)}


def _pixel_scale(spec: NoiseSpec, dataset: DatasetInfo, data_dir: Path | None, folder: Path | None) -> dict[str, Array]:
    scale = dataset.pixel_max
    return {"mean": scale * np.array(dataset.mean), "std": scale * np.array(dataset.std)}


_Source = Callable[[NoiseSpec, DatasetInfo, Path | None, Path | None], dict[str, Array]]
_SOURCES: dict[str, _Source] = {
    "matrix": _matrix,
    "scores": _scores,
    "given": _labels,
    "human_given": _human,
    "human_clean": _human,
    "source_size": _source_size,
    "mean": _pixel_scale,
    "std": _pixel_scale,
}
