"""Noise from class scores, PMD and SEAL, and CORES' projection: against loops and numbers by hand."""

import numpy as np
import pytest

from noise import NoiseSpec, card, corrupt
from noise.pmd import chance_of_top
from tests.noise.world import TOY10, scores

SCORES = scores(TOY10, 10)


def pmd(kind: str = "I", factor: float = 1.43, labels=TOY10, posterior=SCORES, seed: int = 0):
    spec = NoiseSpec("pmd", options={"type": kind, "factor": factor})
    return corrupt(labels, None, 10, spec, seed, attached={"scores": posterior})


def seal(rate: float, labels=TOY10, posterior=SCORES, classes: int = 10):
    return corrupt(labels, None, classes, NoiseSpec("seal", rate), 0, attached={"scores": posterior})


@pytest.mark.parametrize(
    ("kind", "margin", "kept"),
    [("I", 0.6, 0.68), ("I", 0.0, 0.5), ("I", 1.0, 1.0), ("II", 0.5, 0.125), ("III", 0.5, (0.125 + 0.25 + 0.5) / 3)],
)
def test_the_chance_of_the_top_class_is_the_papers_polynomial(kind, margin, kept):
    assert chance_of_top(np.array([margin]), kind, 1.0)[0] == pytest.approx(kept)
    assert chance_of_top(np.array([margin]), kind, 2.0)[0] == pytest.approx(kept / 2)
    assert chance_of_top(np.array([margin]), kind, 0.1)[0] == 1.0


@pytest.mark.parametrize("kind", ["I", "II", "III"])
def test_pmd_gives_one_of_the_two_top_classes_with_the_stated_chance(kind):
    made = pmd(kind, 1.3)
    kept, chances = 0, []
    for scored, given in zip(SCORES, made.given, strict=True):
        second, top = np.argsort(scored)[-2:]
        assert given in (top, second)
        kept += given == top
        d = scored[top] - scored[second]
        polynomial = {"I": 0.5 + d * d / 2, "II": d**3, "III": (d**3 + d * d + d) / 3}[kind]
        chances.append(min(1.0, polynomial / 1.3))
    sd = np.sqrt(sum(p * (1 - p) for p in chances))
    assert abs(kept - sum(chances)) < 4 * sd
    assert made.expected == pytest.approx(made.flip_rate.mean())
    assert abs(card(made)["z"]) < 4


def test_pmds_expected_share_is_worked_out_sample_by_sample():
    posterior = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.1, 0.3, 0.6]])
    spec = NoiseSpec("pmd", options={"type": "I", "factor": 1.0})
    made = corrupt([0, 0, 1], None, 3, spec, 0, attached={"scores": posterior})
    # tops 0, 1, 2 with chances (1 + .5^2)/2, (1 + .3^2)/2, (1 + .3^2)/2; seconds 1, 2, 1
    assert made.flip_rate.tolist() == pytest.approx([1 - 0.625, 1.0, 0.545])
    assert "top class is wrong for 2 of 3 images" in made.notes[0]


def test_pmd_scores_of_the_first_nine_tenths_leave_the_rest_clean():
    made = pmd(posterior=SCORES[:1800])
    assert not made.wrong[1800:].any()
    assert made.wrong[:1800].any()
    assert "the last 200 samples have no scores and stay clean" in made.notes


def test_seal_flips_the_most_confused_images_to_what_they_are_confused_with():
    posterior = np.array([[0.5, 0.4, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4], [0.05, 0.05, 0.9], [0.6, 0.1, 0.3]])
    labels = [0, 0, 2, 2, 0]  # candidates: 1 (.4), 1 (.7), 0 (.3, the first of two), 0 (.05), 2 (.3)
    assert seal(0.2, labels, posterior, 3).given.tolist() == [0, 1, 2, 2, 0]
    assert seal(0.4, labels, posterior, 3).given.tolist() == [1, 1, 2, 2, 0]
    assert seal(0.6, labels, posterior, 3).given.tolist() == [1, 1, 0, 2, 0]  # of the two at .3 the first
    assert seal(0.8, labels, posterior, 3).given.tolist() == [1, 1, 0, 2, 2]


@pytest.mark.parametrize("rate", [0.1, 0.29, 0.35, 0.999])
def test_seal_flips_exactly_the_truncated_share_and_nests(rate):
    made, more = seal(rate), seal(min(0.9995, rate + 0.05))
    assert made.wrong.sum() == int(rate * 2000)
    assert made.expected == int(rate * 2000) / 2000
    assert (made.wrong <= more.wrong).all()
    assert (
        seal(rate).noise_id
        == corrupt(TOY10, None, 10, NoiseSpec("seal", rate), 9, attached={"scores": SCORES}).noise_id
    )


