"""Which class is mistaken for which: the maps of asymmetric noise, as published code has them.

The maps of MNIST and CIFAR-10 are Patrini et al.'s (CVPR 2017, arXiv:1609.03683, Sec. 5).
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from noise.draws import Floats

# source class -> the class it is mistaken for, in the order in which SCE and CDR go through them
PAIRS: Mapping[str, Mapping[int, int]] = MappingProxyType(
    {
        "cifar10": {9: 1, 2: 0, 3: 5, 5: 3, 4: 7},
        "mnist": {7: 1, 2: 7, 3: 8, 5: 6, 6: 5},
        "mnist_cdr": {2: 7, 3: 8, 5: 6, 6: 5},
        "fashion_mnist": {0: 6, 2: 4, 5: 7, 7: 5},
    }
)

# the fine classes of CIFAR-100's 20 superclasses, as coarse_labels and fine_labels of its files have them
SUPERCLASSES = (
    (4, 30, 55, 72, 95),
    (1, 32, 67, 73, 91),
    (54, 62, 70, 82, 92),
    (9, 10, 16, 28, 61),
    (0, 51, 53, 57, 83),
    (22, 39, 40, 86, 87),
    (5, 20, 25, 84, 94),
    (6, 7, 14, 18, 24),
    (3, 42, 43, 88, 97),
    (12, 17, 37, 68, 76),
    (23, 33, 49, 60, 71),
    (15, 19, 21, 31, 38),
    (34, 63, 64, 66, 75),
    (26, 45, 77, 79, 99),
    (2, 11, 35, 46, 98),
    (27, 29, 44, 78, 93),
    (36, 50, 65, 74, 80),
    (47, 52, 56, 59, 96),
    (8, 13, 48, 58, 90),
    (41, 69, 81, 85, 89),
)
BLOCKS = tuple(tuple(range(start, start + 5)) for start in range(0, 100, 5))  # neighbours in the alphabet alone

CIFAR100 = ("superclass_next", "block5_next", "superclass_swap2", "block5_swap2", "superclass_uniform")
ANY = ("flip", "flip2")  # one or two other classes per class, drawn
MAPS = (*PAIRS, *CIFAR100, *ANY)


def check_classes(name: str, num_classes: int) -> None:
    """Raise ValueError unless the map `name` is one for so many classes."""
    wanted = 10 if name in PAIRS else 100 if name in CIFAR100 else None
    if wanted is not None and num_classes != wanted:
        raise ValueError(f"map {name!r} is for {wanted} classes, got {num_classes}")
    if name == "flip2" and num_classes < 3:
        raise ValueError(f"map 'flip2' needs at least 3 classes, got {num_classes}")


def groups_of(name: str) -> tuple[tuple[int, ...], ...]:
    """Return the groups of five in which a map of CIFAR-100 moves."""
    return BLOCKS if name.startswith("block5") else SUPERCLASSES


def next_in_group(name: str) -> dict[int, int]:
    """Return class -> the next of its group, ids ascending, the last one wrapping to the first."""
    return {a: b for group in groups_of(name) for a, b in zip(group, group[1:] + group[:1], strict=True)}


def pairs_of(name: str) -> dict[int, int]:
    """Return source -> target of a map that sends each class to one other at most."""
    return dict(PAIRS[name]) if name in PAIRS else next_in_group(name)


def of_pairs(pairs: Mapping[int, int], rate: float, num_classes: int) -> Floats:
    """Return the (C, C) matrix that moves `rate` of each source to its target."""
    matrix = np.eye(num_classes)
    for source, target in pairs.items():
        matrix[source, source], matrix[source, target] = 1 - rate, rate
    return matrix


def of_siblings(rate: float, num_classes: int) -> Floats:
    """Return the (C, C) matrix that shares `rate` among the four siblings in the superclass."""
    matrix = np.eye(num_classes) * (1 - rate)
    for group in SUPERCLASSES:
        for a in group:
            for b in group:
                if a != b:
                    matrix[a, b] = rate * 1 / 4
    return matrix


def of_targets(targets: list[list[int]], rate: float) -> Floats:
    """Return the (C, C) matrix that shares `rate` among the drawn targets of each class."""
    matrix = np.eye(len(targets)) * (1 - rate)
    for source, drawn in enumerate(targets):
        matrix[source, drawn] = rate / len(drawn)
    return matrix
