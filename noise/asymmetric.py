"""Asymmetric noise: some classes are mistaken for one that looks alike, the others keep their labels.

Patrini et al., CVPR 2017, arXiv:1609.03683, Sec. 5. The rate is that inside the classes that are mistaken: the map
`cifar10` at r makes r / 2 of all labels wrong. `map` says who is mistaken for whom; "asymmetric CIFAR-100" alone has
four meanings in print. The dialects `elr` and `cdr` keep a bug of their code for CIFAR-10: when class 5 comes, labels
that were changed before are read, so that cats that became dogs can return: cat -> dog r (1 - r) instead of r.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from noise import asymmetric_draws as draws
from noise import maps
from noise.base import Request
from noise.draws import Floats, flip_by_class, native_generator
from noise.families import Dialect, Drawn, Injector, register
from noise.meta import N_META, MetaFamily

PAIRS = tuple(maps.PAIRS)


def _native(_: Injector, request: Request) -> Drawn:
    """Draw the classes, where the map leaves them to chance, then as every native family."""
    spec, rate, num_classes = request.spec, request.rate, request.num_classes
    name = spec.map or ""
    maps.check_classes(name, num_classes)
    rng = native_generator(request.seed, spec.family, spec.map, {}, request.clean)
    matrix = _matrix(rng, name, rate, num_classes)
    mistaken = np.diag(matrix) < 1
    given = flip_by_class(rng, request.clean, matrix, np.where(mistaken, rate, 0.0), spec.flips)
    return Drawn(given, float(rate * mistaken[request.clean].mean()), matrix)


def _matrix(rng: np.random.Generator, name: str, rate: float, num_classes: int) -> Floats:
    if name.endswith("swap2"):
        keys = rng.random((20, 5))
        chosen = [
            [group[i] for i in np.argsort(row, kind="stable")[:2]]
            for group, row in zip(maps.groups_of(name), keys, strict=True)
        ]
        return maps.of_pairs({a: b for pair in chosen for a, b in (pair, pair[::-1])}, rate, num_classes)
    if name in maps.ANY:
        keys = rng.random((num_classes, num_classes))
        np.fill_diagonal(keys, np.inf)
        count = 1 if name == "flip" else 2
        return maps.of_targets([sorted(np.argsort(row, kind="stable")[:count].tolist()) for row in keys], rate)
    if name == "superclass_uniform":
        return maps.of_siblings(rate, num_classes)
    return maps.of_pairs(maps.pairs_of(name), rate, num_classes)


@register("asymmetric")
@dataclass(frozen=True)
class Asymmetric(MetaFamily):
    """Some classes are mistaken for one that looks alike, the others keep their labels."""

    maps: ClassVar = maps.MAPS

    dialects: ClassVar = {
        "native": Dialect(
            draw=_native,
            definition="the rate is the wrong share of each mistaken class; exact in each, in total, or per sample",
            used_by="this harness",
            convention="exclusive",
            flips="exact per class",
            generator="PCG64",
            formula="T[s, s] = 1 - r, T[s, map(s)] = r for the classes s of the map",
            effective="r times the share of the classes in the map",
            source="arXiv:1609.03683, Sec. 5",
            ours=True,
        ),
        "patrini": Dialect(
            draw=draws.patrini,
            definition="one multinomial draw per sample",
            used_by="loss-correction, JoCoR, PLC",
            convention="exclusive",
            flips="iid",
            generator="RandomState",
            formula="T[s, s] = 1 - r, T[s, map(s)] = r",
            effective="r times the share of the classes in the map",
            source="github.com/giorgiop/loss-correction",
            maps=(*PAIRS, "block5_next"),
        ),
        "moit": Dialect(
            draw=draws.moit,
            definition="one choice per sample, in permuted order",
            used_by="MOIT(+)",
            convention="exclusive",
            flips="iid",
            generator="RandomState",
            formula="T[s, s] = 1 - r, T[s, map(s)] = r",
            effective="r times the share of the classes in the map",
            source="github.com/DiegoOrtego/LabelNoiseMOIT",
            maps=("cifar10", "superclass_next"),
        ),
        "dividemix": Dialect(
            draw=draws.dividemix,
            definition="an exact share of all samples takes its mapped class, if it has one",
            used_by="DivideMix and code built on it",
            convention="exclusive",
            flips="exact overall, then by class",
            generator="Random",
            formula="int(rN) shuffled samples take map(y), or keep y without one",
            effective="r times the share of the classes in the map, in expectation",
            source="github.com/LiJunnan1992/DivideMix",
            maps=("cifar10",),
        ),
        "sce": Dialect(
            draw=draws.sce,
            definition="exact per mistaken class, from true labels; block5_swap2: two drawn classes a block swap",
            used_by="SCE",
            convention="exclusive",
            flips="exact per class (block5_swap2: per sample)",
            generator="RandomState",
            formula="int(p N_s / 100) samples of s go to map(s), p = 100 r",
            effective="r times the share of the classes in the map; block5_swap2 .4 r",
            source="github.com/YisenWang/symmetric_cross_entropy_for_noisy_labels",
            maps=("cifar10", "mnist", "block5_swap2"),
        ),
        "anl": Dialect(
            draw=draws.anl,
            definition="exact in every cell of the transition matrix, truncated",
            used_by="Active Negative Loss",
            convention="exclusive",
            flips="exact per cell",
            generator="RandomState",
            formula="int(T[i, j] N_i) samples go from i to j",
            effective="at most r times the share of the classes in the map",
            source="github.com/Virusdoll/Active-Negative-Loss",
            maps=("cifar10", "mnist", "block5_next"),
        ),
        "elr": Dialect(
            draw=draws.elr,
            definition="class by class on labels already changed: flipped cats return (block5_next: patrini, seed 0)",
            used_by="ELR(+), SOP, GJS",
            convention="exclusive",
            flips="exact per class, chained (block5_next: per sample)",
            generator="RandomState",
            formula="for c = 0..C-1 the first k < r n of the n samples now labelled c go to map(c)",
            effective="cifar10: (4 r + r (1 - r)) / 10",
            source="github.com/shengliu66/ELR",
            maps=("cifar10", "block5_next"),
        ),
        "cdr": Dialect(
            draw=draws.cdr,
            definition="cifar10: pair by pair on labels already changed, flipped cats can return; elsewhere as patrini",
            used_by="CDR, CoDis, APL",
            convention="exclusive",
            flips="cifar10: exact per class, chained (elsewhere per sample)",
            generator="RandomState",
            formula="cifar10: for each pair s -> t int(r n) of the n samples now labelled s go to t; else as patrini",
            effective="cifar10: (4 r + r (1 - r)) / 10; else r times the share of the classes in the map",
            source="github.com/xiaoboxia/CDR",
            maps=(*PAIRS, "block5_next"),
        ),
        "gjs": Dialect(
            draw=draws.gjs,
            definition="an exact share of all samples takes the next class of its true superclass",
            used_by="GJS",
            convention="exclusive",
            flips="exact overall",
            generator="RandomState",
            formula="the first k < rN permuted samples take the next id of their superclass",
            effective="r",
            source="github.com/ErikEnglesson/GJS",
            maps=("superclass_next",),
        ),
        "mwnet": Dialect(
            draw=draws.mwnet,
            definition="drawn per sample, class by class; n_meta samples stay clean; flip and flip2 always use seed 1",
            used_by='Meta-Weight-Net "flip", "flip2", "hierarchical"',
            convention="exclusive",
            flips="per sample, but for the clean ones",
            generator="RandomState",
            formula="per class one other gets r (flip), two get r / 2 (flip2), or four siblings r / 4",
            effective="r of all but n_meta = 1,000 samples",
            source="github.com/xjtushujun/meta-weight-net",
            maps=("flip", "flip2", "superclass_uniform"),
            defaults={"n_meta": N_META},
        ),
    }
