"""WebVision mini: the first 50 classes of WebVision 1.0's Google part, as published results use it.

Li et al., WebVision Database, 2017, arXiv:1708.02862; the subset by Jiang et al. (MentorNet, ICML 2018). Test: the
validation images of WebVision, or those of ImageNet's same classes in `webvision_mini_imagenet`.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.data import lists
from bench.data.datasets import MissingDataError
from bench.data.images import Geometry
from bench.data.photos import Listing, Part, PhotoSet
from bench.data.report import Finding

NUM_CLASSES = 50
HOMES = ("webvision", "WebVision", ".")


def find(imagenet: bool, folder: Path) -> Listing:
    """Read the lists of training and validation images; `imagenet` tests on imagenet/val/<0..49>/ instead."""
    root = next((folder / home for home in HOMES if (folder / home / "info").is_dir()), None)
    if root is None:
        raise MissingDataError(
            f"webvision_mini: no info/train_filelist_google.txt in {folder} or its folder webvision/"
        )
    train, findings = _mini(root / "info" / "train_filelist_google.txt", "")
    test, more = (_of_imagenet(root), []) if imagenet else _mini(root / "info" / "val_filelist.txt", "val_images_256/")
    note = Finding("ok", f"lists in {root / 'info'}; labels below {NUM_CLASSES} are used")
    return Listing(
        root, {"train": train, "test": test}, tuple(f"class {c}" for c in range(NUM_CLASSES)), (note, *findings, *more)
    )


def _mini(path: Path, before: str) -> tuple[Part, list[Finding]]:
    if not path.is_file():
        raise MissingDataError(f"webvision_mini: no {path}")
    found = lists.labelled(path, 1000, lambda name: name if name.startswith(before) else before + name)
    labels = found.array()
    rows = np.flatnonzero(labels < NUM_CLASSES)
    if not len(rows):
        raise ValueError(f"{path}: no label lies below {NUM_CLASSES}")
    return Part([found.names[row] for row in rows], labels[rows]), lists.findings_of(path, found)


def _of_imagenet(root: Path) -> Part:
    home, names, labels = root / "imagenet" / "val", [], []
    for label in range(NUM_CLASSES):
        images = sorted(path.name for path in (home / str(label)).glob("*") if not path.name.startswith("."))
        if not images:
            raise MissingDataError(f"webvision_mini_imagenet: no images in {home / str(label)}")
        names += [f"imagenet/val/{label}/{name}" for name in images]
        labels += [label] * len(images)
    return Part(names, np.array(labels, dtype=np.int64))


_WEB = PhotoSet(
    name="webvision_mini",
    find=partial(find, False),
    geometry=Geometry(320, 320, "short_side"),
    shape=(3, 299, 299),
    cite="Li et al., WebVision Database, 2017, arXiv:1708.02862",
    where="WebVision 1.0 with 256-pixel images, from its organisers; lists under info/, images as they name them",
    used="images of the first 50 classes with their labels from the web; WebVision's validation images as test",
)
_IMAGENET = replace(
    _WEB,
    name="webvision_mini_imagenet",
    find=partial(find, True),
    used="images of the first 50 classes with their labels from the web; ImageNet's validation images as test",
)
SOURCES = {photos.name: photos.source for photos in (_WEB, _IMAGENET)}
