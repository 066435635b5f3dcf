"""Human labels: those of the file, for these samples, and the facts that are known of CIFAR-10N."""

import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

import noise
from noise import NoiseSpec, corrupt, formats, human, maps

GOLDEN = json.loads((Path(__file__).parent / "golden_noise.json").read_text())
CLEAN = np.arange(40) % 10
GIVEN = np.where(np.arange(40) % 4 == 0, (CLEAN + 1) % 10, CLEAN)


def drawn(labels="aggre", clean=CLEAN, num_classes=10, **attached):
    attached = {"human_given": GIVEN, "human_clean": CLEAN} | attached
    return corrupt(clean, None, num_classes, NoiseSpec("human", options={"labels": labels}), 0, attached=attached)


def test_the_labels_of_the_file_are_taken_and_counted():
    made = drawn()
    assert np.array_equal(made.given, GIVEN)
    assert (made.expected, made.transition, made.generator) == (None, None, "none")
    card = noise.card(made)
    assert (card["asked"], card["expected"], card["wrong"], card["actual"], card["z"]) == (None, None, 10, 0.25, None)
    assert (card["convention"], card["flips"]) == ("as given", "as given")
    assert "CC BY-NC 4.0" in card["notes"][0]
    assert "arXiv:2110.12088" in card["notes"][0]
    assert len(card["notes"]) == 1


def test_the_seed_changes_nothing():
    spec = NoiseSpec.parse("human:worst")
    attached = {"human_given": GIVEN, "human_clean": CLEAN}
    ids = {corrupt(CLEAN, None, 10, spec, seed, attached=attached).noise_id for seed in (0, 1)}
    assert len(ids) == 1


def test_a_file_that_is_not_the_published_one_is_named_on_the_card():
    known = np.array(human.SHA256["CIFAR-10_human.pt"])
    assert len(drawn(human_sha256=known).notes) == 1
    for labels, digest in (("aggre", np.array("ab" * 32)), ("noisy100", known)):
        assert drawn(labels, human_sha256=digest).notes[1] == (
            f"the file is not the one published: its sha256 is {digest}"
        )


