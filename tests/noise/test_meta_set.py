"""The samples that Meta-Weight-Net's noise leaves clean, and the option that says how many."""

import numpy as np
import pytest

from noise import NoiseSpec, card, corrupt

LABELS = np.arange(3000) % 10


def clean_per_class(made) -> np.ndarray:
    return np.bincount(made.clean[~made.wrong], minlength=10)


def test_a_hundred_of_each_class_stay_clean_by_default():
    made = corrupt(LABELS, None, 10, NoiseSpec("asymmetric", 0.99, "mwnet", map="flip"), 0)
    assert abs(clean_per_class(made) - 100).max() <= 10  # .01 of the other 200 keep their label by chance
    assert made.notes[0] == "1,000 samples stay clean: the method's meta set"
    assert made.expected == pytest.approx(0.99 * 2000 / 3000)


@pytest.mark.parametrize(("size", "kept"), [(0, 0), (9, 0), (10, 1), (2999, 299), (3000, 300)])
def test_the_option_says_how_many(size, kept):
    spec = NoiseSpec("asymmetric", 0.999999, "mwnet", map="flip", options={"n_meta": size})
    made = corrupt(LABELS, None, 10, spec, 0)
    assert clean_per_class(made).tolist() == [kept] * 10
    said = f"{10 * kept:,} samples stay clean: the method's meta set" if kept else "no meta set is kept clean"
    assert made.notes[0] == said


def test_which_samples_stay_clean_follows_the_seed():
    spec = NoiseSpec("asymmetric", 0.999999, "mwnet", map="flip", options={"n_meta": 1500})
    first, second = (corrupt(LABELS, None, 10, spec, seed) for seed in (0, 1))
    assert (first.wrong != second.wrong).sum() > 1000
    both = first.wrong & second.wrong
    assert (first.given[both] == second.given[both]).all()  # the wrong class of each class is seed 1's


def test_without_a_meta_set_the_smallest_data_will_do():
    for family, map in (("symmetric", None), ("asymmetric", "flip")):
        spec = NoiseSpec(family, 0.5, "mwnet", map=map, options={"n_meta": 0})
        assert corrupt([1], None, 3, spec, 0).given[0] in (0, 1, 2)
        assert set(corrupt([0, 0, 3] * 40, None, 4, spec, 0).given) <= {0, 1, 2, 3}


def test_a_class_smaller_than_its_part_is_refused():
    text = "^dialect 'mwnet' keeps 100 of each class clean; class 4 has 99: give a smaller n_meta, or 0$"
    for family, map in (("symmetric", None), ("asymmetric", "flip2")):
        with pytest.raises(ValueError, match=text):
            corrupt(np.delete(LABELS[:1000], 4), None, 10, NoiseSpec(family, 0.5, "mwnet", map=map), 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("symmetric:0.2:n_meta=5", "noise option 'n_meta' is for dialect 'mwnet' only, got dialect 'native'"),
        ("asymmetric:0.2:dialect=elr:n_meta=5", "noise option 'n_meta' is for dialect 'mwnet' only, got dialect 'elr'"),
        ("symmetric:0.2:dialect=mwnet:n_meta=-1", "noise option 'n_meta' must be at least 0, got -1"),
        ("symmetric:0.2:dialect=mwnet:n_meta=1.5", "noise option 'n_meta' must be a whole number, got 1.5"),
        (
            "asymmetric:0.2:dialect=mwnet:n_met=1",
            "noise family 'asymmetric' has no key 'n_met'; did you mean 'n_meta'? "
            "available: dialect, flips, map, n_meta",
        ),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(text, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        NoiseSpec.parse(text)
    assert str(error.value) == message


def test_the_option_goes_round_through_text_table_and_card():
    spec = NoiseSpec.parse("asymmetric:0.4:dialect=mwnet:map=flip:n_meta=200")
    assert spec.options == {"n_meta": 200}
    assert spec.label == "asymmetric 40% (mwnet, map=flip, n_meta=200)"
    assert NoiseSpec.parse(str(spec)) == NoiseSpec.from_dict(spec.to_dict()) == spec
    assert card(corrupt(LABELS, None, 10, spec, 0))["options"] == {"n_meta": 200}
    assert str(NoiseSpec("symmetric", 0.2, "mwnet")) == "symmetric:0.2:dialect=mwnet"


def test_specs_of_other_dialects_do_not_carry_it():
    for family, dialect in (("symmetric", "native"), ("symmetric", "elr"), ("asymmetric", "native")):
        assert NoiseSpec(family, 0.2, dialect).to_dict()["options"] == {}
