"""Symmetric noise in the draw order of published code, bit for bit.

The authors seed global generators; a local one of the same seed gives the same stream. What truncates, truncates here.
"""

import random

import numpy as np
from numpy.typing import NDArray

from noise.base import Request
from noise.by_class import sampled
from noise.draws import by_class, cells_in_order, choice_by_class, first_tenths, released
from noise.families import Drawn
from noise.matrices import exclusive, inclusive
from noise.meta import without_meta


def co_teaching(_: object, request: Request) -> Drawn:
    """bhanML/Co-teaching, `noisify_multiclass_symmetric`."""
    return sampled(request, exclusive(request.rate, request.num_classes), released(0))


def dividemix(_: object, request: Request) -> Drawn:
    """LiJunnan1992/DivideMix, the data loaders' "sym"."""
    rate, num_classes = request.rate, request.num_classes
    generator, chosen = shuffled_first(request)
    given = request.clean.copy()
    for i in np.flatnonzero(chosen):  # index order, not the order of the shuffle
        given[i] = generator.randint(0, num_classes - 1)
    return Drawn(given, rate * (1 - 1 / num_classes), inclusive(rate, num_classes), notes=(released(123),))


def badlabels(_: object, request: Request) -> Drawn:
    """zjfheart/BadLabels, the data loaders' "sym"."""
    rate, num_classes = request.rate, request.num_classes
    generator, chosen = shuffled_first(request)
    given = request.clean.copy()
    for i in np.flatnonzero(chosen):
        place = generator.choice(range(num_classes - 1))
        given[i] = place + (place >= given[i])  # the others in ascending order
    return Drawn(given, chosen.mean(), exclusive(rate, num_classes), notes=(released(17),))


def elr(_: object, request: Request) -> Drawn:
    """shengliu66/ELR, `symmetric_noise`."""
    rate, num_classes, total = request.rate, request.num_classes, len(request.clean)
    state = np.random.RandomState(request.seed)
    order = state.permutation(total)
    chosen = order[: int(np.ceil(rate * total))]  # the code asks k < r N, which a hair above an integer makes one more
    given = request.clean.copy()
    given[chosen] = state.randint(num_classes, size=len(chosen))
    return Drawn(given, rate * (1 - 1 / num_classes), inclusive(rate, num_classes))


def pencil(_: object, request: Request) -> Drawn:
    """yikun2019/PENCIL: one uniform a sample, and a class at once if it falls below the rate."""
    rate, num_classes = request.rate, request.num_classes
    state = np.random.RandomState(request.seed)
    given, noisy = request.clean.copy(), first_tenths(request.clean)
    for i in range(noisy):
        if state.random_sample() < rate:
            given[i] = state.randint(0, num_classes)
    notes = (
        f"the last {len(given) - noisy:,} samples stay clean: the released code validates on them",
        "the released code sets no seed",
    )
    return Drawn(given, rate * (1 - 1 / num_classes) * noisy / len(given), notes=notes)


def mwnet(_: object, request: Request) -> Drawn:
    """xjtushujun/meta-weight-net, "unif": classes are shuffled one by one, n_meta samples set apart, the rest drawn."""
    state = np.random.RandomState(request.seed)
    rest, note = without_meta(state, request)
    matrix = inclusive(request.rate, request.num_classes)
    given = request.clean.copy()
    given[rest] = choice_by_class(state, request.clean[rest], matrix)
    expected = request.rate * (1 - 1 / request.num_classes) * len(rest) / len(given)
    return Drawn(given, expected, notes=(note, released(1)))


def proselflc(_: object, request: Request) -> Drawn:
    """XinshaoAmosWang/ProSelfLC-CVPR2021: an index into the other classes, in shuffled order."""
    generator = random.Random(request.seed)
    order = list(range(len(request.clean)))
    generator.shuffle(order)
    given, count = request.clean.copy(), int(request.rate * len(order))
    for i in order[:count]:
        place = generator.randint(0, request.num_classes - 2)
        given[i] = place + (place >= given[i])  # the others in ascending order
    return Drawn(given, count / len(order), exclusive(request.rate, request.num_classes))


def moit(_: object, request: Request) -> Drawn:
    """DiegoOrtego/LabelNoiseMOIT: a class is drawn again until it is another one."""
    state = np.random.RandomState(request.seed)
    order = state.permutation(len(request.clean))
    given, count = request.clean.copy(), int(request.rate * len(order))
    for i in order[:count]:
        while (drawn := state.randint(request.num_classes)) == request.clean[i]:
            pass
        given[i] = drawn
    return Drawn(given, count / len(order), exclusive(request.rate, request.num_classes), notes=(released(42),))


def sce(_: object, request: Request) -> Drawn:
    """YisenWang/symmetric_cross_entropy_for_noisy_labels, whose rate is a percentage."""
    percent = round(100 * request.rate, 9)  # 100 * .55 is 55.00000000000001, and its user types 55
    return _equal_per_class(request, int(percent * len(request.clean) / 100))


def apl(_: object, request: Request) -> Drawn:
    """HanxunH/Active-Passive-Losses."""
    return _equal_per_class(request, int(request.rate * len(request.clean)))


def _equal_per_class(request: Request, total: int) -> Drawn:
    """Choose from all classes first, then draw the others' classes in the order of the choice."""
    num_classes, clean = request.num_classes, request.clean
    state, each = np.random.RandomState(request.seed), int(total / request.num_classes)
    chosen = []
    for label, members in enumerate(by_class(clean, num_classes)):
        if len(members) < each:
            raise ValueError(
                f"dialect {request.spec.dialect!r} flips {each} of each class; class {label} has {len(members)}"
            )
        chosen.append(state.choice(members, each, replace=False))
    given, index = clean.copy(), np.concatenate(chosen)
    place = state.randint(num_classes - 1, size=len(index))  # the stream of one `choice` of the others per sample
    given[index] = place + (place >= clean[index])
    expected = each * num_classes / len(clean)
    return Drawn(given, expected, exclusive(request.rate, num_classes), notes=(released(123),))


def anl(_: object, request: Request) -> Drawn:
    """Virusdoll/Active-Negative-Loss: exact counts cell by cell, truncated."""
    matrix = exclusive(request.rate, request.num_classes)
    given = cells_in_order(np.random.RandomState(request.seed), request.clean, matrix)
    return Drawn(given, float((given != request.clean).mean()), matrix)


def shuffled_first(request: Request) -> tuple[random.Random, NDArray[np.bool_]]:
    """Return Python's generator after its shuffle of 0..N-1, and the mask of the first int(rN) of the result."""
    generator = random.Random(request.seed)
    order = list(range(len(request.clean)))
    generator.shuffle(order)
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[: int(request.rate * len(order))]] = True
    return generator, chosen
