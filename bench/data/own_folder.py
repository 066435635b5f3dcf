"""Somebody's own folder of images: train/<class>/ and test/<class>/, and maybe val/<class>/ with true labels.

Training labels count as true, so that noise can be injected, where the folder is called train; they may be wrong where
it is called noisy_train, and `--noise none` trains on them as they are. Images of at most 64 pixels that are all of one
size are kept in memory as they are; others are made square, 256 x 256, of which training sees windows of 224 x 224.
"""

from functools import cache, partial
from pathlib import Path

import numpy as np

from bench.data.datasets import Dataset, DatasetInfo, MissingDataError, Source
from bench.data.images import Geometry
from bench.data.photos import Listing, Part, PhotoSet
from bench.data.report import Finding, Report

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
SMALL = 64
PEEK = 100  # images whose size is looked at
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

    return Source(info, read, examine)


@cache
def _photos(name: str, folder: Path) -> PhotoSet:
    listing = find(name, folder)
    side = _common_side(listing)
    return PhotoSet(
        name=name,
        find=partial(find, name),
        geometry=Geometry(256, 256, "short_side") if side is None else Geometry(*side),
        shape=(3, 224, 224) if side is None else (3, *side),
        cite=f"own data, {name}",
        where=WHERE,
        used="all images of the folder",
        true_labels=not (folder / name / "noisy_train").is_dir(),
        resident=side is not None,
        augment="crop_flip" if side is None else "none",
    )


def find(name: str, folder: Path) -> Listing:
    """List the images, sorted by class and name."""
    root = folder / name
    if not root.is_dir():
        raise MissingDataError(f"there is no folder {root}; {WHERE}")
    training = [place for place in ("train", "noisy_train") if (root / place).is_dir()]
    if len(training) != 1 or not (root / "test").is_dir():
        has = ", ".join(sorted(path.name for path in root.iterdir() if path.is_dir())) or "none"
        raise MissingDataError(f"{root}: one of train/ and noisy_train/, and test/, are wanted; folders there: {has}")
    classes = tuple(
        sorted(path.name for path in (root / training[0]).iterdir() if path.is_dir() and path.name[0] != ".")
    )
    if len(classes) < 2:
        raise ValueError(f"{root / training[0]}: at least 2 folders of classes are needed, got {len(classes)}")
    parts, findings = {}, [Finding("ok", f"folders {training[0]}/ and test/ in {root}")]
    for part, place in (("train", training[0]), ("test", "test"), ("val", "val")):
        if (root / place).is_dir():
            parts[part], ignored = _part(root, place, classes)
            if ignored:
                few = ", ".join(ignored[:3])
                findings.append(Finding("note", f"{place}: {len(ignored):,} files that are no images: {few}"))
    return Listing(root, parts, classes, tuple(findings))


def _part(root: Path, place: str, classes: tuple[str, ...]) -> tuple[Part, list[str]]:
    names, labels, ignored = [], [], []
    for home in sorted((root / place).iterdir()):
        if home.name.startswith("."):
            continue
        if not home.is_dir() or home.name not in classes:
            raise ValueError(f"{home}: no class of the training folder; those are {', '.join(classes)}")
        for path in sorted(home.iterdir()):
            name = f"{place}/{home.name}/{path.name}"
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                names.append(name)
                labels.append(classes.index(home.name))
            elif not path.name.startswith("."):
                ignored.append(name)
    if not names:
        raise ValueError(f"{root / place}: there are no images in its folders")
    return Part(names, np.array(labels, dtype=np.int64)), ignored


def _common_side(listing: Listing) -> tuple[int, int] | None:
    """Return the (H, W) of small images that are all of one size, judged by a sample, or None."""
    from PIL import Image, UnidentifiedImageError

    sizes = set()
    for part in listing.parts.values():
        for row in np.unique(np.linspace(0, len(part.names) - 1, PEEK).astype(np.int64)):
            try:
                with Image.open(listing.root / part.names[row]) as image:
                    sizes.add((image.height, image.width))
            except (OSError, UnidentifiedImageError) as error:
                raise ValueError(f"image {listing.root / part.names[row]} cannot be read: {error}") from None
    if len(sizes) != 1 or max(side := sizes.pop()) > SMALL:
        return None
    return side
