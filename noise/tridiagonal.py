"""Tridiagonal noise: a wrong label is one of the two neighbours, the classes standing in a circle.

Zhang et al., ICML 2021 (CDR's code): T[i, i] = 1 - r and T[i, (i ± 1) mod C] = r / 2. From r = 2/3 on a class no longer
keeps more of its labels than a neighbour gets, which the card says.
"""

from dataclasses import dataclass
from typing import ClassVar

from noise.base import Request
from noise.by_class import flipped, sampled
from noise.draws import released
from noise.families import Dialect, Drawn, Injector, register
from noise.matrices import neighbours


def _native(_: Injector, request: Request) -> Drawn:
    return flipped(request, neighbours(request.rate, request.num_classes), request.rate)


def _cdr(_: Injector, request: Request) -> Drawn:
    return sampled(request, neighbours(request.rate, request.num_classes), released(1))


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
