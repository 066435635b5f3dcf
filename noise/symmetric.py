"""Symmetric noise: a wrong label is any other class, all alike.

van Rooyen et al., NeurIPS 2015, arXiv:1505.07634; as a benchmark, Patrini et al., CVPR 2017, arXiv:1609.03683.
"Symmetric r" has two meanings in print. Exclusive: a flip never lands on the true class, T[i, i] = 1 - r and
T[i, j] = r / (C - 1), so r of the labels are wrong. Inclusive: it may, T = (1 - r) I + r / C, so r (1 - 1/C) are.
Dialects repeat, draw for draw, `noisify` of bhanML/Co-teaching, the data loaders of LiJunnan1992/DivideMix and
zjfheart/BadLabels, and `symmetric_noise` of shengliu66/ELR.
"""

import random
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from noise.base import Drawn, Request
from noise.draws import Floats, flip_by_class, multinomial_loop, native_generator
from noise.families import Dialect, Injector, register


def exclusive(rate: float, num_classes: int) -> Floats:
    """Return the (C, C) matrix with 1 - rate on the diagonal and the rest of each row shared by the other classes."""
    matrix = np.full((num_classes, num_classes), rate / (num_classes - 1))
    np.fill_diagonal(matrix, 1 - rate)
    return matrix


def inclusive(rate: float, num_classes: int) -> Floats:
    """Return the (C, C) matrix of a flip that picks any class, the true one too."""
    return (1 - rate) * np.eye(num_classes) + rate / num_classes


def _native(_: Injector, request: Request) -> Drawn:
    spec, num_classes = request.spec, request.num_classes
    rng = native_generator(request.seed, spec.family, spec.map, spec.options, request.clean)
    matrix = exclusive(request.rate, num_classes)
    given = flip_by_class(rng, request.clean, matrix, np.full(num_classes, request.rate), spec.flips)
    return Drawn(given, request.rate, matrix)


def _co_teaching(_: Injector, request: Request) -> Drawn:
    matrix = exclusive(request.rate, request.num_classes)
    given = multinomial_loop(np.random.RandomState(request.seed), request.clean, matrix)
    return Drawn(given, request.rate, matrix)


def _dividemix(_: Injector, request: Request) -> Drawn:
    rate, num_classes = request.rate, request.num_classes
    generator, chosen = _shuffled_first(request)
    given = request.clean.copy()
    for i in np.flatnonzero(chosen):  # index order, not the order of the shuffle
        given[i] = generator.randint(0, num_classes - 1)
    return Drawn(given, rate * (1 - 1 / num_classes), inclusive(rate, num_classes))


def _badlabels(_: Injector, request: Request) -> Drawn:
    rate, num_classes = request.rate, request.num_classes
    generator, chosen = _shuffled_first(request)
    given = request.clean.copy()
    for i in np.flatnonzero(chosen):
        given[i] = generator.choice([c for c in range(num_classes) if c != given[i]])
    return Drawn(given, chosen.mean(), exclusive(rate, num_classes))


def _elr(_: Injector, request: Request) -> Drawn:
    rate, num_classes, total = request.rate, request.num_classes, len(request.clean)
    state = np.random.RandomState(request.seed)
    order = state.permutation(total)
    chosen = order[: int(np.ceil(rate * total))]  # the code asks k < r N, which a hair above an integer makes one more
    given = request.clean.copy()
    given[chosen] = state.randint(num_classes, size=len(chosen))
    return Drawn(given, rate * (1 - 1 / num_classes), inclusive(rate, num_classes))


def _shuffled_first(request: Request) -> tuple[random.Random, np.ndarray]:
    generator = random.Random(request.seed)
    order = list(range(len(request.clean)))
    generator.shuffle(order)
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[: int(request.rate * len(order))]] = True
    return generator, chosen


@register("symmetric")
@dataclass(frozen=True)
class Symmetric(Injector):
    """A wrong label is any other class, all alike."""

    dialects: ClassVar = {
        "native": Dialect(
            draw=_native,
            definition="the rate is the wrong share; exact in every class, or drawn per sample",
            used_by="this harness",
            convention="exclusive",
            flips="exact per class",
            generator="PCG64",
            ours=True,
        ),
        "co_teaching": Dialect(
            draw=_co_teaching,
            definition="one multinomial draw per sample; the rate is the expected wrong share",
            used_by="loss-correction, Co-teaching(+), JoCoR, T-Revision, CDR, CoDis, CORES, PES, PLC",
            convention="exclusive",
            flips="iid",
            generator="RandomState",
        ),
        "dividemix": Dialect(
            draw=_dividemix,
            definition="an exact share of all samples takes any class, the true one too",
            used_by="DivideMix and code built on it",
            convention="inclusive",
            flips="exact overall",
            generator="Random",
        ),
        "badlabels": Dialect(
            draw=_badlabels,
            definition="an exact share of all samples takes one of the other classes",
            used_by="BadLabels, FedNoisy",
            convention="exclusive",
            flips="exact overall",
            generator="Random",
        ),
        "elr": Dialect(
            draw=_elr,
            definition="an exact share of all samples takes any class, the true one too, in permuted order",
            used_by="ELR(+), SOP, GJS, DISC, Co-learning, Joint Optimization",
            convention="inclusive",
            flips="exact overall",
            generator="RandomState",
        ),
    }
