"""Clothing1M, WebVision, Food-101N, ANIMAL-10N and Mini-ImageNet in small copies of their exact layouts."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data import animal10n, clothing1m, datasets, photos, red_mini_imagenet, webvision
from bench.data.datasets import MissingDataError
from bench.data.report import Report

# class -> images; the third class is the rarest of the noisy ones
NOISY = {label: 4 if label == 2 else 5 + label % 3 for label in range(14)}
CLEAN = {"clean_train": 1, "clean_val": 2, "clean_test": 3}


@pytest.fixture(autouse=True)
def forget():
    """Data sets remember what they have read; each test has a folder of its own, and changes it."""
    known = [clothing1m._ALL, clothing1m._BALANCED, clothing1m._RESAMPLED, webvision._WEB, webvision._IMAGENET]
    yield
    for name in ("food101n", *(f"{c}_mini_imagenet_{s}" for c in ("red", "blue") for s in (20, 40, 60, 80))):
        known.append(datasets.source(name).info.__self__)
    for one in (*known, animal10n._PHOTOS):
        one._forget()
    animal10n._arrays.cache_clear()


def picture(path: Path, seed: int, grey: bool = False, size: tuple[int, int] = (40, 50)) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if grey else pixels).save(path, quality=95)


def lines(rows: list[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


@pytest.fixture
def clothing(tmp_path: Path) -> Path:
    """Clothing1M as its authors give it: lists at the root, images below."""
    root = tmp_path / "clothing1m"
    noisy, clean, keys = [], [], {"noisy_train": [], **{part: [] for part in CLEAN}}
    number = 0
    for part, counts in (("noisy_train", NOISY), *((part, dict.fromkeys(range(14), n)) for part, n in CLEAN.items())):
        for label, count in counts.items():
            for _ in range(count):
                number += 1
                blank = " " if number % 5 == 0 else ""  # names may hold commas, and blanks
                name = f"images/{number % 10}/{number % 100:02d}/{number},{blank}{number * 7}.jpg"
                picture(root / name, number, grey=number % 11 == 0)
                keys[part].append(name)
                (noisy if part == "noisy_train" else clean).append(f"{name} {label}")
    noisy.append(f"{keys['clean_test'][0]} 5")  # the label files tell of images of other splits, too
    (root / "noisy_label_kv.txt").write_text(lines(noisy))
    (root / "clean_label_kv.txt").write_text(lines(clean))
    for part, names in keys.items():
        (root / f"{part}_key_list.txt").write_text(lines(names))
    (root / "category_names_eng.txt").write_text(lines([f"name {label}" for label in range(14)]))
    (root / "category_names_chn.txt").write_bytes("T恤\n".encode("gbk") * 14)
    return tmp_path


LISTS = ("noisy_label_kv.txt", "clean_label_kv.txt", "category_names_eng.txt")
KEYS = ("noisy_train_key_list.txt", "clean_train_key_list.txt", "clean_val_key_list.txt", "clean_test_key_list.txt")


def into(place: str) -> Callable[[Path], None]:
    def move(root: Path) -> None:
        (root / place).mkdir()
        for name in (*LISTS, *KEYS):
            shutil.move(root / name, root / place / name)

    return move


def beside(root: Path) -> None:
    for path in (root / "images").iterdir():
        shutil.move(path, root / path.name)
    (root / "images").rmdir()


def merged(root: Path) -> None:
    labels = {}
    for name in LISTS[:2]:
        for line in (root / name).read_text().splitlines():
            key, _, label = line.rpartition(" ")
            labels.setdefault((name[:5], key), label)
    for name in KEYS:
        part = name.removesuffix("_key_list.txt")
        rows = [f"{key} {labels[part[:5], key]}" for key in (root / name).read_text().splitlines()]
        if part == "clean_train":
            rows[3] = rows[3].rpartition(" ")[0]  # as in the list that goes round, whose line 10620 lacks its label
        (root / f"{part}.txt").write_text(lines(rows))
    for name in (*LISTS[:2], *KEYS):
        (root / name).unlink()


LAYOUTS = {
    "root": lambda root: None,
    "annotations": into("annotations"),
    "label": into("label"),
    "beside the folders": beside,
    "merged": merged,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_clothing1m_gives_the_same_set(clothing, layout):
    before = datasets.load("clothing1m_all", clothing)
    pixels = before.train_images[np.array([0, 3, 50])]
    clothing1m._ALL._forget()
    LAYOUTS[layout](clothing / "clothing1m")
    found = datasets.load("clothing1m_all", clothing)
    info = found.info
    assert (info.train_size, info.val_size, info.test_size, info.num_classes) == (sum(NOISY.values()), 28, 42, 14)
    assert np.array_equal(found.train_labels, before.train_labels)
    assert np.array_equal(found.val_labels, np.repeat(np.arange(14), 2))
    assert np.array_equal(found.test_labels, np.repeat(np.arange(14), 3))
    assert np.array_equal(found.train_images[np.array([0, 3, 50])], pixels)
    assert (info.shape, info.margin, info.resident, info.true_labels) == ((3, 224, 224), 32, False, False)
    report = datasets.examine("clothing1m_all", clothing)
    assert report.usable
    texts = " ".join(finding.text for finding in report.findings)
    assert {"annotations": "annotations,", "label": "label,", "merged": "merged lists"}.get(
        layout, "lists of keys"
    ) in texts
    assert ("leading images/ is dropped" in texts) == (layout == "beside the folders")
    assert "clean_train is not used" in texts
    assert f"train: {sum(NOISY.values())} images are listed, the official list has 1,000,000" in texts
    assert ("clean_train.txt: no label in line 4; left out" in texts) == (layout == "merged")
    assert info.class_names[3] == "name 3"


def test_the_balanced_subset_has_as_many_of_each_class_and_never_changes(clothing):
    found = datasets.load("clothing1m", clothing)
    assert np.bincount(found.train_labels).tolist() == [4] * 14
    again = datasets.load("clothing1m", clothing)
    assert found.info.digest == again.info.digest
    whole = datasets.info("clothing1m_all", clothing)
    assert found.info.digest != whole.digest
    key = np.random.Generator(np.random.PCG64(0)).random(whole.train_size)
    given = np.repeat(list(NOISY), list(NOISY.values()))
    chosen = [i for c in range(14) for i in sorted(np.flatnonzero(given == c), key=lambda i: key[i])[:4]]
    names = datasets.load("clothing1m_all", clothing).train_images
    assert [found.train_images.name(i) for i in range(56)] == [names.name(i) for i in sorted(chosen)]


def test_the_resampled_set_draws_each_epoch_anew(clothing):
    info = datasets.info("clothing1m_resampled", clothing)
    assert info.epoch_size == 64_000
    assert info.mean == (0.6959, 0.6537, 0.6371)


@pytest.mark.parametrize(
    ("file", "change", "text"),
    [
        ("noisy_label_kv.txt", lambda t: t.replace(" 3\n", " 14\n", 1), r"line \d+: label must lie in 0..13, got 14"),
        ("noisy_train_key_list.txt", lambda t: t + "../../etc/x.jpg\n", r"line \d+: image name '../../etc/x.jpg'"),
        ("noisy_train_key_list.txt", lambda t: t + "/etc/x.jpg\n", "image name '/etc/x.jpg' must be a path inside"),
        ("noisy_train_key_list.txt", lambda t: t + "im/x.jpg\n", "1 of .* images have no label, the first is im"),
        ("clean_val_key_list.txt", lambda t: "", "clean_val_key_list.txt: the list is empty"),
        ("category_names_eng.txt", lambda t: "one\n", "14 class names are wanted, got 1"),
    ],
)  # fmt: skip
def test_lists_that_make_no_sense_are_refused_by_file_and_line(clothing, file, change, text):
    path = clothing / "clothing1m" / file
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=text) as error:
        datasets.info("clothing1m", clothing)
    assert "\n" not in str(error.value)
    assert datasets.examine("clothing1m", clothing).findings[0].state == "broken"


def test_a_list_in_another_encoding_is_refused(clothing):
    (clothing / "clothing1m" / "clean_test_key_list.txt").write_bytes("图像".encode("gbk"))
    with pytest.raises(ValueError, match=r"clean_test_key_list.txt: not a text file in UTF-8"):
        datasets.info("clothing1m", clothing)


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(clothing):
    digest = datasets.info("clothing1m", clothing).digest
    clothing1m._BALANCED._forget()
    for name in (*LISTS, *KEYS):
        path = clothing / "clothing1m" / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert datasets.info("clothing1m", clothing).digest == digest


def findings(report: Report, state: str) -> list[str]:
    return [finding.text for finding in report.findings if finding.state == state]


def test_missing_images_are_counted_and_named(clothing):
    listing = clothing1m.find(clothing)
    for name in listing.parts["test"].names[:4]:
        (listing.root / name).unlink()
    with pytest.raises(
        MissingDataError, match=r"4 of 42 images of test are not there, the first is .*; see: run_bench.py"
    ):
        datasets.info("clothing1m", clothing)
    (text,) = findings(datasets.examine("clothing1m", clothing), "missing")
    assert text.startswith(f"test: 4 of 42 images are not there: {listing.parts['test'].names[0]}, ")


def test_broken_images_are_found_and_can_be_left_out(clothing):
    from bench.data import manifest

    listing = clothing1m.find(clothing)
    victim = listing.parts["val"].names[0]
    (listing.root / victim).write_bytes((listing.root / victim).read_bytes()[:200])
    before = datasets.load("clothing1m_all", clothing)
    report = datasets.examine("clothing1m_all", clothing)
    assert any(victim in text and "--skip-broken" in text for text in findings(report, "broken"))
    assert manifest.skip_broken(before, clothing, lambda line: None) == 1
    clothing1m._ALL._forget()
    after = datasets.info("clothing1m_all", clothing)
    assert after.val_size == before.info.val_size - 1
    assert after.digest != before.info.digest
    report = datasets.examine("clothing1m_all", clothing)
    assert report.usable
    assert "1 unreadable images are left out (doctor --skip-broken)" in findings(report, "note")


def test_an_image_that_is_gone_since_the_last_look_is_missed(clothing):
    assert datasets.info("clothing1m_all", clothing).train_size == sum(NOISY.values())
    listing = clothing1m.find(clothing)
    (listing.root / listing.parts["train"].names[5]).unlink()
    assert findings(datasets.examine("clothing1m_all", clothing), "missing")
    clothing1m._ALL._forget()
    with pytest.raises(MissingDataError, match=r"1 of .* images of train are not there"):
        datasets.info("clothing1m_all", clothing)


def test_two_labels_for_one_image_are_refused_and_clean_training_images_elsewhere_told(clothing):
    root = clothing / "clothing1m"
    unused = (root / "clean_train_key_list.txt").read_text().splitlines()[0]
    with (root / "clean_test_key_list.txt").open("a") as file:
        file.write(f"{unused}\n")
    notes = findings(datasets.examine("clothing1m_all", clothing), "note")
    assert "1 images of clean_train_key_list.txt are in test too" in notes
    first = (root / "noisy_train_key_list.txt").read_text().splitlines()[0]
    with (root / "noisy_label_kv.txt").open("a") as file:
        file.write(f"{first} 5\n")
    clothing1m._ALL._forget()
    with pytest.raises(ValueError, match=r"noisy_label_kv\.txt: .* has two labels, 0 and 5"):
        datasets.info("clothing1m_all", clothing)


def test_two_labels_for_one_image_are_refused_in_merged_lists_too(clothing):
    root = clothing / "clothing1m"
    merged(root)
    path = root / "noisy_train.txt"
    name = path.read_text().splitlines()[0].rpartition(" ")[0]
    path.write_text(path.read_text() + f"{name} 9\n")
    with pytest.raises(ValueError, match=r"noisy_train\.txt: .* has two labels, 0 and 9"):
        datasets.info("clothing1m_all", clothing)


def test_of_several_layouts_the_one_used_is_told_and_so_are_the_others(clothing):
    root = clothing / "clothing1m"
    (root / "annotations").mkdir()
    for name in (*LISTS, *KEYS):
        shutil.copy(root / name, root / "annotations" / name)
    (root / "noisy_train.txt").write_text("x 0\n")
    (clothing / "Clothing1M").symlink_to(root)  # the same lists by another name are no second set
    report = datasets.examine("clothing1m_all", clothing)
    assert report.findings[0].text.startswith(f"lists of keys in {root / 'annotations'},")
    notes = [text for text in findings(report, "note") if "not used" in text and "clean_train" not in text]
    assert notes == [
        f"{root / name} is there, too, and not used" for name in ("noisy_train_key_list.txt", "noisy_train.txt")
    ]


def test_a_line_without_a_label_in_the_clean_labels_is_told_once(clothing):
    path = clothing / "clothing1m" / "clean_label_kv.txt"
    path.write_text(path.read_text() + "images/unlabelled.jpg\n")
    notes = findings(datasets.examine("clothing1m_all", clothing), "note")
    assert notes.count(f"{path}: no label in line 85; left out") == 1


def test_no_subset_is_balanced_where_a_class_has_no_image(clothing):
    root = clothing / "clothing1m"
    labels = dict(line.rsplit(" ", 1) for line in (root / "noisy_label_kv.txt").read_text().splitlines())
    path = root / "noisy_train_key_list.txt"
    path.write_text(lines([name for name in path.read_text().splitlines() if labels[name] != "3"]))
    with pytest.raises(ValueError, match="no training image has label 3, so no subset can be balanced"):
        datasets.info("clothing1m", clothing)
    assert datasets.examine("clothing1m", clothing).findings[0].state == "broken"
    assert datasets.examine("clothing1m_all", clothing).usable


def test_empty_files_are_found_without_decoding_all(clothing, monkeypatch):
    monkeypatch.setattr(photos, "SAMPLE", 2)
    listing = clothing1m.find(clothing)
    victim = listing.parts["train"].names[7]
    (listing.root / victim).write_bytes(b"")
    (text,) = findings(datasets.examine("clothing1m_all", clothing), "broken")
    assert text == f"train: 1 images are empty files: {victim} (doctor --skip-broken leaves such out)"


def test_a_list_in_another_order_is_another_set(clothing):
    before = datasets.info("clothing1m_all", clothing).digest
    path = clothing / "clothing1m" / "noisy_train_key_list.txt"
    path.write_text(lines(path.read_text().splitlines()[::-1]))
    clothing1m._ALL._forget()
    assert datasets.info("clothing1m_all", clothing).digest != before


def test_images_in_two_splits_are_reported(clothing):
    root = clothing / "clothing1m"
    twice = (root / "clean_test_key_list.txt").read_text().splitlines()[0]
    with (root / "clean_val_key_list.txt").open("a") as file:
        file.write(f"{twice}\n{twice}\n")
    notes = findings(datasets.examine("clothing1m_all", clothing), "note")
    assert "1 images are in test and in val" in notes
    assert "val: 1 images are listed twice" in notes


def test_clothing1m_that_is_not_there_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(MissingDataError, match=r"no noisy_train_key_list.txt and no noisy_train.txt in .*annotations/"):
        datasets.info("clothing1m", tmp_path)
    assert "on request from its authors" in datasets.examine("clothing1m", tmp_path).where


@pytest.fixture
def web(tmp_path: Path) -> Path:
    root, train, val = tmp_path / "webvision", [], []
    for number in range(60):
        name = f"google/q{number:04d}/{number}.jpg"
        picture(root / name, number)
        train.append(f"{name} {number}")
        picture(root / "val_images_256" / f"val{number:06d}.jpg", 100 + number)
        val.append(f"val{number:06d}.jpg {number}")
        picture(root / "imagenet" / "val" / str(number % 50) / f"ILSVRC2012_val_{number:08d}.JPEG", 200 + number)
    (root / "info").mkdir()
    (root / "info" / "train_filelist_google.txt").write_text(lines(train))
    (root / "info" / "val_filelist.txt").write_text(lines(val))
    return tmp_path


def test_webvision_mini_is_the_first_fifty_classes(web):
    found = datasets.load("webvision_mini", web)
    assert found.train_labels.tolist() == list(range(50))
    assert found.test_labels.tolist() == list(range(50))
    assert found.test_images.name(3) == "val_images_256/val000003.jpg"
    assert (found.info.shape, found.info.margin) == ((3, 299, 299), 21)
    other = datasets.load("webvision_mini_imagenet", web)
    assert len(other.test_labels) == 60
    assert np.bincount(other.test_labels)[:10].tolist() == [2] * 10
    assert other.info.digest != found.info.digest


def test_lines_without_a_label_are_told(web):
    path = web / "webvision" / "info" / "train_filelist_google.txt"
    path.write_text(path.read_text().replace("/3.jpg 3\n", "/3.jpg\n"))
    notes = findings(datasets.examine("webvision_mini", web), "note")
    assert f"{path}: no label in line 4; left out" in notes


def test_webvision_without_a_class_of_imagenet_names_its_folder(web):
    shutil.rmtree(web / "webvision" / "imagenet" / "val" / "7")
    with pytest.raises(MissingDataError, match=r"no images in .*imagenet/val/7"):
        datasets.info("webvision_mini_imagenet", web)


@pytest.fixture
def food(tmp_path: Path) -> Path:
    classes, root, test = ["cake", "pie", "soup"], tmp_path / "food101n", tmp_path / "food-101"
    train, tests = ["class_name/key"], []
    for number in range(12):
        kind = classes[number % 3]
        picture(root / "images" / kind / f"{number}.jpg", number)
        train.append(f"{kind}/{number}.jpg")
        if number < 6:
            picture(test / "images" / kind / f"{number}.jpg", 50 + number)
            tests.append(f"{kind}/{number}")
    for home in (root, test):
        (home / "meta").mkdir()
    (root / "meta" / "imagelist.tsv").write_text(lines(["image", *train[1:]]))
    (root / "meta" / "classes.txt").write_text(lines(["class_name", *classes]))
    (root / "meta" / "verified_train.tsv").write_text(
        lines(["class_name/key\tverification_label", "cake/0.jpg\t1", "pie/1.jpg\t0"])
    )
    (test / "meta" / "test.txt").write_text(lines(tests))
    return tmp_path


def test_food101n_numbers_its_classes_by_its_list_and_tests_on_food101(food):
    found = datasets.load("food101n", food)
    assert found.info.class_names == ("cake", "pie", "soup")
    assert found.train_labels.tolist() == [0, 1, 2] * 4
    assert found.test_labels.tolist() == [0, 1, 2] * 2
    assert found.test_images.name(0) == "food-101/images/cake/0.jpg"
    notes = findings(datasets.examine("food101n", food), "note")
    assert "verified_train.tsv: 2 labels verified by people, 50.0 % of them right; not used" in notes


@pytest.mark.parametrize("header", [["class_name/key"], ["image"], []])
def test_food101n_counts_no_header_as_an_image(food, header):
    path = food / "food101n" / "meta" / "imagelist.tsv"
    path.write_text(lines([*header, *path.read_text().splitlines()[1:]]))
    assert datasets.info("food101n", food).train_size == 12


def test_food101n_without_its_classes_is_missing(food):
    (food / "food101n" / "meta" / "classes.txt").unlink()
    with pytest.raises(MissingDataError, match=r"food101n: no .*classes.txt"):
        datasets.info("food101n", food)
    assert datasets.examine("food101n", food).findings[0].state == "missing"


def test_food101n_of_an_unknown_class_is_refused(food):
    path = food / "food-101" / "meta" / "test.txt"
    path.write_text(path.read_text() + "stew/1\n")
    with pytest.raises(ValueError, match=r"test.txt, image 7: 'stew' is no class of meta/classes.txt"):
        datasets.info("food101n", food)


def animals(folder: Path, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8), np.arange(count) % 10


def record(images: np.ndarray, labels: np.ndarray, order: str) -> bytes:
    rows = []
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        rows.append(np.array([number, label], dtype=f"{order}i4").tobytes() + image.transpose(2, 0, 1).tobytes())
    return b"".join(rows)


@pytest.mark.parametrize("order", [">", "<"])
def test_both_layouts_of_animal10n_hold_the_same_images(tmp_path, order):
    images, labels = animals(tmp_path, 30, 0)
    tests, known = animals(tmp_path, 12, 1)
    binary, files = tmp_path / "b" / "animal10n", tmp_path / "f" / "animal10n"
    binary.mkdir(parents=True)
    for part in range(5):
        rows = slice(6 * part, 6 * part + 6)
        (binary / f"data_batch_{part + 1}.bin").write_bytes(record(images[rows], labels[rows], order))
    (binary / "test_batch.bin").write_bytes(record(tests, known, order))
    for home, pixels, classes in (("training", images, labels), ("testing", tests, known)):
        (files / home).mkdir(parents=True)
        for number, (image, label) in enumerate(zip(pixels, classes, strict=True)):
            Image.fromarray(image).save(files / home / f"{label}_{number:05d}.png")
    from_binary, from_files = datasets.load("animal10n", tmp_path / "b"), datasets.load("animal10n", tmp_path / "f")
    by_name = np.lexsort((np.arange(30), labels))
    assert np.array_equal(from_binary.train_images[by_name], from_files.train_images)
    assert np.array_equal(np.sort(from_binary.train_labels), from_files.train_labels)
    assert from_binary.info.shape == from_files.info.shape == (3, 64, 64)
    assert from_files.info.resident
    for place in ("b", "f"):
        assert datasets.examine("animal10n", tmp_path / place).usable


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "0 bytes are no whole number"),
        (b"x" * 100, "100 bytes are no whole number of records of 12,296"),
        (b"\0" * 6 + b"\1\1" + b"x" * 12_288, "label must lie in 0..9"),
    ],
)
def test_a_binary_file_of_another_form_is_refused(tmp_path, data, text):
    images, labels = animals(tmp_path, 2, 0)
    for name in animal10n.BINARY:
        (tmp_path / name).write_bytes(record(images, labels, ">"))
    (tmp_path / "test_batch.bin").write_bytes(data)
    with pytest.raises(ValueError, match=text):
        datasets.load("animal10n", tmp_path)
    assert not datasets.examine("animal10n", tmp_path).usable


def test_binary_files_are_read_again_when_they_are_examined(tmp_path):
    images, labels = animals(tmp_path, 2, 0)
    for name in animal10n.BINARY:
        (tmp_path / name).write_bytes(record(images, labels, ">"))
    assert datasets.examine("animal10n", tmp_path).usable
    (tmp_path / "test_batch.bin").write_bytes(b"x" * 100)
    assert not datasets.examine("animal10n", tmp_path).usable


def test_a_broken_image_of_a_set_in_memory_can_be_left_out_too(tmp_path, capsys):
    from bench import cli

    for place, count in (("training", 12), ("testing", 4)):
        for number in range(count):
            picture(tmp_path / place / f"{number % 10}_{number}.jpg", number, size=(64, 64))
    victim = tmp_path / "training" / "3_3.jpg"
    victim.write_bytes(victim.read_bytes()[:200])
    assert cli.main(["doctor", "animal10n", "--data-dir", str(tmp_path)]) == 2
    assert cli.main(["doctor", "animal10n", "--data-dir", str(tmp_path), "--skip-broken"]) == 0
    assert "1 unreadable images are left out of animal10n" in capsys.readouterr().err
    assert len(datasets.load("animal10n", tmp_path).train_labels) == 11


def test_animals_without_a_label_in_their_name_are_refused(tmp_path):
    for place in ("training", "testing"):
        picture(tmp_path / place / "x_1.jpg", 0)
    with pytest.raises(ValueError, match=r"the name must begin with a label 0..9"):
        datasets.info("animal10n", tmp_path)


@pytest.mark.parametrize(
    ("colour", "share", "file"), [("red", 20, "red_noise_nl_0.2"), ("blue", 80, "blue_noise_nl_80")]
)
def test_controlled_mini_imagenet_is_found_by_colour_and_share(tmp_path, colour, share, file):
    root = tmp_path / "mini-imagenet"
    (root / "split").mkdir(parents=True)
    train, clean = [], []
    for label in range(100):
        picture(root / "all_images" / f"t{label}.jpg", label)
        picture(root / "validation" / str(label) / f"v{label}.jpg", 200 + label)
        train.append(f"t{label}.jpg {label}")
        clean.append(f"v{label}.jpg {label}")
    (root / "split" / file).write_text(lines(train))
    (root / "split" / "clean_validation").write_text(lines(clean))
    found = datasets.load(f"{colour}_mini_imagenet_{share}", tmp_path)
    assert found.train_images.shape == (100, 32, 32, 3)
    assert found.test_labels.tolist() == list(range(100))
    other = "blue" if colour == "red" else "red"
    with pytest.raises(MissingDataError, match=rf"{other}_mini_imagenet_{share}: no .*{other}_noise_nl_"):
        datasets.info(f"{other}_mini_imagenet_{share}", tmp_path)
    assert len(red_mini_imagenet.SOURCES) == 8
    assert photos.SAMPLE > 1
