"""SVHN from files in the official layout, made by the test with other checksums."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from bench.data import datasets, svhn
from bench.data.checksum import Checksum
from tests.bench.data.conftest import checksum_of


def mat(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    savemat(out, arrays, do_compression=True)
    return out.getvalue()


def test_svhn_turns_its_last_axis_to_the_front_and_ten_to_nought():
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(1, 13) % 10 + 1
    found, known = svhn.parsed(mat(X=images.transpose(1, 2, 3, 0), y=labels[:, None]), Path("t.mat"))
    assert np.array_equal(found, images)
    assert known.tolist() == [label % 10 for label in labels]
    assert known.max() == 9
    assert known.min() == 0


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (mat(X=np.zeros((32, 32, 3, 2), np.uint8)), "no .mat file with X and y"),
        (mat(X=np.zeros((32, 32, 3, 2), np.uint8), y=[1, 2, 3]), "with N labels"),
        (mat(X=np.zeros((32, 32, 3, 2)), y=[1, 2]), "X must be uint8"),
        (mat(X=np.zeros((32, 32, 3, 2), np.uint8), y=[1, 11]), "label must lie in 1..10, got 11 at index 1"),
        (b"MATLAB", "no .mat file with X and y"),
        (mat(X=np.zeros((32, 32, 3, 2), np.uint8), y=[1, 2])[:150], "no .mat file with X and y"),
        (b"", "no .mat file with X and y"),
    ],
)
def test_svhn_files_of_another_form_are_refused(data, text):
    with pytest.raises(ValueError, match=text) as error:
        svhn.parsed(data, Path("t.mat"))
    assert "\n" not in str(error.value)


def test_svhn_checks_its_files_before_it_parses_them(tmp_path, monkeypatch):
    for seed, name in enumerate(svhn.CHECKSUMS):
        images = np.random.default_rng(seed).integers(0, 256, (32, 32, 3, 4 + seed), dtype=np.uint8)
        (tmp_path / name).write_bytes(mat(X=images, y=np.arange(1, 5 + seed)))
    with pytest.raises(ValueError, match=r"train_32x32\.mat: md5 is"):
        svhn.read(tmp_path)
    monkeypatch.setattr(
        svhn, "CHECKSUMS", {name: Checksum(checksum_of(tmp_path / name).md5) for name in svhn.CHECKSUMS}
    )
    arrays = svhn.read(tmp_path)
    assert (arrays.train_images.shape, arrays.test_images.shape) == ((4, 32, 32, 3), (5, 32, 32, 3))


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch) -> Path:
    """Four and five images in the place of the official ones, with their checksums."""
    for seed, name in enumerate(svhn.CHECKSUMS):
        images = np.random.default_rng(seed).integers(0, 256, (32, 32, 3, 4 + seed), dtype=np.uint8)
        (tmp_path / name).write_bytes(mat(X=images, y=(np.arange(4 + seed)[:, None] + 6) % 10 + 1))
    checksums = {name: Checksum(checksum_of(tmp_path / name).md5) for name in svhn.CHECKSUMS}
    monkeypatch.setattr(svhn, "CHECKSUMS", checksums)
    return tmp_path


def test_another_number_of_images_than_is_known_is_refused(tiny, monkeypatch):
    with pytest.raises(ValueError, match=r"4 images for training and 5 for testing, expected 73,257 and 26,032"):
        datasets.load("svhn", tiny)
    report = datasets.examine("svhn", tiny)
    assert [finding.state for finding in report.findings] == ["ok", "ok", "broken"]
    fitting = datasets.by_checksums(
        replace(svhn.INFO, train_size=4, test_size=5), svhn.read, svhn.SOURCES["svhn"].archive
    )
    monkeypatch.setitem(svhn.SOURCES, "svhn", fitting)
    assert datasets.load("svhn", tiny).train_labels.tolist() == [7, 8, 9, 0]
    assert datasets.examine("svhn", tiny).usable


def test_torchvision_reads_the_same(tiny, torchvision, monkeypatch):
    theirs = torchvision.datasets.SVHN
    rows = {
        part: [url, name, svhn.CHECKSUMS[name].md5]
        for part, (url, name, _) in theirs.split_list.items()
        if part != "extra"
    }
    monkeypatch.setattr(theirs, "split_list", rows)
    ours = svhn.read(tiny)
    for split, images, labels in (
        ("train", ours.train_images, ours.train_labels),
        ("test", ours.test_images, ours.test_labels),
    ):
        found = theirs(tiny, split=split)
        assert np.array_equal(found.data.transpose(0, 2, 3, 1), images)
        assert found.labels.tolist() == labels.tolist()
    assert labels.tolist() == [7, 8, 9, 0, 1]


def test_the_checksums_are_torchvisions(torchvision):
    rows = [row for part, row in torchvision.datasets.SVHN.split_list.items() if part in ("train", "test")]
    assert {name: md5 for _, name, md5 in rows} == {name: c.md5 for name, c in svhn.CHECKSUMS.items()}
