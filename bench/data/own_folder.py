"""Somebody's own folder of images: train/<class>/ and test/<class>/, and maybe val/<class>/ with true labels.

Training labels count as true, so that noise can be injected, where the folder is called train; they may be wrong where
it is called noisy_train, and `--noise none` trains on them as they are. Images of at most 64 pixels that are all of one
size are kept in memory as they are; others are made square, 256 x 256, of which training sees windows of 224 x 224.
Mean and standard deviation are those of a sample of the training images.
"""

import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data import manifest
from bench.data.datasets import Dataset, DatasetInfo, MissingDataError, Source
from bench.data.images import Geometry, ImageFiles, check_inside, leads_out, size_of
from bench.data.photos import Listing, Part, PhotoSet
from bench.data.report import Finding, Report

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
SMALL = 64
PEEK = 100  # images of each part whose size is looked at
SAMPLE = 256  # training images that mean and standard deviation are taken of
WHERE = "put images into train/<class>/ (or noisy_train/<class>/) and test/<class>/"


def source(name: str) -> Source:
    """Return how to get the data in a folder; `name` is its last part with a slash."""

    def info(folder: Path) -> DatasetInfo:
        return _photos(name, folder).info(folder)

    def read(folder: Path) -> Dataset:
        return _photos(name, folder).read(folder)

    def examine(folder: Path) -> Report:
        _photos.cache_clear()
        try:
            return _photos(name, folder).examine(folder)
        except MissingDataError as error:
            return Report(name, (Finding("missing", str(error)),), WHERE, "")
        except ValueError as error:
            return Report(name, (Finding("broken", str(error)),), WHERE, "")

    def files(folder: Path) -> Dataset:
        return _photos(name, folder).files(folder)

    return Source(info, read, examine, files=files)


@cache
def _photos(name: str, folder: Path) -> PhotoSet:
    listing, broken = find(name, folder), manifest.broken_list(folder, name)
    parts = {part: found.without(broken) for part, found in listing.parts.items()}
    for part, kept in parts.items():  # who owns a folder edits it: what is remembered of it would name other images
        manifest.sizes_of(folder, f"{name.rstrip('/')}-{part}", listing.root, kept.names, again=True)
    side = _common_side(listing.root, parts)
    geometry = Geometry(256, 256, "short_side") if side is None else Geometry(*side)
    mean, std = _statistics(ImageFiles(listing.root, parts["train"].names, geometry))
    true_labels = not (listing.root / "noisy_train").is_dir()
    notes = (_how_used(side), _how_labelled(true_labels), Finding("note", f"mean {mean} and standard deviation {std}"))

    def with_notes(folder: Path) -> Listing:
        found = find(name, folder)
        return replace(found, findings=(*found.findings, *notes))

    return PhotoSet(
        name=name,
        find=with_notes,
        geometry=geometry,
        shape=(3, 224, 224) if side is None else (3, *side),
        cite=f"own data, {name}",
        where=WHERE,
        used="all images of the folder",
        mean=mean,
        std=std,
        true_labels=true_labels,
        resident=side is not None,
        augment="crop_flip" if side is None else "none",
    )


def _how_used(side: tuple[int, int] | None) -> Finding:
    if side is not None:
        return Finding("note", f"images are {side[0]} x {side[1]}: used as they are, in memory")
    how = "their shorter side becomes 256 and the centre is kept; training sees 224 x 224 of it, testing the middle"
    return Finding("note", f"images are not all of one size of at most {SMALL} pixels: {how}")


def _how_labelled(true_labels: bool) -> Finding:
    truth = "count as true: noise can be injected" if true_labels else "may be wrong: --noise none"
    return Finding("note", f"training labels {truth}")


