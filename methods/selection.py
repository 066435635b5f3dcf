"""Choosing samples of a batch by a mask, without waiting for the device.  K networks, B samples."""

import math

import torch
from torch import Tensor


def smallest(losses: Tensor, keep: int | Tensor) -> Tensor:
    """Return a (..., B) mask of the `keep` smallest losses in each row; all False for keep <= 0.

    Ties go to the sample that comes first, so the mask is the same on every device.
    """
    rank = losses.argsort(dim=-1, stable=True).argsort(dim=-1)
    return rank < keep


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of (..., B) values over the selected ones, (...); exactly 0, with a gradient of 0, where none is.

    An unselected infinite value stays out: it is replaced, not multiplied by zero.
    """
    kept = torch.where(mask, values, torch.zeros_like(values))
    return kept.sum(-1) / mask.sum(-1).clamp(min=1)


def confident(logp: Tensor, threshold: float, criterion: str = "entropy") -> Tensor:
    """Mask (...) of the predictions (..., C) whose normalised uncertainty is at most `threshold`, in [0, 1].

    "entropy": H(p) <= threshold * log C.  "max_prob": max p >= 1 - (1 - 1/C) * threshold; both let everything but
    rounding through at 1, and only one-hot predictions at 0.
    """
    num_classes = logp.shape[-1]
    if criterion == "entropy":
        return -(logp.exp() * logp).sum(-1) <= threshold * math.log(num_classes)
    return logp.exp().amax(-1) >= 1 - (1 - 1 / num_classes) * threshold
