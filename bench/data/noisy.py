"""Wrong labels on disk: drawn once, found again by what made them, checked by what they are."""

import hashlib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import noise
from bench.config import NoiseConfig
from bench.data.attachments import attached
from bench.data.datasets import Dataset, load
from bench.data.shared import SharedImages
from bench.data.split import Split, split
from bench.files import canonical, make_folder, parse, publish, read_regular, sha256

FOREIGN = -1  # the true class of an image that belongs to none


def spec_of(config: NoiseConfig) -> noise.NoiseSpec:
    """The noise package's spec of a run's noise config."""
    return noise.NoiseSpec(config.family, config.rate, config.dialect, config.flips, config.map, config.options)


def frozen(
    dataset: Dataset, config: NoiseConfig, folder: Path | None, data_dir: Path | None = None
) -> noise.Corruption:
    """The corrupted training labels of (dataset, spec, noise seed), the same for every method and run.

    With a folder they are stored there as <noise_id>.npz and .json, and `index/` remembers which recipe made which
    labels; the index is a cache, so a stored file is believed only if its labels hash to its name.
    """
    spec = spec_of(config)
    if folder is None:
        return draw(dataset, spec, config.seed, data_dir)
    key = [dataset.info.name, dataset.info.digest, spec.to_dict(), config.seed, _source_digest()]
    index = folder / "index" / f"{sha256(canonical(key))[:20]}.json"
    stored = _stored(folder, index, dataset.info.true_labels)
    # two recipes can make the same labels and then share a file, which tells of the first one
    if (
        stored is not None
        and (stored.spec, stored.seed) == (spec, config.seed)
        and np.array_equal(stored.given if stored.clean is None else stored.clean, dataset.train_labels)
    ):
        return stored
    corruption = draw(dataset, spec, config.seed, data_dir, folder / "files")
    card = noise.card(corruption, dataset=dataset.info.name, digest=dataset.info.digest)
    make_folder(index.parent)
    truth = corruption.clean is not None
    name = stored_name(corruption.noise_id, truth)
    data = noise.to_bytes(corruption, card)
    if not publish(folder / f"{name}.npz", data, replace=False) and _read(folder, corruption.noise_id, truth) is None:
        publish(folder / f"{name}.npz", data, replace=True)  # the file there was damaged
    publish(folder / f"{name}.json", canonical(card), replace=False)  # of the recipe that made these labels first
    publish(index, canonical({"noise_id": corruption.noise_id}), replace=True)
    return corruption


def split_of(corruption: noise.Corruption, dataset: Mapping[str, Any], noise_seed: int) -> Split:
    """What is trained on, held out and trusted of a run's data, given its dataset settings as a table.

    Raises ValueError for samples that cannot be had.
    """
    return split(
        corruption.given,
        corruption.known_classes or corruption.num_classes,
        val=dataset["val"],
        limit=dataset["train_limit"],
        digest=dataset["digest"],
        noise_seed=noise_seed,
        trusted=dataset.get("trusted", 0),
        clean=truth_of(corruption),
    )


def truth_of(corruption: noise.Corruption) -> NDArray[np.int64] | None:
    """The true labels, FOREIGN where an image has none, or None where nobody knows them."""
    if corruption.clean is None or corruption.is_ood is None:
        return corruption.clean
    return np.where(corruption.is_ood, FOREIGN, corruption.clean)


def with_foreign(dataset: Dataset, corruption: noise.Corruption, data_dir: Path | None) -> Dataset:
    """The data set with images of another one where the corruption says so, and as it is where it does not.

    Raises ValueError if the other one's images are of another shape or scale, and MissingDataError if they are absent.
    """
    if corruption.is_ood is None or corruption.source_index is None or not (corruption.source_index >= 0).any():
        return dataset
    source = load(corruption.spec.options["source"], data_dir)
    if source.info.shape != dataset.info.shape or source.info.pixel_max != dataset.info.pixel_max:
        raise ValueError(
            f"images of {source.info.name}, {source.info.shape} up to {source.info.pixel_max}, can't stand in for "
            f"those of {dataset.info.name}, {dataset.info.shape} up to {dataset.info.pixel_max}; name another source="
        )
    rows = np.flatnonzero(corruption.is_ood & (corruption.source_index >= 0))
    last = corruption.source_index[rows].max()
    if last >= len(source.train_images):
        raise ValueError(f"foreign image {last} is asked for, {source.info.name} has {len(source.train_images):,}")
    images = dataset.train_images[np.arange(len(dataset.train_images))]
    images[rows] = source.train_images[corruption.source_index[rows]]
    return replace(dataset, train_images=images)


def draw(
    dataset: Dataset, spec: noise.NoiseSpec, seed: int, data_dir: Path | None, files: Path | None = None
) -> noise.Corruption:
    """The wrong labels that a spec makes of a data set, drawn anew; its pinned file is taken from `files`."""
    images = None
    if noise.family_of(spec.family).needs_images:  # no others have them read
        # a cache on disk is not read whole
        if not (dataset.info.resident and isinstance(dataset.train_images, np.ndarray | SharedImages)):
            raise ValueError(
                f"noise family {spec.family!r} reads all pixels, and those of {dataset.info.name} stay on disk"
            )
        images = np.asarray(dataset.train_images)
    return noise.corrupt(
        dataset.train_labels,
        images,
        dataset.info.num_classes,
        spec,
        seed,
        attached=attached(spec, dataset.info, data_dir, files),
        labels_are_true=dataset.info.true_labels,
    )


def stored_name(noise_id: str, truth: bool) -> str:
    """Name the files of a label set: equal labels lie apart where nobody knows the truth and where somebody does."""
    return noise_id if truth else f"{noise_id}-unknown"


def _stored(folder: Path, index: Path, truth: bool) -> noise.Corruption | None:
    try:
        entry = parse(read_regular(index))
    except (FileNotFoundError, ValueError):  # never drawn, or the cache entry is damaged: draw again
        return None
    return _read(folder, str(entry.get("noise_id", "")), truth) if isinstance(entry, dict) else None


def _read(folder: Path, noise_id: str, truth: bool) -> noise.Corruption | None:
    try:
        data = read_regular(folder / f"{stored_name(noise_id, truth)}.npz")
        corruption, _ = noise.from_bytes(data, expect_id=noise_id)
    except (FileNotFoundError, ValueError):  # gone, or not what its name says
        return None
    return corruption


def _source_digest() -> str:
    """Digest of the noise package's sources: labels of an older definition are not taken for today's."""
    digest = hashlib.sha256()
    for name in sorted(n for n in sys.modules if n.split(".")[0] == "noise"):
        digest.update(inspect.getsource(sys.modules[name]).encode())
    return digest.hexdigest()
