"""Somebody's own folder of images: what is taken for a class, for an image, for true, and what is refused."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data import datasets, manifest, own_folder
from bench.data.datasets import DatasetInfo
from bench.data.images import Geometry, decode

SMALL, PHOTOS = ((16, 12),), ((90, 120), (100, 80))


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    own_folder._photos.cache_clear()
    yield
    own_folder._photos.cache_clear()


def make(folder: Path, sizes: tuple[tuple[int, int], ...] = PHOTOS, parts: tuple[str, ...] = ("train", "test")) -> Path:
    rng = np.random.default_rng(0)
    for part in parts:
        for name in ("cat", "dog"):
            (folder / "pets" / part / name).mkdir(parents=True)
            for number in range(4):
                pixels = rng.integers(0, 256, (*sizes[number % len(sizes)], 3), dtype=np.uint8)
                Image.fromarray(pixels // (1 + (name == "dog"))).save(folder / "pets" / part / name / f"{number}.png")
    return folder / "pets"


def info(root: Path) -> DatasetInfo:
    """The facts as a new process finds them."""
    own_folder._photos.cache_clear()
    return datasets.info(str(root))


def notes(root: Path) -> str:
    return "\n".join(finding.text for finding in datasets.examine(str(root)).findings)


def test_mean_and_deviation_are_those_of_the_training_images(tmp_path):
    root = make(tmp_path)
    geometry = Geometry(256, 256, "short_side")
    pixels = np.stack([decode(path, geometry) for path in sorted((root / "train").rglob("*.png"))]) / 255
    found = info(root)
    assert found.mean == pytest.approx(pixels.mean((0, 1, 2)), abs=6e-5)
    assert found.std == pytest.approx(pixels.std((0, 1, 2)), abs=6e-5)
    assert f"mean {found.mean} and standard deviation {found.std}" in notes(root)


def test_a_sample_is_enough_and_the_same_each_time(tmp_path, monkeypatch):
    root = make(tmp_path, SMALL)
    monkeypatch.setattr(own_folder, "SAMPLE", 2)  # the first and the last
    ends = [decode(root / "train" / name, Geometry(16, 12)) / 255 for name in ("cat/0.png", "dog/3.png")]
    assert info(root).mean == pytest.approx(np.mean(ends, axis=(0, 1, 2)), abs=6e-5)
    assert info(root) == info(root)


def test_a_constant_image_has_a_deviation_to_divide_by(tmp_path):
    root = make(tmp_path, SMALL)
    for path in (root / "train").rglob("*.png"):
        Image.new("RGB", (12, 16), (255, 0, 51)).save(path)
    assert (info(root).mean, info(root).std) == ((1.0, 0.0, 0.2), (0.001, 0.001, 0.001))


def test_small_images_of_one_size_stay_as_they_are_and_others_become_windows(tmp_path):
    small, photos = make(tmp_path / "a", SMALL), make(tmp_path / "b", ((64, 65), (64, 64)))
    assert (info(small).shape, info(small).resident, info(small).margin, info(small).augment) == (
        *((3, 16, 12), True, 0),
        "none",
    )
    assert "images are 16 x 12: used as they are, in memory" in notes(small)
    assert (info(photos).shape, info(photos).resident, info(photos).margin, info(photos).augment) == (
        *((3, 224, 224), False, 32),
        "crop_flip",
    )
    assert "their shorter side becomes 256 and the centre is kept; training sees 224 x 224" in notes(photos)
    assert info(make(tmp_path / "c", ((64, 64),))).resident
    assert not info(make(tmp_path / "d", ((64, 65),))).resident


@pytest.mark.parametrize(("training", "truth"), [("train", True), ("noisy_train", False)])
def test_the_name_of_the_training_folder_says_whether_labels_are_true(tmp_path, training, truth):
    root = make(tmp_path, SMALL, (training, "test", "val"))
    found = info(root)
    assert (found.true_labels, found.val_size, found.train_size, found.test_size) == (truth, 8, 8, 8)
    assert ("count as true: noise can be injected" in notes(root)) == truth
    assert ("may be wrong: --noise none" in notes(root)) != truth


def test_images_are_sorted_by_class_and_name_whatever_the_disk_says(tmp_path, monkeypatch):
    root = make(tmp_path, SMALL)
    (root / "train/cat/0.png").rename(root / "train/cat/10.PNG")
    scandir = os.scandir

    def backwards(home: str) -> contextlib.nullcontext[list[os.DirEntry[str]]]:
        with scandir(home) as listed:
            return contextlib.nullcontext(sorted(listed, key=lambda entry: entry.name, reverse=True))

    monkeypatch.setattr(os, "scandir", backwards)
    listing = own_folder.find("pets/", tmp_path)
    expected = ["cat/1.png", "cat/10.PNG", "cat/2.png", "cat/3.png", *(f"dog/{number}.png" for number in range(4))]
    assert listing.parts["train"].names == [f"train/{name}" for name in expected]
    assert listing.parts["train"].labels.tolist() == [0] * 4 + [1] * 4


def test_hidden_files_are_passed_over_and_foreign_ones_named(tmp_path):
    root = make(tmp_path, SMALL)
    before = info(root).digest
    for name in ("train/.DS_Store", "train/.git/x.png", "train/cat/.x.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"")
    assert "no images" not in notes(root)
    (root / "train/cat/more.png").mkdir()
    for name in ("train/Thumbs.db", "train/cat/list.csv"):
        (root / name).write_bytes(b"")
    assert "train: 3 files that are no images: train/Thumbs.db, train/cat/list.csv, train/cat/more.png" in notes(root)
    assert info(root).digest == before


@pytest.mark.parametrize(
    ("break_it", "text"),
    [
        (lambda root: shutil.rmtree(root / "test/dog"), "test: there is no folder of class dog, which the training"),
        (lambda root: shutil.rmtree(root / "val/cat"), "val: there is no folder of class cat, which the training"),
        (lambda root: [path.unlink() for path in (root / "train/dog").iterdir()], "train/dog: there are no images of"),
        (lambda root: (root / "val/cow").mkdir(), "val/cow: no class of the training folder; those are cat, dog"),
        (lambda root: (root / "train/cat/\udcff.png").write_bytes(b""), r"image name 'train/cat/\\udcff\.png' must be"),
        (lambda root: (root / "train/cat/a\nb.png").write_bytes(b""), r"image name 'train/cat/a\\nb\.png' must be"),
    ],
)
def test_folders_that_do_not_agree_are_refused_in_one_line(tmp_path, break_it, text):
    root = make(tmp_path, SMALL, ("train", "test", "val"))
    break_it(root)
    with pytest.raises(ValueError, match=text) as error:
        info(root)
    assert "\n" not in str(error.value)
    assert [finding.state for finding in datasets.examine(str(root)).findings] == ["broken"]


@pytest.mark.parametrize("place", ["train/cat/9.png", "train/owl", "test"])
def test_links_out_of_the_folder_are_refused_and_others_followed(tmp_path, place):
    root = make(tmp_path, SMALL)
    elsewhere = make(tmp_path / "elsewhere", SMALL)
    shutil.copytree(elsewhere / "test/cat", elsewhere / "owl")
    if place == "test":
        shutil.rmtree(root / "test")
    target = {"train/cat/9.png": elsewhere / "test/cat/0.png", "train/owl": elsewhere / "owl"}
    (root / place).symlink_to(target.get(place, elsewhere / "test"))
    with pytest.raises(ValueError, match=f"{root / place} is a link that leads out of {root}"):
        info(root)
    (root / place).unlink()
    if place == "test":
        shutil.copytree(elsewhere / "test", root / "test")
    before = info(root).train_size
    (root / "train/cat/again.png").symlink_to(root / "train/cat/1.png")
    assert info(root).train_size == before + 1
    (tmp_path / "linked").symlink_to(root)
    assert info(tmp_path / "linked").train_size == before + 1


def test_edited_images_make_another_data_set(tmp_path):
    root = make(tmp_path)
    before = info(root)
    assert info(root) == before
    Image.new("RGB", (99, 99)).save(root / "train/cat/0.png")
    edited = info(root)
    assert edited.digest != before.digest
    (root / "train/cat/1.png").write_bytes(b"no image")
    assert manifest.skip_broken(datasets.load(str(root)), tmp_path, lambda line: None) == 1
    shorter = info(root)
    Image.new("RGB", (400, 90)).save(root / "train/cat/0.png")
    assert len({before.digest, edited.digest, shorter.digest, info(root).digest}) == 4


def test_an_unreadable_photograph_is_named_and_can_be_left_out(tmp_path):
    root = make(tmp_path)
    (root / "train/cat/0.png").write_bytes(b"no image")
    Image.new("1", (20_000, 20_000)).save(root / "test/dog/3.png")
    report = datasets.examine(str(root))
    broken = [finding.text for finding in report.findings if finding.state == "broken"]
    assert len(broken) == 2
    assert "train/cat/0.png cannot be read" in broken[0]
    before = info(root)
    assert manifest.skip_broken(datasets.load(str(root)), tmp_path, lambda line: None) == 2
    after = info(root)
    assert (after.train_size, after.test_size) == (before.train_size - 1, before.test_size - 1)
    assert after.digest != before.digest
    assert datasets.examine(str(root)).usable
    assert "2 unreadable images are left out" in notes(root)


def test_a_folder_without_a_readable_image_is_refused(tmp_path):
    root = make(tmp_path)
    for path in root.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"3\.png cannot be read"):
        info(root)