@pytest.mark.parametrize(
    ("attached", "message"),
    [
        ({"human_clean": np.where(np.arange(40) == 7, 3, CLEAN)}, "true label 3 at index 7, the data have 7"),
        ({"human_given": GIVEN[:39]}, "human labels are for 39 samples, the data have 40"),
        ({"human_clean": CLEAN[:1]}, "human labels are for 1 samples, the data have 40"),
        ({"human_given": GIVEN + 1}, "human labels must lie in 0..9, got 10 at index 8"),
        ({"human_given": GIVEN * 1.0}, "human labels must be integers, got dtype float64"),
    ],
)
def test_labels_of_other_data_are_refused(attached, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        drawn(**attached)


def test_coarse_labels_are_checked_against_the_superclasses_of_the_fine_ones_inside():
    fine = np.arange(100)
    coarse = np.array([next(s for s in range(20) if c in maps.SUPERCLASSES[s]) for c in range(100)])
    assert coarse[[4, 1, 89]].tolist() == [0, 1, 19]
    given = np.where(fine == 50, 0, coarse)
    made = drawn("noisy100_coarse", coarse, 20, human_given=given, human_clean=fine)
    assert made.wrong.sum() == 1
    with pytest.raises(ValueError, match="true label 4 at index 0, the data have 5"):
        drawn("noisy100_coarse", np.where(fine == 0, 5, coarse), 20, human_given=given, human_clean=fine)
    with pytest.raises(ValueError, match=r"true labels of the human ones must lie in 0\.\.99, got 100 at index 0"):
        drawn("noisy100_coarse", coarse, 20, human_given=given, human_clean=fine + 100)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("human:worse", "unknown human labels 'worse'; did you mean 'worst'? available: aggre, noisy100, "),
        ("human:rand4", "unknown human labels 'rand4'; did you mean 'rand"),
        ("human:", "noise 'human:' has no labels; write human:LABELS"),
        ("human:worst:flips=iid", "flips='iid' is for our own dialects only"),
        ("human:worst:rate=0.4", "noise family 'human' has no key 'rate'"),
    ],
)
def test_a_spec_that_names_no_label_set_is_refused(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        NoiseSpec.parse(text)


def test_no_rate_is_taken_and_the_text_names_the_label_set():
    with pytest.raises(ValueError, match=r"takes no rate, got 0\.4; write human:LABELS"):
        NoiseSpec("human", 0.4)
    spec = NoiseSpec.parse("human:worst")
    assert (str(spec), spec.label, spec.rate) == ("human:worst", "human worst", None)


@pytest.mark.parametrize("name", sorted(human.SHA256))
def test_the_known_files_are_those_of_the_golden_record(name):
    assert human.SHA256[name] == GOLDEN["files"][f"cifar-n/{name}"]["sha256"]
    assert any(name == file for file, _, _ in human.KEYS.values())


@pytest.fixture(scope="module")
def cifar_n():
    folder = os.environ.get("LNBENCH_DATA")
    if not folder:
        pytest.skip("LNBENCH_DATA names no folder with CIFAR-10N")
    path = Path(folder) / "cifar-n" / "CIFAR-10_human.pt"
    if not path.is_file():
        pytest.skip(f"no cifar-n/CIFAR-10_human.pt in LNBENCH_DATA={folder}")
    data = path.read_bytes()
    return hashlib.sha256(data).hexdigest(), formats.read_cifar_n(data)


@pytest.mark.data
@pytest.mark.parametrize("labels", ["aggre", "rand1", "rand2", "rand3", "worst"])
def test_cifar_10n_has_the_known_number_of_wrong_labels(cifar_n, labels):
    digest, arrays = cifar_n
    file, given, clean = human.KEYS[labels]
    known = GOLDEN["cifar_n"]["cifar10"][labels]
    assert digest == human.SHA256[file]
    assert hashlib.sha256(arrays[given].astype("<i8").tobytes()).hexdigest() == known["sha256"]
    attached = {"human_given": arrays[given], "human_clean": arrays[clean], "human_sha256": np.array(digest)}
    made = corrupt(arrays[clean], None, 10, NoiseSpec("human", options={"labels": labels}), 0, attached=attached)
    assert made.wrong.sum() == known["wrong"]
    assert made.wrong.mean() == known["rate"]
    assert len(made.notes) == 1


@pytest.mark.data
def test_the_true_labels_of_cifar_10n_are_those_of_the_golden_record(cifar_n):
    digest = hashlib.sha256(cifar_n[1]["clean_label"].astype("<i8").tobytes()).hexdigest()
    assert digest == GOLDEN["label_sources"]["cifar10_train"]["sha256"]


@pytest.mark.data
def test_aggre_is_the_majority_where_there_is_one_and_worst_is_wrong_iff_any_of_three_is(cifar_n):
    arrays, known = cifar_n[1], GOLDEN["cifar_n"]["cifar10"]
    three = np.stack([arrays[f"random_label{k}"] for k in (1, 2, 3)])
    votes = (three[:, None] == three[None]).sum(axis=0)  # (3, N): how many of three say what this one says
    majority = votes.max(axis=0) >= 2
    assert (~majority).sum() == known["images_without_majority"]
    agreed = three[votes.argmax(axis=0), np.arange(three.shape[1])]
    assert np.array_equal(arrays["aggre_label"][majority], agreed[majority])
    assert (arrays["aggre_label"] == three).any(axis=0).all()
    any_wrong = (three != arrays["clean_label"]).any(axis=0)
    assert any_wrong.sum() == known["images_with_any_wrong"]
    assert np.array_equal(arrays["worse_label"] != arrays["clean_label"], any_wrong)
    assert (arrays["worse_label"] == three).any(axis=0).all()