@pytest.mark.parametrize(
    ("posterior", "text"),
    [
        (SCORES[:100], r"scores must be numbers of shape \(2000, 10\), got float64 of shape \(100, 10\)"),
        (SCORES[:, :9], r"got float64 of shape \(2000, 9\)"),
        (np.log(SCORES), "scores must be probabilities, got -"),
        (2 * SCORES, "scores must be probabilities, got 1|scores of an image must sum to 1, those of image 0 sum to 2"),
        (SCORES * 0.9, "scores of an image must sum to 1, those of image 0 sum to 0.9"),
        (np.where(np.arange(10) == 3, np.nan, SCORES), "scores must be probabilities, got nan for image 0, class 3"),
        (SCORES > 0.5, "scores must be numbers of shape"),
    ],
)
def test_what_are_no_scores_is_refused(posterior, text):
    with pytest.raises(ValueError, match=text):
        seal(0.2, posterior=posterior)


def test_half_precision_scores_are_scores():
    assert seal(0.3, posterior=SCORES.astype(np.float16)).wrong.sum() == 600


def cores_loop(labels: np.ndarray, rows: np.ndarray, rate: float, columns: int) -> list[int]:
    """CORES as its code goes: seed 0, a pool of rates, one projection, one choice a sample."""
    state = np.random.RandomState(0)
    q = [x for x in state.normal(rate, 0.1, 1_000_000) if 0 < x < 1][: len(labels)]
    w = state.normal(0, 1, (rows.shape[1], columns))
    chances = []
    for x, y, rate_i in zip(rows.astype(np.float64), labels, q, strict=True):
        a = x @ w
        a[y] = -1e6
        p = rate_i * np.exp(a - a.max()) / np.exp(a - a.max()).sum()
        p[y] = 1 - rate_i
        chances.append(p / p.sum())
    return [int(state.choice(columns, p=p)) for p in chances]


@pytest.mark.parametrize("rate", [0.2, 0.6])
def test_cores_draws_what_its_loop_draws(rate, toy10, toy10_rows):
    made = corrupt(toy10, toy10_rows, 10, NoiseSpec("instance", rate, "cores"), 3)
    assert made.given.tolist() == cores_loop(toy10, toy10_rows, rate, 10)
    assert abs(made.wrong.mean() - made.expected) < 4 * np.sqrt(0.25 / 2000)


def test_cores_takes_images_channel_after_channel(toy10, toy10_rows):
    images = toy10_rows.reshape(2000, 4, 4, 3)
    chw = images.transpose(0, 3, 1, 2).reshape(2000, -1)
    spec = NoiseSpec("instance", 0.3, "cores")
    assert spec.options["layout"] == "chw"
    assert corrupt(toy10, images, 10, spec, 0).given.tolist() == cores_loop(toy10, chw, 0.3, 10)
    hwc = NoiseSpec("instance", 0.3, "cores", options={"layout": "hwc"})
    assert corrupt(toy10, images, 10, hwc, 0).given.tolist() == cores_loop(toy10, toy10_rows, 0.3, 10)


def test_cores_thinks_of_ten_classes_until_a_label_exceeds_ten(toy10_rows):
    few, many = np.arange(300) % 11, np.arange(300) % 12
    spec = NoiseSpec("instance", 0.4, "cores")
    assert corrupt(many, toy10_rows[:300], 100, spec, 0).given.tolist() == cores_loop(many, toy10_rows[:300], 0.4, 100)
    assert corrupt(few % 10, toy10_rows[:300], 100, spec, 0).given.max() < 10
    with pytest.raises(ValueError, match="dialect 'cores' knows 10 or 100 classes, got 12"):
        corrupt(many, toy10_rows[:300], 12, spec, 0)


def test_one_class_takes_nearly_all_flips_of_cores(toy10, toy10_rows):
    made = corrupt(toy10, toy10_rows, 10, NoiseSpec("instance", 0.6, "cores"), 0)
    ptd = corrupt(toy10, toy10_rows, 10, NoiseSpec("instance", 0.6, "ptd"), 0)
    top = [np.bincount(m.given[m.wrong], minlength=10).max() / m.wrong.sum() for m in (made, ptd)]
    assert top[0] > top[1]


def test_standard_scale_needs_the_data_sets_mean_and_deviation(toy10, toy10_rows):
    images = toy10_rows.reshape(2000, 4, 4, 3)
    spec = NoiseSpec("instance", 0.4, "ptd", options={"scale": "standard"})
    with pytest.raises(ValueError, match="scale=standard needs the mean and deviation of the data set"):
        corrupt(toy10, images, 10, spec, 0)
    mean, std = np.array([100.0, 110.0, 120.0]), np.array([50.0, 60.0, 70.0])
    made = corrupt(toy10, images, 10, spec, 0, attached={"mean": mean, "std": std})
    by_hand = ((images - mean) / std).reshape(2000, -1)
    assert made.noise_id == corrupt(toy10, by_hand, 10, NoiseSpec("instance", 0.4, "ptd"), 0).noise_id
    assert made.noise_id != corrupt(toy10, images, 10, NoiseSpec("instance", 0.4, "ptd"), 0).noise_id
