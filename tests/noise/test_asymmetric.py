"""Asymmetric noise: its maps, our own draws step by step, and every dialect against the loop of its code."""

import hashlib

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from noise import NoiseSpec, corrupt, describe, family_of
from noise.base import Corruption
from noise.maps import SUPERCLASSES
from tests.noise.asymmetric_loops import BLOCKS, N_META, PAIRS, SAMPLE_LOOPS, SUPER, labels_of, pairs_of

DIALECTS = family_of("asymmetric").dialects
MAPS = describe("asymmetric")["maps"]
THEIRS = [(dialect, name) for dialect in SAMPLE_LOOPS for name in DIALECTS[dialect].maps or MAPS]


def made(name: str, dialect: str = "native", rate: float = 0.29, seed: int = 3, flips: str = "exact") -> Corruption:
    labels, classes = labels_of(name)
    options = {"n_meta": N_META} if dialect == "mwnet" else {}
    return corrupt(labels, None, classes, NoiseSpec("asymmetric", rate, dialect, flips, name, options), seed)


def steps(name: str, rate: float, seed: int, flips: str) -> list[int]:
    """Our own draw as its definition tells it: the classes, then u and v, then sample by sample."""
    y, classes = labels_of(name)
    digest = hashlib.sha256(y.astype("<i8").tobytes()).hexdigest()
    text = f'["noise",{seed},"asymmetric","{name}",{{}},"{digest}"]'
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    rng = np.random.Generator(np.random.PCG64(key))
    targets: dict[int, list[int]] = {}
    if "swap2" in name:
        for group, row in zip(SUPER if name.startswith("super") else BLOCKS, rng.random((20, 5)), strict=True):
            first, second = sorted(range(5), key=lambda place: row[place])[:2]
            targets |= {group[first]: [group[second]], group[second]: [group[first]]}
    elif name in ("flip", "flip2"):
        for c, row in enumerate(rng.random((classes, classes))):
            ranked = sorted((t for t in range(classes) if t != c), key=lambda t: row[t])
            targets[c] = sorted(ranked[: 1 if name == "flip" else 2])
    elif name == "superclass_uniform":
        targets = {c: [t for t in group if t != c] for group in SUPER for c in group}
    else:
        targets = {s: [t] for s, t in pairs_of(name)}
    u, v = rng.random(len(y)), rng.random(len(y))
    out = y.tolist()
    for c in targets:
        members = [i for i in range(len(y)) if y[i] == c]
        if flips == "iid":
            wrong = [i for i in members if u[i] < rate]
        else:
            wrong = sorted(members, key=lambda i: (u[i], i))[: int(rate * len(members) + 0.5)]
        for i in wrong:
            out[i] = targets[c][int(v[i] * len(targets[c]))]
    return out


@pytest.mark.parametrize("flips", ["exact", "iid"])
@pytest.mark.parametrize("name", MAPS)
def test_native_noise_follows_its_definition_step_by_step(name, flips):
    for rate, seed in ((0.29, 3), (0.575, 0)):
        assert made(name, "native", rate, seed, flips).given.tolist() == steps(name, rate, seed, flips)


@pytest.mark.parametrize(("dialect", "name"), THEIRS)
def test_a_dialect_draws_what_its_loop_draws(dialect, name):
    y, _ = labels_of(name)
    for rate, seed in ((0.29, 3), (0.55, 0)):
        assert made(name, dialect, rate, seed).given.tolist() == SAMPLE_LOOPS[dialect](y, name, rate, seed)


def test_every_dialect_of_others_has_its_loop():
    assert set(SAMPLE_LOOPS) == set(DIALECTS) - {"native"}


def test_the_superclasses_are_those_of_the_names():
    assert [list(group) for group in SUPERCLASSES] == SUPER


@pytest.mark.parametrize(("dialect", "name"), [("native", name) for name in MAPS] + THEIRS)
def test_classes_outside_the_map_keep_their_labels_and_others_go_where_it_says(dialect, name):
    result = made(name, dialect, 0.45)
    gone = {(int(s), int(t)) for s, t in zip(result.clean[result.wrong], result.given[result.wrong], strict=True)}
    if name in PAIRS or name.endswith("next"):
        allowed = set(pairs_of(name))
    elif name in ("flip", "flip2"):
        allowed = gone
        assert len(gone) == (10 if name == "flip" else 20)
        assert sorted({s for s, _ in gone}) == list(range(10))
    else:
        groups = SUPER if name.startswith("super") else BLOCKS
        allowed = {(a, b) for group in groups for a in group for b in group if a != b}
    assert gone <= allowed
    if "swap2" in name:
        assert len({s for s, _ in gone}) == 40
        assert {(t, s) for s, t in gone} == gone


