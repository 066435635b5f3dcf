"""Own data: an .npz in five lines, a folder of images, and what is refused in one line."""

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


def test_the_digest_follows_the_content(tmp_path):
    digests = {datasets.info(str(saved(tmp_path))).digest}
    labels = arrays()["train_labels"].copy()
    labels[0] = 2
    for changes in ({"train_labels": labels}, {"val_images": arrays()["test_images"], "val_labels": np.arange(6) % 3}):
        digests.add(datasets.info(str(saved(tmp_path, **changes))).digest)
    assert len(digests) == 3


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
        ({"train_labels": np.arange(12) - 1}, "train_labels must be at least 0, got -1 at index 0"),
        ({"train_labels": np.zeros(12, int), "test_labels": np.zeros(6, int)}, "at least 2 classes are needed, got 1"),
        ({"test_images": np.zeros((6, 9, 9, 3), np.uint8)}, r"test_images are \(9, 9, 3\), train_images \(10, 10, 3\)"),
        ({"class_names": ["cat"]}, "class_names must be at least 3 texts"),
        ({"val_images": arrays()["test_images"]}, "no array val_labels, but its images"),
        ({"train_labels": np.array([None] * 12, dtype=object)}, "allow_pickle=False"),
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
    monkeypatch.setattr(own, "SIZE_CAP", 1000)
    own._load.cache_clear()
    with pytest.raises(ValueError, match="unpacks to 3,728 bytes, allowed are 1,000"):
        datasets.load(str(path))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match="zip file"):
        datasets.load(str(path))


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
