"""SEAL's instance-dependent noise: the images that networks confuse most get the class they confuse them with.

Chen et al., AAAI 2021, arXiv:2012.05458, Algorithm 1: scores (N, C) are the softmax averaged over all epochs of
training on clean labels; the candidate of an image is its largest wrong class; the int(rN) images with the largest
candidate score take it, ties by index. Nothing is drawn: the count is exact, and label sets are nested over rates.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from noise.base import Request
from noise.families import Dialect, Drawn, Injector, register
from noise.scores import checked_scores


@register("seal")
@dataclass(frozen=True)
class Seal(Injector):
    """The images that networks confuse most get the class they confuse them with."""

    needs: ClassVar[tuple[str, ...]] = ("scores",)

    path: str = ""  # of the scores, (N, C) probabilities: .npy, .npz, .csv, .txt or .json
    sha256: str = ""  # of that file; the harness fills it in

    def native(self, request: Request) -> Drawn:
        """Take the candidates with the largest scores."""
        clean, count = request.clean, int(request.rate * len(request.clean))
        scores = checked_scores(request.attached["scores"], (len(clean),), request.num_classes)
        rows = np.arange(len(clean))
        scores[rows, clean] = -1.0
        candidate = scores.argmax(axis=1)
        chosen = np.argsort(-scores[rows, candidate], kind="stable")[:count]
        given = clean.copy()
        given[chosen] = candidate[chosen]
        return Drawn(given, count / len(clean))

    dialects: ClassVar = {
        "native": Dialect(
            draw=native,
            definition="an exact share of all samples, those whose averaged scores favour a wrong class most",
            used_by="SEAL (its own label files: family file)",
            convention="exclusive",
            flips="exact overall",
            generator="none",
            formula="the int(rN) samples with the largest score of a wrong class take that class",
            effective="int(rN) / N",
            source="arXiv:2012.05458, Alg. 1",
        )
    }
