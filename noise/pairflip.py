"""Pairflip noise: a wrong label is always the next class, the last one wrapping to the first.

Han et al., NeurIPS 2018, arXiv:1804.06872: T[i, i] = 1 - r and T[i, (i + 1) mod C] = r. From r = .5 on a class no
longer keeps most of its labels, which the card says. The dialect repeats `noisify_pairflip` of bhanML/Co-teaching.
"""

from dataclasses import dataclass
from typing import ClassVar

from noise.base import Request
from noise.by_class import flipped, sampled
from noise.draws import released
from noise.families import Dialect, Drawn, Injector, register
from noise.matrices import next_class


def _native(_: Injector, request: Request) -> Drawn:
    return flipped(request, next_class(request.rate, request.num_classes), request.rate)


def _co_teaching(_: Injector, request: Request) -> Drawn:
    return sampled(request, next_class(request.rate, request.num_classes), released(0))


@register("pairflip")
@dataclass(frozen=True)
class Pairflip(Injector):
    """A wrong label is always the next class, the last one wrapping to the first."""

    dialects: ClassVar = {
        "native": Dialect(
            draw=_native,
            definition="the rate is the wrong share; exact in every class, in total, or drawn per sample",
            used_by="this harness",
            convention="exclusive",
            flips="exact per class",
            generator="PCG64",
            formula="T[i, i] = 1 - r, T[i, (i + 1) mod C] = r",
            effective="r",
            source="arXiv:1804.06872",
            ours=True,
        ),
        "co_teaching": Dialect(
            draw=_co_teaching,
            definition="one multinomial draw per sample; the rate is the expected wrong share",
            used_by="Co-teaching(+), JoCoR, T-Revision, CDR, CoDis",
            convention="exclusive",
            flips="iid",
            generator="RandomState",
            formula="T[i, i] = 1 - r, T[i, (i + 1) mod C] = r",
            effective="r ± sqrt(r (1 - r) / N)",
            source="github.com/bhanML/Co-teaching",
        ),
    }
