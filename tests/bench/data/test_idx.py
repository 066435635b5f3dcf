"""MNIST's family from files in their official layout, made by the test with other checksums."""

import gzip
import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.data import idx
from bench.data.checksum import Checksum
from bench.data.datasets import MissingDataError
from tests.bench.data.conftest import checksum_of

SIZES = {"train": 60, "t10k": 10}


def pixels(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def images_file(array: np.ndarray) -> bytes:
    return struct.pack(">4i", 2051, *array.shape) + array.tobytes()


def labels_file(labels: np.ndarray) -> bytes:
    return struct.pack(">2i", 2049, len(labels)) + labels.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch) -> idx.Idx:
    """MNIST with sixty and ten images, packed, its checksums those of what was written."""
    monkeypatch.setattr(idx, "PARTS", tuple(SIZES.items()))
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for seed, (part, count) in enumerate(SIZES.items()):
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images_file(pixels(count, seed))))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels_file(np.arange(count) % 10)))
    names = [f"MNIST/raw/{part}-{kind}.gz" for part in SIZES for kind in idx.KINDS]
    return idx.Idx(
        replace(idx._MNIST.info, train_size=60, test_size=10), "MNIST",
        {name: Checksum(checksum_of(tmp_path / name).md5) for name in names},
    )  # fmt: skip


def test_images_and_labels_come_out_as_they_were_put_in(mnist, tmp_path):
    found = mnist.read(tmp_path)
    assert np.array_equal(found.train_images[..., 0], pixels(60, 0))
    assert np.array_equal(found.test_images[..., 0], pixels(10, 1))
    assert found.train_labels.tolist() == [c % 10 for c in range(60)]
    assert found.info.digest == mnist.info.digest
    assert mnist.examine(tmp_path).usable
    assert "official" in mnist.examine(tmp_path).findings[-1].text


def test_unpacked_files_are_read_too_and_nobody_vouches_for_them(mnist, tmp_path):
    packed = mnist.read(tmp_path)
    for path in list((tmp_path / "MNIST" / "raw").iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    plain = mnist.read(tmp_path)
    assert np.array_equal(plain.train_images, packed.train_images)
    assert plain.info.digest != packed.info.digest
    report = mnist.examine(tmp_path)
    assert report.usable
    assert (report.findings[-1].state, "no published checksum" in report.findings[-1].text) == ("note", True)


def unpack(path: Path) -> None:
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))


def test_one_unpacked_file_among_packed_ones_is_read_and_named(mnist, tmp_path):
    packed = mnist.read(tmp_path)
    labels = tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte.gz"
    unpack(labels)
    labels.unlink()
    mixed = mnist.read(tmp_path)
    assert np.array_equal(mixed.test_images, packed.test_images)
    assert mixed.test_labels.tolist() == packed.test_labels.tolist()
    assert mixed.info.digest != packed.info.digest
    last = mnist.examine(tmp_path).findings[-1]
    assert (last.state, last.text.endswith("unpacked files: t10k-labels-idx1-ubyte")) == ("note", True)


def test_the_packed_file_is_read_where_both_lie_there(mnist, tmp_path):
    for path in list((tmp_path / "MNIST" / "raw").iterdir()):
        path.with_suffix("").write_bytes(b"never read")
    assert mnist.read(tmp_path).info.digest == mnist.info.digest
    assert mnist.examine(tmp_path).findings[-1].state == "ok"


def test_an_unpacked_file_that_changes_gives_another_digest(mnist, tmp_path):
    for path in list((tmp_path / "MNIST" / "raw").iterdir()):
        unpack(path)
        path.unlink()
    before = mnist.find(tmp_path).digest
    assert mnist.find(tmp_path).digest == before
    path = tmp_path / "MNIST/raw/train-labels-idx1-ubyte"
    path.write_bytes(labels_file(np.arange(60) % 9))
    os.utime(path, ns=(0, 0))
    assert mnist.find(tmp_path).digest != before


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_file_that_is_far_too_large_is_refused_unread(mnist, tmp_path, suffix):
    path = tmp_path / "MNIST/raw/train-images-idx3-ubyte.gz"
    path.unlink()
    path = path.with_suffix(suffix)
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match=rf"{path}: has 1,099,511,627,776 bytes, allowed are 47,040,016"):
        mnist.read(tmp_path)


