"""Quantities that follow the clock. Each is a pure function of it, so a resumed run needs no schedule state."""

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
