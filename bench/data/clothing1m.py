"""Clothing1M: a million photographs of clothes, labelled by the words around them in web shops.

Xiao et al., "Learning from Massive Noisy Labeled Data for Image Classification", CVPR 2015. Given on request by its
authors and never redistributed; copies lie about in several layouts, which are told apart here:

    lists at the root     noisy_train_key_list.txt, ... and noisy_label_kv.txt, clean_label_kv.txt (Cysu/noisy_label)
    annotations/          the same lists in a folder (PLC, PES, Jo-SRC)
    label/                the same lists in a folder (DISC)
    merged lists          noisy_train.txt, clean_val.txt, clean_test.txt: name and label in a line (L_DMI, SEAL, APL)

Names in the lists start with images/; where the folders 0..9 lie beside the lists (DivideMix, ELR), that is dropped.
Published results train on the noisy part, choose by clean validation images and test on clean ones; clean training
images are not used.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.data import lists
from bench.data.datasets import MissingDataError
from bench.data.images import Geometry
from bench.data.photos import Listing, Part, PhotoSet
from bench.data.report import Finding

NUM_CLASSES = 14
CLASSES = (
    *("T-Shirt", "Shirt", "Knitwear", "Chiffon", "Sweater", "Hoodie", "Windbreaker"),
    *("Jacket", "Downcoat", "Suit", "Shawl", "Dress", "Vest", "Underwear"),
)
OFFICIAL = {"train": 1_000_000, "val": 14_313, "test": 10_526}
HOMES = ("clothing1m", "Clothing1M", ".")  # under the data folder
LISTS = ("annotations", "label", ".")  # under the home
KEYED, MERGED = "noisy_train_key_list.txt", "noisy_train.txt"
SUBSET_SEED = 0
EPOCH = 64_000  # samples that DivideMix draws anew each epoch: 1,000 batches of 32 for each of two networks
STD_DIVIDEMIX = (0.3113, 0.3192, 0.3214)


def find(folder: Path) -> Listing:
    """Read the lists of whichever layout is there."""
    layouts = _lists_in(folder)
    if not layouts:
        looked = ", ".join(str(folder / home) for home in HOMES)
        raise MissingDataError(
            f"clothing1m: no {KEYED} and no {MERGED} in {looked}, nor in their folders "
            "annotations/ and label/; name the right folder by --data-dir or LNBENCH_DATA"
        )
    (home, path), *others = layouts
    found = _from_merged(home) if path.name == MERGED else _from_keys(home, path.parent)
    notes = [Finding("note", f"{other} is there, too, and not used") for _, other in others]
    return replace(found, findings=(*found.findings, *notes))


def _lists_in(folder: Path) -> list[tuple[Path, Path]]:
    """Return home and noisy training list of each layout that is there, the one to use first."""
    found: list[tuple[Path, Path]] = []
    for home in (folder / name for name in HOMES):
        for path in (*(home / place / KEYED for place in LISTS), home / MERGED):
            if path.is_file() and not any(path.samefile(other) for _, other in found):
                found.append((home, path))
    return found


def _from_keys(root: Path, place: Path) -> Listing:
    change, how = _renaming(root)
    findings = [Finding("ok", f"lists of keys in {place}, {how}")]
    parts = {}
    for kind, stems in (("noisy", {"train": "noisy_train"}), ("clean", {"val": "clean_val", "test": "clean_test"})):
        pairs = place / f"{kind}_label_kv.txt"
        for path in (*(place / f"{stem}_key_list.txt" for stem in stems.values()), pairs):
            if not path.is_file():
                raise MissingDataError(f"clothing1m: no {path}")
        found = lists.labelled(pairs, NUM_CLASSES, change)
        findings += lists.findings_of(pairs, found)
        labels = lists.unambiguous(pairs, found)
        for part, stem in stems.items():
            names = lists.keys(place / f"{stem}_key_list.txt", change)
            parts[part] = Part(names, lists.looked_up(pairs, names, labels))
    return _listing(root, place, parts, [*findings, *_unused(place / "clean_train_key_list.txt", change, parts)])


def _from_merged(root: Path) -> Listing:
    change, how = _renaming(root)
    findings = [Finding("ok", f"merged lists of names and labels in {root}, {how}")]
    parts = {}
    for part, stem in (("train", "noisy_train"), ("val", "clean_val"), ("test", "clean_test")):
        path = root / f"{stem}.txt"
        if not path.is_file():
            raise MissingDataError(f"clothing1m: no {path}")
        found = lists.labelled(path, NUM_CLASSES, change)
        findings += lists.findings_of(path, found)
        lists.unambiguous(path, found)
        parts[part] = Part(found.names, found.array())
    unused = root / "clean_train.txt"
    if unused.is_file():
        found = lists.labelled(unused, NUM_CLASSES, change)
        findings += [*lists.findings_of(unused, found), *_overlap(unused, found.names, parts)]
    return _listing(root, root, parts, findings)


def _unused(path: Path, change: Callable[[str], str], parts: dict[str, Part]) -> list[Finding]:
    return _overlap(path, lists.keys(path, change), parts) if path.is_file() else []


def _overlap(path: Path, names: list[str], parts: dict[str, Part]) -> list[Finding]:
    """Tell which parts hold images of the clean training list, which no run uses."""
    own = set(names)
    counts = {name: len(own & set(part.names)) for name, part in parts.items()}
    return [Finding("note", f"{n:,} images of {path.name} are in {name} too") for name, n in counts.items() if n]


def _renaming(root: Path) -> tuple[Callable[[str], str], str]:
    """Return how a listed name becomes a path under the root, and that in words."""
    if (root / "images").is_dir() or not (root / "0").is_dir():
        return str, "images under images/"
    return lambda name: name.removeprefix("images/"), "images beside the lists: the leading images/ is dropped"


def _listing(root: Path, place: Path, parts: dict[str, Part], findings: list[Finding]) -> Listing:
    for part, official in OFFICIAL.items():
        if len(parts[part].names) != official:
            text = f"{part}: {len(parts[part].names):,} images are listed, the official list has {official:,}"
            findings.append(Finding("note", text))
    findings.append(Finding("note", "clean_train is not used: published results train on the noisy part alone"))
    return Listing(root, parts, _class_names(place), tuple(findings))


def _class_names(place: Path) -> tuple[str, ...]:
    path = place / "category_names_eng.txt"
    names = tuple(line.strip() for line in lists.lines_of(path) if line.strip()) if path.is_file() else CLASSES
    if len(names) != NUM_CLASSES:
        raise ValueError(f"{path}: {NUM_CLASSES} class names are wanted, got {len(names)}")
    return names


def balanced(folder: Path) -> Listing:
    """The lists with as many training images of every given class as the rarest has, chosen once by a fixed seed."""
    found = find(folder)
    train = found.parts["train"]
    key = np.random.Generator(np.random.PCG64(SUBSET_SEED)).random(len(train.names))
    counts = np.bincount(train.labels, minlength=NUM_CLASSES)
    if not counts.min():
        raise ValueError(f"clothing1m: no training image has label {counts.argmin()}, so no subset can be balanced")
    chosen = []
    for label in range(NUM_CLASSES):
        members = np.flatnonzero(train.labels == label)
        chosen.append(members[np.argsort(key[members], kind="stable")[: counts.min()]])
    rows = np.sort(np.concatenate(chosen))
    part = Part([train.names[row] for row in rows], train.labels[rows])
    text = f"train: {counts.min():,} images of every given class are used, chosen by seed {SUBSET_SEED}"
    return replace(found, parts={**found.parts, "train": part}, findings=(*found.findings, Finding("note", text)))


_ALL = PhotoSet(
    name="clothing1m_all",
    find=find,
    geometry=Geometry(256, 256),
    shape=(3, 224, 224),
    cite="Xiao et al., Learning from Massive Noisy Labeled Data for Image Classification, CVPR 2015",
    where="on request from its authors, see github.com/Cysu/noisy_label; it is never redistributed",
    used="all noisy training images; choose by --rule clean_val on the clean validation images; clean test images",
)
_BALANCED = replace(
    _ALL,
    name="clothing1m",
    find=balanced,
    geometry=Geometry(256, 256, resample="bicubic"),
    used="equally many noisy training images of every given class, the same for all runs; clean validation and test",
)
_RESAMPLED = replace(
    _ALL,
    name="clothing1m_resampled",
    geometry=Geometry(256, 256, "short_side"),
    mean=(0.6959, 0.6537, 0.6371),
    std=STD_DIVIDEMIX,
    epoch_size=EPOCH,
    used=f"{EPOCH:,} noisy training images drawn anew each epoch, balanced by given class; clean validation and test",
)
SOURCES = {photos.name: photos.source for photos in (_ALL, _BALANCED, _RESAMPLED)}
