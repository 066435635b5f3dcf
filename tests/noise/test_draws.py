import numpy as np

from noise.draws import choice_loop, first_above, multinomial_loop, wrong_samples


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
