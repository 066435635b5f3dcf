import hashlib
import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bench.data import cifar, datasets, digits
from bench.data.checksum import Checksum
from bench.data.datasets import MissingDataError

IN_MEMORY = ("cifar10", "cifar100", "cifar100_coarse", "digits", "fashion_mnist", "kmnist", "mnist", "svhn")
ON_DISK = sorted(set(datasets.available()) - set(IN_MEMORY))


def test_digits_are_scikit_learns_and_the_test_set_is_its_last_360_images() -> None:
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    whole = load_digits()
    loaded = datasets.load("digits")
    images = np.concatenate([loaded.train_images, loaded.test_images])
    assert images.dtype == np.uint8
    assert np.array_equal(images.reshape(1797, 64), whole.data)
    assert np.array_equal(np.concatenate([loaded.train_labels, loaded.test_labels]), whole.target)
    assert loaded.test_labels.tolist() == whole.target[-360:].tolist()
    assert set(np.bincount(loaded.test_labels)) <= set(range(33, 38))


def test_digits_have_the_published_hashes() -> None:
    loaded = datasets.load("digits")
    labels = np.concatenate([loaded.train_labels, loaded.test_labels])
    images = np.concatenate([loaded.train_images, loaded.test_images])
    assert hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest() == (
        "a3c91c262eddcf7ba8f0e37507c30284493c9b20412ffe4af30d536401f7ba21"
    )
    assert hashlib.sha256(images.tobytes()).hexdigest() == (
        "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3"
    )


def test_the_facts_fit_the_arrays() -> None:
    loaded = datasets.load("digits")
    info = loaded.info
    channels, height, width = info.shape
    assert loaded.train_images.shape == (info.train_size, height, width, channels)
    assert loaded.test_images.shape == (info.test_size, height, width, channels)
    assert loaded.train_labels.dtype == loaded.test_labels.dtype == np.int64
    assert loaded.train_images.max() == info.pixel_max
    scaled = loaded.train_images / info.pixel_max
    assert info.mean == (round(float(scaled.mean()), 4),)
    assert info.std == (round(float(scaled.std()), 4),)


def test_nobody_can_change_a_loaded_pixel_or_label() -> None:
    loaded = datasets.load("digits")
    with pytest.raises(ValueError, match="read-only"):
        loaded.train_labels[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        loaded.test_images[0, 0, 0, 0] = 1


def test_an_unknown_name_meets_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"unknown dataset 'digit'; did you mean 'digits'\?"):
        datasets.load("digit")
    with pytest.raises(ValueError, match="unknown dataset 'zzz'; allowed: animal10n, blue_mini_imagenet_20, "):
        datasets.info("zzz")


def test_every_set_that_is_available_tells_its_facts_without_data() -> None:
    for name in IN_MEMORY:
        info = datasets.info(name)
        assert info.name == name
        assert len(info.class_names) == info.num_classes
        assert len(info.mean) == len(info.std) == info.shape[0]
        assert len(info.digest) == 64


def test_missing_files_are_named_with_the_three_ways_to_supply_them(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError) as error:
        datasets.load("cifar10", tmp_path)
    text = str(error.value)
    assert "\n" not in text
    for part in ("cifar-10-batches-py/data_batch_1", str(tmp_path), "--data-dir", "LNBENCH_DATA", "--download"):
        assert part in text


def test_other_pixels_than_the_pinned_ones_are_refused(tiny_source, monkeypatch) -> None:
    source, folder = tiny_source
    assert len(datasets.load("cifar10", folder).train_labels) == 20
    info, layout = source.info(folder), source.archive.members
    read = partial(cifar.read, replace(cifar.CIFAR10, checksums=layout))
    other = datasets.in_memory(info, lambda f: _one_pixel_off(read(f)))
    monkeypatch.setattr(datasets, "source", lambda name: other)
    with pytest.raises(ValueError, match=rf"digest of labels and pixels is [0-9a-f]{{64}}, expected {info.digest}"):
        datasets.load("cifar10", folder)


def _one_pixel_off(arrays: datasets.Arrays) -> datasets.Arrays:
    arrays.test_images[-1, 0, 0, 0] ^= 1
    return arrays


def test_the_digest_sees_labels_pixels_and_where_one_array_ends() -> None:
    images, labels = np.zeros((2, 1, 1, 1), np.uint8), np.array([0, 1])
    base = datasets.Arrays(images, labels, images, labels)
    others = [
        base._replace(train_labels=np.array([1, 0])),
        base._replace(test_images=images + np.uint8(1)),
        base._replace(train_images=images[:1], test_images=np.concatenate([images, images[:1]])),
        base._replace(train_images=images.reshape(2, 1, 1, 1)[:, :, :0]),
    ]
    digests = {datasets.digest_of(arrays) for arrays in [base, *others]}
    assert len(digests) == 5
    big_endian = base._replace(train_labels=labels.astype(">i8"), test_labels=labels.astype(">i8"))
    assert datasets.digest_of(big_endian) == datasets.digest_of(base)


def test_the_data_folder_is_the_option_then_the_variable_then_the_cache(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LNBENCH_DATA", str(tmp_path / "variable"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert datasets.data_folder(tmp_path / "option") == tmp_path / "option"
    assert datasets.data_folder() == tmp_path / "variable"
    monkeypatch.setenv("LNBENCH_DATA", "")
    assert datasets.data_folder() == tmp_path / "cache" / "lnbench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert datasets.data_folder() == Path.home() / ".cache" / "lnbench"


def test_without_scikit_learn_digits_say_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDataError, match="pip install scikit-learn"):
        datasets.load("digits")


