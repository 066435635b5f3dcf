"""Open-set noise: some images come from another data set, so that no label is right for them.

Foreign images keep the label of the image they replace; they are marked, with the place of each in its own data set,
and counted apart from wrong labels. Of a rate r and a share `open`, open r of the images are foreign and (1 - open) r
of the samples have a closed-set wrong label, both counted over all N. `native` nests: a lower rate with the same seed
has a part of the foreign images and of the wrong labels of a higher one. `jo_src` needs no second data set: the last
classes of CIFAR-100 become foreign (Yao et al., CVPR 2021). The dialects of others take the seed where the released
code has a number of its own, which the card names.
"""

import random
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from noise import maps
from noise.base import Request
from noise.draws import Floats, Labels, by_class, first_above, multinomial_loop, native_generator, wrong_samples
from noise.families import Asked, Dialect, Drawn, Injector, not_among, register
from noise.matrices import exclusive, next_class

CLOSED = {  # dialect -> how its closed-set part may be wrong
    "native": ("symmetric", "cifar10"),
    "evidentialmix": ("symmetric", "cifar10"),
    "jo_src": ("symmetric", "pairflip"),
    "dsos": ("symmetric",),
}
RELEASED = {"evidentialmix": 123, "jo_src": 0, "dsos": 2718}  # dialect -> the seed in its authors' code
SOURCE, UNKNOWN = "cifar100", 0.2


@register("openset")
@dataclass(frozen=True)
class Openset(Injector):
    """Some images come from another data set, so that no label is right for them."""

    needs: ClassVar[tuple[str, ...]] = ("source_size",)

    source: str = SOURCE  # the data set that foreign images come from
    open: float = 1.0  # share of the wrong samples that are foreign images
    closed: str = "symmetric"  # how the other wrong samples are wrong: symmetric, the map cifar10, or pairflip
    unknown: float = UNKNOWN  # of jo_src: share of the classes that are foreign

    def check(self, spec: Asked) -> None:
        """Raise ValueError for shares out of range, and for what a dialect does not draw."""
        super().check(spec)
        if not 0 <= self.open <= 1:
            raise ValueError(f"noise option 'open' must be in [0, 1], got {self.open:g}")
        if not 0 < self.unknown < 1:
            raise ValueError(f"noise option 'unknown' must be in (0, 1), got {self.unknown:g}")
        allowed = CLOSED[spec.dialect]
        if self.closed not in allowed:
            raise ValueError(not_among(f"dialect {spec.dialect!r} has no closed={self.closed}", self.closed, allowed))
        if spec.dialect == "jo_src" and (self.open, self.source) != (1.0, SOURCE):
            raise ValueError("dialect 'jo_src' has no options 'open' and 'source': whole classes are foreign")
        if spec.dialect != "jo_src" and self.unknown != UNKNOWN:
            raise ValueError(f"noise option 'unknown' is for dialect 'jo_src' only, got dialect {spec.dialect!r}")

    def native(self, request: Request) -> Drawn:
        """Order the samples by one uniform: the first ones are foreign, the last ones have a wrong label."""
        clean, num_classes, flips = request.clean, request.num_classes, request.spec.flips
        rng = native_generator(request.seed, request.spec.family, request.spec.map, {}, clean)
        order, where = rng.random(len(clean)), rng.random(len(clean))
        images = np.argsort(rng.random(_size(request)), kind="stable")
        outside = request.rate * self.open
        is_ood = wrong_samples(clean, np.full(num_classes, outside), order, flips)
        wrong = exclusive(1.0, num_classes) if self.closed == "symmetric" else _of_map(self.closed, num_classes)
        flip = (request.rate - outside) * (1 - np.diag(wrong))
        last = np.where(is_ood, 2.0, 1 - order)  # a foreign image comes after all others, and is never chosen
        closed = np.flatnonzero(wrong_samples(clean, flip, last, flips) & ~is_ood)
        given = clean.copy()
        given[closed] = first_above(np.cumsum(wrong[clean[closed]], axis=1), where[closed])
        foreign = np.flatnonzero(is_ood)
        turn = _turn(clean, order, num_classes) if flips == "exact" else order
        foreign = foreign[np.argsort(turn[foreign], kind="stable")]
        images = images[np.arange(len(foreign)) % len(images)]  # used again where there are too few
        return _foreign(given, foreign, images, float(flip[clean].mean()))

    def evidentialmix(self, request: Request) -> Drawn:
        """ragavsachdeva/EvidentialMix: shuffle the samples and the whole source, pair their beginnings."""
        clean, total, num_classes = request.clean, len(request.clean), request.num_classes
        generator = random.Random(request.seed)
        order, origin = list(range(total)), list(range(_size(request)))
        generator.shuffle(order)
        wrong = int(request.rate * total)
        foreign = int(self.open * wrong)
        generator.shuffle(origin)
        given, closed = clean.copy(), np.array(sorted(order[foreign:wrong]), dtype=np.int64)
        if self.closed == "symmetric":
            given[closed] = [generator.randint(0, num_classes - 1) for _ in closed]
            mistaken = 1 - 1 / num_classes
        else:
            targets = _of_map(self.closed, num_classes)
            given[closed] = targets.argmax(axis=1)[clean[closed]]
            mistaken = float((1 - np.diag(targets))[clean].mean())
        expected = (wrong - foreign) / total * mistaken
        return _foreign(given, np.array(order[:foreign], dtype=np.int64), np.array(origin), expected, _note(request))

    def jo_src(self, request: Request) -> Drawn:
        """NUST-Machine-Intelligence-Laboratory/Jo-SRC, CIFAR80N: labels of foreign classes are any known one."""
        clean, num_classes = request.clean, request.num_classes
        known = int(num_classes * (1 - self.unknown))
        if not 2 <= known < num_classes:
            allowed = f"2 to {num_classes - 1} can stay"
            raise ValueError(f"option unknown={self.unknown:g} leaves {known} of {num_classes} classes; {allowed}")
        matrix = np.zeros((num_classes, num_classes))
        inside = exclusive if self.closed == "symmetric" else next_class
        matrix[:known, :known] = inside(request.rate, known)
        matrix[known:, :known] = 1 / known
        given = multinomial_loop(np.random.RandomState(request.seed), clean, matrix)
        is_ood = clean >= known
        return Drawn(
            given,
            request.rate * float((~is_ood).mean()),
            is_ood=is_ood,
            source_index=np.full(len(clean), -1, dtype=np.int64),
            known_classes=known,
            notes=(_note(request),),
        )

    def dsos(self, request: Request) -> Drawn:
        """PaulAlbert31/DSOS: one uniform a sample, sources from one permutation, then the closed part, inclusive."""
        clean, num_classes = request.clean, request.num_classes
        state = np.random.RandomState(request.seed)
        outside = request.rate * self.open
        inside = request.rate - outside
        is_ood = state.random_sample(len(clean)) < outside
        origin = state.permutation(_size(request))
        rest = np.flatnonzero(~is_ood)
        chosen = rest[state.random_sample(len(rest)) < inside / (1 - outside)]
        given = clean.copy()
        given[chosen] = (state.random_sample(len(chosen)) * num_classes).astype(np.int64)
        return _foreign(given, np.flatnonzero(is_ood), origin, inside * (1 - 1 / num_classes), _note(request))

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
            flips="iid",
            generator="RandomState",
            formula="P(foreign) = open r; P(redrawn | not) = (1 - open) r / (1 - open r), from all C",
            effective="(1 - open) r (1 - 1/C) wrong labels, open r foreign images",
            source="github.com/PaulAlbert31/DSOS",
        ),
    }


