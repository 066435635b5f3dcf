"""SEAL against a sort in plain Python, with as many ties as there can be."""

from itertools import pairwise

import numpy as np
import pytest

from noise import NoiseSpec, card, corrupt
from tests.noise.world import TOY10, scores

TENTHS = np.random.RandomState(2).multinomial(10, [0.1] * 10, size=2000) / 10  # a few values only


def made_by(posterior, rate, labels=TOY10, classes=10, **options):
    spec = NoiseSpec("seal", rate, options=options)
    return corrupt(labels, None, classes, spec, 0, attached={"scores": posterior})


def by_sorting(posterior, rate, labels):
    ranked = []
    for i, (scored, true) in enumerate(zip(posterior.tolist(), labels.tolist(), strict=True)):
        wrong = [(-score, c) for c, score in enumerate(scored) if c != true]
        score, candidate = min(wrong)  # of wrong classes that tie, the first
        ranked.append((score, i, candidate))
    given = labels.tolist()
    for _, i, candidate in sorted(ranked)[: int(rate * len(labels))]:  # of images that tie, the first
        given[i] = candidate
    return given


@pytest.mark.parametrize("rate", [0.05, 0.29, 0.4, 0.9995])
@pytest.mark.parametrize("posterior", [TENTHS, scores(TOY10, 10)], ids=["ties", "no ties"])
def test_labels_are_those_of_a_sort(rate, posterior):
    made = made_by(posterior, rate)
    assert made.given.tolist() == by_sorting(posterior, rate, TOY10)
    assert made.wrong.sum() == int(rate * 2000)
    assert made.expected == made.wrong.mean()


def test_the_count_is_cut_not_rounded():
    labels = np.arange(100) % 10  # .29 * 100 is 28.999999999999996
    assert made_by(TENTHS[:100], 0.29, labels).wrong.sum() == 28


def test_label_sets_are_nested_over_rates_with_the_same_wrong_classes():
    sets = [made_by(TENTHS, rate) for rate in (0.1, 0.2, 0.3, 0.4)]
    for low, high in pairwise(sets):
        assert (low.wrong <= high.wrong).all()
        assert (low.given[low.wrong] == high.given[low.wrong]).all()


def test_nothing_is_drawn_and_the_card_says_so():
    made = made_by(TENTHS, 0.3, path="a.npy")
    assert made.generator == "none"
    assert card(made)["z"] is None
    assert made.noise_id == made_by(TENTHS, 0.3, path="b.npy").noise_id


def test_scores_are_left_as_they_were():
    posterior = TENTHS.copy()
    made_by(posterior, 0.3)
    assert (posterior == TENTHS).all()


def test_smallest_cases():
    assert made_by(np.array([[0.2, 0.5, 0.3]]), 0.9, [0], 3).given.tolist() == [0]  # int(.9) images
    assert made_by(np.array([[0.3, 0.7], [0.4, 0.6]]), 0.5, [1, 1], 2).given.tolist() == [1, 0]
    alone = made_by(TENTHS[:100], 0.5, np.full(100, 4))
    assert alone.given.tolist() == by_sorting(TENTHS[:100], 0.5, np.full(100, 4))
    sure = made_by(np.eye(3), 0.7, [0, 1, 2], 3)  # all candidates score nothing: the first images, the first classes
    assert sure.given.tolist() == [1, 0, 2]


def test_the_text_of_a_spec_has_the_rate_first_and_then_the_file():
    spec = NoiseSpec.parse("seal:0.3:path=scores.npy")
    assert (spec.rate, spec.options["path"], str(spec)) == (0.3, "scores.npy", "seal:0.3:path=scores.npy")
    with pytest.raises(ValueError, match="is for our own dialects only; dialect 'native' has its own rule"):
        NoiseSpec("seal", 0.3, flips="iid")


def test_what_is_no_posterior_is_refused_with_the_first_bad_image():
    posterior = scores(TOY10, 10)
    posterior[1234, 5] = np.nan
    with pytest.raises(ValueError, match=r"^scores must be probabilities, got nan for image 1234, class 5$"):
        made_by(posterior, 0.3)
    with pytest.raises(
        ValueError, match=r"^scores must be numbers of shape \(2000, 10\), got float64 of shape \(1800,"
    ):
        made_by(TENTHS[:1800], 0.3)
    with pytest.raises(ValueError, match=r"^noise family 'seal' needs scores, got none$"):
        corrupt(TOY10, None, 10, NoiseSpec("seal", 0.3), 0)
