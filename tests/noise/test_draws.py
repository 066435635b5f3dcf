import numpy as np
import pytest

from noise.draws import (
    by_class,
    cells_in_order,
    choice_by_class,
    choice_loop,
    first_above,
    first_tenths,
    flip_by_class,
    multinomial_loop,
    wrong_samples,
)


def test_a_target_is_the_first_class_above_its_uniform():
    sums = np.array([[0.0, 0.25, 0.25, 1.0]] * 4)
    assert first_above(sums, np.array([0.0, 0.2, 0.25, 0.999])).tolist() == [1, 1, 3, 3]


def test_rounding_never_leaves_the_last_class_with_mass():
    sums = np.array([[0.5, 0.9999999999999998, 0.9999999999999998]])  # the third class has no mass
    assert first_above(sums, np.array([0.9999999999999999])).tolist() == [1]


def test_exact_flips_take_the_first_in_order_and_ties_by_index():
    clean = np.array([0, 0, 0, 0, 1, 1, 1])
    order = np.array([0.9, 0.3, 0.3, 0.3, 0.1, 0.2, 0.05])
    wrong = wrong_samples(clean, np.array([0.5, 0.5]), order, "exact")  # floor(2.5) = 2 and floor(2.0) = 2
    assert wrong.tolist() == [False, True, True, False, True, False, True]
    wrong = wrong_samples(clean, np.array([0.5, 0.1]), order, "iid")
    assert wrong.tolist() == [False, True, True, True, False, False, True]


def test_one_uniform_per_row_is_what_choice_draws():
    rows = np.random.default_rng(1).random((300, 5))
    rows /= rows.sum(axis=1, keepdims=True)
    state = np.random.RandomState(8)
    assert choice_loop(np.random.RandomState(8), rows).tolist() == [state.choice(5, p=row) for row in rows]


def test_a_certain_row_is_always_drawn():
    labels = np.array([0, 1, 2, 1])
    moved = np.eye(3)[[1, 2, 0]]
    assert multinomial_loop(np.random.RandomState(0), labels, moved).tolist() == [1, 2, 0, 2]


def test_the_multinomial_loop_takes_one_draw_per_sample_in_order():
    labels = np.random.RandomState(2).randint(0, 4, 500)
    rows = np.random.default_rng(1).random((4, 4))
    rows /= rows.sum(axis=1, keepdims=True)
    state = np.random.RandomState(8)
    expected = [int(np.where(state.multinomial(1, rows[y, :], 1)[0] == 1)[0][0]) for y in labels]
    assert multinomial_loop(np.random.RandomState(8), labels, rows).tolist() == expected


@pytest.mark.parametrize("size", [0, 1, 700])
def test_choices_class_by_class_are_those_of_a_row_per_label(size):
    labels = np.random.RandomState(2).randint(0, 4, size)  # class 4 has no sample
    rows = np.random.default_rng(1).random((5, 5))
    rows[2] = [0, 0, 1, 0, 0]
    rows /= rows.sum(axis=1, keepdims=True)
    apart, together = np.random.RandomState(8), np.random.RandomState(8)
    assert choice_by_class(apart, labels, rows).tolist() == choice_loop(together, rows[labels]).tolist()
    assert apart.random_sample() == together.random_sample()


def test_classes_are_listed_in_order_and_empty_ones_too():
    assert [part.tolist() for part in by_class(np.array([2, 0, 2, 2, 0]), 4)] == [[1, 4], [], [0, 2, 3], []]
    wide = np.array(
        [65_539, 3, 65_539]
    )  # more classes than 16 bits can tell apart, and two that they would take for one
    parts = by_class(wide, 65_540)
    assert (parts[3].tolist(), parts[65_539].tolist()) == ([1], [0, 2])


class Told:
    """A generator of the uniforms it is told."""

    def __init__(self, *uniforms: list[float]) -> None:
        self.uniforms = [np.array(values) for values in uniforms]

    def random_sample(self, size: int) -> np.ndarray:
        return self.uniforms.pop(0)

    random = random_sample


def test_a_choice_is_the_first_class_above_its_uniform():
    rows = np.array([[0.0, 0.25, 0.0, 0.75]])
    made = choice_by_class(Told([0.0, 0.25, 0.2499, 0.9999]), np.zeros(4, dtype=np.int64), rows)
    assert made.tolist() == [1, 3, 1, 3]


def test_a_flip_goes_to_the_first_class_above_its_uniform_and_never_past_the_mass():
    row = np.array([0.5, *[0.5 / 7] * 7, 0.0])
    assert np.cumsum(row[1:])[-1] / 0.5 == 0.9999999999999998
    rows, flip = np.vstack([row, np.eye(9)[1:]]), np.array([0.5] + [0.0] * 8)
    rng = Told([0.0, 0.4, 0.5, 0.1], [1 - 2**-53, 0.0, 0.0, np.cumsum(row[1:])[2] / 0.5])
    made = flip_by_class(rng, np.zeros(4, dtype=np.int64), rows, flip, "iid")
    assert made.tolist() == [7, 1, 0, 4]


def test_a_cell_without_samples_draws_nothing():
    labels = np.array([0] * 50 + [1] * 40 + [2] * 30)
    full = np.array([[0.5, 0.01, 0.49], [0, 1, 0], [0.3, 0.4, 0.3]])  # int(.01 * 50) is none
    without = full.copy()
    without[0, 1] = 0
    made = cells_in_order(np.random.RandomState(3), labels, full)
    assert np.array_equal(made, cells_in_order(np.random.RandomState(3), labels, without))
    state = np.random.RandomState(3)
    moved = state.choice(50, int(0.49 * 50), replace=False)
    assert sorted(moved) == np.flatnonzero((made != labels)[:50]).tolist()


@pytest.mark.parametrize(("total", "first"), [(50_000, 45_000), (60_000, 54_000), (9, 9), (10, 9), (1, 1)])
def test_all_but_the_last_tenth_come_first(total, first):
    assert first_tenths(np.zeros(total, dtype=np.int64)) == first
