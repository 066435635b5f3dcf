"""Data sets of image files: what their lists say, how they are decoded, and what is missing of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data import decoded, manifest
from bench.data.datasets import Dataset, DatasetInfo, Images, MissingDataError, Source
from bench.data.images import Geometry, ImageFiles, check_inside
from bench.data.manifest import Manifest
from bench.data.report import Finding, Report

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SAMPLE = 50  # images that an examination decodes


@dataclass(frozen=True, eq=False)
class Part:
    """Image names relative to the listing's root, and their labels (n,)."""

    names: list[str]
    labels: NDArray[np.int64]

    def without(self, names: frozenset[str]) -> Part:
        """The part without some of its images."""
        keep = np.array([name not in names for name in self.names], dtype=bool)
        return self if keep.all() else Part([self.names[i] for i in np.flatnonzero(keep)], self.labels[keep])


@dataclass(frozen=True, eq=False)
class Listing:
    """What the lists of a data set say: `parts` has train and test, and maybe val."""

    root: Path
    parts: dict[str, Part]
    class_names: tuple[str, ...]
    findings: tuple[Finding, ...] = ()  # what a person should know of the lists


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """A data set of image files. `find` reads the lists under the data folder, and no image.

    It raises MissingDataError where the set is not, and ValueError for lists that make no sense.
    """

    name: str
    find: Callable[[Path], Listing]
    geometry: Geometry
    shape: tuple[int, int, int]
    cite: str
    where: str  # how to get it
    used: str  # what a run trains and tests on
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    true_labels: bool = False
    resident: bool = False
    augment: str = "crop_flip"
    epoch_size: int | None = None
    # read once in a process, and of each set alone: a changed copy starts empty
    listings: dict[Path, Listing] = field(default_factory=dict, init=False)
    measured: dict[Path, dict[str, Manifest]] = field(default_factory=dict, init=False)
    infos: dict[Path, DatasetInfo] = field(default_factory=dict, init=False)

    @property
    def source(self) -> Source:
        """The set as the registry of data sets wants it."""
        return Source(self.info, self.read, self.examine, files=self.files)

    def listing(self, folder: Path) -> Listing:
        """The lists without what `doctor --skip-broken` has found, read once in a process."""
        if folder not in self.listings:
            found, skipped = self.find(folder), manifest.broken_list(folder, self.name)
            if skipped:
                parts = {name: part.without(skipped) for name, part in found.parts.items()}
                note = Finding("note", f"{len(skipped):,} unreadable images are left out (doctor --skip-broken)")
                found = Listing(found.root, parts, found.class_names, (*found.findings, note))
            for part in found.parts.values():
                for name in part.names:
                    check_inside(name)
            self.listings[folder] = found
        return self.listings[folder]

    def info(self, folder: Path) -> DatasetInfo:
        """The facts, for which every image file must be there."""
        if folder in self.infos:
            return self.infos[folder]
        listing = self.listing(folder)
        self.infos[folder] = DatasetInfo(
            name=self.name,
            num_classes=len(listing.class_names),
            train_size=len(listing.parts["train"].names),
            test_size=len(listing.parts["test"].names),
            shape=self.shape,
            pixel_max=255,
            mean=self.mean,
            std=self.std,
            class_names=listing.class_names,
            digest=manifest.digest(self.name, self._manifests(folder, listing), f"{self.geometry}{_order(listing)}"),
            augment=self.augment,
            source=self.cite,
            true_labels=self.true_labels,
            val_size=len(listing.parts["val"].names) if "val" in listing.parts else 0,
            margin=self.geometry.height - self.shape[1],
            resident=self.resident,
            epoch_size=self.epoch_size,
        )
        return self.infos[folder]

    def read(self, folder: Path) -> Dataset:
        """The set, its images decoded already where that was done, and in memory where it is small."""
        files = self.files(folder)
        images = [None if part is None else self._images(part, folder) for part in _parts(files)]
        train, test, val = images
        assert train is not None
        assert test is not None
        return replace(files, train_images=train, test_images=test, val_images=val)

    def files(self, folder: Path) -> Dataset:
        """The set with its images as files, none of which is looked into."""
        info, listing = self.info(folder), self.listing(folder)
        images = {name: self._files(folder, listing, name) for name in listing.parts}
        val = listing.parts.get("val")
        return Dataset(
            info,
            *(images["train"], listing.parts["train"].labels, images["test"], listing.parts["test"].labels),
            *(images.get("val"), None if val is None else val.labels),
        )

    def examine(self, folder: Path) -> Report:
        """Look at every file again, and decode a sample of them."""
        self._forget()
        try:
            listing = self.listing(folder)
        except MissingDataError as error:
            return Report(self.name, (Finding("missing", str(error)),), self.where, self.used)
        except ValueError as error:
            return Report(self.name, (Finding("broken", str(error)),), self.where, self.used)
        findings = [*listing.findings]
        for name, part in listing.parts.items():
            counts = np.bincount(part.labels, minlength=len(listing.class_names))
            span = f"{counts.min():,} to {counts.max():,} per class"
            findings.append(Finding("ok", f"{name}: {len(part.names):,} images, {len(counts)} classes, {span}"))
            findings += self._look(folder, listing, name)
        findings += _overlaps(listing)
        return Report(self.name, tuple(findings), self.where, self.used)

    def _look(self, folder: Path, listing: Listing, name: str) -> list[Finding]:
        names = listing.parts[name].names
        sizes = manifest.sizes_of(folder, f"{self.name.rstrip('/')}-{name}", listing.root, names, again=True)
        gone = np.flatnonzero(sizes == manifest.MISSING)
        if len(gone):
            few = ", ".join(names[i] for i in gone[:3])
            return [Finding("missing", f"{name}: {len(gone):,} of {len(names):,} images are not there: {few}")]
        empty = np.flatnonzero(sizes == 0)
        if len(empty):
            few = ", ".join(names[i] for i in empty[:3])
            text = f"{name}: {len(empty):,} images are empty files: {few} (doctor --skip-broken leaves such out)"
            return [Finding("broken", text)]
        files = ImageFiles(listing.root, names, self.geometry)
        rows = np.unique(np.linspace(0, len(names) - 1, SAMPLE).astype(np.int64))
        looked = f"{name}: {len(rows):,} of {len(names):,} images decoded to see whether they can be read"
        findings = [Finding("ok", looked)]
        for row in rows:
            try:
                files[np.array([row])]
            except ValueError as error:
                findings.append(Finding("broken", f"{name}: {error} (doctor --skip-broken leaves such out)"))
        return findings

    def _manifests(self, folder: Path, listing: Listing) -> dict[str, Manifest]:
        if folder in self.measured:
            return self.measured[folder]
        found = {}
        for name, part in listing.parts.items():
            sizes = manifest.sizes_of(folder, f"{self.name.rstrip('/')}-{name}", listing.root, part.names)
            gone = np.flatnonzero(sizes == manifest.MISSING)
            if len(gone):
                raise MissingDataError(
                    f"{self.name}: {len(gone):,} of {len(part.names):,} images of {name} are not there, the first is "
                    f"{listing.root / part.names[gone[0]]}; see: run_bench.py doctor {self.name}"
                )
            found[name] = Manifest(part.names, sizes, part.labels)
        self.measured[folder] = found
        return found

    def _forget(self) -> None:
        for memory in (self.listings, self.measured, self.infos):
            memory.clear()

    def _images(self, files: Images, folder: Path) -> Images:
        assert isinstance(files, ImageFiles)
        images = decoded.best(files, folder)
        return np.asarray(images[np.arange(len(images))]) if self.resident else images

    def _files(self, folder: Path, listing: Listing, name: str) -> ImageFiles:
        part = self._manifests(folder, listing)[name]
        key = manifest.digest(self.name, {name: part}, f"{self.geometry} {manifest.names_digest(part.names)}")
        return ImageFiles(listing.root, part.names, self.geometry, key)


def _order(listing: Listing) -> str:
    """The order of the samples: splits, noise and resumed runs know a sample by its place in the list."""
    return "".join(f" {name} {manifest.names_digest(part.names)}" for name, part in sorted(listing.parts.items()))


def _parts(dataset: Dataset) -> tuple[Images, Images, Images | None]:
    return dataset.train_images, dataset.test_images, dataset.val_images


def _overlaps(listing: Listing) -> list[Finding]:
    names = {name: set(part.names) for name, part in listing.parts.items()}
    findings = []
    for first in names:
        if len(names[first]) < len(listing.parts[first].names):
            twice = len(listing.parts[first].names) - len(names[first])
            findings.append(Finding("note", f"{first}: {twice:,} images are listed twice"))
        for second in names:
            if first < second and (both := names[first] & names[second]):
                findings.append(Finding("note", f"{len(both):,} images are in {first} and in {second}"))
    return findings
