"""`corrupt`, the one door through which labels go wrong, and what it takes and hands back."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise.draws import Floats, Labels
from noise.families import Drawn, Injector, family_of
from noise.spec import NoiseSpec

CLASS_CAP = 10_000  # a transition matrix of more does not fit the memory of most machines


@dataclass(frozen=True)
class Request:
    """What a dialect draws from: checked inputs and the spec."""

    clean: Labels  # (N,)
    images: NDArray[Any] | None  # (N, ...), always there for families that need them
    num_classes: int
    spec: NoiseSpec
    seed: int
    attached: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # what the family has asked for by name

    @property
    def rate(self) -> float:
        """The rate asked, for families that have one."""
        assert self.spec.rate is not None, self.spec.family
        return self.spec.rate


@dataclass(frozen=True, eq=False)
class Corruption:
    """Labels before and after, and where they come from. Arrays are read-only."""

    given: Labels  # (N,)
    clean: Labels | None  # (N,), None where nobody knows them
    num_classes: int
    spec: NoiseSpec
    seed: int
    transition: Floats | None  # (C, C) or None
    flip_rate: Floats | None  # (N,) or None
    generator: str
    expected: float | None  # None where no definition implies a wrong share
    is_ood: NDArray[np.bool_] | None = None  # (N,): the image is foreign, no label is right
    source_index: Labels | None = None  # (N,): which image of the foreign data set, -1 for none or for its own image
    known_classes: int | None = None  # classes from this one on are foreign, where some of them are
    notes: tuple[str, ...] = ()  # what a reader of the card must know, a line each

    def __post_init__(self) -> None:
        for array in (self.given, self.clean, self.transition, self.flip_rate, self.is_ood, self.source_index):
            if array is not None:
                array.setflags(write=False)

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """The (N,) mask of given labels that are not the true ones, foreign images left out: none is right for them.

        Raises ValueError where the true labels are unknown.
        """
        if self.clean is None:
            raise ValueError("the true labels of these samples are unknown, so nobody can say which are wrong")
        wrong = self.given != self.clean
        return wrong if self.is_ood is None else wrong & ~self.is_ood

    @property
    def noise_id(self) -> str:
        """The name of these labels, whatever recipe made them."""
        return noise_id(self.given, self.is_ood, self.source_index)


def corrupt(
    labels: ArrayLike,
    images: ArrayLike | None,
    num_classes: int,
    spec: NoiseSpec,
    seed: int,
    *,
    attached: Mapping[str, ArrayLike] | None = None,
    labels_are_true: bool = True,
) -> Corruption:
    """Return the labels that `spec` and `seed` make of true `labels` (N,).

    Pure: no file, no global generator, inputs untouched. Rate 0 changes no label whatever the family. `images`
    (N, H, W, A) or (N, D) matter only to families that look at them, `attached` arrays only to those that name them in
    `needs`. With `labels_are_true=False` the labels are as somebody gave them; a family must then say that it leaves
    them alone. Raises ValueError for labels that are not integers in 0..C-1 and for arrays that are missing or unfit.
    """
    num_classes, seed = _checked_numbers(num_classes, seed)
    clean = checked_labels("labels", labels, num_classes)
    family = family_of(spec.family)
    if family.maps and spec.map is None:
        raise ValueError(f"noise family {spec.family!r} needs a map for these data: map={'|'.join(family.maps)}")
    if not labels_are_true and not family.keeps_labels:
        raise ValueError(f"noise family {spec.family!r} starts from true labels, and these data have none")
    dialect = family.dialects[spec.dialect]
    arrays = _checked_attached(family, attached or {})
    pixels = _checked_images(family, images, len(clean))
    if spec.rate == 0:
        drawn = Drawn(clean.copy(), 0.0, transition=np.eye(num_classes))
    else:
        request = Request(clean, pixels, num_classes, spec, seed, arrays)
        drawn = dialect.draw(family.create(spec.options), request)
    return Corruption(
        given=drawn.given,
        clean=clean if labels_are_true else None,
        num_classes=num_classes,
        spec=spec,
        seed=seed,
        transition=drawn.transition,
        flip_rate=drawn.flip_rate,
        generator=dialect.generator,
        expected=None if drawn.expected is None else float(drawn.expected),
        is_ood=drawn.is_ood,
        source_index=drawn.source_index,
        known_classes=drawn.known_classes,
        notes=drawn.notes,
    )


def noise_id(given: ArrayLike, is_ood: NDArray[np.bool_] | None = None, source_index: ArrayLike | None = None) -> str:
    """Return "n" and 16 hex digits that name the labels, and the foreign images where there are any."""
    digest = hashlib.sha256(np.ascontiguousarray(given, dtype="<i8").tobytes())
    if is_ood is not None and np.any(is_ood):
        if source_index is None:
            raise ValueError("foreign samples need source_index to be named, got None")
        digest.update(np.ascontiguousarray(is_ood, dtype=np.uint8).tobytes())
        digest.update(np.ascontiguousarray(source_index, dtype="<i8").tobytes())
    return "n" + digest.hexdigest()[:16]


def checked_labels(name: str, values: ArrayLike, num_classes: int) -> Labels:
    """Return a read-only int64 copy of labels, or raise ValueError with the index and value of the first bad one."""
    array = np.asarray(values)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"{name} must be one label per sample, shape (N,), got shape {array.shape}")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} must be integers, got dtype {array.dtype}")
    bad = np.flatnonzero((array < 0) | (array >= num_classes))
    if len(bad):
        raise ValueError(f"{name} must lie in 0..{num_classes - 1}, got {array[bad[0]]} at index {bad[0]}")
    copy = array.astype(np.int64, copy=True)
    copy.setflags(write=False)
    return copy


def _checked_numbers(num_classes: object, seed: object) -> tuple[int, int]:
    if isinstance(num_classes, bool) or not isinstance(num_classes, int | np.integer) or num_classes < 2:
        raise ValueError(f"noise needs at least 2 classes, got {num_classes!r}")
    if num_classes > CLASS_CAP:
        raise ValueError(f"noise is made of at most {CLASS_CAP:,} classes, got {num_classes:,}")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise ValueError(f"noise seed must be an integer in [0, 2**32), got {seed!r}")
    return int(num_classes), int(seed)


def _checked_attached(family: type[Injector], attached: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    arrays = {name: np.asarray(array) for name, array in attached.items()}
    for name in family.needs:
        if name not in arrays:
            raise ValueError(f"noise family {family.family!r} needs {name}, got none")
    return arrays


def _checked_images(family: type[Injector], images: ArrayLike | None, count: int) -> NDArray[Any] | None:
    if images is None:
        if family.needs_images:
            raise ValueError(f"noise family {family.family!r} depends on the images, got none")
        return None
    pixels = np.asarray(images)
    if pixels.ndim < 2 or len(pixels) != count:
        raise ValueError(f"images must be one row per label, shape ({count}, ...), got shape {pixels.shape}")
    if not (np.issubdtype(pixels.dtype, np.integer) or np.issubdtype(pixels.dtype, np.floating)):
        raise ValueError(f"images must be integers or floats, got dtype {pixels.dtype}")
    return pixels
