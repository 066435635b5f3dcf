"""Transition matrices T[i, j] = P(observed j | true i): estimates from predictions, and losses through them.

N samples, B in a batch, C classes; rows of T sum to 1.
"""

import math

import torch
from torch import Tensor

from methods.losses import cross_entropy

WELL_CONDITIONED = 1e4
FILTERED_CLASSES = 16  # with more, leaving out 3 % of the samples takes more than half of a class


def anchors(p: Tensor, filter_outlier: bool) -> Tensor:
    """T (C, C) from predictions (N, C): row i is the prediction of the sample most surely of class i.

    Patrini et al., CVPR 2017, arXiv:1609.03683, eq. 12-13. With `filter_outlier` the samples at or above the 97th
    percentile of a column (the higher of two neighbours) are not considered for it, unless none would be left. With
    more than 16 classes nothing is left out, since the surest 3 % of the samples could be a whole class.
    """
    columns = p.T
    if filter_outlier and p.shape[1] <= FILTERED_CLASSES:
        rank = math.ceil(0.97 * (columns.shape[1] - 1))
        threshold = columns.sort(dim=1).values[:, rank : rank + 1]
        inside = columns < threshold
        columns = torch.where(inside | ~inside.any(1, keepdim=True), columns, -1.0)
    return p[columns.argmax(1)]


def dual(p: Tensor, y: Tensor, filter_outlier: bool) -> Tensor:
    """T (C, C) as a product, from predictions (N, C) and given labels (N,).

    Yao et al., NeurIPS 2020, arXiv:2006.07805, eq. 4-6: first from true classes to predicted ones, by anchors, then
    from predicted classes to given labels, by counting. A class that is never predicted keeps its label.
    """
    num_classes = p.shape[1]
    decided = torch.nn.functional.one_hot(p.argmax(1), num_classes).to(p.dtype)
    counts = decided.T @ torch.nn.functional.one_hot(y, num_classes).to(p.dtype)
    seen = counts.sum(1, keepdim=True)
    counted = torch.where(seen > 0, counts / seen.clamp(min=1), torch.eye(num_classes, device=p.device, dtype=p.dtype))
    return anchors(p, filter_outlier) @ counted


def through(logp: Tensor, transition: Tensor) -> Tensor:
    """log (T^T p) of log-probabilities (..., C): the prediction of the observed label, at least log 1e-12."""
    return (logp.exp() @ transition).clamp(min=1e-12).log()


def forward_loss(logp: Tensor, y: Tensor, transition: Tensor) -> Tensor:
    """-log (T^T p)_y (arXiv:1609.03683, theorem 2), (..., B)."""
    return cross_entropy(through(logp, transition), y)


def backward_loss(logp: Tensor, y: Tensor, inverse: Tensor) -> Tensor:
    """-sum_k T^-1[y, k] log p_k (arXiv:1609.03683, theorem 1), (..., B); may be negative."""
    return -(inverse[y] * logp).sum(-1)


def inverse_of(transition: Tensor) -> Tensor:
    """T^-1; ValueError where it would blow losses up (condition number above 10,000)."""
    condition = float(torch.linalg.cond(transition.double()))
    if not condition <= WELL_CONDITIONED:
        raise ValueError(
            f"the transition matrix has condition number {condition:.3g}; at most {WELL_CONDITIONED:g} can be inverted"
        )
    return torch.linalg.inv(transition.double()).to(transition.dtype)


def damped_inverse(transition: Tensor) -> Tensor:
    """The pseudo-inverse of an estimate: directions below 1 % of the strongest, all noise, are left out."""
    return torch.linalg.pinv(transition.double(), rtol=0.01).to(transition.dtype)


def importance(logp: Tensor, y: Tensor, transition: Tensor) -> Tensor:
    """p_y / (T^T p)_y, (..., B): how much more likely the given label is as the true one (arXiv:1906.00189, eq. 2)."""
    seen = (logp.exp() @ transition).clamp(min=1e-6)
    return (-cross_entropy(logp, y)).exp() / (-cross_entropy(seen.log(), y)).exp()
