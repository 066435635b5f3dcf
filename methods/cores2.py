"""CORES2, phase 1: a confidence-regularised loss whose sign says which samples to sieve out.

Cheng et al., ICLR 2021, arXiv:2010.02347, eq. 2 and 4: CE_i - beta sum_c prior_c l_ic, l_ic = -log p_c; kept are the
samples whose cross entropy is at most the mean of l_ic over the classes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods.base import Batch, Clock, LossMethod, Pass, Step, Task
from methods.card import Card
from methods.losses import cross_entropy
from methods.registry import register
from methods.schedules import epochs_of, piecewise
from methods.selection import masked_mean


@register("cores2")
@dataclass(eq=False)
class CORES2(LossMethod):
    """Reward confidence on average over all classes, and drop the samples that fit worse than their average class."""

    paper: ClassVar[str] = "arXiv:2010.02347"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Learning with Instance-Dependent Label Noise: A Sample Sieve Approach; Cheng et al.; ICLR 2021",
        equations="Eq. 2, 4: CE_i - beta sum_c prior_c l_ic; kept: CE_i <= mean_c l_ic; mean over the kept",
        code="UCSC-REAL/cores (no licence)",
        defaults="beta 0 for 10 epochs, up to 2 over 30, 2 for 60; sieve from epoch 31 of 100: the code's",
        deviations=(
            "the code divides the learning rate by 1 + beta, ours the loss: the same for its plain SGD",
            "the code's rise reaches 2 at epoch 39, ours at 40",
            "no second, consistency-trained phase",
        ),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "network": "resnet34",
            "epochs": 100,
            "batch_size": 64,
            "augment": "crop_flip",
            "optimizer": {"name": "sgd", "momentum": 0.0, "lr": 0.1, "weight_decay": 0.0},
            "schedule": {"name": "steps", "steps": [50 / 100], "gamma": 0.1},
        }
    }
    beta: float = 2.0  # of the regularisation, in the end
    quiet: float = 0.1  # share of the epochs in which beta is 0
    full: float = 0.4  # share of the epochs after which beta is reached
    sieve: float = 0.31  # share of the epochs after which samples are dropped

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.quiet < self.full <= 1:
            raise ValueError(f"quiet and full must ascend in [0, 1], got {self.quiet} and {self.full}")
        if self.beta < 0 or not 0 <= self.sieve <= 1:
            raise ValueError(f"beta must be at least 0 and sieve in [0, 1], got {self.beta} and {self.sieve}")

    def setup(self, task: Task) -> None:
        super().setup(task)
        counts = torch.bincount(task.labels(), minlength=task.num_classes).float()
        self.prior = nn.Buffer(counts / counts.sum())
        self.kept = nn.Buffer(torch.ones(task.num_train, device=task.device))

    def epoch(self, clock: Clock) -> Iterator[Pass]:
        yield Pass(self.task.loader(), self.update)
        counts = torch.zeros_like(self.prior).scatter_add(0, self.task.labels(), self.kept)
        if bool(counts.sum() > 0):
            self.prior.copy_(counts / counts.sum())

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        own_log = logits.log_softmax(-1)
        every = -(own_log.exp() + 1e-8).log()  # (K, B, C): l_ic
        own = cross_entropy(own_log, batch.y)
        beta = self.beta * piecewise(clock.epoch / clock.epochs, [(self.quiet, 0.0), (self.full, 1.0)])
        loss = (own - beta * (self.prior * every).sum(-1)) / (1 + beta)
        sieving = clock.epoch >= epochs_of(self.sieve, clock.epochs)
        kept = (own - every.mean(-1)).detach() <= 0 if sieving else torch.ones_like(own, dtype=torch.bool)
        self.kept[batch.index] = kept[0].float()
        return Step(masked_mean(loss, kept), selected=kept if sieving else None, scalars={"beta": beta})
