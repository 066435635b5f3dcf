import hashlib
import json
import math

import numpy as np
import pytest
from scipy.stats import kstest, norm, truncnorm

from noise import NoiseSpec, Request, corrupt
from noise.instance import Instance, expected_rate, flip_rates


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(0.1, 0.1288), (0.2, 0.2055), (0.3, 0.3004), (0.4, 0.4), (0.6, 0.6), (0.8, 0.7945), (0.9, 0.8712)],
)
def test_expected_rate_is_the_mean_of_the_cut_normal(rate, expected):
    assert expected_rate(rate, 0.1, 1.0) == pytest.approx(expected, abs=5e-5)
    low, high = -rate / 0.1, (1 - rate) / 0.1
    assert expected_rate(rate, 0.1, 1.0) == pytest.approx(truncnorm.mean(low, high, loc=rate, scale=0.1), abs=1e-9)


def test_flip_rates_are_what_scipys_own_sampler_returns():
    sampled = truncnorm.rvs(-2, 8, loc=0.2, scale=0.1, size=500, random_state=np.random.RandomState(3))
    assert (flip_rates(np.random.RandomState(3).random_sample(500), 0.2, 0.1, 1.0) == sampled).all()


def test_native_rates_follow_the_cut_normal(toy10, toy10_rows):
    made = corrupt(toy10, toy10_rows, 10, NoiseSpec("instance", 0.3, options={"upper": 0.6}), 2)
    assert made.flip_rate.max() <= 0.6
    assert kstest(made.flip_rate, truncnorm(-3, 3, loc=0.3, scale=0.1).cdf).pvalue > 1e-4


def test_chances_of_the_wrong_classes_worked_out_by_hand():
    rows = np.array([[1.0, 2.0], [3.0, 0.0]])
    weights = np.zeros((3, 2, 3))
    weights[0] = [[9, 0, 1], [9, 1, 0]]  # class 0: scores of sample 0 are 27, 2, 1, of which 27 is its own
    weights[2] = [[0.0, 1, 9], [0, 0, 9]]  # class 2: scores of sample 1 are 0, 3, 27
    request = Request(np.array([0, 2]), rows, 3, NoiseSpec("instance", 0.2), 0)
    chances = Instance().targets(request, iter(weights).__next__, np.float64)
    share = 1 / (1 + math.exp(-1))
    assert chances[0] == pytest.approx([0, share, 1 - share])
    share = 1 / (1 + math.exp(-3))
    assert chances[1] == pytest.approx([1 - share, share, 0])


def test_unit_scale_divides_pixels_by_255(toy10, toy10_rows):
    raw = corrupt(toy10, toy10_rows / np.float32(255), 10, NoiseSpec("instance", 0.4, "ptd"), 1)
    unit = corrupt(toy10, toy10_rows, 10, NoiseSpec("instance", 0.4, "ptd", options={"scale": "unit"}), 1)
    assert (raw.given == unit.given).all()
    assert raw.noise_id != corrupt(toy10, toy10_rows, 10, NoiseSpec("instance", 0.4, "ptd"), 1).noise_id


@pytest.mark.parametrize("dialect", ["native", "ptd"])
def test_layout_says_how_images_become_rows(dialect, toy10, toy10_rows):
    images = toy10_rows.reshape(2000, 4, 4, 3)
    spec = NoiseSpec("instance", 0.4, dialect)
    assert corrupt(toy10, images, 10, spec, 1).noise_id == corrupt(toy10, toy10_rows, 10, spec, 1).noise_id
    spec = NoiseSpec("instance", 0.4, dialect, options={"layout": "chw"})
    channels = images.transpose(0, 3, 1, 2).reshape(2000, -1)
    assert corrupt(toy10, images, 10, spec, 1).noise_id == corrupt(toy10, channels, 10, spec, 1).noise_id


@pytest.mark.parametrize("dialect", ["native", "ptd"])
def test_bytes_and_floats_of_one_image_make_the_same_labels(dialect, toy10, toy10_rows):
    spec = NoiseSpec("instance", 0.4, dialect)
    as_bytes = corrupt(toy10, toy10_rows.astype(np.uint8), 10, spec, 1)
    assert as_bytes.noise_id == corrupt(toy10, toy10_rows, 10, spec, 1).noise_id


def test_one_confusing_class_per_image(toy10, toy10_rows):
    low, high = (corrupt(toy10, toy10_rows, 10, NoiseSpec("instance", r, "ptd"), 1) for r in (0.2, 0.4))
    both = low.wrong & high.wrong
    assert (low.given[both] == high.given[both]).mean() > 0.99


