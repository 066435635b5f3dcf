"""Each dialect against the loop that its code runs, written out sample by sample."""

import random

import numpy as np
import pytest

from noise import NoiseSpec, corrupt
from noise.maps import SUPERCLASSES
from tests.noise.world import TOY10, TOY100

RATES = (0.2, 0.45, 0.55, 0.29)
CIFAR10 = [(9, 1), (2, 0), (3, 5), (5, 3), (4, 7)]
MNIST = [(7, 1), (2, 7), (3, 8), (5, 6), (6, 5)]
FASHION = [(0, 6), (2, 4), (5, 7), (7, 5)]

DIALECTS = (
    *("native", "inclusive", "co_teaching", "dividemix", "badlabels", "elr", "pencil"),
    *("mwnet", "proselflc", "moit", "sce", "anl"),
)


def drawn(family: str, dialect: str, rate: float, seed: int, labels=TOY10, classes: int = 10, map: str | None = None):
    return corrupt(labels, None, classes, NoiseSpec(family, rate, dialect, map=map), seed).given.tolist()


def others(label: int, classes: int = 10) -> list[int]:
    return [c for c in range(classes) if c != label]


def row_of(pairs: dict[int, int], rate: float, label: int, classes: int) -> list[float]:
    row = [0.0] * classes
    row[label] = 1.0
    if label in pairs:
        row[label], row[pairs[label]] = 1 - rate, rate
    return row


def next_in_superclass() -> dict[int, int]:
    following = {}
    for group in SUPERCLASSES:
        for place in range(5):
            following[group[place]] = group[(place + 1) % 5]
    return following


def next_in_block() -> dict[int, int]:
    return {label: label - 4 if label % 5 == 4 else label + 1 for label in range(100)}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seed", [0, 17])
class TestSymmetric:
    def test_pencil(self, rate, seed):
        state, made = np.random.RandomState(seed), TOY10.tolist()
        for i in range(1800):
            if state.random_sample() < rate:
                made[i] = state.randint(0, 10)
        assert drawn("symmetric", "pencil", rate, seed) == made

    def test_mwnet(self, rate, seed):
        state, made, train = np.random.RandomState(seed), TOY10.tolist(), []
        for c in range(10):
            members = [i for i in range(2000) if TOY10[i] == c]
            state.shuffle(members)
            train += members[100:]
        for i in train:
            row = [rate / 10] * 10
            row[made[i]] += 1 - rate
            made[i] = state.choice(10, p=row)
        assert drawn("symmetric", "mwnet", rate, seed) == made

    def test_proselflc(self, rate, seed):
        generator, made, order = random.Random(seed), TOY10.tolist(), list(range(2000))
        generator.shuffle(order)
        for i in order[: int(rate * 2000)]:
            made[i] = others(made[i])[generator.randint(0, 8)]
        assert drawn("symmetric", "proselflc", rate, seed) == made

    def test_moit(self, rate, seed):
        state, made = np.random.RandomState(seed), TOY10.tolist()
        for i in state.permutation(2000)[: int(rate * 2000)]:
            new = TOY10[i]
            while new == TOY10[i]:
                new = state.randint(10)
            made[i] = new
        assert drawn("symmetric", "moit", rate, seed) == made

    @pytest.mark.parametrize("dialect", ["sce", "apl"])
    def test_sce_and_apl(self, rate, seed, dialect):
        state, made = np.random.RandomState(seed), TOY10.tolist()
        total = int(round(100 * rate) * 2000 / 100) if dialect == "sce" else int(rate * 2000)
        chosen = []
        for c in range(10):
            members = np.array([i for i in range(2000) if TOY10[i] == c])
            chosen.extend(state.choice(members, int(total / 10), replace=False))
        for i in chosen:
            made[i] = state.choice(others(made[i]))
        assert drawn("symmetric", dialect, rate, seed) == made

    def test_anl(self, rate, seed):
        state, made = np.random.RandomState(seed), TOY10.tolist()
        for c in range(10):
            left = [i for i in range(2000) if TOY10[i] == c]
            count = int(rate / 9 * len(left))
            for t in others(c):
                for i in state.choice(left, count, replace=False):
                    made[i] = t
                    left.remove(i)
        assert drawn("symmetric", "anl", rate, seed) == made

    def test_dividemix_and_badlabels(self, rate, seed):
        for dialect in ("dividemix", "badlabels"):
            generator, made, order = random.Random(seed), TOY10.tolist(), list(range(2000))
            generator.shuffle(order)
            first = set(order[: int(rate * 2000)])
            for i in range(2000):
                if i in first:
                    pick = generator.choice(others(made[i])) if dialect == "badlabels" else generator.randint(0, 9)
                    made[i] = pick
            assert drawn("symmetric", dialect, rate, seed) == made


