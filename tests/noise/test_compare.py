"""Two label sets held against each other: every count by hand."""

import numpy as np
import pytest

import noise
from noise.compare import Comparison, compare, comparison_text

CLEAN = np.array([0, 0, 0, 0, 1, 1, 1, 1])
A = np.array([1, 1, 0, 0, 1, 1, 1, 2])  # wrong: 0, 1, 7
B = np.array([2, 1, 1, 0, 1, 1, 1, 1])  # wrong: 0, 1, 2


def test_every_count_is_the_one_by_hand():
    found = compare(A, B, CLEAN)
    # equal: 1, 3, 4, 5, 6; both wrong: 0 and 1, of which 1 alike; by chance 2 * 3 / 4 of class 0, 1 * 0 / 4 of class 1
    assert found == Comparison(8, equal=5, wrong_a=3, wrong_b=3, wrong_both=2, same_wrong=1, chance=1.5)


def test_the_text_says_all_of_it():
    assert comparison_text(compare(A, B, CLEAN)).splitlines() == [
        "different labels: 5 of 8 (62.50 %) are equal",
        "wrong in A: 3 of 8 (37.50 %)",
        "wrong in B: 3 of 8 (37.50 %)",
        "wrong in both: 2 of 8 (25.00 %); 2 if drawn apart; 50.0 % of those wrong in either",
        "wrong in both and with the same label: 1 of 8 (12.50 %), 50.0 % of those wrong in both",
    ]


def test_without_true_labels_only_equality_is_counted():
    found = compare(A, B)
    assert (found.equal, found.wrong_a) == (5, None)
    assert "give --clean or --dataset" in comparison_text(found)


def test_equal_sets_are_called_the_same():
    text = comparison_text(compare(A, A, CLEAN))
    assert text.startswith("the same labels: 8 of 8")
    assert "nested" not in text


def test_native_noise_of_two_rates_is_called_nested():
    labels = np.arange(1000) % 10
    low, high = (noise.corrupt(labels, None, 10, noise.NoiseSpec("symmetric", rate), 0).given for rate in (0.2, 0.5))
    assert "nested: what is wrong in A is wrong in B too" in comparison_text(compare(low, high, labels))
    assert "nested: what is wrong in B is wrong in A too" in comparison_text(compare(high, low, labels))


def test_independent_draws_overlap_by_chance():
    labels = np.arange(20_000) % 10
    spec = noise.NoiseSpec("symmetric", 0.4, flips="iid")
    found = compare(*(noise.corrupt(labels, None, 10, spec, seed).given for seed in (0, 1)), labels)
    assert found.chance == pytest.approx(0.16 * 20_000, rel=0.03)
    assert abs(found.wrong_both - found.chance) < 4 * np.sqrt(20_000 * 0.16 * 0.84)


@pytest.mark.parametrize(("b", "clean"), [(B[:7], None), (B, CLEAN[:5])])
def test_sets_of_other_lengths_are_refused(b, clean):
    with pytest.raises(ValueError, match=r"must be equally long: the first has 8, .* [75]$"):
        compare(A, b, clean)
