"""Truncated GCE: generalised cross entropy on the samples that fit their labels well enough.

Zhang and Sabuncu, NeurIPS 2018, arXiv:1805.07836, eq. 8-9 and Algorithm 1.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods.base import Batch, Clock, Judgement, LossMethod, Pass, Step, Task
from methods.card import Card
from methods.recipes import GCE, GCE_CIFAR100
from methods.registry import register
from methods.robust_losses import generalised
from methods.schedules import epochs_of


@register("gce_truncated")
@dataclass(eq=False)
class TruncatedGCE(LossMethod):
    """Leave out, from time to time anew, what the network holds improbable."""

    paper: ClassVar[str] = "arXiv:1805.07836"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels; Zhang, Sabuncu; "
        "NeurIPS 2018",
        equations="Eq. 8-9: v_i (L_q(p_y) - L_q(k)), v_i = 1 where L_q(p_y) < L_q(k), that is p_y > k",
        code="AlanChou/Truncated-Loss (unofficial)",
        defaults="q .7, k .5; truncated from a third of the run on, anew after every twelfth of it (10 of 120 epochs)",
        deviations=("v is renewed by the present network; the code takes its best epoch on the test set",),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": GCE,
        "paper:cifar100": {**GCE_CIFAR100, "params": {"start": 80 / 150, "every": 10 / 150}},
    }
    q: float = 0.7  # in (0, 1]
    k: float = 0.5  # probability of the given label below which a sample is left out, in (0, 1)
    start: float = 40 / 120  # share of the epochs in which all samples take part
    every: float = 10 / 120  # share of the epochs between two renewals

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.q <= 1 or not 0 < self.k < 1:
            raise ValueError(f"q must be in (0, 1] and k in (0, 1), got {self.q} and {self.k}")
        if not 0 <= self.start <= 1 or not 0 <= self.every <= 1:
            raise ValueError(f"start and every must be shares in [0, 1], got {self.start} and {self.every}")

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.kept = nn.Buffer(torch.ones(task.num_train, device=task.device))  # v

    def epoch(self, clock: Clock) -> Iterator[Pass]:
        since = clock.epoch - epochs_of(self.start, clock.epochs)
        if since >= 0 and since % max(1, epochs_of(self.every, clock.epochs)) == 0:
            yield Pass(self.task.loader(("plain",), shuffle=False), self.renew, train=False, name="prune")
        yield Pass(self.task.loader(), self.update)

    def renew(self, batch: Batch, clock: Clock) -> None:
        loss = generalised(self.nets[0](batch.x).log_softmax(-1), batch.y, self.q)
        self.kept[batch.index] = (loss < self.truncated).float()

    @property
    def truncated(self) -> float:
        """L_q(k), what a sample that is left out would cost."""
        return (1 - self.k**self.q) / self.q

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        loss = generalised(logits.log_softmax(-1), batch.y, self.q) - self.truncated
        return Step((self.kept[batch.index] * loss).mean(-1))

    def judgement(self) -> Judgement | None:
        clock = self.task.clock
        if clock.epoch < epochs_of(self.start, clock.epochs):
            return None
        return Judgement(selected=self.kept[None] > 0)
