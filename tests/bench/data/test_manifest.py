"""What names a set of files: its lines, its sizes, and what is left out of it."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data import datasets, manifest
from bench.data.datasets import Dataset
from bench.data.images import Geometry, ImageFiles
from bench.data.manifest import MISSING, Manifest


def test_the_digest_is_the_hash_of_its_lines():
    parts = {
        "train": Manifest(["b.png", "a.png"], np.array([20, 3]), np.array([1, 0])),
        "test": Manifest(["c.png"], np.array([7]), np.array([1])),
    }
    lines = "pets\n8x9 squash bilinear\ntest\tc.png\t7\t1\ntrain\ta.png\t3\t0\ntrain\tb.png\t20\t1\n"
    assert manifest.digest("pets", parts, Geometry(8, 9)) == hashlib.sha256(lines.encode()).hexdigest()


def test_names_and_labels_of_unequal_number_make_no_digest():
    with pytest.raises(ValueError, match="zip"):
        manifest.digest("pets", {"train": Manifest(["a", "b"], np.array([1]), np.array([0, 1]))}, Geometry(8, 8))


def test_sizes_are_those_of_files_alone_and_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "CHUNK", 3)
    for number in range(10):
        (tmp_path / f"{number}").write_bytes(b"x" * number)
    (tmp_path / "folder").mkdir()
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "link").symlink_to(tmp_path / "9")
    names = [*(f"{number}" for number in reversed(range(10))), "folder", "nowhere", "link", "gone"]
    expected = [*reversed(range(10)), MISSING, MISSING, 9, MISSING]
    assert manifest.measure(tmp_path, names).tolist() == expected
    assert manifest.measure(tmp_path, names).dtype == np.int64
    assert manifest.measure(tmp_path, []).shape == (0,)


def test_a_million_files_are_not_a_million_tasks(tmp_path, monkeypatch):
    tasks, submit = [], ThreadPoolExecutor.submit
    monkeypatch.setattr(ThreadPoolExecutor, "submit", lambda *args: (tasks.append(1), submit(*args))[1])
    assert (manifest.measure(tmp_path, [f"{number}" for number in range(5001)]) == MISSING).all()
    assert len(tasks) == 6


def dataset_of(folder: Path, names: list[str]) -> Dataset:
    files = ImageFiles(folder, names, Geometry(8, 8))
    info = replace(datasets.info("cifar10"), name="photos")
    labels = np.zeros(len(names), dtype=np.int64)
    return Dataset(info, files, labels, np.zeros((1, 8, 8, 3), np.uint8), labels[:1], files, labels)


def test_broken_images_are_added_to_those_known_and_keep_their_names(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "CHUNK", 2)
    names = ["0.png", "1\u2028.png", "2.png", "3\x0b.png", "4.png"]
    for name in names:
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    assert manifest.skip_broken(dataset_of(tmp_path, names), tmp_path, lambda line: None) == 0
    assert not list(tmp_path.glob(".lnbench/*"))
    (tmp_path / names[1]).write_bytes(b"no image")
    assert manifest.skip_broken(dataset_of(tmp_path, names), tmp_path, lambda line: None) == 1
    assert manifest.broken_list(tmp_path, "photos") == {names[1]}
    (tmp_path / names[3]).write_bytes(b"no image")
    told: list[str] = []
    rest = [name for name in names if name not in manifest.broken_list(tmp_path, "photos")]
    assert manifest.skip_broken(dataset_of(tmp_path, rest), tmp_path, told.append) == 2
    assert manifest.broken_list(tmp_path, "photos") == {names[1], names[3]}
    assert told[1] == "train: 4 of 4 images decoded, 1 unreadable"
    assert told[-1].startswith("val: 4 of 4")
