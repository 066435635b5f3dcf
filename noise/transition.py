"""Noise of any transition matrix T[i, j] = P(given j | true i), from a file or an array.

Rows are distributions: entries of at least 0 whose sum is 1 within 1e-6, by which they are divided beyond rounding.
Columns need not be. Native noise of two matrices shares its stream: what differs comes from the matrices alone.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from noise.base import Request
from noise.draws import Floats, expected_share, flip_by_class, multinomial_loop, native_generator
from noise.families import Dialect, Drawn, Injector, register

TOLERANCE, ROUNDING = 1e-6, 1e-12


def checked_matrix(matrix: np.ndarray, num_classes: int) -> Floats:
    """Return the (C, C) float64 matrix with rows that sum to one, or raise ValueError naming the entry or row."""
    if matrix.shape != (num_classes, num_classes) or matrix.dtype.kind not in "iuf":
        shape = f"{matrix.dtype} of shape {matrix.shape}"
        raise ValueError(f"transition matrix must be numbers of shape ({num_classes}, {num_classes}), got {shape}")
    values: Floats = matrix.astype(np.float64)
    bad = np.argwhere(~(values >= 0) | ~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"transition matrix: row {row}, column {column} must be a probability, got {values[row, column]:g}"
        )
    sums = values.sum(axis=1)
    off = np.flatnonzero(np.abs(sums - 1) > TOLERANCE)
    if len(off):
        raise ValueError(f"transition matrix: rows must sum to 1, row {off[0]} sums to {sums[off[0]]:.8g}")
    # what differs by rounding alone stays as it is: another last digit could draw other labels
    return np.where(np.abs(sums - 1)[:, None] > ROUNDING, values / sums[:, None], values)


def _native(_: Injector, request: Request) -> Drawn:
    spec, matrix = request.spec, checked_matrix(request.attached["matrix"], request.num_classes)
    rng = native_generator(request.seed, spec.family, spec.map, {}, request.clean)
    flip = 1 - np.diag(matrix)
    given = flip_by_class(rng, request.clean, matrix, flip, spec.flips)
    return Drawn(given, expected_share(request.clean, matrix), matrix)


def _co_teaching(_: Injector, request: Request) -> Drawn:
    matrix = checked_matrix(request.attached["matrix"], request.num_classes)
    given = multinomial_loop(np.random.RandomState(request.seed), request.clean, matrix)
    return Drawn(given, expected_share(request.clean, matrix), matrix)


@register("transition")
@dataclass(frozen=True)
class Transition(Injector):
    """Any row-stochastic matrix says who is mistaken for whom, and how often."""

    needs: ClassVar[tuple[str, ...]] = ("matrix",)
    rated: ClassVar[bool] = False
    leading: ClassVar[str] = "path"

    path: str = ""  # of the matrix: .npy, .npz, .csv, .txt or .json
    sha256: str = ""  # of that file; the harness fills it in

    dialects: ClassVar = {
        "native": Dialect(
            draw=_native,
            definition="rows of the matrix, exact in every class, in total, or drawn per sample",
            used_by="this harness",
            convention="as the matrix says",
            flips="exact per class",
            generator="PCG64",
            formula="T as given",
            effective="1 - T[i, i], by the share of class i",
            source="arXiv:1609.03683",
            ours=True,
        ),
        "co_teaching": Dialect(
            draw=_co_teaching,
            definition="one multinomial draw per sample from the row of its class",
            used_by='loss-correction, Co-teaching; CIFAR-N\'s "synthetic twins" with seed 0',
            convention="as the matrix says",
            flips="iid",
            generator="RandomState",
            formula="T as given",
            effective="1 - T[i, i], by the share of class i",
            source="github.com/bhanML/Co-teaching",
        ),
    }
