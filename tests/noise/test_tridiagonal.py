"""Tridiagonal noise: our own draws step by step, CDR's loop, and circles of two and three classes."""

import hashlib

import numpy as np
import pytest
from scipy.stats import binomtest

from noise import NoiseSpec, corrupt

SKEWED = np.random.RandomState(4).choice(6, 1201, p=[0.35, 0.25, 0.15, 0.12, 0.08, 0.05])


@pytest.mark.parametrize("flips", ["exact", "iid"])
def test_native_noise_follows_its_definition_step_by_step(flips):
    rate, seed = 0.43, 9
    digest = hashlib.sha256(SKEWED.astype("<i8").tobytes()).hexdigest()
    text = f'["noise",{seed},"tridiagonal",null,{{}},"{digest}"]'
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    rng = np.random.Generator(np.random.PCG64(key))
    u, v = rng.random(1201), rng.random(1201)
    expected = SKEWED.tolist()
    for c in range(6):
        members = [i for i in range(1201) if SKEWED[i] == c]
        count = int(rate * len(members) + 0.5) if flips == "exact" else sum(u[i] < rate for i in members)
        below, above = sorted([(c - 1) % 6, (c + 1) % 6])  # the first half of v goes to the lower id
        for i in sorted(members, key=lambda i: u[i])[:count]:
            expected[i] = below if v[i] < 0.5 else above
    assert corrupt(SKEWED, None, 6, NoiseSpec("tridiagonal", rate, flips=flips), seed).given.tolist() == expected


@pytest.mark.parametrize("rate", [0.29, 0.55, 0.9])
def test_cdr_draws_what_its_loop_draws(rate):
    state, expected = np.random.RandomState(7), []
    for y in SKEWED.tolist():
        row = [0.0] * 6
        row[y], row[(y + 1) % 6], row[y - 1] = 1.0 - rate, rate / 2, rate / 2
        expected.append(state.multinomial(1, row).tolist().index(1))
    assert corrupt(SKEWED, None, 6, NoiseSpec("tridiagonal", rate, "cdr"), 7).given.tolist() == expected


@pytest.mark.parametrize(("dialect", "flips"), [("native", "exact"), ("native", "iid"), ("cdr", "exact")])
def test_each_neighbour_gets_half_of_the_flips_and_nobody_else_any(dialect, flips):
    labels = np.arange(50_000) % 10
    made = corrupt(labels, None, 10, NoiseSpec("tridiagonal", 0.4, dialect, flips), 2)
    steps = (made.given - labels) % 10
    assert set(steps) == {0, 1, 9}
    up, down = int((steps == 1).sum()), int((steps == 9).sum())
    assert binomtest(up, up + down, 0.5).pvalue > 1e-3
    assert up + down == 20_000 if (dialect, flips) == ("native", "exact") else abs(up + down - 20_000) < 4 * 110


def test_two_classes_are_one_anothers_neighbours_on_both_sides():
    for dialect in ("native", "cdr"):
        made = corrupt([0, 1] * 500, None, 2, NoiseSpec("tridiagonal", 0.3, dialect), 0)
        assert made.transition.tolist() == [[0.7, 0.3], [0.3, 0.7]]
        assert abs(made.wrong.sum() - 300) < 4 * np.sqrt(1000 * 0.21)


def test_in_a_circle_of_three_it_is_symmetric_noise():
    tridiagonal = corrupt([0, 1, 2] * 300, None, 3, NoiseSpec("tridiagonal", 0.4, "cdr"), 0)
    symmetric = corrupt([0, 1, 2] * 300, None, 3, NoiseSpec("symmetric", 0.4, "co_teaching"), 0)
    assert np.array_equal(tridiagonal.given, symmetric.given)


@pytest.mark.parametrize("dialect", ["native", "cdr"])
def test_one_sample_and_missing_classes_are_no_special_cases(dialect):
    spec = NoiseSpec("tridiagonal", 0.6, dialect)
    assert corrupt([4], None, 5, spec, 1).given[0] in (3, 4, 0)
    assert set(corrupt([0] * 300, None, 5, spec, 1).given) == {0, 1, 4}
