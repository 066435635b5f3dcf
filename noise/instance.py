"""Instance-dependent noise: every image has its own rate, and its pixels choose the wrong class.

Xia et al., NeurIPS 2020, arXiv:2006.07836, Algorithm 2 ("PTD"): q_i from a normal(r, std) cut to [0, upper];
for an image x of class y the scores x W[y], with W[y] (D, C) standard normal; P(g = j) = q softmax(scores without
y)_j for j != y. The expected rate is E[q], for small r above r: .1 asked is .129 (the cut removes the lower tail).
Rate 0 is the exception: it changes nothing. On raw pixels the softmax is all but one-hot: one confusing class per
image.

Dialect `ptd` repeats the draws of the authors' code (xiaoboxia/Part-dependent-label-noise; CDR, CoDis and PES share
it) in float32. Native, in float64: two uniforms per sample as in every native family (who, where), then N uniforms
for q, then W. "iid" flips where who < q. "exact" takes floor(E[q] N_c + 1/2) samples of each class, those with the
smallest who - std z, z the normal quantile of q's uniform: the rate at which "iid" would begin to flip them, were
the normal not cut. So it is nested over rates, with the same wrong classes; "total" does so over all classes at once.

Dialect `cores` (Cheng et al., ICLR 2021, arXiv:2010.02347) draws one projection for all classes, so that one class
takes nearly all flips of every other, and always from seed 0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from noise.base import Request
from noise.draws import Floats, choice_loop, first_above, native_generator, wrong_samples
from noise.families import Asked, Dialect, Drawn, Injector, not_among, register

CHUNK = 5000  # images projected at once, so that their float copies stay small
POOL = 1_000_000  # rates that the CORES code draws before it drops those outside (0, 1)

Draw = Callable[[], NDArray[Any]]


def expected_rate(rate: float, std: float, upper: float) -> float:
    """Return the mean of a normal(rate, std) cut to [0, upper]."""
    low, high = -rate / std, (upper - rate) / std
    mass = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    density = (math.exp(-(low**2) / 2) - math.exp(-(high**2) / 2)) / math.sqrt(2 * math.pi)
    return rate + std * density / mass


def flip_rates(uniform: Floats, rate: float, std: float, upper: float) -> Floats:
    """Return the (N,) quantiles of the cut normal at `uniform`: what scipy's own sampler returns for these draws."""
    from scipy.stats import truncnorm

    return np.asarray(truncnorm.ppf(uniform, -rate / std, (upper - rate) / std, loc=rate, scale=std))


def softmax_without(scores: NDArray[Any], true: NDArray[np.int64]) -> NDArray[Any]:
    """Return the softmax of (n, C) scores over all classes but the true one of each row."""
    scores[np.arange(len(true)), true] = -np.inf
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: NDArray[Any] = scores / scores.sum(axis=1, keepdims=True)
    return shares


