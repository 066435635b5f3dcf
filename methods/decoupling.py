"""Decoupling: two networks learn only from the samples on which they disagree.

Malach and Shalev-Shwartz, NeurIPS 2017, arXiv:1706.02613, Algorithm 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from methods.base import Batch, Clock, LossMethod, Step
from methods.card import Card
from methods.losses import cross_entropy
from methods.recipes import CO_TEACHING, CO_TEACHING_CIFAR100
from methods.registry import register
from methods.schedules import epochs_of
from methods.selection import masked_mean


@register("decoupling")
@dataclass(eq=False)
class Decoupling(LossMethod):
    """Separate when to update, by disagreement, from how, by the given label."""

    num_networks: ClassVar[int] = 2
    paper: ClassVar[str] = "arXiv:1706.02613"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title='Decoupling "when to update" from "how to update"; Malach, Shalev-Shwartz; NeurIPS 2017',
        equations="Algorithm 1: cross entropy of each network on the samples where the two decisions differ",
        code="emalach/UpdateByDisagreement (TensorFlow 1, one face data set; no licence)",
        defaults="the length of the warm-up (20 of 200 epochs; 5 on CIFAR-100) and the recipe (Co-teaching's) are "
        "ours: the paper has no CIFAR experiment",
        deviations=(
            "a batch without disagreement teaches nothing; the code collects disagreeing samples into batches",
        ),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": CO_TEACHING,
        "paper:cifar100": {**CO_TEACHING_CIFAR100, "params": {"warm_up": 5 / 200}},
    }
    warm_up: float = 0.1  # share of the epochs in which all samples take part

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.warm_up <= 1:
            raise ValueError(f"warm_up must be in [0, 1], got {self.warm_up}")

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        decided = logits.detach().argmax(-1)
        chosen = (decided[0] != decided[1]).expand(2, -1)
        if clock.epoch < epochs_of(self.warm_up, clock.epochs):
            chosen = torch.ones_like(chosen)
        return Step(masked_mean(cross_entropy(logits.log_softmax(-1), batch.y), chosen), selected=chosen)
