"""MNIST's family and SVHN from files in their official layout, made by the test with other checksums."""

import gzip
import io
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from bench.data import idx, svhn
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
    idx._content_digest.cache_clear()
    plain = mnist.read(tmp_path)
    assert np.array_equal(plain.train_images, packed.train_images)
    assert plain.info.digest != packed.info.digest
    report = mnist.examine(tmp_path)
    assert report.usable
    assert (report.findings[-1].state, "no published checksum" in report.findings[-1].text) == ("note", True)


def test_torchvision_reads_the_same(mnist, tmp_path, torchvision):
    for path in list((tmp_path / "MNIST" / "raw").iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    theirs = torchvision.datasets.MNIST(str(tmp_path), train=True)
    ours = mnist.read(tmp_path)
    assert np.array_equal(theirs.data.numpy(), ours.train_images[..., 0])
    assert theirs.targets.tolist() == ours.train_labels.tolist()


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
    idx._content_digest.cache_clear()
    with pytest.raises(ValueError, match=text) as error:
        mnist.read(tmp_path)
    assert "\n" not in str(error.value)
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


def test_the_checksums_are_torchvisions(torchvision):
    for which, theirs in ((idx._MNIST, "MNIST"), (idx._FASHION, "FashionMNIST"), (idx._KMNIST, "KMNIST")):
        published = dict(getattr(torchvision.datasets, theirs).resources)
        assert {Path(name).name: checksum.md5 for name, checksum in which.checksums.items()} == published
    rows = [row for part, row in torchvision.datasets.SVHN.split_list.items() if part in ("train", "test")]
    assert {name: md5 for _, name, md5 in rows} == {name: c.md5 for name, c in svhn.CHECKSUMS.items()}