def test_images_are_asked_for():
    with pytest.raises(ValueError, match=r"^noise family 'instance' depends on the images, got none$"):
        corrupt([0, 1], None, 2, NoiseSpec("instance", 0.2), 0)
    with pytest.raises(ValueError, match=r"^images must be finite, got NaN or infinity in image 1$"):
        corrupt([0, 1], np.array([[1.0], [np.nan]]), 2, NoiseSpec("instance", 0.2), 0)


def softmax_of_others(scores: np.ndarray, true: int) -> np.ndarray:
    scores = scores.copy()
    scores[true] = -np.inf
    shares = np.exp(scores - scores.max())
    return shares / shares.sum()


def ptd_loop(labels, rows, rate: float, classes: int, seed: int, upper: float = 1.0, std: float = 0.1):
    """PTD as its code goes: all rates, all projections at once, then one choice a sample."""
    state, low, high = np.random.RandomState(seed), -rate / std, (upper - rate) / std
    rates = truncnorm(low, high, loc=rate, scale=std).rvs(len(labels), random_state=state)
    weights = state.randn(classes, rows.shape[1], classes).astype(np.float32)
    chances = []
    for x, y, q in zip(rows.astype(np.float32), labels, rates, strict=True):
        p = q * softmax_of_others(x @ weights[y], y)
        p[y] += 1 - q
        chances.append(p / p.sum())
    return [int(state.choice(classes, p=p)) for p in chances], rates


@pytest.mark.parametrize(
    ("classes", "width", "options"),
    [
        (10, 48, {}),
        (10, 48, {"upper": 0.6}),
        (10, 48, {"std": 0.3, "upper": 0.9}),
        (10, 48, {"scale": "unit"}),  # chances that are not all but one-hot
        (2, 48, {}),
        (3, 5, {}),  # 15 normals a class: the odd one of a pair is left over for the next class
        (7, 1, {}),
    ],
)
def test_ptd_draws_what_its_loop_draws_though_one_class_after_the_other(classes, width, options, toy10, toy10_rows):
    labels, rows = toy10 % classes, toy10_rows[:, :width]
    made = corrupt(labels, rows, classes, NoiseSpec("instance", 0.4, "ptd", options=options), 9)
    law = {name: value for name, value in options.items() if name != "scale"}
    given, rates = ptd_loop(labels, rows / np.float32(255) if law != options else rows, 0.4, classes, 9, **law)
    assert made.given.tolist() == given
    assert (made.flip_rate == rates).all()


@pytest.mark.parametrize("flips", ["iid", "exact"])
def test_native_draws_follow_their_definition_step_by_step(flips, toy10, toy10_rows):
    options = {"std": 0.1, "upper": 0.7, "scale": "unit", "layout": "hwc"}
    digest = hashlib.sha256(toy10.astype("<i8").tobytes()).hexdigest()
    parts = ["noise", 3, "instance", None, options, digest]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    rng = np.random.Generator(np.random.PCG64(key))
    who, where, level = rng.random(2000), rng.random(2000), rng.random(2000)
    weights = rng.standard_normal((10, 48, 10))
    law = truncnorm(-3, 4, loc=0.3, scale=0.1)
    wrong = who < law.ppf(level)
    if flips == "exact":
        late = who - 0.1 * norm.ppf(level)
        wrong = np.zeros(2000, bool)
        for c in range(10):
            members = sorted((late[i], i) for i in np.flatnonzero(toy10 == c))
            wrong[[i for _, i in members[: math.floor(law.mean() * 200 + 0.5)]]] = True
    expected = toy10.copy()
    for i in np.flatnonzero(wrong):
        shares = softmax_of_others(toy10_rows[i].astype(np.float64) / 255 @ weights[toy10[i]], toy10[i])
        expected[i] = next(c for c in range(10) if shares[: c + 1].sum() > where[i])
    made = corrupt(toy10, toy10_rows, 10, NoiseSpec("instance", 0.3, flips=flips, options=options), 3)
    assert (made.given == expected).all()


@pytest.mark.parametrize("rate", [0.1, 0.4, 0.9])
@pytest.mark.parametrize(("dialect", "flips"), [("native", "iid"), ("ptd", "exact"), ("cores", "exact")])
def test_as_many_labels_are_wrong_as_their_own_rates_say(dialect, flips, rate, toy10, toy10_rows):
    made = corrupt(toy10, toy10_rows, 10, NoiseSpec("instance", rate, dialect, flips), 1)
    q = made.flip_rate
    assert abs(made.wrong.sum() - q.sum()) < 4 * np.sqrt((q * (1 - q)).sum())
    assert abs(q.mean() - made.expected) < 4 * 0.1 / np.sqrt(2000)


@pytest.mark.parametrize(
    "options", [{"std": 0.2}, {"upper": 0.6}, {"scale": "unit"}, {"scale": "standard"}], ids=lambda o: next(iter(o))
)
def test_what_cores_has_fixed_is_refused(options):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        NoiseSpec("instance", 0.3, "cores", options=options)
    assert str(error.value) == "dialect 'cores' has std 0.1, upper 1 and scale raw; only layout can be chosen"