@register("instance")
@dataclass(frozen=True)
class Instance(Injector):
    """Every image has its own rate, and its pixels choose the wrong class."""

    needs_images: ClassVar[bool] = True
    uses: ClassVar[tuple[str, ...]] = ("mean", "std")

    std: float = 0.1  # spread of the rates before the cut
    upper: float = 1.0  # no image has a larger rate
    scale: str = "raw"  # pixels as given, "unit": divided by 255, or "standard": by the data set's mean and deviation
    layout: str = "hwc"  # how (N, H, W, A) images become rows; "chw": one channel after the other

    def __post_init__(self) -> None:
        if not 1e-4 <= self.std <= 1:  # beyond, the mean of the cut normal drowns in rounding
            raise ValueError(f"noise option 'std' must be in [0.0001, 1], got {self.std:g}")
        if not 0 < self.upper <= 1:
            raise ValueError(f"noise option 'upper' must be in (0, 1], got {self.upper:g}")
        scales, layouts = ("raw", "unit", "standard"), ("hwc", "chw")
        for name, value, allowed in (("scale", self.scale, scales), ("layout", self.layout, layouts)):
            if value not in allowed:
                raise ValueError(not_among(f"unknown {name} {value!r} of the images", value, allowed))

    def check(self, spec: Asked) -> None:
        """Raise ValueError unless the rate lies below the largest rate an image may have."""
        super().check(spec)
        if spec.rate is not None and spec.rate >= self.upper:
            raise ValueError(f"noise rate must be below option 'upper' = {self.upper:g}, got {spec.rate:g}")
        if spec.dialect == "cores" and (self.std, self.upper, self.scale) != (0.1, 1.0, "raw"):
            raise ValueError("dialect 'cores' has std 0.1, upper 1 and scale raw; only layout can be chosen")

    def rows(self, images: NDArray[Any], request: Request, dtype: type) -> NDArray[Any]:
        """Return (n, D) pixels in the layout and scale asked for; images that come flat stay as they are."""
        if self.scale == "standard":
            mean, std = _mean_and_std(request)
            images = (images - mean) / std
        if self.layout == "chw" and images.ndim == 4:
            images = images.transpose(0, 3, 1, 2)
        rows: NDArray[Any] = images.reshape(len(images), -1).astype(dtype)
        return rows / np.dtype(dtype).type(255) if self.scale == "unit" else rows

    def targets(self, request: Request, draw: Draw, dtype: type) -> NDArray[Any]:
        """Return (N, C) chances of each wrong class, given that the label is wrong.

        `draw` gives the (D, C) projection of one class after the other, so that one alone is in memory.
        """
        clean, images = request.clean, _finite(request)
        chances: NDArray[Any] = np.zeros((len(clean), request.num_classes), dtype=dtype)
        for c in range(request.num_classes):
            weights: NDArray[Any] = draw().astype(dtype, copy=False)
            members = np.flatnonzero(clean == c)
            for start in range(0, len(members), CHUNK):
                some = members[start : start + CHUNK]
                chances[some] = softmax_without(self.rows(images[some], request, dtype) @ weights, clean[some])
        return chances

    def native(self, request: Request) -> Drawn:
        """Draw in float64 from PCG64."""
        from scipy.special import ndtri

        clean, num_classes, spec, rate = request.clean, request.num_classes, request.spec, request.rate
        rng = native_generator(request.seed, spec.family, spec.map, spec.options, clean)
        who, where, level = rng.random(len(clean)), rng.random(len(clean)), rng.random(len(clean))
        width = _width(request)
        target_chances = self.targets(request, lambda: rng.standard_normal((width, num_classes)), np.float64)
        rates = flip_rates(level, rate, self.std, self.upper)
        expected = expected_rate(rate, self.std, self.upper)
        if spec.flips == "iid":
            wrong = who < rates
        else:
            key = who - self.std * ndtri(level)
            wrong = wrong_samples(clean, np.full(num_classes, expected), key, spec.flips)
        target = first_above(np.cumsum(target_chances, axis=1), where)
        return Drawn(np.where(wrong, target, clean), expected, flip_rate=rates)

    def ptd(self, request: Request) -> Drawn:
        """Draw as the authors' code does: rates, then weights, then one uniform per sample."""
        clean, num_classes, rate = request.clean, request.num_classes, request.rate
        state = np.random.RandomState(request.seed)
        rates = flip_rates(state.random_sample(len(clean)), rate, self.std, self.upper)
        width = _width(request)
        chances = rates[:, None] * self.targets(request, lambda: state.randn(width, num_classes), np.float32)
        chances[np.arange(len(clean)), clean] += 1 - rates
        return Drawn(choice_loop(state, chances), expected_rate(rate, self.std, self.upper), flip_rate=rates)

    def cores(self, request: Request) -> Drawn:
        """Draw as CORES and CAL do: seed 0, one projection for all classes, as many as their code thinks there are."""
        clean, rate = request.clean, request.rate
        if request.num_classes not in (10, 100):
            raise ValueError(f"dialect 'cores' knows 10 or 100 classes, got {request.num_classes}")
        columns = 100 if clean.max() > 10 else 10
        if clean.max() == columns:
            first = int(np.argmax(clean == columns))
            raise ValueError(f"dialect 'cores' knows 10 classes until a label exceeds 10, got 10 at index {first}")
        state = np.random.RandomState(0)
        pool = state.normal(rate, 0.1, POOL)
        rates = pool[(pool > 0) & (pool < 1)][: len(clean)]
        if len(rates) < len(clean):
            raise ValueError(f"dialect 'cores' has rates for {len(rates):,} samples, got {len(clean):,}")
        images = _finite(request)
        weights = state.normal(0, 1, (_width(request), columns))
        chances = np.zeros((len(clean), request.num_classes))
        for start in range(0, len(clean), CHUNK):
            part = slice(start, start + CHUNK)
            scores = self.rows(images[part], request, np.float64) @ weights
            chances[part, :columns] = rates[part, None] * softmax_without(scores, clean[part])
        chances[np.arange(len(clean)), clean] = 1 - rates
        note = (
            "the released code draws from seed 0, whatever seed is asked for, and takes one class for nearly all flips"
        )
        expected = expected_rate(rate, 0.1, 1.0)
        return Drawn(
            choice_loop(state, chances / chances.sum(axis=1, keepdims=True)), expected, None, rates, notes=(note,)
        )

    dialects: ClassVar = {
        "native": Dialect(
            draw=native,
            definition="rates around the one asked, wrong class by a random projection of the pixels; float64",
            used_by="this harness",
            convention="exclusive",
            flips="exact per class",
            generator="PCG64",
            formula="P(j | x, y) = q softmax(x W[y], without y)_j, q from normal(r, std) cut to [0, upper]",
            effective="E[q]: .1 -> .129, .2 -> .205, .3 -> .300, .4 to .6 as asked",
            source="arXiv:2006.07836, Alg. 2",
            ours=True,
        ),
        "ptd": Dialect(
            draw=ptd,
            definition="rates around the one asked, wrong class by a random projection of the pixels; drawn per sample",
            used_by="PTD, CDR, CoDis, PES",
            convention="exclusive",
            flips="iid",
            generator="RandomState",
            formula="as native, in float32",
            effective="E[q]",
            source="github.com/xiaoboxia/Part-dependent-label-noise",
        ),
        "cores": Dialect(
            draw=cores,
            definition="as ptd, with one projection for all classes and always from seed 0",
            used_by="CORES, CAL; SOP loads CAL's files",
            convention="exclusive",
            flips="iid",
            generator="RandomState",
            formula="P(j | x, y) = q softmax(x w, without y)_j, one w for all y",
            effective="E[q]",
            source="github.com/UCSC-REAL/cores",
            defaults={"layout": "chw"},
        ),
    }


