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
the normal not cut. So it is nested over rates, with the same wrong classes.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from noise.base import Drawn, Request
from noise.draws import Floats, choice_loop, first_above, native_generator, wrong_samples
from noise.families import Dialect, Injector, not_among, register
from noise.spec import NoiseSpec


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


@register("instance")
@dataclass(frozen=True)
class Instance(Injector):
    """Every image has its own rate, and its pixels choose the wrong class."""

    needs_images: ClassVar[bool] = True

    std: float = 0.1  # spread of the rates before the cut
    upper: float = 1.0  # no image has a larger rate
    scale: str = "raw"  # pixels as given, or "unit": divided by 255
    layout: str = "hwc"  # how (N, H, W, A) images become rows; "chw": one channel after the other

    def __post_init__(self) -> None:
        if not 1e-4 <= self.std <= 1:  # beyond, the mean of the cut normal drowns in rounding
            raise ValueError(f"noise option 'std' must be in [0.0001, 1], got {self.std:g}")
        if not 0 < self.upper <= 1:
            raise ValueError(f"noise option 'upper' must be in (0, 1], got {self.upper:g}")
        for name, value, allowed in (("scale", self.scale, ("raw", "unit")), ("layout", self.layout, ("hwc", "chw"))):
            if value not in allowed:
                raise ValueError(not_among(f"unknown {name} {value!r} of the images", value, allowed))

    def check(self, spec: NoiseSpec) -> None:
        """Raise ValueError unless the rate lies below the largest rate an image may have."""
        super().check(spec)
        if spec.rate is not None and spec.rate >= self.upper:
            raise ValueError(f"noise rate must be below option 'upper' = {self.upper:g}, got {spec.rate:g}")

    def rows(self, images: NDArray[Any]) -> NDArray[Any]:
        """Return (N, D) pixels in the layout asked for; images that come flat stay as they are."""
        if self.layout == "chw" and images.ndim == 4:
            images = images.transpose(0, 3, 1, 2)
        rows = images.reshape(len(images), -1)
        if np.issubdtype(rows.dtype, np.floating) and not np.isfinite(rows).all():
            raise ValueError("images must be finite, got NaN or infinity")
        return rows

    def targets(self, rows: NDArray[Any], clean: NDArray[np.int64], weights: NDArray[Any]) -> NDArray[Any]:
        """Return (N, C) chances of each wrong class, given that the label is wrong; `weights` is (C, D, C)."""
        chances = np.zeros((len(clean), weights.shape[2]), dtype=weights.dtype)
        for c in np.unique(clean):
            members = np.flatnonzero(clean == c)
            pixels = rows[members].astype(weights.dtype)
            scores = (pixels / weights.dtype.type(255) if self.scale == "unit" else pixels) @ weights[c]
            scores[:, c] = -np.inf
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            chances[members] = scores / scores.sum(axis=1, keepdims=True)
        return chances

    def native(self, request: Request) -> Drawn:
        """Draw in float64 from PCG64."""
        from scipy.special import ndtri

        clean, num_classes, spec = request.clean, request.num_classes, request.spec
        rng = native_generator(request.seed, spec.family, spec.map, spec.options, clean)
        who, where, level = rng.random(len(clean)), rng.random(len(clean)), rng.random(len(clean))
        rows = self.rows(np.asarray(request.images))
        weights = rng.standard_normal((num_classes, rows.shape[1], num_classes))
        rates = flip_rates(level, request.rate, self.std, self.upper)
        expected = expected_rate(request.rate, self.std, self.upper)
        if spec.flips == "iid":
            wrong = who < rates
        else:
            wrong = wrong_samples(clean, np.full(num_classes, expected), who - self.std * ndtri(level), "exact")
        target = first_above(np.cumsum(self.targets(rows, clean, weights), axis=1), where)
        return Drawn(np.where(wrong, target, clean), expected, flip_rate=rates)

    def ptd(self, request: Request) -> Drawn:
        """Draw as the authors' code does: rates, then weights, then one uniform per sample."""
        clean, num_classes, rate = request.clean, request.num_classes, request.rate
        state = np.random.RandomState(request.seed)
        rates = flip_rates(state.random_sample(len(clean)), rate, self.std, self.upper)
        rows = self.rows(np.asarray(request.images))
        weights = state.randn(num_classes, rows.shape[1], num_classes).astype(np.float32)
        chances = rates[:, None] * self.targets(rows, clean, weights)
        chances[np.arange(len(clean)), clean] += 1 - rates
        return Drawn(choice_loop(state, chances), expected_rate(rate, self.std, self.upper), flip_rate=rates)

    dialects: ClassVar = {
        "native": Dialect(
            draw=native,
            definition="rates around the one asked, wrong class by a random projection of the pixels; float64",
            used_by="this harness",
            convention="exclusive",
            flips="exact per class",
            generator="PCG64",
            ours=True,
        ),
        "ptd": Dialect(
            draw=ptd,
            definition="rates around the one asked, wrong class by a random projection of the pixels; drawn per sample",
            used_by="PTD, CDR, CoDis, PES",
            convention="exclusive",
            flips="iid",
            generator="RandomState",
        ),
    }
