"""Convex combinations of samples and labels (Zhang et al., ICLR 2018, arXiv:1710.09412).  B samples, C classes."""

import numpy as np
import torch
from torch import Tensor

from methods.base import Clock, Task


def one_hot(y: Tensor, num_classes: int) -> Tensor:
    """Float rows (B, C) of labels (B,)."""
    return (y[:, None] == torch.arange(num_classes, device=y.device)).float()


def soft_cross_entropy(logp: Tensor, target: Tensor) -> Tensor:
    """H(target, p) = -sum_c target_c log p_c of (..., C)."""
    return -(target * logp).sum(-1)


def sharpen(p: Tensor, temperature: float) -> Tensor:
    """Rows of p^(1/T), normalised; a smaller temperature makes them surer.  In log space, where nothing underflows."""
    return (p.clamp(min=1e-30).log() / temperature).softmax(-1)


def partners(task: Task, clock: Clock, num: int, alpha: float, stream: str, near: bool = False) -> tuple[float, Tensor]:
    """Draw lambda ~ Beta(alpha, alpha) for a batch, and with whom each of its `num` samples is mixed.

    For alpha = 0 lambda is 1: nothing is mixed. With `near` it is taken as at least 1/2, so that a mixture stays closer
    to the sample that it is made of. The draws depend on the run's seed, the stream's name and the clock.
    """

    def draw(now: Clock) -> tuple[float, Tensor]:
        rng = np.random.default_rng(task.rng(stream, now).initial_seed())
        lam = float(rng.beta(alpha, alpha)) if alpha > 0 else 1.0
        return max(lam, 1 - lam) if near else lam, torch.from_numpy(rng.permutation(num))

    return clock.value(draw)


def mixed(x: Tensor, order: Tensor, lam: float) -> Tensor:
    """lambda x + (1 - lambda) x[order], along the first axis."""
    return lam * x + (1 - lam) * x[order]
