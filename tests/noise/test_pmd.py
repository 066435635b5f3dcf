"""PMD against the loop of its definition, and what names its labels."""

import hashlib
import json

import numpy as np
import pytest

from noise import NoiseSpec, corrupt
from tests.noise.world import TOY10, scores

SCORES = scores(TOY10, 10, seed=4)
FACTORS = {"I": (1.43, 3.40, 1.08, 1.80), "II": (1.32, 3.10, 1.02, 2.58), "III": (1.35, 3.20, 1.12, 1.20)}


def made_by(posterior, labels=TOY10, seed=0, classes=10, **options):
    return corrupt(labels, None, classes, NoiseSpec("pmd", options=options), seed, attached={"scores": posterior})


def uniforms(kind: str, labels: np.ndarray, seed: int) -> np.ndarray:
    """One per sample, keyed by seed, type and the true labels: neither the file nor the factor matters."""
    digest = hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()
    text = json.dumps(["noise", seed, "pmd", None, {"type": kind}, digest], separators=(",", ":"))
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.PCG64(key)).random(len(labels))


@pytest.mark.parametrize("kind", ["I", "II", "III"])
@pytest.mark.parametrize("factor", [0.5, 1.32, 3.4])
def test_labels_are_those_of_the_definition_sample_by_sample(kind, factor):
    given, rates = [], []
    for scored, true, uniform in zip(SCORES, TOY10, uniforms(kind, TOY10, 6), strict=True):
        u = max(range(10), key=lambda c: scored[c])
        s = max((c for c in range(10) if c != u), key=lambda c: scored[c])
        d = float(scored[u] - scored[s])
        f = {"I": 0.5 - d**2 / 2, "II": 1 - d**3, "III": 1 - (d**3 + d**2 + d) / 3}[kind]
        kept = 1 - f if kind != "I" else max(0.5, 1 - f)
        chance = min(1.0, kept / factor)
        given.append(u if uniform < chance else s)
        rates.append(chance * (u != true) + (1 - chance) * (s != true))
    made = made_by(SCORES, seed=6, type=kind, factor=factor)
    assert made.given.tolist() == given
    assert made.flip_rate == pytest.approx(rates)
    assert made.expected == pytest.approx(sum(rates) / len(rates))
    assert abs(made.wrong.sum() - sum(rates)) <= 4 * np.sqrt(sum(q * (1 - q) for q in rates)) + 1e-9


def test_labels_follow_from_scores_and_seed_not_from_the_name_of_the_file():
    one = made_by(SCORES, path="a.npy", sha256="0" * 64)
    assert one.noise_id == made_by(SCORES, path="b/c.csv").noise_id
    assert one.noise_id != made_by(SCORES, path="a.npy", seed=1).noise_id
    assert one.noise_id != made_by(scores(TOY10, 10, seed=5), path="a.npy").noise_id


def test_a_larger_factor_takes_the_top_class_from_more_images_and_gives_it_to_none():
    top = SCORES.argmax(axis=1)
    kept = [made_by(SCORES, factor=factor).given == top for factor in (1.0, 1.43, 3.4)]
    assert kept[0].sum() > kept[1].sum() > kept[2].sum()
    assert (kept[2] <= kept[1]).all()
    assert (kept[1] <= kept[0]).all()


@pytest.mark.parametrize("kind", FACTORS)
def test_published_factors_bound_what_a_sure_network_loses(kind):
    """At d = 1 every type keeps the top class with chance 1 / factor."""
    for factor in FACTORS[kind]:
        sure = made_by(np.eye(10)[TOY10], type=kind, factor=factor)
        assert sure.expected == pytest.approx(1 - 1 / factor)


@pytest.mark.parametrize(("number", "roman"), [(1, "I"), ("1", "I"), (2, "II"), ("3", "III"), (3, "III")])
def test_types_may_be_numbers(number, roman):
    spec = NoiseSpec("pmd", options={"path": "s.npy", "type": number})
    assert spec == NoiseSpec.parse(f"pmd:s.npy:type={roman}") == NoiseSpec.parse(f"pmd:s.npy:type={number}")
    assert spec.options["type"] == roman


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"type": 4}, "noise option 'type' must be a text, got 4"),
        ({"type": True}, "noise option 'type' must be a text, got True"),
        ({"type": "0"}, "unknown PMD type '0'; available: I, II, III"),
        ({"factor": -1.4}, "noise option 'factor' must be above 0, got -1.4"),
        ({"factor": "1,43"}, "noise option 'factor' must be a number, got '1,43'"),
    ],
)
def test_other_types_and_factors_are_refused(options, text):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        NoiseSpec("pmd", options=options)
    assert str(error.value) == text


@pytest.mark.parametrize("flips", ["iid", "total"])
def test_how_many_flip_is_not_ours_to_choose(flips):
    with pytest.raises(ValueError, match="is for our own dialects only; dialect 'native' has its own rule: iid"):
        NoiseSpec("pmd", flips=flips)


def test_of_classes_that_tie_the_first_is_the_top_class():
    flat = np.full((4, 4), 0.25)  # d = 0: types II and III never keep u = 0, and s = 1
    labels = [0, 1, 2, 3]
    for kind in ("II", "III"):
        tied = made_by(flat, labels, classes=4, type=kind, factor=1.0)
        assert tied.given.tolist() == [1, 1, 1, 1]
        assert tied.flip_rate.tolist() == [1, 0, 1, 1]
    half = made_by(flat, labels, classes=4, type="I", factor=1.0)
    assert set(half.given) <= {0, 1}
    assert half.flip_rate.tolist() == [0.5, 0.5, 1, 1]


def test_one_image_and_one_class_are_enough():
    assert made_by(np.array([[0.0, 1.0]]), [1], classes=2, factor=1.0).given.tolist() == [1]
    assert made_by(np.array([[0.0, 1.0]]), [1], classes=2, factor=1e9).given.tolist() == [0]
    alone = made_by(SCORES[:50], np.zeros(50, int))
    assert alone.expected == pytest.approx(alone.flip_rate.mean())


def test_rows_that_are_no_posterior_are_named():
    off, odd = SCORES.copy(), SCORES.copy()
    off[7] *= 1.002
    odd[11, 3] = -1e-9
    with pytest.raises(ValueError, match=r"^scores of an image must sum to 1, those of image 7 sum to 1\.002$"):
        made_by(off)
    with pytest.raises(ValueError, match=r"^scores must be probabilities, got -1e-09 for image 11, class 3$"):
        made_by(odd)
    with pytest.raises(ValueError, match=r"^scores must be numbers of shape \(2000 or 1800, 10\), got float64 of"):
        made_by(SCORES[:1799])
    with pytest.raises(ValueError, match=r"^noise family 'pmd' needs scores, got none$"):
        corrupt(TOY10, None, 10, NoiseSpec("pmd"), 0)
