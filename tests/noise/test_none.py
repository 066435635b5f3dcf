"""No noise of ours: labels stay as they are, true or not, and a believed rate is told and marked as such."""

import re

import numpy as np
import pytest

import noise
from noise import NoiseSpec, corrupt

LABELS = np.arange(50) % 5


def test_labels_that_may_be_wrong_stay_and_nothing_is_counted_against_them():
    made = corrupt(LABELS, None, 5, NoiseSpec("none"), 3, labels_are_true=False)
    assert np.array_equal(made.given, LABELS)
    assert (made.clean, made.expected, made.notes) == (None, None, ())
    with pytest.raises(ValueError, match="the true labels of these samples are unknown"):
        made.wrong.sum()
    card = noise.card(made)
    assert (card["asked"], card["expected"], card["actual"], card["effective"]) == (None, None, None, None)


def test_true_labels_stay_and_none_is_wrong():
    made = corrupt(LABELS, None, 5, NoiseSpec("none"), 3)
    assert np.array_equal(made.given, LABELS)
    assert made.given is not made.clean
    assert noise.card(made)["actual"] == 0


def test_a_believed_share_is_told_as_expected_and_marked_as_belief():
    spec = NoiseSpec.parse("none:assumed=0.385")
    assert (str(spec), spec.rate) == ("none:assumed=0.385", None)
    made = corrupt(LABELS, None, 5, spec, 3, labels_are_true=False)
    assert made.expected == 0.385
    assert made.notes == ("the wrong share is somebody's belief, not counted",)
    assert np.array_equal(made.given, LABELS)
    assert corrupt(LABELS, None, 5, NoiseSpec.parse("none:assumed=0"), 3, labels_are_true=False).expected == 0


def test_a_believed_share_changes_no_label_and_so_no_id():
    specs = (NoiseSpec("none"), NoiseSpec.parse("none:assumed=0.2"))
    assert len({corrupt(LABELS, None, 5, spec, seed).noise_id for spec in specs for seed in (0, 1)}) == 1


def test_other_families_refuse_labels_that_may_be_wrong():
    with pytest.raises(ValueError, match="noise family 'symmetric' starts from true labels, and these data have none"):
        corrupt(LABELS, None, 5, NoiseSpec("symmetric", 0.2), 3, labels_are_true=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none:assumed=1", "noise option 'assumed' must be in [0, 1), got 1"),
        ("none:assumed=20", "noise option 'assumed' must be in [0, 1), got 20"),
        ("none:assumed=-0.5", "noise option 'assumed' must be in [0, 1), got -0.5"),
        ("none:assumed=nan", "noise option 'assumed' must be a number"),
        ("none:0.2", "expected KEY=VALUE, got '0.2'"),
        ("none:flips=iid", "flips='iid' is for our own dialects only"),
        ("none:asumed=0.2", "noise family 'none' has no key 'asumed'; did you mean 'assumed'?"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        NoiseSpec.parse(text)
