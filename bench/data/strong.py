"""Strong augmentation: an operation or two drawn from a policy for each sample, then a square cut out.

The bins of the magnitudes, the ranges and the policy are those of torchvision's RandAugment and AutoAugment.
n samples in the store, B in a batch, A channels, H x W pixels, S steps of a policy, R rows of a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.data import image_ops
from bench.data.image_ops import Recolour
from bench.names import unknown


class Step(NamedTuple):
    """An operation, the probability that it is applied, and the bin of its magnitude."""

    operation: str
    probability: float
    bin: int = 0


class Policy(NamedTuple):
    """Sequences of S steps, of which each sample draws one, and the number of bins from weakest to strongest."""

    bins: int
    plans: tuple[tuple[Step, ...], ...]


class Change(NamedTuple):
    """What a step does to an image: moves its pixels (see `image_ops.warp`), or changes its colours."""

    recolour: Recolour = Recolour.NOTHING
    amount: float = 0.0
    matrix: tuple[float, ...] = (1, 0, 0, 0, 1, 0)


@dataclass(frozen=True, slots=True)
class StrongDraws:
    """What happens to each sample in one strong view of one pass."""

    changes: Tensor  # (n, S) int64, rows of the table of changes, in the order they are made
    centre: Tensor  # (n, 2) int64, row and column of the centre of the square that is cut out

    def to(self, device: torch.device) -> StrongDraws:
        return StrongDraws(self.changes.to(device), self.centre.to(device))

    def of(self, index: Tensor | slice) -> StrongDraws:
        """The draws of the samples `index` (B,), or of a stretch of samples."""
        return StrongDraws(self.changes[index], self.centre[index])


_MOVED = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
_SCALED = ("brightness", "color", "contrast", "sharpness")
_SIGNED = _MOVED + _SCALED  # go either way with the same probability
_OTHERS = ("identity", "posterize", "solarize", "autocontrast", "equalize")

# Cubuk et al., NeurIPS 2020, arXiv:1909.13719, with N = 1 and M = 3 as GJS takes them (Englesson and Azizpour, 2021).
_RANDAUGMENT = Policy(31, tuple((Step(name, 1.0, 3),) for name in _SIGNED + _OTHERS))

# Cubuk et al., CVPR 2019, arXiv:1805.09501, Table 7: the policy found on CIFAR-10.
_AUTOAUGMENT = Policy(
    10,
    (
        (Step("invert", 0.1), Step("contrast", 0.2, 6)),
        (Step("rotate", 0.7, 2), Step("translate_x", 0.3, 9)),
        (Step("sharpness", 0.8, 1), Step("sharpness", 0.9, 3)),
        (Step("shear_y", 0.5, 8), Step("translate_y", 0.7, 9)),
        (Step("autocontrast", 0.5), Step("equalize", 0.9)),
        (Step("shear_y", 0.2, 7), Step("posterize", 0.3, 7)),
        (Step("color", 0.4, 3), Step("brightness", 0.6, 7)),
        (Step("sharpness", 0.3, 9), Step("brightness", 0.7, 9)),
        (Step("equalize", 0.6), Step("equalize", 0.5)),
        (Step("contrast", 0.6, 7), Step("sharpness", 0.6, 5)),
        (Step("color", 0.7, 7), Step("translate_x", 0.5, 8)),
        (Step("equalize", 0.3), Step("autocontrast", 0.4)),
        (Step("translate_y", 0.4, 3), Step("sharpness", 0.2, 6)),
        (Step("brightness", 0.9, 6), Step("color", 0.2, 8)),
        (Step("solarize", 0.5, 2), Step("invert", 0.0)),
        (Step("equalize", 0.2), Step("autocontrast", 0.6)),
        (Step("equalize", 0.2), Step("equalize", 0.6)),
        (Step("color", 0.9, 9), Step("equalize", 0.6)),
        (Step("autocontrast", 0.8), Step("solarize", 0.2, 8)),
        (Step("brightness", 0.1, 3), Step("color", 0.7, 0)),
        (Step("solarize", 0.4, 5), Step("autocontrast", 0.9)),
        (Step("translate_y", 0.9, 9), Step("translate_y", 0.7, 9)),
        (Step("autocontrast", 0.9), Step("solarize", 0.8, 3)),
        (Step("equalize", 0.8), Step("invert", 0.1)),
        (Step("translate_y", 0.7, 9), Step("autocontrast", 0.9)),
    ),
)

_POLICIES = {"autoaugment": _AUTOAUGMENT, "randaugment": _RANDAUGMENT}


def available() -> tuple[str, ...]:
    """Return the names of the policies, sorted."""
    return tuple(sorted(_POLICIES))


def policy(name: str) -> Policy:
    """Return the policy `name`; an unknown name raises ValueError."""
    if name not in _POLICIES:
        raise unknown("strong augmentation", name, _POLICIES)
    return _POLICIES[name]


def change(operation: str, bin: int, bins: int, sign: int, height: int, width: int) -> Change:
    """Return what an operation does at magnitude `bin` of 0 .. bins - 1, for images of H x W pixels.

    `sign` is 1 or -1, and means something to the operations that go either way.
    """
    share = bin / (bins - 1)
    if operation in _MOVED:
        return Change(matrix=_move(operation, sign * share, height, width))
    if operation in _SCALED:
        return Change(Recolour[operation.upper()], 1 + sign * 0.9 * share)
    match operation:
        case "identity":
            return Change()
        case "posterize":
            return Change(Recolour.POSTERIZE, 2 ** round(4 * share))
        case "solarize":
            return Change(Recolour.SOLARIZE, 255 * (bins - 1 - bin) / (bins - 1))
        case "invert":
            return Change(Recolour.SOLARIZE, 0.0)
        case "autocontrast" | "equalize":
            return Change(Recolour[operation.upper()])
    raise AssertionError(operation)


def _move(operation: str, share: float, height: int, width: int) -> tuple[float, ...]:
    """Return the affine map from the result's pixels to the image's, seen from the image's centre."""
    match operation:
        case "shear_x":  # about the upper left corner
            return 1, 0.3 * share, 0.3 * share * height / 2, 0, 1, 0
        case "shear_y":
            return 1, 0, 0, 0.3 * share, 1, 0.3 * share * width / 2
        case "translate_x":
            return 1, 0, -int(150 / 331 * width * share), 0, 1, 0
        case "translate_y":
            return 1, 0, 0, 0, 1, -int(150 / 331 * height * share)
        case "rotate":
            angle = np.deg2rad(30 * share)
            return np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0
    raise AssertionError(operation)


