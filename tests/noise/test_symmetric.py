"""Symmetric noise on labels of no special form: every dialect against its loop, its counts and its chances."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from noise import NoiseSpec, corrupt, describe
from noise.base import Corruption

C = 7
SKEWED = np.random.RandomState(5).choice(C, 1503, p=[0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05])
META = 140  # 20 of each class
BALANCED = np.arange(50_000) % 10


def made(dialect: str, rate: float, seed: int, labels=SKEWED, classes: int = C, flips: str = "exact") -> Corruption:
    options = {"n_meta": META} if dialect == "mwnet" else {}
    return corrupt(labels, None, classes, NoiseSpec("symmetric", rate, dialect, flips, options=options), seed)


def others_of(label: int) -> list[int]:
    rest = list(range(C))
    rest.remove(label)
    return rest


def co_teaching(y: list[int], r: float, seed: int) -> list[int]:
    state, out = np.random.RandomState(seed), []
    for label in y:
        row = [r / (C - 1)] * C
        row[label] = 1 - r
        out.append(state.multinomial(1, row).tolist().index(1))
    return out


def shuffled(y: list[int], r: float, seed: int) -> tuple[random.Random, list[int]]:
    generator, idx = random.Random(seed), list(range(len(y)))
    generator.shuffle(idx)
    return generator, idx[: int(r * len(y))]


def dividemix(y: list[int], r: float, seed: int) -> list[int]:
    generator, first = shuffled(y, r, seed)
    noisy = set(first)
    return [generator.randint(0, C - 1) if i in noisy else label for i, label in enumerate(y)]


def badlabels(y: list[int], r: float, seed: int) -> list[int]:
    generator, first = shuffled(y, r, seed)
    noisy = set(first)
    return [generator.choice(others_of(label)) if i in noisy else label for i, label in enumerate(y)]


def proselflc(y: list[int], r: float, seed: int) -> list[int]:
    generator, first = shuffled(y, r, seed)
    out = list(y)
    for i in first:
        options = list(range(C))
        options.pop(out[i])
        out[i] = options[generator.randint(0, len(options) - 1)]
    return out


def elr(y: list[int], r: float, seed: int) -> list[int]:
    state, out = np.random.RandomState(seed), list(y)
    for k, i in enumerate(state.permutation(len(y))):
        if k < r * len(y):
            out[i] = int(state.randint(C, dtype=np.int32))
    return out


def pencil(y: list[int], r: float, seed: int) -> list[int]:
    state, out = np.random.RandomState(seed), list(y)
    for i in range(len(y) - len(y) // 10):
        if state.random_sample() < r:
            out[i] = int(state.randint(0, C))
    return out


def mwnet(y: list[int], r: float, seed: int) -> list[int]:
    state, out, train = np.random.RandomState(seed), list(y), []
    for c in range(C):
        members = [i for i, label in enumerate(y) if label == c]
        state.shuffle(members)
        train.extend(members[int(META / C) :])
    matrix = r * np.full((C, C), 1 / C) + (1 - r) * np.eye(C)
    for i in train:
        out[i] = int(state.choice(C, p=matrix[out[i]]))
    return out


def moit(y: list[int], r: float, seed: int) -> list[int]:
    state, out = np.random.RandomState(seed), list(y)
    for i in state.permutation(len(y))[: int(r * len(y))]:
        out[i] = int(state.randint(C, dtype=np.int32))
        while out[i] == y[i]:
            out[i] = int(state.randint(C, dtype=np.int32))
    return out


def equal_per_class(y: list[int], total: int, seed: int) -> list[int]:
    state, out, noisy = np.random.RandomState(seed), list(y), []
    for c in range(C):
        noisy.extend(state.choice(np.where(np.array(y) == c)[0], int(total / C), replace=False))
    for i in noisy:
        out[i] = int(state.choice(others_of(out[i])))
    return out


def sce(y: list[int], r: float, seed: int) -> list[int]:
    percent = round(100 * r)  # its users type a whole number
    return equal_per_class(y, int(percent * len(y) / 100), seed)


def apl(y: list[int], r: float, seed: int) -> list[int]:
    return equal_per_class(y, int(r * len(y)), seed)


def anl(y: list[int], r: float, seed: int) -> list[int]:
    state, out = np.random.RandomState(seed), list(y)
    for c in range(C):
        left = np.where(np.array(y) == c)[0]
        total = len(left)
        for t in range(C):
            number = int(r / (C - 1) * total)
            if t == c or number == 0:
                continue
            picked = state.choice(left, number, replace=False)
            left = np.setdiff1d(left, picked)
            for i in picked:
                out[i] = t
    return out


LOOPS = {f.__name__: f for f in (co_teaching, dividemix, badlabels, proselflc, elr, pencil, mwnet, moit, sce, apl, anl)}


def test_every_dialect_of_others_has_its_loop_here():
    assert set(LOOPS) == set(describe("symmetric")["dialects"]) - {"native", "inclusive"}


@pytest.mark.parametrize("rate", [0.05, 0.29])
@pytest.mark.parametrize("dialect", LOOPS)
def test_a_dialect_draws_what_its_loop_draws(dialect, rate):
    for seed in (0, 11):
        assert made(dialect, rate, seed).given.tolist() == LOOPS[dialect](SKEWED.tolist(), rate, seed)


@pytest.mark.parametrize("dialect", [d for d in LOOPS if d not in ("sce", "apl")])
def test_a_dialect_draws_what_its_loop_draws_at_a_high_rate(dialect):
    assert made(dialect, 0.85, 3).given.tolist() == LOOPS[dialect](SKEWED.tolist(), 0.85, 3)


@pytest.mark.parametrize("dialect", ["sce", "apl"])
def test_a_class_too_small_for_its_share_is_refused(dialect):
    assert np.bincount(SKEWED, minlength=C).tolist()[4:] == [160, 119, 75]
    with pytest.raises(ValueError, match=f"^dialect '{dialect}' flips 128 of each class; class 5 has 119$"):
        made(dialect, 0.6, 3)


@pytest.mark.parametrize("dialect", ["badlabels", "proselflc", "moit"])
@pytest.mark.parametrize("rate", [0.29, 0.55, 0.999])
def test_exclusive_counts_are_truncated_and_no_flip_stays(dialect, rate):
    assert made(dialect, rate, 2).wrong.sum() == int(rate * len(SKEWED))
    assert made(dialect, rate, 2).expected == int(rate * len(SKEWED)) / len(SKEWED)


def test_a_hair_above_a_whole_number_makes_one_more_in_a_loop_and_none_where_it_is_cut():
    assert 0.55 * 50_000 > 27_500
    state = np.random.RandomState(1)
    order = state.permutation(50_000)
    touched = made("elr", 0.55, 1, BALANCED, 10).given[order[:27_501]]
    assert (touched == state.randint(10, size=27_501)).all()
    assert made("badlabels", 0.55, 1, BALANCED, 10).wrong.sum() == 27_500
    assert int(0.29 * 100) == 28
    assert made("apl", 0.29, 0, np.arange(100) % 2, 2).wrong.sum() == 28
    assert made("sce", 0.29, 0, np.arange(100) % 2, 2).wrong.sum() == 28  # int(29 / 2) = 14 of each class
    assert made("sce", 0.29, 0, np.arange(1000) % 10, 10).wrong.sum() == 290
    assert made("apl", 0.29, 0, np.arange(1000) % 10, 10).wrong.sum() == 290  # int(.29 * 1000) is 290, of 100 it is 28


@pytest.mark.parametrize("dialect", ["sce", "apl"])
def test_equally_many_of_every_class_are_wrong_whatever_its_size(dialect):
    wrong = made(dialect, 0.29, 1).wrong
    assert np.bincount(SKEWED[wrong], minlength=C).tolist() == [62] * C  # int(int(435.87) / 7)


@pytest.mark.parametrize(("classes", "cell"), [(10, 222), (100, 2)])  # of .4 / 9 * 5000 and .4 / 99 * 500
def test_anl_fills_each_cell_with_the_truncated_number(classes, cell):
    result = made("anl", 0.4, 1, np.arange(50_000) % classes, classes)
    counts = np.bincount(result.clean * classes + result.given, minlength=classes**2).reshape(classes, classes)
    assert (counts[~np.eye(classes, dtype=bool)] == cell).all()
    assert result.wrong.mean() == result.expected == cell * classes * (classes - 1) / 50_000


def test_anl_flips_nothing_where_every_cell_gets_less_than_one():
    assert made("anl", 0.5, 1, np.arange(70) % 7).wrong.sum() == 0  # 10 * .5 / 6 < 1


@pytest.mark.parametrize("dialect", ["dividemix", "elr", "pencil", "mwnet"])
def test_an_inclusive_flip_keeps_the_true_class_once_in_c(dialect):
    result = made(dialect, 0.8, 4, BALANCED, 10)
    assert result.expected < 0.72 + 1e-12
    assert binomtest(int(result.wrong.sum()), 50_000, result.expected).pvalue > 1e-4


@pytest.mark.parametrize("dialect", ["co_teaching", "pencil", "mwnet"])
def test_a_rate_drawn_sample_by_sample_is_met_within_four_deviations(dialect):
    for seed in range(5):
        result = made(dialect, 0.3, seed, BALANCED, 10)
        sd = np.sqrt(result.expected * (1 - result.expected) / 50_000)
        assert 0 < abs(result.wrong.mean() - result.expected) <= 4 * sd


@pytest.mark.parametrize("dialect", ["native", "inclusive", *LOOPS])
def test_wrong_classes_are_drawn_all_alike(dialect):
    result = made(dialect, 0.5, 8, BALANCED, 10)
    counts = np.bincount(result.clean * 10 + result.given, minlength=100).reshape(10, 10)
    off = counts[~np.eye(10, dtype=bool)].reshape(10, 9)
    if dialect == "anl":
        assert (off == off[0, 0]).all()
    else:
        assert chisquare(off, axis=1).pvalue.min() > 1e-4
        assert chisquare(off, axis=1).pvalue.max() < 1 - 1e-4


def test_pencil_keeps_its_last_five_thousand_clean():
    result = made("pencil", 0.9, 0, BALANCED, 10)
    assert not result.wrong[45_000:].any()
    assert result.wrong[44_900:45_000].any()
    assert result.notes[0] == "the last 5,000 samples stay clean: the released code validates on them"
    assert result.expected == pytest.approx(0.81 * 0.9)


def test_inclusive_noise_is_drawn_from_the_uniforms_of_native_noise():
    for flips in ("exact", "total", "iid"):
        mild, full = made("inclusive", 0.5, 3, flips=flips), made("native", 0.5, 3, flips=flips)
        assert (mild.wrong <= full.wrong).all()
        assert (mild.given[mild.wrong] == full.given[mild.wrong]).all()
        assert mild.expected == 0.5 * (1 - 1 / C)
    sizes = np.bincount(SKEWED, minlength=C)
    assert np.bincount(SKEWED[made("inclusive", 0.5, 3).wrong], minlength=C).tolist() == [
        int(0.5 * (1 - 1 / C) * size + 0.5) for size in sizes
    ]


@pytest.mark.parametrize("dialect", [d for d in LOOPS if d != "mwnet"])
def test_a_single_sample_and_two_classes_are_no_special_cases(dialect):
    lone = corrupt([2], None, 3, NoiseSpec("symmetric", 0.4, dialect), 1) if dialect not in ("sce", "apl") else None
    assert lone is None or lone.given[0] in (0, 1, 2)
    two = made(dialect, 0.4, 1, np.arange(1000) % 2, 2)
    inclusive = describe("symmetric")["dialects"][dialect]["convention"] == "inclusive"
    assert abs(two.wrong.sum() - (200 if inclusive else 400)) < 4 * np.sqrt(1000 * 0.24)


@pytest.mark.data
def test_badlabels_repeats_the_file_that_its_authors_publish():
    folder = os.environ.get("LNBENCH_DATA")
    if not folder or not (Path(folder) / "cifar-10-batches-py").is_dir():
        pytest.skip("no cifar-10-batches-py in the folder LNBENCH_DATA names")
    from bench.data import datasets

    labels = datasets.load("cifar10", Path(folder)).train_labels
    ends = [1, 7, 3, 4, 4, 3, 3, 1, 1, 1, 2, 5, 1, 4, 2, 0, 1, 0, 4, 6, 9, 1, 1]  # of sym_cifar10_r0.2.json
    result = corrupt(labels, None, 10, NoiseSpec("symmetric", 0.2, "badlabels"), 17)
    assert result.given[-len(ends) :].tolist() == ends
    assert result.wrong[-len(ends) :].sum() == (labels[-len(ends) :] != ends).sum() > 3


@pytest.mark.parametrize(("dialect", "seed"), [("co_teaching", 0), ("dividemix", 123), ("badlabels", 17), ("apl", 123)])
def test_the_seed_of_the_released_labels_is_noted(dialect, seed):
    assert f"the released labels are drawn from seed {seed}" in made(dialect, 0.2, 5).notes
