"""Asymmetric noise in the draw order of published code, bit for bit, known bugs included."""

from collections.abc import Iterable

import numpy as np

from noise import maps
from noise.base import Request
from noise.draws import (
    Floats,
    Labels,
    by_class,
    cells_in_order,
    choice_by_class,
    expected_share,
    multinomial_loop,
    released,
)
from noise.families import Drawn
from noise.meta import without_meta
from noise.symmetric_draws import shuffled_first


def patrini(_: object, request: Request) -> Drawn:
    """giorgiop/loss-correction, `noisify_*_asymmetric`."""
    return _sample_by_sample(request, _of_pairs(request), request.seed)


def _sample_by_sample(request: Request, matrix: Floats, seed: int, *notes: str) -> Drawn:
    given = multinomial_loop(np.random.RandomState(seed), request.clean, matrix)
    return Drawn(given, expected_share(request.clean, matrix), matrix, notes=notes)


def moit(_: object, request: Request) -> Drawn:
    """DiegoOrtego/LabelNoiseMOIT: one choice a sample, in the order of a permutation."""
    matrix = _of_pairs(request)
    state = np.random.RandomState(request.seed)
    order = state.permutation(len(request.clean))
    given = request.clean.copy()
    given[order] = choice_by_class(state, request.clean[order], matrix)
    return Drawn(given, expected_share(request.clean, matrix), matrix, notes=(released(42),))


def dividemix(_: object, request: Request) -> Drawn:
    """LiJunnan1992/DivideMix, the data loaders' "asym"."""
    target = np.arange(request.num_classes)
    for source, to in _pairs(request).items():
        target[source] = to
    _, chosen = shuffled_first(request)
    given = np.where(chosen, target[request.clean], request.clean)
    mistaken = float((target != np.arange(request.num_classes))[request.clean].mean())
    return Drawn(given, float(chosen.mean()) * mistaken, notes=(released(123),))


def sce(_: object, request: Request) -> Drawn:
    """YisenWang/symmetric_cross_entropy_for_noisy_labels, whose rate is a percentage."""
    if request.spec.map == "block5_swap2":
        return _sce_swaps(request)
    percent = round(100 * request.rate, 9)  # 100 * .55 is 55.00000000000001, and its user types 55
    state, given = np.random.RandomState(request.seed), request.clean.copy()
    members = by_class(request.clean, request.num_classes)
    for source, target in _pairs(request).items():
        count = int(percent * len(members[source]) / 100)
        given[state.choice(members[source], count, replace=False)] = target
    return Drawn(given, float((given != request.clean).mean()), notes=(released(123),))


def _sce_swaps(request: Request) -> Drawn:
    maps.check_classes("block5_swap2", request.num_classes)
    classes, swaps = np.random.RandomState(123), {}
    for block in maps.BLOCKS:
        a, b = classes.choice(5, 2, replace=False)
        swaps[block[a]], swaps[block[b]] = block[b], block[a]
    note = "the released code draws the classes with seed 123 and the labels with seed 0, whatever seed is asked for"
    return _sample_by_sample(request, maps.of_pairs(swaps, request.rate, request.num_classes), 0, note)


def anl(_: object, request: Request) -> Drawn:
    """Virusdoll/Active-Negative-Loss: exact counts cell by cell, truncated."""
    matrix = _of_pairs(request)
    given = cells_in_order(np.random.RandomState(request.seed), request.clean, matrix)
    return Drawn(given, float((given != request.clean).mean()), matrix)


def elr(_: object, request: Request) -> Drawn:
    """shengliu66/ELR, `asymmetric_noise`: every class is shuffled, those without a target too."""
    pairs = _pairs(request)
    if request.spec.map == "block5_next":
        note = "the released code draws CIFAR-100's labels with seed 0, whatever seed is asked for"
        return _sample_by_sample(request, _of_pairs(request), 0, note)
    state, given = np.random.RandomState(request.seed), request.clean.copy()
    for label in range(request.num_classes):
        now = np.flatnonzero(given == label)
        state.shuffle(now)
        if label in pairs:
            given[now[: int(np.ceil(request.rate * len(now)))]] = pairs[label]  # j < r n
    return _chained(request, given, [(label, pairs[label]) for label in sorted(pairs)])


def cdr(_: object, request: Request) -> Drawn:
    """xiaoboxia/CDR: on CIFAR-10 pair by pair, from the labels as they are by then; elsewhere sample by sample."""
    pairs = _pairs(request)
    if request.spec.map != "cifar10":
        return _sample_by_sample(request, _of_pairs(request), request.seed)
    state, given = np.random.RandomState(request.seed), request.clean.copy()
    for source, target in pairs.items():
        now = np.flatnonzero(given == source)
        given[state.choice(now, int(request.rate * len(now)), replace=False)] = target
    return _chained(request, given, pairs.items())


def _chained(request: Request, given: Labels, steps: Iterable[tuple[int, int]]) -> Drawn:
    """Follow a sample's chances through the steps, each of which moves the rate of what is then labelled s to t."""
    matrix: Floats = np.eye(request.num_classes)
    for source, target in steps:
        matrix[:, target] += request.rate * matrix[:, source]
        matrix[:, source] *= 1 - request.rate
    note = "labels already changed are read again, a bug of the released code: flipped samples can return"
    return Drawn(given, expected_share(request.clean, matrix), matrix, notes=(note,))


def gjs(_: object, request: Request) -> Drawn:
    """ErikEnglesson/GJS: the first k < rN of a permutation move on inside their superclass."""
    maps.check_classes("superclass_next", request.num_classes)
    order = np.random.RandomState(request.seed).permutation(len(request.clean))
    chosen = order[: int(np.ceil(request.rate * len(order)))]
    following = np.array([to for _, to in sorted(maps.next_in_group("superclass_next").items())])
    given = request.clean.copy()
    given[chosen] = following[given[chosen]]
    return Drawn(given, len(chosen) / len(given), _of_pairs(request))


def mwnet(_: object, request: Request) -> Drawn:
    """xjtushujun/meta-weight-net: "flip" and "flip2" start their stream anew, with seed 1; "hierarchical" goes on."""
    name, num_classes = request.spec.map or "", request.num_classes
    maps.check_classes(name, num_classes)
    state = np.random.RandomState(request.seed)
    rest, note = without_meta(state, request)
    notes = [note]
    if name == "superclass_uniform":
        matrix = maps.of_siblings(request.rate, num_classes)
        notes.append(released(1))
    else:
        state = np.random.RandomState(1)
        matrix = maps.of_targets([_targets(state, name, row, num_classes) for row in range(num_classes)], request.rate)
        notes.append("the released code draws classes and labels with seed 1, whatever seed is asked for")
    given = request.clean.copy()
    given[rest] = choice_by_class(state, request.clean[rest], matrix)
    return Drawn(given, request.rate * len(rest) / len(given), notes=tuple(notes))


def _targets(state: np.random.RandomState, name: str, row: int, num_classes: int) -> list[int]:
    others = np.delete(np.arange(num_classes), row)
    return [int(state.choice(others))] if name == "flip" else state.choice(others, 2, replace=False).tolist()


def _pairs(request: Request) -> dict[int, int]:
    name = request.spec.map or ""
    maps.check_classes(name, request.num_classes)
    return maps.pairs_of(name)


def _of_pairs(request: Request) -> Floats:
    return maps.of_pairs(_pairs(request), request.rate, request.num_classes)
