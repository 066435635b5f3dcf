"""Labels from a file: taken as they are where they are for these samples, refused with index and value where not."""

import re

import numpy as np
import pytest

import noise
from noise import NoiseSpec, corrupt, formats

CLEAN = np.arange(40) % 4
GIVEN = np.where(np.arange(40) % 5 == 0, (CLEAN + 1) % 4, CLEAN)
OOD = np.arange(40) % 10 == 3


def drawn(text="file:labels.json", labels=CLEAN, num_classes=4, **attached):
    return corrupt(labels, None, num_classes, NoiseSpec.parse(text), 0, attached={"given": GIVEN} | attached)


def test_the_labels_of_the_file_are_taken_and_counted():
    made = drawn(clean=CLEAN)
    assert np.array_equal(made.given, GIVEN)
    assert (made.expected, made.transition, made.is_ood, made.generator) == (None, None, None, "none")
    card = noise.card(made)
    assert (card["asked"], card["wrong"], card["actual"], card["origin"]) == (None, 8, 0.2, "labels.json")
    assert made.noise_id == noise.noise_id(GIVEN)  # the labels, not the recipe


def test_a_dialect_and_its_exported_file_share_one_id():
    original = corrupt(CLEAN, None, 4, NoiseSpec.parse("symmetric:0.4:dialect=dividemix"), 123)
    for form in formats.FORMS:
        found = formats.read_labels(formats.write_labels(original, form), f"x.{form}")
        assert drawn(**found.arrays()).noise_id == original.noise_id


@pytest.mark.parametrize("form", ["npz", "json"])
def test_foreign_images_travel_through_a_file(form):
    source = {"source_size": np.array(30)}
    original = corrupt(CLEAN, None, 4, NoiseSpec.parse("openset:0.5:open=0.5"), 1, attached=source)
    arrays = formats.read_labels(formats.write_labels(original, form), f"x.{form}").arrays()
    made = drawn("file:x.json:source=cifar100", **arrays)
    assert made.noise_id == original.noise_id
    assert np.array_equal(made.wrong, original.wrong)
    assert made.spec.options["source"] == "cifar100"
    with pytest.raises(ValueError, match=f"says that {original.is_ood.sum()} images are foreign; name their data set"):
        drawn(**arrays)


def test_a_file_of_foreign_images_alone_leaves_the_labels():
    arrays = formats.read_labels(b"[[39, 5], [0, 7]]", "open.json").arrays()
    made = drawn("file:open.json:source=cifar100", **arrays)
    assert np.array_equal(made.given, CLEAN)
    assert np.flatnonzero(made.is_ood).tolist() == [0, 39]
    assert made.source_index[[0, 39]].tolist() == [7, 5]
    assert (made.source_index == -1).sum() == 38
    assert noise.card(made)["foreign"] == 2
    assert noise.card(made)["wrong"] == 0
    with pytest.raises(ValueError, match=r"says that 2 images are foreign; name their data set by source=NAME"):
        drawn(**arrays)
    with pytest.raises(ValueError, match=r"image 5 replaces sample 39, but samples are 0\.\.19"):
        drawn("file:open.json:source=cifar100", CLEAN[:20], **arrays)


def test_images_that_are_foreign_in_their_own_place_need_no_source():
    made = drawn(is_ood=OOD, source_index=np.full(40, -1))
    assert np.array_equal(made.is_ood, OOD)
    assert made.spec.options["source"] == ""


def test_45000_labels_are_those_of_the_first_45000_samples():
    clean = np.arange(50_000) // 5_000
    given = (clean[:45_000] + 1) % 10
    made = drawn("file:plc.npy", clean, 10, given=given, clean=clean[:45_000])
    assert np.array_equal(made.given[:45_000], given)
    assert np.array_equal(made.given[45_000:], clean[45_000:])
    assert made.wrong.sum() == 45_000
    assert made.notes == ("the file labels the first 45,000 samples; the rest keep their true labels",)
    ood = np.arange(45_000) < 2
    made = drawn("file:plc.npy:source=x", clean, 10, given=given, is_ood=ood, source_index=np.where(ood, 8, -1))
    assert (made.is_ood.sum(), made.is_ood.shape, made.source_index[-1]) == (2, (50_000,), -1)


@pytest.mark.parametrize(
    ("attached", "message"),
    [
        ({"given": GIVEN[:39]}, "the file holds 39 labels, the data have 40 samples"),
        ({"given": GIVEN[:36]}, "the file holds 36 labels, the data have 40 samples"),
        ({"given": np.append(GIVEN, 0)}, "the file holds 41 labels, the data have 40 samples"),
        ({"given": GIVEN[:0]}, "labels of the file must be one label per sample, shape (N,), got shape (0,)"),
        ({"given": np.where(np.arange(40) == 9, 4, GIVEN)}, "labels of the file must lie in 0..3, got 4 at index 9"),
        ({"given": np.where(np.arange(40) == 9, -100, GIVEN)}, "must lie in 0..3, got -100 at index 9"),
        ({"given": GIVEN * 1.0}, "labels of the file must be integers, got dtype float64"),
        ({"clean": np.where(np.arange(40) == 6, 1, CLEAN)}, "true label 1 at index 6, the data have 2"),
        ({"clean": CLEAN[:39]}, "the file holds 39 true labels, but labels of 40 samples"),
        ({"is_ood": OOD}, "labels with foreign images need source_index, int64 of shape (40,)"),
        ({"is_ood": OOD, "source_index": np.zeros(39, dtype=np.int64)}, "need source_index, int64 of shape (40,)"),
        ({"is_ood": OOD * 1, "source_index": GIVEN}, "labels with foreign images need is_ood, bool of shape (40,)"),
    ],
)
def test_labels_for_other_data_are_refused(attached, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        drawn(**attached)


def test_45000_of_other_than_50000_are_refused():
    clean = np.arange(60_000) % 10
    with pytest.raises(ValueError, match="the file holds 45,000 labels, the data have 60,000 samples"):
        drawn("file:plc.npy", clean, 10, given=clean[:45_000])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file", "noise 'file' has no path; write file:PATH"),
        ("file:x.npy:flips=iid", "flips='iid' is for our own dialects only"),
        ("file:x.npy:sorce=cifar100", "noise family 'file' has no key 'sorce'; did you mean 'source'?"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        NoiseSpec.parse(text)


def test_the_text_of_a_spec_names_file_and_hash():
    spec = NoiseSpec("file", options={"path": "a/b.json", "sha256": "ff" * 32})
    assert str(spec) == f"file:a/b.json:sha256={'ff' * 32}"
    assert NoiseSpec.parse(str(spec)) == spec
