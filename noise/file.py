"""Labels from a file: what another group's code made, or anybody's own.

A file of 45,000 labels for 50,000 samples labels the first 45,000 (PLC validates on the rest, with true labels).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from noise.base import Drawn, Request, checked_labels
from noise.draws import Labels, first_tenths
from noise.families import Dialect, Injector, register
from noise.spec import NoiseSpec


@register("file")
@dataclass(frozen=True)
class File(Injector):
    """The labels that a file holds."""

    needs: ClassVar[tuple[str, ...]] = ("given",)
    rated: ClassVar[bool] = False
    leading: ClassVar[str] = "path"

    path: str = ""  # .npz, .npy, .json, .csv or .pt
    sha256: str = ""  # of that file; the harness fills it in

    def check(self, spec: NoiseSpec) -> None:
        """Raise ValueError for flips, as nothing is drawn."""
        super().check(spec)
        if spec.flips != "exact":
            raise ValueError(f"flips={spec.flips!r} makes no sense for labels of a file: nothing is drawn")

    def native(self, request: Request) -> Drawn:
        """Take the labels, if they are for these samples."""
        clean, total = request.clean, len(request.clean)
        given = checked_labels("labels of the file", request.attached["given"], request.num_classes)
        notes = []
        if len(given) == first_tenths(clean) < total:
            notes.append(f"the file labels the first {len(given):,} samples; the rest keep their true labels")
            given = np.concatenate([given, clean[len(given) :]])
        if len(given) != total:
            raise ValueError(f"the file holds {len(given):,} labels, the data have {total:,} samples")
        _same_truth(request.attached.get("clean"), clean)
        ood, source = request.attached.get("is_ood"), request.attached.get("source_index")
        return Drawn(given, None, is_ood=ood, source_index=source, notes=tuple(notes))

    dialects: ClassVar = {
        "native": Dialect(
            draw=native,
            definition="as the file says: .npz, .npy, .json (DivideMix, EvidentialMix), .csv (SEAL), .pt (CAL)",
            used_by="whoever publishes label files",
            convention="as given",
            flips="as given",
            generator="none",
            formula="labels of the file",
            effective="counted on the card",
            source="the file, named by its sha256",
        )
    }


def _same_truth(inside: NDArray[Any] | None, clean: Labels) -> None:
    """Raise ValueError if the file brings true labels that are not those of the data."""
    if inside is None:
        return
    if len(inside) > len(clean):
        raise ValueError(f"the file holds {len(inside):,} true labels, the data have {len(clean):,} samples")
    other = np.flatnonzero(inside != clean[: len(inside)])
    if len(other):
        i = other[0]
        raise ValueError(f"the file is for other data: true label {inside[i]} at index {i}, the data have {clean[i]}")
