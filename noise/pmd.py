"""Polynomial-margin-diminishing noise (PMD): the closer a network's two top classes, the likelier the second.

Zhang et al., "Learning with Feature-Dependent Label Noise: A Progressive Approach" (PLC), ICLR 2021. From the class
scores eta (N, C) of a trained network, u and s its two top classes and d = eta_u - eta_s:
    type I    1 - f = max(1/2, 1/2 + d^2 / 2)
    type II   1 - f = |d|^3
    type III  1 - f = (|d|^3 + d^2 + |d|) / 3
The label is u with chance (1 - f) / factor and s otherwise. Published factors for 35 % / 70 % noise, types I, II, III:
CIFAR-10 1.43/3.40, 1.32/3.10, 1.35/3.20; CIFAR-100 1.08/1.80, 1.02/2.58, 1.12/1.20. The base label is the network's top
class (the first of those that tie), so the rate against the true label contains what the network gets wrong. Its
published label files are read by family `file`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from noise.base import Request
from noise.draws import Floats, first_tenths, native_generator
from noise.families import Asked, Dialect, Drawn, Injector, not_among, register
from noise.scores import checked_scores

TYPES = ("I", "II", "III")
NUMBERS = {"1": "I", "2": "II", "3": "III"}  # as the authors' files are named


def chance_of_top(margin: Floats, kind: str, factor: float) -> Floats:
    """Return the chance that the label is the network's top class, for margins d in [0, 1]."""
    kept = {
        "I": np.maximum(0.5, 0.5 + margin**2 / 2),
        "II": np.abs(margin) ** 3,
        "III": (np.abs(margin) ** 3 + margin**2 + np.abs(margin)) / 3,
    }[kind]
    return np.clip(kept / factor, 0.0, 1.0)


@register("pmd")
@dataclass(frozen=True)
class Pmd(Injector):
    """The closer a network's two top classes, the likelier an image gets the second."""

    needs: ClassVar[tuple[str, ...]] = ("scores",)
    rated: ClassVar[bool] = False
    leading: ClassVar[str] = "path"

    path: str = ""  # of the scores, (N, C) probabilities: .npy, .npz, .csv, .txt or .json
    sha256: str = ""  # of that file; the harness fills it in
    type: str = "I"  # I, II or III; 1, 2 and 3 mean the same
    factor: float = 1.43  # above 0; the larger, the more labels are the second class

    @classmethod
    def create(cls, options: Mapping[str, Any]) -> "Injector":
        """Build the family with these options, a type given as 1, 2 or 3 under its Roman name."""
        kind = options.get("type", cls.type)
        return super().create({**options, "type": NUMBERS.get(str(kind), kind)})

    def check(self, spec: Asked) -> None:
        """Raise ValueError for an unknown type and for a factor that is not positive."""
        super().check(spec)
        if self.type not in TYPES:
            raise ValueError(not_among(f"unknown PMD type {self.type!r}", self.type, TYPES))
        if not 0 < self.factor < float("inf"):
            raise ValueError(f"noise option 'factor' must be above 0, got {self.factor:g}")

    def native(self, request: Request) -> Drawn:
        """One uniform a sample decides between its two top classes."""
        spec, clean = request.spec, request.clean
        scores = checked_scores(request.attached["scores"], (len(clean), first_tenths(clean)), request.num_classes)
        order = np.argsort(-scores, axis=1, kind="stable")
        top, second = order[:, 0], order[:, 1]
        rows = np.arange(len(scores))
        chance = chance_of_top(scores[rows, top] - scores[rows, second], self.type, self.factor)
        rng = native_generator(request.seed, spec.family, spec.map, {"type": self.type}, clean)
        given, rate = clean.copy(), np.zeros(len(clean))
        given[: len(scores)] = np.where(rng.random(len(clean))[: len(scores)] < chance, top, second)
        true = clean[: len(scores)]
        rate[: len(scores)] = chance * (top != true) + (1 - chance) * (second != true)
        notes = [f"the network's top class is wrong for {int((top != true).sum()):,} of {len(scores):,} images"]
        if len(scores) < len(clean):
            notes.append(f"the last {len(clean) - len(scores):,} samples have no scores and stay clean")
        return Drawn(given, float(rate.mean()), flip_rate=rate, notes=tuple(notes))

    dialects: ClassVar = {
        "native": Dialect(
            draw=native,
            definition="a network's top class, or its second with a chance that falls with their margin",
            used_by="PLC (the definition; its own label files: family file)",
            convention="by the network's classes",
            flips="iid",
            generator="PCG64",
            formula="P(u) = (1 - f(d)) / factor, P(s) = 1 - P(u); f by type I, II, III",
            effective="depends on the scores; the card tells",
            source="PLC, ICLR 2021, Sec. 3",
        )
    }
