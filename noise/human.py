"""Human noise: the labels that people gave to CIFAR-10 and CIFAR-100.

Wei et al., "Learning with Noisy Labels Revisited", ICLR 2022, arXiv:2110.12088 (CIFAR-10N, CIFAR-100N; CC BY-NC 4.0,
github.com/UCSC-REAL/cifar-10-100n). Users bring the files; their order is torchvision's, and the true labels inside
must be those of the data set. The rate is not asked for: the card counts it.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from noise.base import Request, checked_labels
from noise.draws import Labels
from noise.families import Asked, Dialect, Drawn, Injector, not_among, register
from noise.maps import SUPERCLASSES

TEN, HUNDRED = "CIFAR-10_human.pt", "CIFAR-100_human.pt"
COARSE = "noisy100_coarse"
KEYS = {  # name -> file, key of the given labels, key of the true ones
    "aggre": (TEN, "aggre_label", "clean_label"),  # the majority of three; without one, one of the three
    "rand1": (TEN, "random_label1", "clean_label"),
    "rand2": (TEN, "random_label2", "clean_label"),
    "rand3": (TEN, "random_label3", "clean_label"),
    "worst": (TEN, "worse_label", "clean_label"),  # wrong whenever one of the three is
    "noisy100": (HUNDRED, "noisy_label", "clean_label"),
    COARSE: (HUNDRED, "noisy_coarse_label", "clean_label"),  # whose true labels are the superclasses of these
}
SHA256 = {  # of the files that the collection's authors publish
    TEN: "873e69c39cb9b5e97fb6bae2d60bb59b38a5cbc31d2b868f7903dcb2b9dd2310",
    HUNDRED: "bd2d80409754d420292d622e15e25248ba21e37d27429efac49c8da723f44394",
}
TERMS = "CIFAR-N (arXiv:2110.12088), CC BY-NC 4.0: the labels are the user's copy and are not redistributed"


@register("human")
@dataclass(frozen=True)
class Human(Injector):
    """The labels that people gave."""

    needs: ClassVar[tuple[str, ...]] = ("human_given", "human_clean")
    rated: ClassVar[bool] = False
    leading: ClassVar[str] = "labels"

    labels: str = "aggre"  # which of the label sets

    def check(self, spec: Asked) -> None:
        """Raise ValueError for an unknown label set."""
        super().check(spec)
        if self.labels not in KEYS:
            raise ValueError(not_among(f"unknown human labels {self.labels!r}", self.labels, KEYS))

    def native(self, request: Request) -> Drawn:
        """Take the labels of the file, if they are for these samples."""
        given, inside = request.attached["human_given"], request.attached["human_clean"]
        if self.labels == COARSE:
            inside = _superclass(inside)
        for values in (given, inside):
            if len(values) != len(request.clean):
                raise ValueError(f"human labels are for {len(values):,} samples, the data have {len(request.clean):,}")
        other = np.flatnonzero(inside != request.clean)
        if len(other):
            i = other[0]
            theirs, ours = inside[i], request.clean[i]
            raise ValueError(f"human labels are for other data: true label {theirs} at index {i}, the data have {ours}")
        notes = [TERMS]
        digest = request.attached.get("human_sha256")
        if digest is not None and str(digest) != SHA256[KEYS[self.labels][0]]:
            notes.append(f"the file is not the one published: its sha256 is {digest}")
        return Drawn(checked_labels("human labels", given, request.num_classes), None, notes=tuple(notes))

    dialects: ClassVar = {
        "native": Dialect(
            draw=native,
            definition="as people labelled: aggre, rand1, rand2, rand3, worst; noisy100, noisy100_coarse",
            used_by="CIFAR-N and what is compared on it",
            convention="as given",
            flips="as given",
            generator="none",
            formula="labels of Amazon Mechanical Turk workers",
            effective="aggre .090, rand1-3 .172 .181 .176, worst .402; noisy100 .402, coarse .264",
            source="arXiv:2110.12088",
        )
    }


def _superclass(fine: Labels) -> Labels:
    """Return CIFAR-100's superclass of each fine label."""
    fine = checked_labels("true labels of the human ones", fine, 100)
    superclass = np.empty(100, dtype=np.int64)
    for coarse, members in enumerate(SUPERCLASSES):
        superclass[list(members)] = coarse
    return superclass[fine]