@pytest.mark.parametrize("theirs", ["MNIST", "FashionMNIST", "KMNIST"])
def test_torchvision_reads_the_same(mnist, tmp_path, torchvision, theirs):
    for path in list((tmp_path / "MNIST" / "raw").iterdir()):
        unpack(path)
    (tmp_path / "MNIST").rename(tmp_path / theirs)
    checksums = {name.replace("MNIST", theirs): checksum for name, checksum in mnist.checksums.items()}
    ours = idx.Idx(mnist.info, theirs, checksums).read(tmp_path)
    for train, images, labels in (
        (True, ours.train_images, ours.train_labels),
        (False, ours.test_images, ours.test_labels),
    ):
        found = getattr(torchvision.datasets, theirs)(str(tmp_path), train=train)
        assert np.array_equal(found.data.numpy(), images[..., 0])
        assert found.targets.tolist() == labels.tolist()


def test_the_names_of_classes_are_torchvisions(torchvision):
    assert list(idx._FASHION.info.class_names) == torchvision.datasets.FashionMNIST.classes
    assert list(idx._KMNIST.info.class_names) == torchvision.datasets.KMNIST.classes
    assert [name[0] for name in torchvision.datasets.MNIST.classes] == list(idx._MNIST.info.class_names)
    assert [which.info.asymmetric for which in (idx._MNIST, idx._FASHION, idx._KMNIST)] == [
        "mnist",
        "fashion_mnist",
        None,
    ]


def test_a_missing_file_is_named(mnist, tmp_path):
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(
        MissingDataError, match=r"mnist: no MNIST/raw/t.*gz in .*, packed or not; name the right folder"
    ):
        mnist.read(tmp_path)
    assert [f.state for f in mnist.examine(tmp_path).findings].count("missing") == 1


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("train-images-idx3-ubyte", b"", "no IDX file with magic number 2051"),
        ("train-images-idx3-ubyte", labels_file(np.arange(60)), "no IDX file with magic number 2051"),
        (
            "train-images-idx3-ubyte",
            images_file(pixels(60, 0))[:-1],
            r"\(60, 28, 28\) in 47,055 bytes, expected .* 47,056",
        ),
        ("train-images-idx3-ubyte", images_file(pixels(59, 0)), r"\(59, 28, 28\) in .*, expected \(60, 28, 28\)"),
        ("t10k-labels-idx1-ubyte", labels_file(np.full(10, 10)), "label must lie in 0..9, got 10 at index 0"),
    ],
)
def test_a_file_of_another_form_is_refused(mnist, tmp_path, name, data, text):
    for path in list((tmp_path / "MNIST" / "raw").iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    (tmp_path / "MNIST" / "raw" / name).write_bytes(data)
    with pytest.raises(ValueError, match=text) as error:
        mnist.read(tmp_path)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{tmp_path}/MNIST/raw/{name}: ")
    assert mnist.examine(tmp_path).findings[-1].state == "broken"


def test_another_content_under_the_right_name_is_refused(mnist, tmp_path):
    path = tmp_path / "MNIST/raw/train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(labels_file(np.zeros(60))))
    with pytest.raises(ValueError, match=r"md5 is [0-9a-f]{32}, expected [0-9a-f]{32}"):
        mnist.read(tmp_path)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (gzip.compress(bytes(idx.SIZE_CAP + 1)), "unpacks to more than"),
        (gzip.compress(b"x" * 1000)[:-10], "not a whole gzip file"),
        (b"no gzip", "not a whole gzip file"),
    ],
)
def test_bombs_and_cut_files_are_refused(data, text):
    with pytest.raises(ValueError, match=text):
        idx._unpacked(data, Path("x.gz"))


def test_the_checksums_are_torchvisions(torchvision):
    for which, theirs in ((idx._MNIST, "MNIST"), (idx._FASHION, "FashionMNIST"), (idx._KMNIST, "KMNIST")):
        published = dict(getattr(torchvision.datasets, theirs).resources)
        assert {Path(name).name: checksum.md5 for name, checksum in which.checksums.items()} == published
