"""MixMatch as DivideMix and PES use it: labelled and unlabelled samples mixed, and the loss on what comes out.

Berthelot et al., NeurIPS 2019, arXiv:1905.02249; Li, Socher, Hoi, ICLR 2020, arXiv:2002.07394, Sec. 3.2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods.base import Clock, Task
from methods.mixing import mixed, partners, soft_cross_entropy


@dataclass(frozen=True)
class Mixed:
    """Log-probabilities and mixed targets, (n, C) each; the first `labelled` rows are closer to labelled samples."""

    logp: Tensor
    target: Tensor
    labelled: int

    def supervised(self, weights: Tensor | None = None) -> Tensor:
        """Mean cross entropy of the labelled rows; with class weights (C,), as if every class counted so much."""
        logp, target = self.logp[: self.labelled], self.target[: self.labelled]
        return soft_cross_entropy(logp, target if weights is None else target * weights).mean()

    def unsupervised(self) -> Tensor:
        """Mean squared difference of the other rows, over samples and classes; 0 where there is none."""
        logp, target = self.logp[self.labelled :], self.target[self.labelled :]
        return ((logp.exp() - target) ** 2).mean() if len(logp) else logp.sum()

    def unevenness(self) -> Tensor:
        """KL(u || mean p): how far from equally the classes are used by all rows together."""
        rows, classes = self.logp.shape
        mean = self.logp.logsumexp(0) - math.log(rows)  # of log p: a class that nobody predicts still sends a gradient
        return -mean.mean() - math.log(classes)


def mixmatch(
    net: nn.Module,
    labelled: Sequence[tuple[Tensor, Tensor]],
    unlabelled: Sequence[tuple[Tensor, Tensor]],
    task: Task,
    clock: Clock,
    alpha: float,
    stream: str,
) -> Mixed:
    """Mix views of labelled and of unlabelled samples, each a pair of images and targets (B, C), and predict them.

    lambda ~ Beta(alpha, alpha) is taken as at least 1/2, so that a row stays closer to where it came from.
    """
    everything = [*labelled, *unlabelled]
    x, target = torch.cat([x for x, _ in everything]), torch.cat([target for _, target in everything])
    lam, order = partners(task, clock, len(x), alpha, stream, near=True)
    logp = net(mixed(x, order, lam)).log_softmax(-1)
    return Mixed(logp, mixed(target, order, lam), sum(len(target) for _, target in labelled))