@pytest.mark.parametrize(
    ("name", "share"), [("cifar10", 0.5), ("mnist", 0.4949), ("mnist_cdr", 0.3905), ("fashion_mnist", 0.4)]
)
def test_the_share_of_all_labels_is_the_one_in_print(name, share):
    sizes = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # of MNIST's training classes
    labels = np.repeat(np.arange(10), sizes if name.startswith("mnist") else [6000] * 10)
    dialects = [d for d, about in DIALECTS.items() if name in (about.maps or ()) and d != "anl"]
    for dialect in ["native", *(d for d in dialects if (d, name) not in {("elr", "cifar10"), ("cdr", "cifar10")})]:
        result = corrupt(labels, None, 10, NoiseSpec("asymmetric", 0.4, dialect, map=name), 0)
        assert result.expected == pytest.approx(0.4 * share, abs=5e-5)
        assert result.wrong.mean() == pytest.approx(0.4 * share, abs=0.005)


@pytest.mark.parametrize("name", ["mnist", "mnist_cdr", "fashion_mnist", "block5_next"])
def test_cdr_chains_on_cifar10_alone(name):
    plain = made(name, "cdr")
    assert plain.noise_id == made(name, "patrini").noise_id
    assert not any("already changed" in note for note in plain.notes)
    assert any("already changed" in note for note in made("cifar10", "cdr").notes)


def test_dividemix_flips_an_exact_share_of_all_and_so_a_random_one_of_each_class():
    labels = np.arange(50_000) % 10
    wrong = corrupt(labels, None, 10, NoiseSpec("asymmetric", 0.4, "dividemix", map="cifar10"), 123).wrong
    counts = np.bincount(labels[wrong], minlength=10)
    assert (counts[[0, 1, 6, 7, 8]] == 0).all()
    assert len(set(counts[[2, 3, 4, 5, 9]])) > 1
    assert binomtest(int(counts.sum()), 50_000, 0.2).pvalue > 1e-3


@pytest.mark.parametrize("flips", ["exact", "iid"])
@pytest.mark.parametrize(("name", "per"), [("superclass_uniform", 4), ("flip2", 2)])
def test_several_wrong_classes_of_one_class_share_its_flips_evenly(name, per, flips):
    classes = labels_of(name)[1]
    labels = np.arange(40_000) % classes
    result = corrupt(labels, None, classes, NoiseSpec("asymmetric", 0.5, flips=flips, map=name), 4)
    counts = np.bincount(labels * classes + result.given, minlength=classes**2).reshape(classes, classes)
    np.fill_diagonal(counts, 0)
    rows = [row[row > 0] for row in counts]
    assert {len(row) for row in rows} == {per}
    assert chisquare(np.array(rows), axis=1).pvalue.min() > 1e-5


def test_drawn_classes_differ_between_seeds_and_reach_all_others():
    reached = set()
    for seed in range(60):
        matrix = made("flip", seed=seed).transition
        reached |= {(c, int(t)) for c in range(10) for t in np.flatnonzero(matrix[c]) if t != c}
    assert len(reached) == 90


def test_two_classes_can_only_swap_where_any_class_will_do():
    result = corrupt([0, 1] * 50, None, 2, NoiseSpec("asymmetric", 0.3, map="flip"), 0)
    assert result.transition.tolist() == [[0.7, 0.3], [0.3, 0.7]]
    theirs = NoiseSpec("asymmetric", 0.3, "mwnet", map="flip", options={"n_meta": 0})
    assert 0 < corrupt([0, 1] * 50, None, 2, theirs, 0).wrong.sum() < 60


@pytest.mark.parametrize(("dialect", "name"), [("native", "cifar10"), *(way for way in THEIRS if way[1] == "cifar10")])
def test_one_sample_and_missing_classes_are_no_special_cases(dialect, name):
    spec = NoiseSpec("asymmetric", 0.4, dialect, map=name)
    for label in (0, 3):
        assert corrupt([label], None, 10, spec, 1).given[0] in (label, 5)
    assert set(corrupt([0, 0, 4] * 50, None, 10, spec, 1).given) == {0, 4, 7}


@pytest.mark.parametrize(
    ("dialect", "name", "note"),
    [
        ("sce", "block5_swap2", "the released code draws the classes with seed 123 and the labels with seed 0"),
        ("elr", "block5_next", "the released code draws CIFAR-100's labels with seed 0, whatever seed is asked for"),
        ("mwnet", "flip", "the released code draws classes and labels with seed 1, whatever seed is asked for"),
        ("moit", "cifar10", "the released labels are drawn from seed 42"),
        ("sce", "mnist", "the released labels are drawn from seed 123"),
    ],
)
def test_the_card_tells_what_the_code_does_with_its_seed(dialect, name, note):
    assert any(line.startswith(note) for line in made(name, dialect).notes)
