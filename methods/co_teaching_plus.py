"""Co-teaching+: as Co-teaching, but among the samples that the two networks disagree on.

Yu et al., ICML 2019, arXiv:1901.04215, Algorithm 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from methods.base import Batch, Clock, LossMethod, Step
from methods.card import Card
from methods.forgetting import Forgetting
from methods.losses import cross_entropy
from methods.recipes import CO_TEACHING
from methods.registry import register
from methods.schedules import epochs_of
from methods.selection import masked_mean, smallest


@register("co_teaching_plus")
@dataclass(eq=False)
class CoTeachingPlus(Forgetting, LossMethod):
    """Train each network on its peer's easiest samples among those on which their decisions differ."""

    paper: ClassVar[str] = "arXiv:1901.04215"
    card: ClassVar[Card] = Card(
        title="How does Disagreement Help Generalization against Label Corruption?; Yu et al.; ICML 2019",
        equations="Algorithm 1: update by disagreement, then small-loss exchange inside it; R(E) as Co-teaching",
        code="xingruiyu/coteaching_plus (no licence)",
        defaults="disagreement counts from epoch 20 of 200 on CIFAR-10, 5 of 200 on CIFAR-100, as in the code",
        deviations=(
            "the code feeds probabilities to a cross entropy of logits, misaligns the list of disagreeing samples, "
            "and divides the loss by the number kept a second time; none of it is repeated here",
            "the code counts epochs from 1, so that its warm-up is 19 epochs, not 20",
            "where the networks disagree on too few samples to keep one, all of those are kept; where on none, each "
            "learns from the whole batch",
        ),
        reference="the code's ramp: r E / (T_k - 1) in epoch E",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {**CO_TEACHING, "network": "lenet_small"},
        "paper:cifar100": {"network": "cnn6", "params": {"warm_up": 5 / 200}},
        "paper:mnist": {"network": "mlp"},
    }
    warm_up: float = 0.1  # share of the epochs in which all samples take part

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.warm_up <= 1:
            raise ValueError(f"warm_up must be in [0, 1], got {self.warm_up}")

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        loss = cross_entropy(logits.log_softmax(-1), batch.y)  # (K, B)
        if clock.epoch < epochs_of(self.warm_up, clock.epochs):
            kept = smallest(loss.detach(), self.kept(len(batch.y), clock))
        else:
            kept = self.kept_in_disagreement(logits.detach(), loss.detach(), clock)
        return Step(masked_mean(loss, kept.flip(0)), selected=kept, clean_score=-loss)

    def kept_in_disagreement(self, logits: Tensor, loss: Tensor, clock: Clock) -> Tensor:
        """The mask (K, B) of each network's int(R n) easiest of the n samples on which the decisions differ."""
        decided = logits.argmax(-1)
        differ = decided[0] != decided[1]  # (B,)
        # in double precision: .84 * 75 is 63, and 62.999996 in float32
        keep = (self.kept_share(clock) * differ.sum().double() + 1e-9).long()
        kept = smallest(loss.masked_fill(~differ, torch.inf), keep)
        kept = torch.where(keep > 0, kept, differ)
        return torch.where(differ.any(), kept, torch.ones_like(kept))