def test_the_default_layout_is_the_dialects_own():
    texts = [str(NoiseSpec.parse(f"instance:0.3{more}")) for more in ("", ":dialect=ptd", ":dialect=cores")]
    assert texts == ["instance:0.3", "instance:0.3:dialect=ptd", "instance:0.3:dialect=cores"]
    layouts = [NoiseSpec.parse(text).options["layout"] for text in texts]
    assert layouts == ["hwc", "hwc", "chw"]
    assert str(NoiseSpec.parse("instance:0.3:dialect=cores:layout=hwc")).endswith("cores:layout=hwc")


def test_cores_has_no_column_for_label_ten_until_a_label_exceeds_it(toy10_rows):
    labels, spec = np.arange(30) % 11, NoiseSpec("instance", 0.3, "cores")
    with pytest.raises(ValueError, match=r"^dialect 'cores' knows 10 classes until a label exceeds 10, got 10 at ind"):
        corrupt(labels, toy10_rows[:30], 100, spec, 0)
    labels[0] = 11
    assert corrupt(labels, toy10_rows[:30], 100, spec, 0).flip_rate.shape == (30,)


@pytest.mark.parametrize("dialect", ["native", "ptd", "cores"])
def test_one_image_and_one_class_are_enough(dialect, toy10_rows):
    spec = NoiseSpec("instance", 0.4, dialect)
    assert corrupt([3], toy10_rows[:1], 10, spec, 0).given[0] in range(10)
    alone = corrupt(np.full(200, 3), toy10_rows[:200], 10, spec, 0)
    assert 40 < alone.wrong.sum() < 120


@pytest.mark.parametrize("dialect", ["native", "ptd", "cores"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_image_that_is_not_finite_is_named(dialect, value, toy10):
    images = np.zeros((6000, 2, 2, 1), np.float32)
    images[[5123, 5900], 1, 0, 0] = value
    labels = np.arange(6000) % 10
    with pytest.raises(ValueError, match=r"^images must be finite, got NaN or infinity in image 5123$"):
        corrupt(labels, images, 10, NoiseSpec("instance", 0.2, dialect), 0)


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        ([100.0] * 3, None, "scale=standard needs the mean and deviation of the data set: name it by --dataset"),
        (None, [50.0] * 3, "scale=standard needs the mean and deviation of the data set: name it by --dataset"),
        (
            [100.0] * 2,
            [50.0] * 3,
            "scale=standard takes one mean and deviation for each of 3 channels, got 2 and 3 for images of shape "
            "(2000, 4, 4, 3)",
        ),
        ([100.0] * 3, [50.0, 0.0, 50.0], "scale=standard divides by the deviation of each channel, got [50.0, 0.0, 5"),
        ([100.0] * 3, [50.0, np.nan, 50.0], "scale=standard divides by the deviation of each channel, got [50.0, nan"),
    ],
)
def test_a_mean_and_deviation_that_do_not_fit_are_refused(mean, std, text, toy10, toy10_rows):
    attached = {name: array for name, array in (("mean", mean), ("std", std)) if array is not None}
    spec = NoiseSpec("instance", 0.4, options={"scale": "standard"})
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the start of the text is compared
        corrupt(toy10, toy10_rows.reshape(2000, 4, 4, 3), 10, spec, 0, attached=attached)
    assert str(error.value).startswith(text)


def test_standard_scale_of_flat_rows_takes_one_number_and_of_channels_one_each(toy10, toy10_rows):
    spec = NoiseSpec("instance", 0.4, "ptd", options={"scale": "standard", "layout": "chw"})
    flat = corrupt(toy10, toy10_rows, 10, spec, 0, attached={"mean": [100.0], "std": [50.0]})
    assert flat.given.tolist() == ptd_loop(toy10, (toy10_rows - 100.0) / 50.0, 0.4, 10, 0)[0]
    with pytest.raises(ValueError, match=r"for each of 1 channels, got 3 and 3 for images of shape \(2000, 48\)$"):
        corrupt(toy10, toy10_rows, 10, spec, 0, attached={"mean": [100.0] * 3, "std": [50.0] * 3})
    mean, std = np.array([100.0, 120.0, 140.0]), np.array([50.0, 60.0, 70.0])
    images = toy10_rows.reshape(2000, 4, 4, 3)
    rows = ((images - mean) / std).transpose(0, 3, 1, 2).reshape(2000, -1)
    made = corrupt(toy10, images, 10, spec, 0, attached={"mean": mean, "std": std})
    assert made.given.tolist() == ptd_loop(toy10, rows, 0.4, 10, 0)[0]
