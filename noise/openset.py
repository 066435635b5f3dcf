"""Open-set noise: some images come from another data set, so that no label is right for them.

Foreign images keep the label of the image they replace; they are marked, with the place of each in its own data set,
and counted apart from wrong labels. A total rate r and a share `open` of it: open r of the images are foreign, (1 -
open) r of the samples have a closed-set wrong label. `jo_src` needs no second data set: the last classes of CIFAR-100
become foreign (Yao et al., CVPR 2021).
"""

import random
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from noise import maps
from noise.base import Drawn, Request
from noise.draws import Labels, flip_by_class, multinomial_loop, native_generator, wrong_samples
from noise.families import Dialect, Injector, not_among, register
from noise.matrices import exclusive, next_class
from noise.spec import NoiseSpec

CLOSED = ("symmetric", "cifar10", "pairflip")


@register("openset")
@dataclass(frozen=True)
class Openset(Injector):
    """Some images come from another data set, so that no label is right for them."""

    needs: ClassVar[tuple[str, ...]] = ("source_size",)

    source: str = "cifar100"  # the data set that foreign images come from
    open: float = 1.0  # share of the wrong samples that are foreign images
    closed: str = "symmetric"  # how the other wrong samples are wrong: symmetric, the map cifar10, or pairflip
    unknown: float = 0.2  # of jo_src: share of the classes that are foreign

    def check(self, spec: NoiseSpec) -> None:
        """Raise ValueError for shares out of range and for closed noise that a dialect does not draw."""
        super().check(spec)
        if not 0 <= self.open <= 1:
            raise ValueError(f"noise option 'open' must be in [0, 1], got {self.open:g}")
        if not 0 < self.unknown < 1:
            raise ValueError(f"noise option 'unknown' must be in (0, 1), got {self.unknown:g}")
        allowed = {
            "native": CLOSED[:2],
            "evidentialmix": CLOSED[:2],
            "jo_src": ("symmetric", "pairflip"),
            "dsos": CLOSED[:1],
        }[spec.dialect]
        if self.closed not in allowed:
            raise ValueError(not_among(f"unknown closed noise {self.closed!r} of {spec.dialect}", self.closed, allowed))
        if spec.dialect == "jo_src" and self.open != 1:
            raise ValueError("dialect 'jo_src' has no option 'open': whole classes are foreign")

    def native(self, request: Request) -> Drawn:
        """Choose foreign samples by one uniform, then the wrong labels among the others, then the foreign images."""
        spec, clean, num_classes = request.spec, request.clean, request.num_classes
        size = _size(request)
        rng = native_generator(request.seed, spec.family, spec.map, {"source": self.source}, clean)
        which, origin = rng.random(len(clean)), rng.random(size)
        share = np.full(num_classes, request.rate * self.open)
        is_ood = wrong_samples(clean, share, which, spec.flips)
        rest = np.flatnonzero(~is_ood)
        rate = request.rate * (1 - self.open) / (1 - request.rate * self.open)
        if self.closed == "symmetric":
            matrix = exclusive(rate, num_classes)
        else:
            maps.check_classes(self.closed, num_classes)
            matrix = maps.of_pairs(maps.pairs_of(self.closed), rate, num_classes)
        flip = np.where(np.diag(matrix) < 1, rate, 0.0)
        given = clean.copy()
        given[rest] = flip_by_class(rng, clean[rest], matrix, flip, spec.flips)
        expected = float(flip[clean].mean()) * (1 - request.rate * self.open)
        return _foreign(given, np.flatnonzero(is_ood), np.argsort(origin, kind="stable"), expected)

    def evidentialmix(self, request: Request) -> Drawn:
        """ragavsachdeva/EvidentialMix: shuffle the samples and the whole source, pair their beginnings."""
        clean, total, num_classes = request.clean, len(request.clean), request.num_classes
        generator = random.Random(request.seed)
        order, origin = list(range(total)), list(range(_size(request)))
        generator.shuffle(order)
        wrong = int(request.rate * total)
        foreign = int(self.open * wrong)
        generator.shuffle(origin)
        closed = np.zeros(total, dtype=bool)
        closed[order[foreign:wrong]] = True
        given = clean.copy()
        targets = maps.pairs_of("cifar10") if self.closed == "cifar10" else {}
        for i in np.flatnonzero(closed):
            symmetric = self.closed == "symmetric"
            given[i] = generator.randint(0, num_classes - 1) if symmetric else targets.get(given[i], given[i])
        mistaken = 1 - 1 / num_classes if self.closed == "symmetric" else float(np.isin(clean, list(targets)).mean())
        index = np.array(order[:foreign], dtype=np.int64)
        return _foreign(given, index, np.array(origin, dtype=np.int64), (wrong - foreign) / total * mistaken)

    def jo_src(self, request: Request) -> Drawn:
        """NUST-Machine-Intelligence-Laboratory/Jo-SRC, CIFAR80N: labels of foreign classes are any known one."""
        clean, num_classes = request.clean, request.num_classes
        known = int(num_classes * (1 - self.unknown))
        if not 2 <= known < num_classes:
            raise ValueError(f"option unknown={self.unknown:g} leaves {known} of {num_classes} classes; 2 are needed")
        matrix = np.zeros((num_classes, num_classes))
        inside = exclusive if self.closed == "symmetric" else next_class
        matrix[:known, :known] = inside(request.rate, known)
        matrix[known:, :known] = 1 / known
        given = multinomial_loop(np.random.RandomState(0), clean, matrix)
        is_ood = clean >= known
        note = "the released code draws from seed 0, whatever seed is asked for"
        expected = request.rate * float((~is_ood).mean())
        source = np.full(len(clean), -1, dtype=np.int64)
        return Drawn(given, expected, is_ood=is_ood, source_index=source, known_classes=known, notes=(note,))

    def dsos(self, request: Request) -> Drawn:
        """PaulAlbert31/DSOS: one uniform a sample, sources from one permutation, then the closed part, inclusive."""
        clean, num_classes = request.clean, request.num_classes
        state, total = np.random.RandomState(2718), len(request.clean)
        outside = request.rate * self.open
        inside = request.rate - outside
        is_ood = state.random_sample(total) < outside
        origin = state.permutation(_size(request))
        rest = np.flatnonzero(~is_ood)
        chosen = rest[state.random_sample(len(rest)) < inside / (1 - outside)]
        given = clean.copy()
        given[chosen] = (state.random_sample(len(chosen)) * num_classes).astype(np.int64)
        note = "the released code draws from seed 2718, whatever seed is asked for"
        return _foreign(given, np.flatnonzero(is_ood), origin, inside * (1 - 1 / num_classes), note)

    dialects: ClassVar = {
        "native": Dialect(
            draw=native,
            definition="open r of the images are foreign, (1 - open) r of the samples have a wrong label",
            used_by="this harness",
            convention="exclusive",
            flips="exact per class",
            generator="PCG64",
            formula="per class open r N_c images from `source`; T of `closed` on the others",
            effective="(1 - open) r wrong labels, open r foreign images",
            source="arXiv:1804.00092",
            ours=True,
        ),
        "evidentialmix": Dialect(
            draw=evidentialmix,
            definition="an exact share of all samples, the first of them foreign, the rest closed-set noise",
            used_by="EvidentialMix",
            convention="inclusive",
            flips="exact overall",
            generator="Random",
            formula="of int(rN) shuffled samples int(open int(rN)) are foreign, the others draw from all C",
            effective="(1 - open) r (1 - 1/C) wrong labels, open r foreign images",
            source="github.com/ragavsachdeva/EvidentialMix",
        ),
        "jo_src": Dialect(
            draw=jo_src,
            definition="the last classes become foreign and get any known label; known ones are noisy among themselves",
            used_by="Jo-SRC (CIFAR80N)",
            convention="exclusive",
            flips="per sample",
            generator="RandomState",
            formula="K = int(C (1 - unknown)); T[i < K] symmetric or pairflip within K, T[i >= K, j < K] = 1 / K",
            effective="r of the known classes; the others are foreign",
            source="github.com/NUST-Machine-Intelligence-Laboratory/Jo-SRC",
        ),
        "dsos": Dialect(
            draw=dsos,
            definition="drawn per sample: foreign or not, then among the others wrong or not, the true class included",
            used_by="DSOS",
            convention="inclusive",
            flips="per sample",
            generator="RandomState",
            formula="P(foreign) = open r; P(redrawn | not) = (1 - open) r / (1 - open r), from all C",
            effective="(1 - open) r (1 - 1/C) wrong labels, open r foreign images",
            source="github.com/PaulAlbert31/DSOS",
        ),
    }


def _size(request: Request) -> int:
    return int(request.attached["source_size"])


def _foreign(given: Labels, index: Labels, origin: Labels, expected: float, *notes: str) -> Drawn:
    """Mark the samples `index` as foreign; the k-th is the image origin[k] of the source."""
    if len(index) > len(origin):
        raise ValueError(f"{len(index):,} foreign images are asked for, the source has {len(origin):,}")
    is_ood, source = np.zeros(len(given), dtype=bool), np.full(len(given), -1, dtype=np.int64)
    is_ood[index], source[index] = True, origin[: len(index)]
    return Drawn(given, expected, is_ood=is_ood, source_index=source, notes=notes)