def test_sce_takes_a_percentage_that_floating_point_would_cut_short():
    # .57 * 100 is 56.99999999999999: its user types 57, which flips 57 of a hundred
    assert corrupt(np.arange(1000) % 10, None, 10, NoiseSpec("symmetric", 0.57, "sce"), 0).wrong.sum() == 570


def test_symmetric_noise_of_two_dialects_differs():
    made = {tuple(drawn("symmetric", dialect, 0.4, 1)) for dialect in DIALECTS}
    assert len(made) == len(DIALECTS)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seed", [0, 17])
class TestAsymmetric:
    @pytest.mark.parametrize("name", ["cifar10", "mnist", "block5_next"])
    def test_patrini(self, rate, seed, name):
        labels, classes = (TOY100, 100) if name == "block5_next" else (TOY10, 10)
        pairs = next_in_block() if classes == 100 else dict(CIFAR10 if name == "cifar10" else MNIST)
        state, made = np.random.RandomState(seed), []
        for y in labels:
            made.append(int(state.multinomial(1, row_of(pairs, rate, y, classes)).argmax()))
        assert drawn("asymmetric", "patrini", rate, seed, labels, classes, name) == made

    @pytest.mark.parametrize("name", ["cifar10", "superclass_next"])
    def test_moit(self, rate, seed, name):
        labels, classes = (TOY10, 10) if name == "cifar10" else (TOY100, 100)
        pairs = dict(CIFAR10) if name == "cifar10" else next_in_superclass()
        state, made = np.random.RandomState(seed), labels.tolist()
        for i in state.permutation(len(labels)):
            made[i] = int(state.choice(classes, p=row_of(pairs, rate, labels[i], classes)))
        assert drawn("asymmetric", "moit", rate, seed, labels, classes, name) == made

    def test_dividemix(self, rate, seed):
        generator, made, order = random.Random(seed), TOY10.tolist(), list(range(2000))
        generator.shuffle(order)
        for i in order[: int(rate * 2000)]:
            made[i] = dict(CIFAR10).get(made[i], made[i])
        assert drawn("asymmetric", "dividemix", rate, seed, map="cifar10") == made

    @pytest.mark.parametrize(("name", "pairs"), [("cifar10", CIFAR10), ("mnist", MNIST)])
    def test_sce(self, rate, seed, name, pairs):
        state, made = np.random.RandomState(seed), TOY10.copy()
        for s, t in pairs:
            members = np.where(s == TOY10)[0]
            made[state.choice(members, int(round(100 * rate) * len(members) / 100), replace=False)] = t
        assert drawn("asymmetric", "sce", rate, seed, map=name) == made.tolist()

    def test_sce_on_a_hundred_classes_knows_its_own_seeds_only(self, rate, seed):
        state, pairs = np.random.RandomState(123), {}
        for block in range(20):
            a, b = (5 * block + int(place) for place in state.choice(range(5), size=2, replace=False))
            pairs[a], pairs[b] = b, a
        state, made = np.random.RandomState(0), []
        for y in TOY100:
            made.append(int(state.multinomial(1, row_of(pairs, rate, y, 100)).argmax()))
        assert drawn("asymmetric", "sce", rate, seed, TOY100, 100, "block5_swap2") == made

    @pytest.mark.parametrize(("name", "pairs"), [("cifar10", CIFAR10), ("mnist", MNIST), ("block5_next", None)])
    def test_anl(self, rate, seed, name, pairs):
        labels, classes = (TOY100, 100) if pairs is None else (TOY10, 10)
        targets = next_in_block() if pairs is None else dict(pairs)
        state, made = np.random.RandomState(seed), labels.copy()
        for c in range(classes):
            members = np.where(labels == c)[0]
            count = int(rate * len(members)) if c in targets else 0
            if count:
                made[state.choice(members, count, replace=False)] = targets[c]
        assert drawn("asymmetric", "anl", rate, seed, labels, classes, name) == made.tolist()

    def test_elr(self, rate, seed):
        state, made = np.random.RandomState(seed), TOY10.copy()
        for c in range(10):
            members = np.where(made == c)[0]
            state.shuffle(members)
            for j, i in enumerate(members):
                if j < rate * len(members) and c in dict(CIFAR10):
                    made[i] = dict(CIFAR10)[c]
        assert drawn("asymmetric", "elr", rate, seed, map="cifar10") == made.tolist()

    def test_cdr(self, rate, seed):
        state, made = np.random.RandomState(seed), TOY10.copy()
        for s, t in CIFAR10:
            now = np.where(made == s)[0]
            made[state.choice(now, int(rate * len(now)), replace=False)] = t
        assert drawn("asymmetric", "cdr", rate, seed, map="cifar10") == made.tolist()

    @pytest.mark.parametrize(
        ("name", "pairs"), [("mnist", MNIST), ("mnist_cdr", MNIST[1:]), ("fashion_mnist", FASHION)]
    )
    def test_cdr_beside_cifar10(self, rate, seed, name, pairs):
        state, made = np.random.RandomState(seed), []
        for y in TOY10:
            made.append(int(state.multinomial(1, row_of(dict(pairs), rate, y, 10)).argmax()))
        assert drawn("asymmetric", "cdr", rate, seed, map=name) == made

    def test_gjs(self, rate, seed):
        state, made = np.random.RandomState(seed), TOY100.tolist()
        for k, i in enumerate(state.permutation(4000)):
            if k < rate * 4000:
                made[i] = next_in_superclass()[made[i]]
        assert drawn("asymmetric", "gjs", rate, seed, TOY100, 100, "superclass_next") == made

    @pytest.mark.parametrize("name", ["flip", "flip2", "superclass_uniform"])
    def test_mwnet(self, rate, seed, name):
        labels, classes = (TOY100, 100) if name == "superclass_uniform" else (TOY10, 10)
        state, made, train = np.random.RandomState(seed), labels.tolist(), []
        for c in range(classes):
            members = [i for i in range(len(labels)) if labels[i] == c]
            state.shuffle(members)
            train += members[1000 // classes :]
        matrix = np.eye(classes) * (1 - rate)
        if name == "superclass_uniform":
            for group in SUPERCLASSES:
                for a in group:
                    matrix[a, [b for b in group if b != a]] = rate / 4
        else:
            state = np.random.RandomState(1)
            for row in range(classes):
                if name == "flip":
                    matrix[row, state.choice(others(row))] = rate
                else:
                    matrix[row, state.choice(others(row), 2, replace=False)] = rate / 2
        for i in train:
            made[i] = int(state.choice(classes, p=matrix[labels[i]]))
        assert drawn("asymmetric", "mwnet", rate, seed, labels, classes, name) == made


@pytest.mark.parametrize("rate", [0.2, 0.3, 0.4, 0.5])
@pytest.mark.parametrize("dialect", ["elr", "cdr"])
def test_the_chained_bug_lets_flipped_cats_return(rate, dialect):
    labels = np.arange(50_000) % 10
    made = corrupt(labels, None, 10, NoiseSpec("asymmetric", rate, dialect, map="cifar10"), 3)
    cats, dogs = made.given[labels == 3], made.given[labels == 5]
    sd = np.sqrt(5000 * rate * (1 - rate))
    assert abs((cats == 5).sum() - 5000 * rate * (1 - rate)) < 4 * sd
    assert abs((dogs == 3).sum() - 5000 * rate) < 4 * sd
    assert made.expected == pytest.approx((4 * rate + rate * (1 - rate)) / 10)
    assert abs(made.wrong.mean() - made.expected) < 0.005


def test_other_dialects_have_no_such_bug():
    labels = np.arange(50_000) % 10
    for dialect in ("native", "sce", "anl"):
        made = corrupt(labels, None, 10, NoiseSpec("asymmetric", 0.4, dialect, map="cifar10"), 3)
        assert (made.given[labels == 3] == 5).mean() == pytest.approx(0.4)


def test_elr_on_a_hundred_classes_is_patrinis_from_seed_0():
    made = {tuple(drawn("asymmetric", "elr", 0.4, seed, TOY100, 100, "block5_next")) for seed in range(3)}
    assert made == {tuple(drawn("asymmetric", "patrini", 0.4, 0, TOY100, 100, "block5_next"))}


def test_the_superclasses_hold_every_class_once():
    assert len(SUPERCLASSES) == 20
    assert sorted(label for group in SUPERCLASSES for label in group) == list(range(100))
    assert all(list(group) == sorted(group) for group in SUPERCLASSES)


def test_steps_through_blocks_rarely_stay_in_a_superclass():
    home = {label: number for number, group in enumerate(SUPERCLASSES) for label in group}
    staying = sorted(a for a, b in next_in_block().items() if home[a] == home[b])
    assert staying == [6, 19, 42, 63, 86, 89]
    assert all(home[a] == home[b] for a, b in next_in_superclass().items())


@pytest.mark.parametrize("name", ["superclass_swap2", "block5_swap2"])
def test_native_swaps_two_classes_of_each_group_and_leaves_three_alone(name):
    made = corrupt(TOY100, None, 100, NoiseSpec("asymmetric", 0.4, map=name), 2)
    moved = np.flatnonzero(np.diag(made.transition) < 1)
    assert len(moved) == 40
    assert made.expected == pytest.approx(0.16)
    for a in moved:
        (b,) = np.flatnonzero(made.transition[a] == 0.4)
        assert made.transition[b, a] == 0.4
        assert (a // 5 == b // 5) if name == "block5_swap2" else any(a in g and b in g for g in SUPERCLASSES)
    other = corrupt(TOY100, None, 100, NoiseSpec("asymmetric", 0.4, map=name), 3)
    assert not np.array_equal(made.transition, other.transition)


@pytest.mark.parametrize(
    ("name", "classes", "text"),
    [
        ("cifar10", 20, "map 'cifar10' is for 10 classes, got 20"),
        ("superclass_next", 10, "map 'superclass_next' is for 100 classes, got 10"),
        ("flip2", 2, "map 'flip2' needs at least 3 classes, got 2"),
        (None, 10, "noise family 'asymmetric' needs a map for these data: map=cifar10|mnist|"),
    ],
)
def test_a_map_for_other_classes_is_refused(name, classes, text):
    with pytest.raises(ValueError, match=text.replace("|", r"\|")):
        corrupt([0, 1], None, classes, NoiseSpec("asymmetric", 0.4, map=name), 0)


@pytest.mark.parametrize(
    ("matrix", "text"),
    [
        (np.eye(3), r"transition matrix must be numbers of shape \(2, 2\), got float64 of shape \(3, 3\)"),
        (np.array([[0.5, 0.4], [0, 1]]), "transition matrix: rows must sum to 1, row 0 sums to 0.9"),
        (np.array([[1.1, -0.1], [0, 1]]), "transition matrix: row 0, column 1 must be a probability, got -0.1"),
        (np.array([[np.nan, 1], [0, 1]]), "transition matrix: row 0, column 0 must be a probability, got nan"),
        (np.array([[np.inf, 0], [0, 1]]), "transition matrix: row 0, column 0 must be a probability, got inf"),
        (np.array([["a", "b"], ["c", "d"]]), "transition matrix must be numbers"),
        (np.array([[True, False], [False, True]]), "transition matrix must be numbers"),
    ],
)
def test_what_is_no_transition_matrix_is_refused(matrix, text):
    with pytest.raises(ValueError, match=text):
        corrupt([0, 1], None, 2, NoiseSpec("transition"), 0, attached={"matrix": matrix})


def test_a_transition_matrix_may_be_off_by_rounding():
    matrix = np.array([[0.7, 0.3], [0.4, 0.6 + 5e-7]])
    made = corrupt(np.arange(1000) % 2, None, 2, NoiseSpec("transition"), 0, attached={"matrix": matrix})
    assert made.transition.sum(axis=1).tolist() == pytest.approx([1, 1], abs=1e-15)
    assert made.transition[0].tolist() == [0.7, 0.3]
    assert [int(made.wrong[made.clean == c].sum()) for c in (0, 1)] == [150, 200]


def test_transition_noise_of_a_symmetric_matrix_is_drawn_as_co_teaching_draws_it():
    matrix = np.full((10, 10), 0.4 / 9)
    np.fill_diagonal(matrix, 0.6)
    theirs = corrupt(TOY10, None, 10, NoiseSpec("symmetric", 0.4, "co_teaching"), 5).given
    ours = corrupt(
        TOY10, None, 10, NoiseSpec("transition", dialect="co_teaching"), 5, attached={"matrix": matrix}
    ).given
    assert np.array_equal(ours, theirs)
