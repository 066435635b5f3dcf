"""The loops of published code for asymmetric noise, sample by sample, and labels of no special form to run them on."""

import itertools
import random

import numpy as np

WEIGHTS = np.array([8, 7, 6, 5, 5, 4, 4, 3, 2, 1.0])
SKEWED = np.random.RandomState(5).choice(10, 2503, p=WEIGHTS / WEIGHTS.sum())
SKEWED100 = np.random.RandomState(6).choice(100, 5003, p=np.tile(WEIGHTS / WEIGHTS.sum() / 10, 10))
PAIRS = {  # source, target in the order of the codes
    "cifar10": [(9, 1), (2, 0), (3, 5), (5, 3), (4, 7)],
    "mnist": [(7, 1), (2, 7), (3, 8), (5, 6), (6, 5)],
    "mnist_cdr": [(2, 7), (3, 8), (5, 6), (6, 5)],
    "fashion_mnist": [(0, 6), (2, 4), (5, 7), (7, 5)],
}
# the names of CIFAR-100's classes by superclass; ids are their places in the alphabet
NAMES = """beaver dolphin otter seal whale|aquarium_fish flatfish ray shark trout|orchid poppy rose sunflower tulip
bottle bowl can cup plate|apple mushroom orange pear sweet_pepper|clock keyboard lamp telephone television
bed chair couch table wardrobe|bee beetle butterfly caterpillar cockroach|bear leopard lion tiger wolf
bridge castle house road skyscraper|cloud forest mountain plain sea|camel cattle chimpanzee elephant kangaroo
fox porcupine possum raccoon skunk|crab lobster snail spider worm|baby boy girl man woman
crocodile dinosaur lizard snake turtle|hamster mouse rabbit shrew squirrel
maple_tree oak_tree palm_tree pine_tree willow_tree|bicycle bus motorcycle pickup_truck train
lawn_mower rocket streetcar tank tractor"""
GROUPS = [line.split() for line in NAMES.replace("\n", "|").split("|")]
IDS = {name: number for number, name in enumerate(sorted(itertools.chain(*GROUPS)))}
BLOCKS = [list(range(5 * k, 5 * k + 5)) for k in range(20)]
SUPER = [sorted(IDS[name] for name in group) for group in GROUPS]
N_META = 200


def labels_of(name: str) -> tuple[np.ndarray, int]:
    return (SKEWED, 10) if name in PAIRS or name in ("flip", "flip2") else (SKEWED100, 100)


def ring(groups: list[list[int]]) -> list[tuple[int, int]]:
    return [(group[k], group[k - 4]) for group in groups for k in range(5)]


def table(pairs, r: float, classes: int) -> np.ndarray:
    rows = np.eye(classes)
    for s, t in pairs:
        rows[s, s], rows[s, t] = 1.0 - r, r
    return rows


def one_by_one(y, rows: np.ndarray, seed: int) -> list[int]:
    state = np.random.RandomState(seed)
    return [int(np.where(state.multinomial(1, rows[label], 1)[0] == 1)[0][0]) for label in y]


def pairs_of(name: str) -> list[tuple[int, int]]:
    return PAIRS.get(name) or ring(SUPER if name.startswith("superclass") else BLOCKS)


def patrini(y: np.ndarray, name: str, r: float, seed: int) -> list[int]:
    return one_by_one(y, table(pairs_of(name), r, labels_of(name)[1]), seed)


def moit(y, name, r, seed):
    rows, state, out = table(pairs_of(name), r, labels_of(name)[1]), np.random.RandomState(seed), y.copy()
    for i in state.permutation(len(y)):
        out[i] = state.choice(np.arange(len(rows)), p=rows[out[i]])
    return out.tolist()


def dividemix(y, name, r, seed):
    generator, idx, mapped = random.Random(seed), list(range(len(y))), dict(pairs_of(name))
    generator.shuffle(idx)
    noisy = set(idx[: int(r * len(y))])
    return [mapped.get(label, label) if i in noisy else label for i, label in enumerate(y.tolist())]


def sce(y, name, r, seed):
    if name == "block5_swap2":
        np_state, pairs = np.random.RandomState(123), []
        for k in range(20):
            a, b = np_state.choice(range(5), size=2, replace=False)
            pairs += [(5 * k + a, 5 * k + b), (5 * k + b, 5 * k + a)]
        return one_by_one(y, table(pairs, r, 100), 0)
    state, out = np.random.RandomState(seed), y.copy()
    for s, t in pairs_of(name):
        members = np.where(y == s)[0]
        out[state.choice(members, int(round(100 * r) * members.shape[0] / 100), replace=False)] = t
    return out.tolist()


def anl(y, name, r, seed):
    rows, state, out = table(pairs_of(name), r, labels_of(name)[1]), np.random.RandomState(seed), y.copy()
    for c in range(len(rows)):
        left = np.where(y == c)[0]
        numbers = (rows[c] * len(left)).astype(int)
        for t in range(len(rows)):
            if t != c and numbers[t] > 0:
                picked = state.choice(left, numbers[t], replace=False)
                left, out[picked] = np.setdiff1d(left, picked), t
    return out.tolist()


def elr(y, name, r, seed):
    if name == "block5_next":
        return patrini(y, name, r, 0)
    state, out, mapped = np.random.RandomState(seed), y.copy(), dict(pairs_of(name))
    for c in range(10):
        members = np.where(out == c)[0]
        state.shuffle(members)
        for j, i in enumerate(members):
            if j < r * len(members):
                out[i] = mapped.get(c, c)
    return out.tolist()


def cdr(y, name, r, seed):
    if name != "cifar10":
        return patrini(y, name, r, seed)
    state, out = np.random.RandomState(seed), y.copy()
    for s, t in pairs_of(name):
        members = np.where(out == s)[0]
        for i in state.choice(members, int(r * members.shape[0]), replace=False):
            out[i] = t
    return out.tolist()


def gjs(y, name, r, seed):
    state, out, mapped = np.random.RandomState(seed), y.copy(), dict(pairs_of(name))
    for k, i in enumerate(state.permutation(len(y))):
        if k < r * len(y):
            out[i] = mapped[out[i]]
    return out.tolist()


def mwnet(y, name, r, seed):
    classes, train = labels_of(name)[1], []
    state, out = np.random.RandomState(seed), y.copy()
    for c in range(classes):
        members = [i for i, label in enumerate(y) if label == c]
        state.shuffle(members)
        train += members[int(N_META / classes) :]
    rows = np.eye(classes) * (1 - r)
    state = state if name == "superclass_uniform" else np.random.RandomState(1)
    for c in range(classes):
        others = np.array([t for t in range(classes) if t != c])
        if name == "flip":
            rows[c][state.choice(others)] = r
        elif name == "flip2":
            rows[c][state.choice(others, 2, replace=False)] = r / 2
        else:
            rows[c][[t for t in next(group for group in SUPER if c in group) if t != c]] += r * 1 / 4
    for i in train:
        out[i] = state.choice(classes, p=rows[out[i]])
    return out.tolist()


SAMPLE_LOOPS = {f.__name__: f for f in (patrini, moit, dividemix, sce, anl, elr, cdr, gjs, mwnet)}