def _width(request: Request) -> int:
    return int(np.asarray(request.images)[:1].size)


def _finite(request: Request) -> NDArray[Any]:
    """Return the images, or raise ValueError naming the first one that holds a NaN or an infinity."""
    images = np.asarray(request.images)
    if np.issubdtype(images.dtype, np.floating):
        bad = np.flatnonzero(~np.isfinite(images.reshape(len(images), -1)).all(axis=1))
        if len(bad):
            raise ValueError(f"images must be finite, got NaN or infinity in image {bad[0]}")
    return images


def _mean_and_std(request: Request) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what scale=standard subtracts and divides by: one number, or one per channel; both in raw pixels."""
    if not {"mean", "std"} <= set(request.attached):
        raise ValueError("scale=standard needs the mean and deviation of the data set: name it by --dataset")
    mean, std, shape = request.attached["mean"], request.attached["std"], np.asarray(request.images).shape
    channels = shape[3] if len(shape) == 4 else 1
    if any(array.size not in (1, channels) for array in (mean, std)):
        raise ValueError(
            f"scale=standard takes one mean and deviation for each of {channels} channels, got {mean.size} and "
            f"{std.size} for images of shape {shape}"
        )
    if not (std > 0).all():
        raise ValueError(f"scale=standard divides by the deviation of each channel, got {std.tolist()}")
    return mean, std
