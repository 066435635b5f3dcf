"""Labels from a file: what another group's code made, or anybody's own.

A file of 45,000 labels for 50,000 samples labels the first 45,000: PLC and PENCIL validate on the rest, which keeps its
true labels. A file may say that some images come from another data set (EvidentialMix, ODNL); `source` says which.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from noise.base import Request, checked_labels
from noise.draws import Labels
from noise.families import Dialect, Drawn, Injector, register
from noise.formats import placed

FIRST_OF = (45_000, 50_000)  # a file of so many labels is for the first of so many samples


@register("file")
@dataclass(frozen=True)
class File(Injector):
    """The labels that a file holds."""

    needs: ClassVar[tuple[str, ...]] = ("given",)  # and whatever else `formats.LabelFile.arrays` finds in the file
    rated: ClassVar[bool] = False
    leading: ClassVar[str] = "path"

    path: str = ""  # .npz, .npy, .json, .csv or .pt
    sha256: str = ""  # of that file; the harness fills it in
    source: str = ""  # the data set that foreign images come from, for a file that names some

    def native(self, request: Request) -> Drawn:
        """Take what the file says, if it is for these samples."""
        clean, arrays = request.clean, request.attached
        if "foreign" in arrays:  # and no labels
            return self._with_foreign(clean.copy(), *placed(arrays["foreign"], len(clean)))
        given = checked_labels("labels of the file", arrays["given"], request.num_classes)
        if len(given) != len(clean) and (len(given), len(clean)) != FIRST_OF:
            raise ValueError(f"the file holds {len(given):,} labels, the data have {len(clean):,} samples")
        if "clean" in arrays:
            _check_truth(arrays["clean"], clean[: len(given)])
        notes: tuple[str, ...] = ()
        if len(given) < len(clean):
            notes = (f"the file labels the first {len(given):,} samples; the rest keep their true labels",)
        labels = np.concatenate([given, clean[len(given) :]])
        if "is_ood" not in arrays:
            return Drawn(labels, None, notes=notes)
        is_ood = _continued("is_ood", arrays, given, np.zeros(len(clean), dtype=bool))
        source = _continued("source_index", arrays, given, np.full(len(clean), -1, dtype=np.int64))
        return self._with_foreign(labels, is_ood, source, notes)

    def _with_foreign(
        self, labels: Labels, is_ood: NDArray[np.bool_], source: Labels, notes: tuple[str, ...] = ()
    ) -> Drawn:
        if not self.source and (source[is_ood] >= 0).any():
            count = int(is_ood.sum())
            raise ValueError(f"the file says that {count:,} images are foreign; name their data set by source=NAME")
        return Drawn(labels, None, is_ood=is_ood, source_index=source, notes=notes)

    dialects: ClassVar = {
        "native": Dialect(
            draw=native,
            definition="as the file says: .npz, .npy, .json (DivideMix, EvidentialMix, ODNL), .csv (SEAL), .pt (CAL)",
            used_by="whoever publishes label files",
            convention="as given",
            flips="as given",
            generator="none",
            formula="labels of the file",
            effective="counted on the card",
            source="the file, named by its sha256",
        )
    }


def _check_truth(inside: NDArray[Any], clean: Labels) -> None:
    """Raise ValueError if the true labels that a file brings along are not those of the data."""
    if inside.shape != clean.shape:
        raise ValueError(f"the file holds {len(inside):,} true labels, but labels of {len(clean):,} samples")
    other = np.flatnonzero(inside != clean)
    if len(other):
        i = other[0]
        raise ValueError(f"the file is for other data: true label {inside[i]} at index {i}, the data have {clean[i]}")


def _continued(name: str, arrays: Any, given: Labels, rest: NDArray[Any]) -> NDArray[Any]:
    """Return `rest` with its beginning taken from the file's array of that name."""
    array = arrays.get(name)
    if array is None or array.shape != given.shape or array.dtype != rest.dtype:
        raise ValueError(f"labels with foreign images need {name}, {rest.dtype} of shape {given.shape}")
    rest[: len(given)] = array
    return rest
