"""Cross entropy on the observed labels: the control of every table."""

from dataclasses import dataclass

from torch import Tensor

from methods.base import Batch, Clock, LossMethod, Step
from methods.losses import cross_entropy
from methods.registry import register


@register("ce")
@dataclass(eq=False)
class CrossEntropy(LossMethod):
    """Trust every label."""

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        return Step(cross_entropy(logits.log_softmax(-1), batch.y).mean(-1))
