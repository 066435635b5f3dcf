"""Class scores of a network, checked before noise is made of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from noise.draws import Floats

TOLERANCE = 1e-3  # float16 scores still sum to one within this


def checked_scores(scores: NDArray[Any], lengths: tuple[int, ...], num_classes: int) -> Floats:
    """Return (n, C) float64 probabilities with n among `lengths`, or raise ValueError naming the first bad row."""
    if (
        scores.ndim != 2
        or scores.shape[1] != num_classes
        or len(scores) not in lengths
        or scores.dtype.kind not in "iuf"
    ):
        wanted = " or ".join(str(length) for length in sorted(set(lengths), reverse=True))
        raise ValueError(
            f"scores must be numbers of shape ({wanted}, {num_classes}), got {scores.dtype} of shape {scores.shape}"
        )
    values: Floats = scores.astype(np.float64)
    bad = np.argwhere(~((values >= 0) & (values <= 1)))
    if len(bad):
        row, column = bad[0]
        raise ValueError(f"scores must be probabilities, got {values[row, column]:g} for image {row}, class {column}")
    sums = values.sum(axis=1)
    off = np.flatnonzero(np.abs(sums - 1) > TOLERANCE)
    if len(off):
        raise ValueError(f"scores of an image must sum to 1, those of image {off[0]} sum to {sums[off[0]]:.6g}")
    return values
