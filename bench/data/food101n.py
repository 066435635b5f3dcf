"""Food-101N: photographs of 101 dishes from the web, tested on the clean test images of Food-101.

Lee et al., CleanNet, CVPR 2018, arXiv:1711.07131; Bossard et al., Food-101, ECCV 2014. Classes are numbered by
meta/classes.txt, which may begin with the line class_name.
"""

from pathlib import Path

import numpy as np

from bench.data import lists
from bench.data.datasets import MissingDataError
from bench.data.images import Geometry
from bench.data.photos import Listing, Part, PhotoSet
from bench.data.report import Finding

HOMES = ("food101n", "Food-101N_release", "Food-101N", ".")
TEST_HOMES = ("food-101", "Food-101", "food101")  # beside them


def find(folder: Path) -> Listing:
    """Read the list of web images and Food-101's list of test images."""
    root = next((folder / home for home in HOMES if (folder / home / "meta" / "imagelist.tsv").is_file()), None)
    if root is None:
        raise MissingDataError(f"food101n: no meta/imagelist.tsv in {folder} or in its folder food101n/")
    home = next((folder / name for name in TEST_HOMES if (folder / name / "meta" / "test.txt").is_file()), None)
    if home is None:
        raise MissingDataError(f"food101n: no food-101/meta/test.txt in {folder}: the test images are Food-101's")
    if not (root / "meta" / "classes.txt").is_file():
        raise MissingDataError(f"food101n: no {root / 'meta' / 'classes.txt'}")
    classes = [line.strip() for line in lists.lines_of(root / "meta" / "classes.txt") if line.strip()]
    classes = classes[1:] if classes[0] == "class_name" else classes
    images = lists.keys(root / "meta" / "imagelist.tsv")
    headed = images[0].partition("/")[0] == "class_name" or "/" not in images[0]  # the official one is class_name/key
    images = images[1:] if headed else images
    train = _part(root / "meta" / "imagelist.tsv", f"{root.relative_to(folder)}/images/", images, classes)
    tests = [f"{name}.jpg" for name in lists.keys(home / "meta" / "test.txt")]
    test = _part(home / "meta" / "test.txt", f"{home.relative_to(folder)}/images/", tests, classes)
    findings = (Finding("ok", f"lists in {root / 'meta'} and {home / 'meta'}"), *_verified(root))
    return Listing(folder, {"train": train, "test": test}, tuple(classes), findings)


def _part(path: Path, before: str, names: list[str], classes: list[str]) -> Part:
    number = {name: label for label, name in enumerate(classes)}
    labels = []
    for line, name in enumerate(names, 1):
        kind = name.partition("/")[0]
        if kind not in number:
            raise ValueError(f"{path}, image {line}: {kind!r} is no class of meta/classes.txt")
        labels.append(number[kind])
    before = before.removeprefix("./")
    return Part([before + name for name in names], np.array(labels, dtype=np.int64))


def _verified(root: Path) -> list[Finding]:
    """Tell what people have verified, which no run uses: it would be clean data."""
    findings = []
    for part in ("train", "val"):
        path = root / "meta" / f"verified_{part}.tsv"
        if path.is_file():
            flags = [line.rpartition("\t")[2].strip() for line in lists.lines_of(path)]
            right, known = flags.count("1"), flags.count("1") + flags.count("0")
            share = f"{100 * right / known:.1f} % of them right" if known else "none of them readable"
            findings.append(Finding("note", f"{path.name}: {known:,} labels verified by people, {share}; not used"))
    return findings


SOURCES = {
    "food101n": PhotoSet(
        name="food101n",
        find=find,
        geometry=Geometry(256, 256, "short_side"),
        shape=(3, 224, 224),
        cite="Lee et al., CleanNet, CVPR 2018, arXiv:1711.07131",
        where="Food-101N from its authors (kuanghuei.github.io/Food-101N), Food-101 for the test images",
        used="all web images with their labels from the web; the test images of Food-101",
    ).source
}
