"""Noise of any matrix: our own draws step by step, the loop of published code, and twins of human labels."""

import hashlib

import numpy as np
import pytest

from noise import NoiseSpec, corrupt

SKEWED = np.random.RandomState(4).choice(4, 1201, p=[0.5, 0.3, 0.15, 0.05])
MATRIX = np.array([[0.75, 0.125, 0.125, 0.0], [0.0, 1.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0]])


def made(matrix, labels=SKEWED, dialect: str = "native", flips: str = "exact", seed: int = 0, **options):
    spec = NoiseSpec("transition", dialect=dialect, flips=flips, options=options)
    return corrupt(labels, None, len(matrix), spec, seed, attached={"matrix": matrix})


@pytest.mark.parametrize("flips", ["exact", "iid"])
def test_native_noise_follows_its_definition_step_by_step(flips):
    digest = hashlib.sha256(SKEWED.astype("<i8").tobytes()).hexdigest()
    key = hashlib.sha256(f'["noise",5,"transition",null,{{}},"{digest}"]'.encode()).digest()[:16]
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(key, "little")))
    u, v = rng.random(1201), rng.random(1201)
    expected = SKEWED.tolist()
    for c in range(4):
        share = 1 - MATRIX[c, c]
        members = sorted((u[i], i) for i in range(1201) if SKEWED[i] == c)
        count = int(share * len(members) + 0.5) if flips == "exact" else sum(first < share for first, _ in members)
        for _, i in members[:count]:
            reached = 0.0
            for t in range(4):
                reached += 0.0 if t == c else MATRIX[c, t] / share
                if reached > v[i]:
                    expected[i] = t
                    break
    assert made(MATRIX, flips=flips, seed=5).given.tolist() == expected


def test_the_loop_of_published_code_is_repeated():
    matrix = np.random.default_rng(3).random((4, 4)) + np.eye(4)
    matrix /= matrix.sum(axis=1, keepdims=True)
    for seed in (0, 8):
        state = np.random.RandomState(seed)
        expected = [np.where(state.multinomial(1, matrix[y, :], 1)[0] == 1)[0].item() for y in SKEWED]
        assert made(matrix, dialect="co_teaching", seed=seed).given.tolist() == expected


@pytest.mark.parametrize("dialect", ["native", "co_teaching"])
def test_rows_without_chance_are_followed_to_the_letter(dialect):
    result = made(MATRIX, dialect=dialect)
    assert (result.given[SKEWED == 1] == 1).all()
    assert (result.given[SKEWED == 3] == 0).all()
    assert not (result.given[SKEWED == 0] == 3).any()
    sizes = np.bincount(SKEWED)
    assert result.expected == pytest.approx((0.25 * sizes[0] + 0.75 * sizes[2] + sizes[3]) / 1201)
    permutation = made(np.eye(4)[[1, 2, 3, 0]], dialect=dialect)
    assert np.array_equal(permutation.given, (SKEWED + 1) % 4)
    assert permutation.expected == 1


def test_nothing_goes_where_no_mass_is_however_the_rows_round():
    row = np.array([0.9, 0.1 / 3, 0.1 / 3, 0.1 / 3, 0.0])  # sums to a hair less than 1
    labels = np.zeros(100_000, dtype=int)
    result = made(np.vstack([row, np.eye(5)[1:]]), labels, flips="iid")
    assert set(result.given) == {0, 1, 2, 3}


def test_neither_name_nor_digest_of_the_file_changes_the_labels():
    assert made(MATRIX, path="a.npy", sha256="0" * 64).noise_id == made(MATRIX, path="b.csv").noise_id


def test_two_matrices_share_the_order_in_which_samples_go_wrong():
    mild, strong = (np.eye(4) * (1 - r) + r / 4 for r in (0.2, 0.6))
    first, second = made(mild), made(strong)
    assert 0 < first.wrong.sum() < second.wrong.sum()
    assert (first.wrong <= second.wrong).all()
    assert (first.given[first.wrong] == second.given[first.wrong]).all()


def test_a_twin_of_given_labels_has_their_confusions_sample_by_sample_anew():
    human = np.where(np.random.default_rng(2).random(1201) < 0.3, (SKEWED * SKEWED + 1) % 4, SKEWED)
    counts = np.bincount(SKEWED * 4 + human, minlength=16).reshape(4, 4)
    twin = made(counts / counts.sum(axis=1, keepdims=True), dialect="co_teaching")
    assert twin.expected == pytest.approx((human != SKEWED).mean())
    assert abs(twin.wrong.mean() - twin.expected) < 4 * np.sqrt(0.25 / 1201)
    assert not (np.bincount(SKEWED * 4 + twin.given, minlength=16).reshape(4, 4)[counts == 0]).any()
    assert (twin.given != human).any()


@pytest.mark.parametrize(("excess", "fine"), [(9e-7, True), (-9e-7, True), (1.1e-6, False), (-1.1e-6, False)])
def test_rows_may_miss_one_by_a_millionth(excess, fine):
    matrix = np.array([[0.5, 0.5], [0.25, 0.75 + excess]])
    if not fine:
        with pytest.raises(
            ValueError, match=f"^transition matrix: rows must sum to 1, row 1 sums to {1 + excess:.8g}$"
        ):
            made(matrix, np.array([0, 1]))
        return
    for dialect in ("native", "co_teaching"):
        used = made(matrix, np.arange(200) % 2, dialect).transition
        assert abs(used.sum(axis=1) - 1).max() < 1e-15
        assert used[0].tolist() == [0.5, 0.5]


def test_whole_numbers_and_small_floats_are_numbers_too():
    assert made(np.eye(4, dtype=int)).wrong.sum() == 0
    assert made(MATRIX.astype(np.float32)).noise_id == made(MATRIX).noise_id


def test_a_matrix_is_not_changed_and_must_be_there():
    matrix = MATRIX * (1 + 5e-7)
    before = matrix.copy()
    made(matrix)
    assert (matrix == before).all()
    with pytest.raises(ValueError, match=r"^noise family 'transition' needs matrix, got none$"):
        corrupt([0, 1], None, 2, NoiseSpec("transition"), 0)


@pytest.mark.parametrize("dialect", ["native", "co_teaching"])
def test_one_sample_and_missing_classes_are_no_special_cases(dialect):
    assert made(MATRIX, np.array([3]), dialect).given.tolist() == [0]
    assert set(made(MATRIX, np.array([2] * 200), dialect).given) <= {0, 1, 2, 3}