def find(name: str, folder: Path) -> Listing:
    """List the images, sorted by class and name; nothing may lie behind a link that leads out of the folder."""
    root = folder / name
    if not root.is_dir():
        raise MissingDataError(f"there is no folder {root}; {WHERE}")
    training = [place for place in ("train", "noisy_train") if (root / place).is_dir()]
    if len(training) != 1 or not (root / "test").is_dir():
        has = ", ".join(sorted(path.name for path in root.iterdir() if path.is_dir())) or "none"
        raise MissingDataError(f"{root}: one of train/ and noisy_train/, and test/, are wanted; folders there: {has}")
    classes = tuple(entry.name for entry in _entries(root / training[0], root) if entry.is_dir())
    if len(classes) < 2:
        raise ValueError(f"{root / training[0]}: at least 2 folders of classes are needed, got {len(classes)}")
    parts, findings = {}, [Finding("ok", f"folders {training[0]}/ and test/ in {root}")]
    for part, place in (("train", training[0]), ("test", "test"), ("val", "val")):
        if (root / place).is_dir():
            parts[part], ignored = _part(root, place, classes)
            if ignored:
                few = ", ".join(ignored[:3])
                findings.append(Finding("note", f"{place}: {len(ignored):,} files that are no images: {few}"))
    bare = np.flatnonzero(np.bincount(parts["train"].labels, minlength=len(classes)) == 0)
    if len(bare):
        raise ValueError(f"{root / training[0] / classes[bare[0]]}: there are no images of this class")
    return Listing(root, parts, classes, tuple(findings))


def _part(root: Path, place: str, classes: tuple[str, ...]) -> tuple[Part, list[str]]:
    names, labels, ignored, found = [], [], [], set()
    for home in _entries(root / place, root):
        if not home.is_dir():
            ignored.append(f"{place}/{home.name}")
            continue
        if home.name not in classes:
            raise ValueError(f"{home.path}: no class of the training folder; those are {', '.join(classes)}")
        found.add(home.name)
        for entry in _entries(Path(home.path), root):
            name = f"{place}/{home.name}/{entry.name}"
            if entry.is_file() and entry.name.lower().endswith(SUFFIXES):
                check_inside(name)
                names.append(name)
                labels.append(classes.index(home.name))
            else:
                ignored.append(name)
    if not names:
        raise ValueError(f"{root / place}: there are no images in its folders")
    absent = [label for label in classes if label not in found]
    if absent:
        raise ValueError(f"{root / place}: there is no folder of class {absent[0]}, which the training folder has")
    return Part(names, np.array(labels, dtype=np.int64)), ignored


def _entries(home: Path, root: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, sorted by name, without hidden files."""
    if home.is_symlink() and leads_out(home, root):
        raise ValueError(f"{home} is a link that leads out of {root}")
    with os.scandir(home) as listed:
        entries = sorted((entry for entry in listed if entry.name[0] != "."), key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_symlink() and leads_out(entry.path, root):
            raise ValueError(f"{entry.path} is a link that leads out of {root}")
    return entries


def _common_side(root: Path, parts: dict[str, Part]) -> tuple[int, int] | None:
    """Return the (H, W) of small images that are all of one size, judged by a sample, or None."""
    sizes = set()
    for part in parts.values():
        for row in _spread(len(part.names), PEEK):
            try:
                sizes.add(size_of(root / part.names[row]))
            except ValueError:  # whoever decodes it will say so, and `doctor --skip-broken` must get that far
                continue
    if len(sizes) != 1 or max(side := sizes.pop()) > SMALL:
        return None
    return side


def _statistics(files: ImageFiles) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of pixel / 255, over a sample that is the same each time."""
    counts = np.zeros((3, 256), dtype=np.int64)
    failed: ValueError | None = None
    for row in _spread(len(files), SAMPLE):
        try:
            pixels = files[np.array([row])]
        except ValueError as error:  # as above
            failed = error
            continue
        counts += [np.bincount(pixels[..., channel].ravel(), minlength=256) for channel in range(3)]
    if failed is not None and not counts.any():
        raise failed
    share, value = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    mean = share @ value
    std = np.sqrt((share * (value - mean[:, None]) ** 2).sum(axis=1))
    return tuple(round(float(m), 4) for m in mean), tuple(round(max(float(s), 1e-3), 4) for s in std)


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most so many positions, evenly spaced from the first to the last."""
    return np.unique(np.linspace(0, count - 1, most).astype(np.int64))
