"""How far what a head is sure of is from what it gets right.

Guo et al., ICML 2017, arXiv:1706.04599, eq. 3: the expected calibration error with equal-width bins of confidence.
n samples, B in a batch, C classes.
"""

import torch
from torch import Tensor

from bench.training.metrics import finite
from methods.base import Batch

BINS = 15  # as in the paper's tables


def expected_error(confidence: Tensor, right: Tensor) -> Tensor:
    """The expected calibration error, in [0, 1], of confidences (n,) in [0, 1] and whether each was right (n,) bool.

    Bin m of M holds the confidences in ((m - 1) / M, m / M]. Its weight, its share of the n, cancels against the means
    over its samples: what is left is the sum over the bins of |sum of right - sum of confidence|, over n.
    """
    edges = torch.arange(1, BINS, dtype=torch.float64, device=confidence.device) / BINS
    within = torch.bucketize(confidence.double(), edges) == torch.arange(BINS, device=confidence.device)[:, None]
    gap = right.double() - confidence.double()
    return (within * gap).sum(1).abs().sum() / len(confidence)


class Calibration:
    """Watches the predictions of one pass; everything stays on the device until `summary`."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Tensor]] = {}  # of each head: (3, B) confidence, right, loss

    def note(self, head: str, logits: Tensor, batch: Batch) -> None:
        """Note the logits (B, C) of a head, normalised or not, against the true classes `batch.y`."""
        log = logits.double().log_softmax(-1)
        confidence = log.amax(-1).exp()
        right = (logits.argmax(-1) == batch.y).double()
        loss = -log.gather(-1, batch.y[:, None])[:, 0]
        self._parts.setdefault(head, []).append(torch.stack((confidence, right, loss)))

    def summary(self) -> dict[str, dict[str, float | None]]:
        """Of each head, `ece` and the mean negative log-likelihood `nll` in nats; None where a logit was NaN."""
        heads = {head: torch.cat(parts, 1) for head, parts in self._parts.items()}
        found = [torch.stack((expected_error(conf, right), loss.mean())) for conf, right, loss in heads.values()]
        numbers = torch.stack(found).tolist() if found else []  # the one wait for the device
        return {head: {"ece": finite(ece), "nll": finite(nll)} for head, (ece, nll) in zip(heads, numbers, strict=True)}
