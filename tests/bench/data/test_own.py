"""Own data: an .npz in five lines, a folder of images, and what is refused in one line."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data import datasets, own, own_folder
from bench.data.datasets import MissingDataError


def arrays(count: int = 12, side: int = 10, channels: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "train_images": rng.integers(0, 256, (count, side, side, channels), dtype=np.uint8),
        "train_labels": np.arange(count) % 3,
        "test_images": rng.integers(0, 256, (6, side, side, channels), dtype=np.uint8),
        "test_labels": np.arange(6) % 3,
    }


def saved(folder: Path, **changes: object) -> Path:
    content = {key: value for key, value in {**arrays(), **changes}.items() if value is not None}
    np.savez_compressed(folder / "mine.npz", **content)
    return folder / "mine.npz"


def test_five_lines_make_a_data_set(tmp_path):
    path = saved(tmp_path, class_names=["cat", "dog", "emu"])
    found = datasets.load(str(path))
    assert np.array_equal(found.train_images, arrays()["train_images"])
    info = found.info
    assert (info.name, info.num_classes, info.train_size, info.test_size, info.shape) == (
        "mine.npz",
        3,
        12,
        6,
        (3, 10, 10),
    )
    assert info.class_names == ("cat", "dog", "emu")
    assert info.mean == pytest.approx((arrays()["train_images"] / 255).mean((0, 1, 2)), abs=1e-4)
    assert info.std == pytest.approx((arrays()["train_images"] / 255).std((0, 1, 2)), abs=1e-4)
    assert info.true_labels
    assert datasets.info(str(path)) == info
    assert datasets.examine(str(path)).usable
    assert not found.train_images.flags.writeable


def test_grey_images_need_no_last_axis(tmp_path):
    path = saved(tmp_path, train_images=arrays()["train_images"][..., 0], test_images=arrays()["test_images"][..., 0])
    assert datasets.load(str(path)).info.shape == (1, 10, 10)


def test_clean_validation_images_and_labels_that_may_be_wrong(tmp_path):
    path = saved(tmp_path, val_images=arrays()["test_images"], val_labels=np.arange(6) % 3, labels_are_true=False)
    found = datasets.load(str(path))
    assert (found.info.val_size, found.info.true_labels) == (6, False)
    assert found.val_labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert "may be wrong" in " ".join(f.text for f in datasets.examine(str(path)).findings)


def parts(first: int) -> dict[str, np.ndarray]:
    """The six test images cut into test and validation images at `first`."""
    images, labels = arrays()["test_images"], arrays()["test_labels"]
    return {
        "test_images": images[:first],
        "test_labels": labels[:first],
        "val_images": images[first:],
        "val_labels": labels[first:],
    }


def test_the_digest_follows_all_that_a_run_depends_on(tmp_path):
    labels = arrays()["train_labels"].copy()
    labels[0] = 2
    pixels = arrays()["test_images"].copy()
    pixels[-1, -1, -1, -1] ^= 1
    different = [
        {},
        {"train_labels": labels},
        {"test_images": pixels},
        {"labels_are_true": False},
        {"class_names": ["cat", "dog", "emu", "fox"]},
        parts(3),
        parts(4),
        {**parts(4), "val_labels": parts(4)["val_labels"][::-1]},
    ]
    digests = [datasets.info(str(saved(tmp_path, **changes))).digest for changes in different]
    assert len(set(digests)) == len(different)
    assert datasets.info(str(saved(tmp_path))).digest == digests[0]
    # Names alone change nothing that a run does.
    assert datasets.info(str(saved(tmp_path, class_names=["cat", "dog", "emu"]))).digest == digests[0]


def test_a_named_class_may_have_no_training_image(tmp_path):
    labels = np.array([0, 2] * 6)
    path = saved(tmp_path, train_labels=labels, test_labels=labels[:6], class_names=["cat", "dog", "emu", "fox"])
    assert datasets.load(str(path)).info.num_classes == 4
    path = saved(tmp_path, train_labels=labels, test_labels=[0, 2, 1, 0, 2, 0], class_names=["cat", "dog", "emu"])
    with pytest.raises(ValueError, match="test_labels has 1 at index 2, a class without training image"):
        datasets.load(str(path))


def test_mean_and_deviation_are_those_of_all_pixels_of_a_channel(tmp_path, monkeypatch):
    assert own._mean_and_std(np.array([0, 255, 0, 255], np.uint8).reshape(4, 1, 1, 1)) == ((0.5,), (0.5,))
    assert own._mean_and_std(np.full((3, 2, 2, 2), 51, np.uint8)) == ((0.2, 0.2), (0.001, 0.001))
    monkeypatch.setattr(own, "AT_ONCE", 500)  # two images of 200 at a time, the last one alone
    images = np.random.default_rng(1).integers(0, 256, (9, 20, 5, 2), dtype=np.uint8)
    mean, std = own._mean_and_std(images)
    scaled = images.reshape(-1, 2) / 255
    assert mean == pytest.approx(scaled.mean(axis=0), abs=5.1e-5)
    assert std == pytest.approx(scaled.std(axis=0), abs=5.1e-5)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"train_images": None},
            "no array train_images; wanted are train_images, train_labels, test_images, test_labels",
        ),
        ({"trian_images": np.zeros(3)}, "unknown array 'trian_images'; did you mean 'train_images'?"),
        (
            {"train_images": arrays()["train_images"] / 255},
            r"train_images must be uint8 in 0..255, got float64; convert by",
        ),
        ({"train_images": np.zeros((12, 5), np.uint8)}, r"train_images must be \(N, H, W\) or \(N, H, W, channels\)"),
        ({"train_labels": np.arange(11) % 3}, "12 train_images, but 11 train_labels"),
        ({"train_labels": np.arange(12) / 3}, r"train_labels must be integers of shape \(N,\), got float64"),
        (
            {"train_images": arrays()["train_images"].astype(int)},
            r"got int64; convert by x.astype\('uint8'\) if x lies in 0..255",
        ),
        ({"train_labels": np.array([0.0, 1, np.nan] * 4)}, r"got float64 of shape \(12,\), nan at index 2$"),
        ({"train_labels": np.arange(12) - 1}, "train_labels must be numbers of classes from 0, got -1 at index 0"),
        (
            {"train_labels": np.array([0, 1, 2**64 - 1] * 4, np.uint64)},
            "train_labels must be numbers of classes from 0, got 18446744073709551615 at index 2",
        ),
        (
            {"train_labels": np.zeros(12, int), "test_labels": np.zeros(6, int)},
            "at least 2 classes are needed in train_labels, got 1",
        ),
        (
            {"train_labels": np.arange(12) % 3 + 1},
            "train_labels reach 3, but none is 0; number the classes from 0 without gaps, or name all of them",
        ),
        ({"train_labels": np.array([0, 1, 10**9] * 4)}, "train_labels reach 1000000000, but none is 2"),
        (
            {"test_labels": np.array([0, 1, 2, 3, 0, 1])},
            "test_labels has 3 at index 3, a class without training image",
        ),
        (
            {"val_images": arrays()["test_images"], "val_labels": np.array([0, 1, 2, 0, 4, 1])},
            "val_labels has 4 at index 4, a class without training image",
        ),
        ({"labels_are_true": "False"}, "labels_are_true must be True or False, got <U5 False"),
        ({"labels_are_true": [True, False]}, r"labels_are_true must be True or False, got bool \[True, False\]"),
        ({"test_images": np.zeros((6, 9, 9, 3), np.uint8)}, r"test_images are \(9, 9, 3\), train_images \(10, 10, 3\)"),
        ({"class_names": ["cat", "dog"]}, "class_names must be at least 3 texts"),
        ({"val_images": arrays()["test_images"]}, "no array val_labels, but its images"),
        (
            {"train_labels": np.array([None] * 12, dtype=object)},
            "train_labels.npy holds Python objects, which are not read",
        ),
    ],
)
def test_what_makes_no_data_set_is_refused_in_one_line(tmp_path, changes, text):
    path = saved(tmp_path, **changes)
    with pytest.raises(ValueError, match=text) as error:
        datasets.load(str(path))
    assert "\n" not in str(error.value)
    report = datasets.examine(str(path))
    assert not report.usable
    assert report.findings[0].state == "broken"


def test_cut_files_bombs_and_missing_files_are_refused(tmp_path, monkeypatch):
    path = saved(tmp_path)
    with pytest.raises(MissingDataError, match=r"there is no file .*other\.npz; save the arrays"):
        datasets.load(str(tmp_path / "other.npz"))
    with zipfile.ZipFile(path) as archive:
        total = sum(member.file_size for member in archive.infolist())
    monkeypatch.setattr(own, "MEMORY", total - 1)
    with pytest.raises(ValueError, match=f"unpacks to {total:,} bytes, but this machine has {total - 1:,} bytes"):
        datasets.load(str(path))
    monkeypatch.setattr(own, "MEMORY", total)
    datasets.load(str(path))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match="zip file"):
        datasets.load(str(path))


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (12, 10, 10, 3)",  # never closed
        b"{1: 2, 'shape': (12, 10, 10, 3)}",
        b"",
        bytes(9),
    ],
)
@pytest.mark.parametrize("version", [b"\x01\x00", b"\x02\x00", b"\x09\x00"])
def test_an_array_with_a_broken_header_is_refused_in_one_line(tmp_path, header, version):
    path = saved(tmp_path)
    size = len(header).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["train_images.npy"] = b"\x93NUMPY" + version + size + header
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(ValueError, match=rf"^{path}: ") as error:
        datasets.load(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(13, 10, 10, 3), (2**40, 2**10, 2**10, 3)])
def test_an_array_that_claims_more_than_it_holds_takes_no_memory(tmp_path, shape):
    path = saved(tmp_path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["train_images.npy"] = header.getvalue() + arrays()["train_images"].tobytes()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(ValueError, match=r"train_images\.npy claims to hold \(.*, 3\) uint8, but has 3,728 bytes"):
        datasets.load(str(path))


def test_a_damaged_file_is_refused_in_one_line_or_read(tmp_path):
    path = saved(tmp_path)
    np.savez(path, **arrays(count=3, side=2))  # not compressed, so that damage reaches the headers of arrays
    whole, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    messages: list[str] = []
    for at in rng.integers(0, len(whole), 300):
        damaged = whole.copy()
        damaged[at] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        own._load.cache_clear()
        try:
            datasets.load(str(path))
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert not [message for message in messages if "\n" in message]


def test_a_file_that_changes_is_read_anew(tmp_path):
    path = saved(tmp_path)
    before = datasets.load(str(path))
    assert datasets.load(str(path)) is before
    stamp = path.stat()
    images = arrays()["train_images"]
    np.savez_compressed(path, **{**arrays(), "train_images": images[::-1]})
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert np.array_equal(datasets.load(str(path)).train_images, images[::-1])


def make_folder(root: Path, training: str = "train", sizes: tuple[tuple[int, int], ...] = ((16, 16),)) -> Path:
    rng = np.random.default_rng(0)
    for part, count in ((training, 6), ("test", 3)):
        for name in ("cat", "dog"):
            home = root / "pets" / part / name
            home.mkdir(parents=True)
            for i in range(count):
                size = sizes[i % len(sizes)]
                Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(home / f"{i}.png")
    return root / "pets"


def test_a_folder_per_class_makes_a_data_set(tmp_path):
    root = make_folder(tmp_path)
    (root / "train" / "cat" / ".hidden.png").write_bytes(b"")
    (root / "train" / "dog" / "notes.txt").write_text("x")
    found = datasets.load(str(root))
    assert (found.info.name, found.info.shape, found.info.class_names) == ("pets/", (3, 16, 16), ("cat", "dog"))
    assert found.train_labels.tolist() == [0] * 6 + [1] * 6
    assert found.info.resident
    assert found.info.true_labels
    assert np.array_equal(found.train_images[0], np.asarray(Image.open(root / "train" / "cat" / "0.png")))
    texts = " ".join(finding.text for finding in datasets.examine(str(root)).findings)
    assert "1 files that are no images: train/dog/notes.txt" in texts


def test_photographs_become_squares_that_stay_on_disk(tmp_path):
    root = make_folder(tmp_path, "noisy_train", ((90, 120), (100, 80)))
    found = datasets.load(str(root))
    assert (found.info.shape, found.info.margin, found.info.resident) == ((3, 224, 224), 32, False)
    assert not found.info.true_labels
    assert found.train_images.shape == (12, 256, 256, 3)
    assert found.train_images[np.array([3])].shape == (1, 256, 256, 3)


@pytest.mark.parametrize(
    ("break_it", "text"),
    [
        (lambda root: (root / "test").rename(root / "tets"), "one of train/ and noisy_train/, and test/, are wanted"),
        (lambda root: (root / "noisy_train").mkdir(), "one of train/ and noisy_train/, and test/, are wanted"),
        (lambda root: (root / "test" / "cow").mkdir(), "cow: no class of the training folder; those are cat, dog"),
        (lambda root: [p.unlink() for p in (root / "test").rglob("*.png")], "test: there are no images in its folders"),
        (lambda root: (root / "train" / "cat" / "0.png").write_bytes(b"no image"), "image .*0.png cannot be read"),
    ],
)
def test_a_folder_of_another_form_is_refused(tmp_path, break_it, text):
    root = make_folder(tmp_path)
    break_it(root)
    own_folder._photos.cache_clear()
    with pytest.raises(ValueError, match=text) as error:
        datasets.load(str(root))
    assert "\n" not in str(error.value)
    assert not datasets.examine(str(root)).usable


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingDataError, match=r"there is no folder .*nowhere"):
        datasets.info(str(tmp_path / "nowhere"))


def test_an_npz_is_read_member_by_member_only_if_each_is_known(tmp_path):
    path = saved(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../evil.npy", b"x")
    with pytest.raises(ValueError, match=r"unknown array '\.\./evil'"):
        datasets.load(str(path))
