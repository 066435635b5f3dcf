"""Co-teaching: two networks pick each other's small-loss samples.

Han et al., NeurIPS 2018, arXiv:1804.06872, Algorithm 1: each network keeps the R(E) B samples of smallest loss, R(E) as
in `methods.forgetting`, and learns from the ones its peer kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from methods.base import Batch, Clock, LossMethod, Step
from methods.card import Card
from methods.forgetting import Forgetting
from methods.losses import cross_entropy
from methods.recipes import CO_TEACHING, CO_TEACHING_CIFAR100
from methods.registry import register
from methods.selection import masked_mean, smallest


@register("co_teaching")
@dataclass(eq=False)
class CoTeaching(Forgetting, LossMethod):
    """Train each network on the share of the batch its peer finds easiest."""

    paper: ClassVar[str] = "arXiv:1804.06872"
    card: ClassVar[Card] = Card(
        title="Co-teaching: Robust Training of Deep Neural Networks with Extremely Noisy Labels; Han et al.; NeurIPS "
        "2018",
        equations="Algorithm 1: each network learns from the R(E) B samples of smallest loss of its peer, "
        "R(E) = 1 - r min(E / T_k, 1)",
        code="bhanML/Co-teaching (no licence)",
        defaults="T_k = 10 and r = the rate of wrong labels, as in the paper",
        deviations=(
            "r is the share of wrong labels in what is trained on, not the rate asked for",
            "the code divides the mean loss by the number of kept samples a second time, which Adam hides",
            "the code drops the last, smaller batch, trains 199 epochs, and scores 9,984 of 10,000 test images",
        ),
        reference="the code's ramp: r E / (T_k - 1) in epoch E",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": CO_TEACHING, "paper:cifar100": CO_TEACHING_CIFAR100}

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        loss = cross_entropy(logits.log_softmax(-1), batch.y)  # (K, B)
        kept = smallest(loss.detach(), self.kept(len(batch.y), clock))  # (K, B), row k: the choice of network k
        return Step(masked_mean(loss, kept.flip(0)), selected=kept, clean_score=-loss)
