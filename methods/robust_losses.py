"""Bounded and normalised losses of a label and a prediction.  B samples, C classes; natural logarithms.

`logp` is (..., B, C) from log_softmax in float32, `y` (B,) int64; results are (..., B). Where released code clamps
probabilities at 1e-7, so do these: FLOOR is its logarithm.
"""

import math

import torch
from torch import Tensor

from methods.losses import cross_entropy

FLOOR = math.log(1e-7)


def given(logp: Tensor, y: Tensor) -> Tensor:
    """log p_y, at least FLOOR."""
    return (-cross_entropy(logp, y)).clamp(min=FLOOR)


def generalised(logp: Tensor, y: Tensor, q: float) -> Tensor:
    """(1 - p_y^q) / q (Zhang and Sabuncu, arXiv:1805.07836, eq. 6): cross entropy for q = 0, 1 - p_y for q = 1."""
    own = given(logp, y)
    return -torch.expm1(q * own) / q if q else -own


def absolute(logp: Tensor, y: Tensor) -> Tensor:
    """1 - p_y: half of the mean absolute error between p and the one-hot label, summed over classes."""
    return -torch.expm1(-cross_entropy(logp, y))


def reverse_cross_entropy(logp: Tensor, y: Tensor, floor: float = 1e-4) -> Tensor:
    """-sum_c p_c log max(q_c, floor) (Wang et al., arXiv:1908.06112, eq. 4) = -log(floor) (1 - p_y)."""
    return -math.log(floor) * absolute(logp, y)


def normalised_cross_entropy(logp: Tensor, y: Tensor) -> Tensor:
    """log p_y / sum_c log p_c (Ma et al., arXiv:2006.13554, eq. 4), in [0, 1]."""
    return cross_entropy(logp, y) / -logp.sum(-1)


def asymmetric_generalised(logp: Tensor, y: Tensor, a: float, q: float) -> Tensor:
    """AGCE, ((a + 1)^q - (a + p_y)^q) / q (Zhou et al., arXiv:2106.03110)."""
    return ((a + 1) ** q - (a + given(logp, y).exp()) ** q) / q


def asymmetric_unhinged(logp: Tensor, y: Tensor, a: float, q: float) -> Tensor:
    """AUL, ((a - p_y)^q - (a - 1)^q) / q (Zhou et al., arXiv:2106.03110), a > 1."""
    return ((a - given(logp, y).exp()) ** q - (a - 1) ** q) / q


def normalised_negative_cross_entropy(logp: Tensor, y: Tensor) -> Tensor:
    """NNCE, 1 - (A + log p_y) / sum_c (A + log p_c) with A = -log 1e-7 (Ye et al., arXiv:2309.02981), in [0, 1]."""
    return 1 - (given(logp, y) - FLOOR) / (logp.clamp(min=FLOOR) - FLOOR).sum(-1)


def jensen_shannon(parts: list[Tensor], y: Tensor, weights: list[float]) -> Tensor:
    """Generalised Jensen-Shannon divergence between a label and predictions (Englesson and Azizpour, arXiv:2105.04522).

    `parts` are log-probabilities (B, C), `weights` pi of the label and then of each part; they sum to 1. The value is
    sum_j pi_j KL(d_j || m) / Z with m = sum_j pi_j d_j, at least 1e-7, and Z = -(1 - pi_1) log(1 - pi_1): scaled so
    that it tends to cross entropy for pi_1 -> 0 and to the absolute error for pi_1 -> 1. Returns (B,).
    """
    label = torch.zeros_like(parts[0]).scatter(-1, y[:, None], 1.0)
    mean = weights[0] * label
    for weight, logp in zip(weights[1:], parts, strict=True):
        mean = mean + weight * logp.exp()
    mean = mean.clamp(min=1e-7).log()
    total = -weights[0] * mean.gather(-1, y[:, None]).squeeze(-1)
    for weight, logp in zip(weights[1:], parts, strict=True):
        total = total + weight * (logp.exp() * (logp - mean)).sum(-1)
    return total / -((1 - weights[0]) * math.log(1 - weights[0]))
