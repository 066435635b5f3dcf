"""Quantities that follow the clock. Each is a pure function of it, so a resumed run needs no schedule state."""

import itertools
import math


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)); exactly one half at 0, and no overflow for large |x|."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def ramp(epoch: int, length: int) -> float:
    """Linear rise: (epoch + 1) / length, at most 1; epochs count from 0. A length of 0 means no ramp."""
    return min((epoch + 1) / length, 1.0) if length > 0 else 1.0


def knowledge_threshold(progress: float, eta: float, b: float, direction: str = "tighten", norm: float = 2.0) -> float:
    """Threshold on a sender's normalised entropy, in [0, 1]: clip(norm * eta * sigmoid(s * b * (progress - 1/2))).

    `b` = 0 makes it constant: exactly eta for norm = 2. With b > 0 it crosses eta at mid-training and falls
    ("tighten", s = -1) or rises ("relax", s = +1).  Our reading of arXiv:2106.01489.
    """
    sign = {"tighten": -1.0, "relax": 1.0}[direction]
    return min(max(norm * eta * sigmoid(sign * b * (progress - 0.5)), 0.0), 1.0)


def epochs_of(share: float, epochs: int) -> int:
    """How many epochs a share of a run is: rounded, at least 1, but none for a share of 0."""
    return max(1, round(share * epochs)) if share > 0 else 0


def phases_of(epochs: int, **shares: float) -> list[tuple[str, int]]:
    """Cut a run into named phases by their shares of it, each at least one epoch long; the lengths sum to `epochs`.

    The last phase takes what is left, and where that is nothing the longest one gives. ValueError for too few epochs.
    """
    if epochs < len(shares):
        raise ValueError(f"{epochs} epochs cannot be cut into the phases {', '.join(shares)}")
    lengths = [max(1, round(share * epochs)) for share in shares.values()]
    lengths[-1] = max(1, epochs - sum(lengths[:-1]))
    while sum(lengths) > epochs:
        lengths[lengths.index(max(lengths))] -= 1
    return list(zip(shares, lengths, strict=True))


def piecewise(progress: float, points: list[tuple[float, float]]) -> float:
    """The straight lines through (share of training, value) points, ascending; constant outside of them."""
    if progress <= points[0][0]:
        return points[0][1]
    for (before, low), (after, high) in itertools.pairwise(points):
        if progress < after:
            return low + (high - low) * (progress - before) / (after - before)
    return points[-1][1]
