"""Tridiagonal noise: a wrong label is one of the two neighbours, the classes standing in a circle.

Zhang et al., ICML 2021 (CDR's code): T[i, i] = 1 - r and T[i, (i ± 1) mod C] = r / 2. From r = 2/3 on a class no longer
keeps more of its labels than a neighbour gets, which the card says.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from noise.base import Drawn, Request
from noise.draws import flip_by_class, multinomial_loop, native_generator, released
from noise.families import Dialect, Injector, register
from noise.matrices import neighbours


def _native(_: Injector, request: Request) -> Drawn:
    spec, num_classes = request.spec, request.num_classes
    rng = native_generator(request.seed, spec.family, spec.map, {}, request.clean)
    matrix = neighbours(request.rate, num_classes)
    given = flip_by_class(rng, request.clean, matrix, np.full(num_classes, request.rate), spec.flips)
    return Drawn(given, request.rate, matrix)


def _cdr(_: Injector, request: Request) -> Drawn:
    matrix = neighbours(request.rate, request.num_classes)
    given = multinomial_loop(np.random.RandomState(request.seed), request.clean, matrix)
    return Drawn(given, request.rate, matrix, notes=(released(1),))


@register("tridiagonal")
@dataclass(frozen=True)
class Tridiagonal(Injector):
    """A wrong label is one of the two neighbours, the classes standing in a circle."""

    dialects: ClassVar = {
        "native": Dialect(
            draw=_native,
            definition="the rate is the wrong share; exact in every class, in total, or drawn per sample",
            used_by="this harness",
            convention="exclusive",
            flips="exact per class",
            generator="PCG64",
            formula="T[i, i] = 1 - r, T[i, (i ± 1) mod C] = r / 2",
            effective="r",
            source="github.com/xiaoboxia/CDR",
            ours=True,
        ),
        "cdr": Dialect(
            draw=_cdr,
            definition="one multinomial draw per sample; the rate is the expected wrong share",
            used_by="CDR, CoDis",
            convention="exclusive",
            flips="iid",
            generator="RandomState",
            formula="T[i, i] = 1 - r, T[i, (i ± 1) mod C] = r / 2",
            effective="r ± sqrt(r (1 - r) / N)",
            source="github.com/xiaoboxia/CDR",
        ),
    }