def _size(request: Request) -> int:
    size = int(request.attached["source_size"])
    if size < 1:
        raise ValueError(f"source_size must be at least 1, got {size}")
    return size


def _note(request: Request) -> str:
    return f"the released labels are drawn from seed {RELEASED[request.spec.dialect]}"


def _of_map(name: str, num_classes: int) -> Floats:
    """Return the (C, C) matrix that moves every source of a map to its target and leaves the other classes."""
    maps.check_classes(name, num_classes)
    return maps.of_pairs(maps.pairs_of(name), 1.0, num_classes)


def _turn(clean: Labels, order: Floats, num_classes: int) -> Floats:
    """Return the share of foreign images from which on each sample is one, where all classes have the same share."""
    turn = np.empty(len(clean))
    for members in by_class(clean, num_classes):
        turn[members[np.argsort(order[members], kind="stable")]] = (np.arange(len(members)) + 0.5) / len(members)
    return turn


def _foreign(given: Labels, index: Labels, origin: Labels, expected: float, *notes: str) -> Drawn:
    """Mark the samples `index` as foreign; the k-th is the image origin[k] of the source."""
    if len(index) > len(origin):
        raise ValueError(f"{len(index):,} foreign images are asked for, the source has {len(origin):,}")
    is_ood, source = np.zeros(len(given), dtype=bool), np.full(len(given), -1, dtype=np.int64)
    is_ood[index], source[index] = True, origin[: len(index)]
    return Drawn(given, expected, is_ood=is_ood, source_index=source, notes=notes)
