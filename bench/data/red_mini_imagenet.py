"""Red and blue Mini-ImageNet: 100 classes, a known share of each replaced by web images (red) or by others (blue).

Jiang et al., "Beyond Synthetic Noise", ICML 2020, arXiv:1911.09781. Images are made 32 x 32, as later work trains on
them. The share in the name is the authors'; users report sets that hold another one.
"""

from functools import partial
from pathlib import Path

import numpy as np

from bench.data import lists
from bench.data.datasets import MissingDataError
from bench.data.images import Geometry
from bench.data.photos import Listing, Part, PhotoSet
from bench.data.report import Finding

NUM_CLASSES = 100
HOMES = ("mini-imagenet", "mini_imagenet", ".")
SHARES = (20, 40, 60, 80)


def find(colour: str, share: int, folder: Path) -> Listing:
    """Read the split of a colour and share, and the clean validation images, which are the test."""
    root = next((folder / home for home in HOMES if (folder / home / "split").is_dir()), None)
    title = f"{colour}_mini_imagenet_{share}"
    if root is None:
        raise MissingDataError(f"{title}: no folder split/ in {folder} or in its folder mini-imagenet/")
    paths = [root / "split" / name for name in (f"{colour}_noise_nl_{share / 100:g}", f"{colour}_noise_nl_{share}")]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise MissingDataError(f"{title}: no {paths[0]} and no {paths[1].name}")
    clean = root / "split" / "clean_validation"
    if not clean.is_file():
        raise MissingDataError(f"{title}: no {clean}")
    train = lists.labelled(path, NUM_CLASSES, lambda name: f"all_images/{name}")
    test = lists.labelled(clean, NUM_CLASSES)
    names = [f"validation/{label}/{name}" for name, label in zip(test.names, test.labels, strict=True)]
    parts = {"train": Part(train.names, train.array()), "test": Part(names, test.array())}
    note = Finding("ok", f"split {path.name} in {root / 'split'}")
    return Listing(
        root,
        parts,
        tuple(f"class {label}" for label in np.arange(NUM_CLASSES)),
        (note, *lists.findings_of(path, train), *lists.findings_of(clean, test)),
    )


SOURCES = {
    f"{colour}_mini_imagenet_{share}": PhotoSet(
        name=f"{colour}_mini_imagenet_{share}",
        find=partial(find, colour, share),
        geometry=Geometry(32, 32),
        shape=(3, 32, 32),
        cite="Jiang et al., Beyond Synthetic Noise, ICML 2020, arXiv:1911.09781",
        where="Controlled Noisy Web Labels, google.github.io/controlled-noisy-web-labels",
        used="the training images of the split with its labels; the clean validation images as test",
        mean=(0.0, 0.0, 0.0),  # later work trains on pixels in [0, 1]
        std=(1.0, 1.0, 1.0),
        resident=True,
    ).source
    for colour in ("red", "blue")
    for share in SHARES
}