def test_reading_digits_imports_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys; from bench.data import datasets, split; datasets.load('digits'); datasets.info('cifar10');"
        "sys.exit(' '.join({'torch', 'torchvision', 'sklearn', 'pandas', 'scipy'} & set(sys.modules)) or 0)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.data
@pytest.mark.skipif(not os.environ.get("LNBENCH_DATA"), reason="LNBENCH_DATA is not set")
def test_the_official_cifar10_has_the_published_hashes() -> None:
    try:
        cifar10 = datasets.load("cifar10")
    except MissingDataError as error:
        pytest.skip(str(error))
    assert cifar10.train_images.shape == (50000, 32, 32, 3)
    assert cifar10.test_images.shape == (10000, 32, 32, 3)
    assert np.bincount(cifar10.train_labels).tolist() == [5000] * 10
    assert np.bincount(cifar10.test_labels).tolist() == [1000] * 10
    assert hashlib.sha256(cifar10.train_labels.astype("<i8").tobytes()).hexdigest() == (
        "f5cfe00b0f00968c0cc5ff3b1d2de51b10e33efa277c2986f4e0fa63e58c9f4f"
    )
    stored = np.ascontiguousarray(cifar10.train_images.transpose(0, 3, 1, 2))
    assert hashlib.sha256(stored.data).hexdigest() == "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111"
    mean = cifar10.train_images.mean((0, 1, 2)) / 255
    assert np.allclose(mean, cifar10.info.mean, atol=5e-5)


@pytest.mark.parametrize("name", ON_DISK)
def test_a_set_of_files_that_is_not_there_says_how_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError) as error:
        datasets.info(name, tmp_path)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)
    report = datasets.examine(name, tmp_path)
    assert not report.usable
    assert [finding.state for finding in report.findings] == ["missing"]
    assert len(report.where) > 20


@pytest.mark.parametrize("name", sorted(set(IN_MEMORY) - {"digits"}))
def test_files_that_are_not_there_are_listed(name: str, tmp_path: Path) -> None:
    report = datasets.examine(name, tmp_path)
    assert not report.usable
    assert [finding.state for finding in report.findings] == ["missing"] * len(datasets.info(name).files)
    assert "--download" in report.where
    with pytest.raises(MissingDataError, match="--data-dir"):
        datasets.load(name, tmp_path)


def test_digits_are_ready_without_files(tmp_path: Path) -> None:
    report = datasets.examine("digits", tmp_path)
    assert report.usable
    assert "official" in report.findings[-1].text


def test_digits_of_another_content_are_reported_as_broken(tmp_path: Path, monkeypatch) -> None:
    source = datasets.in_memory(replace(datasets.info("digits"), digest="0" * 64), digits.read)
    monkeypatch.setitem(digits.SOURCES, "digits", source)
    report = datasets.examine("digits", tmp_path)
    assert [finding.state for finding in report.findings] == ["broken"]
    assert report.findings[0].text.endswith(f"expected {'0' * 64}")


def test_digits_without_scikit_learn_are_missing_and_nobody_offers_a_download(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    report = datasets.examine("digits", tmp_path)
    assert [(finding.state, "pip install" in finding.text) for finding in report.findings] == [("missing", True)]
    assert "--download" not in report.where


def test_validation_images_are_read_only_too() -> None:
    images, labels = np.zeros((2, 1, 1, 1), np.uint8), np.array([0, 1])
    made = datasets.Dataset(datasets.info("digits"), *[array.copy() for array in [images, labels] * 3])
    for array in (made.train_images, made.train_labels, made.test_images, made.test_labels):
        assert not array.flags.writeable
    assert not made.val_images.flags.writeable
    assert not made.val_labels.flags.writeable


def test_a_digest_of_checksums_is_that_of_its_lines() -> None:
    checksums = {"b": Checksum("2" * 32), "a": Checksum("1" * 32, "3" * 64)}
    lines = f"some\na {'1' * 32} {'3' * 64}\nb {'2' * 32} -\n"
    assert datasets.digest_of_checksums("some", checksums) == hashlib.sha256(lines.encode()).hexdigest()
    assert datasets.digest_of_checksums("other", checksums) != datasets.digest_of_checksums("some", checksums)


def test_every_set_has_a_digest_of_its_own() -> None:
    digests = [datasets.info(name).digest for name in IN_MEMORY]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("name", "data_dir", "expected"),
    [
        ("digits", "/x", ("digits", Path("/x"))),
        ("/a/b/mine.npz", None, ("mine.npz", Path("/a/b"))),
        ("mine.npz", "/a/b", ("mine.npz", Path("/a/b"))),
        ("/a/b/mine", None, ("mine/", Path("/a/b"))),
        ("/a/b/mine/", "/x", ("mine/", Path("/a/b"))),
        ("mine/", "/a/b", ("mine/", Path("/a/b"))),
    ],
)
def test_a_path_is_a_name_and_a_folder(name: str, data_dir: str | None, expected: tuple[str, Path]) -> None:
    folder = None if data_dir is None else Path(data_dir)
    assert datasets.locate(name, folder) == expected
    assert datasets.locate(*expected) == expected