class Strong:
    """A policy for images of H x W pixels: every change that it may make is a row of a table on the device."""

    def __init__(self, name: str, height: int, width: int, device: torch.device) -> None:
        self._policy = policy(name)
        self._height, self._width = height, width
        self._side = min(height, width) // 2
        # Row 0 is nothing; then, step by step and plan by plan, the change with sign 1 and that with sign -1.
        rows = [Change()] + [
            change(plan[step].operation, plan[step].bin, self._policy.bins, sign, height, width)
            for step in range(self._steps)
            for plan in self._policy.plans
            for sign in (1, -1)
        ]
        self._recolour = torch.tensor([row.recolour for row in rows], device=device)
        self._amount = torch.tensor([row.amount for row in rows], dtype=torch.float32, device=device)
        self._matrix = image_ops.fixed(np.array([row.matrix for row in rows], dtype=np.float64)).to(device)

    @property
    def _steps(self) -> int:
        return len(self._policy.plans[0])

    def draw(self, seed_stream: int, num: int) -> StrongDraws:
        """Draw for `num` samples, on the CPU, from a seed that names pass, view and epoch.

        The numbers belong to samples, not to places in a batch, so they don't depend on order, batch size or device.
        """
        rng = np.random.default_rng(seed_stream)
        plans = self._policy.plans
        plan = rng.integers(len(plans), size=num)
        probability = np.array([[step.probability for step in steps] for steps in plans])[plan]  # (n, S)
        applied = rng.random((num, self._steps)) < probability
        negative = rng.random((num, self._steps)) < 0.5
        row = 1 + 2 * (np.arange(self._steps) * len(plans) + plan[:, None]) + negative
        centre = np.stack([rng.integers(self._height, size=num), rng.integers(self._width, size=num)], axis=1)
        return StrongDraws(torch.from_numpy(np.where(applied, row, 0)), torch.from_numpy(centre))

    def apply(self, images: Tensor, draws: StrongDraws) -> Tensor:
        """Change (B, A, H, W) uint8 images, 255 being white, as their draws (those of B samples) say."""
        for row in draws.changes.unbind(1):
            moved = image_ops.warp(images, self._matrix[row])
            images = image_ops.recolour(moved, self._recolour[row], self._amount[row])
        return image_ops.cut_out(images, draws.centre, self._side)
