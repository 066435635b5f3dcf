import math

import numpy as np
import pytest
from scipy.stats import kstest, truncnorm

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
