"""ELR: early-learning regularisation, a pull towards what was predicted for the sample before.

Liu, Niles-Weed, Razavian, Fernandez-Granda, NeurIPS 2020, arXiv:2007.00151, eq. 6 and 9.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods.base import Batch, Clock, LossMethod, Step, Task
from methods.card import Card
from methods.losses import cross_entropy
from methods.recipes import SGD
from methods.registry import register

RESNET34 = {
    "network": "resnet34",
    "epochs": 120,
    "batch_size": 128,
    "augment": "crop_flip",
    "optimizer": {**SGD, "lr": 0.02, "weight_decay": 1e-3},
    "schedule": {"name": "steps", "steps": [40 / 120, 80 / 120], "gamma": 0.01},
}


def clamped(logp: Tensor) -> Tensor:
    """Probabilities kept in [1e-4, 1 - 1e-4], as in the authors' code."""
    return logp.exp().clamp(1e-4, 1 - 1e-4)


def early_learning(target: Tensor, p: Tensor) -> Tensor:
    """log(1 - <target, p>) of rows (B, C): small where a prediction agrees with the target."""
    return torch.log(1 - (target * p).sum(-1))


@register("elr")
@dataclass(eq=False)
class ELR(LossMethod):
    """Keep predictions close to a running mean of earlier ones, so that wrong labels cannot take over late."""

    paper: ClassVar[str] = "arXiv:2007.00151"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Early-Learning Regularization Prevents Memorization of Noisy Labels; Liu et al.; NeurIPS 2020",
        equations="Eq. 6, 9: t_i <- beta t_i + (1 - beta) p_i; CE + lambda mean log(1 - <t_i, p_i>)",
        code="shengliu66/ELR (MIT)",
        defaults="beta = .7, lambda = 3: the code's settings for CIFAR-10 with symmetric noise",
        deviations=("targets are kept for the training part alone, by the sample's position in it",),
        tuned="beta, lambda and the schedule by noise type: the presets paper and paper_asymmetric",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {**RESNET34, "epochs": 150, "schedule": {"name": "cosine", "final": 0.001 / 0.02, "cycles": 15}},
        "paper:cifar100": {
            "schedule": {"name": "steps", "steps": [80 / 150, 120 / 150], "gamma": 0.01},
            "params": {"beta": 0.9, "weight": 7.0},
        },
        "paper_asymmetric": {**RESNET34, "params": {"beta": 0.9, "weight": 1.0}},
        "paper_asymmetric:cifar100": {
            "epochs": 150,
            "schedule": {"steps": [80 / 150, 120 / 150]},
            "params": {"beta": 0.9, "weight": 7.0},
        },
    }
    beta: float = 0.7  # of the running mean, in [0, 1)
    weight: float = 3.0  # lambda, of the regularisation; 0: cross entropy

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.beta < 1:
            raise ValueError(f"beta must be in [0, 1), got {self.beta}")

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.target = nn.Buffer(torch.zeros(task.num_train, task.num_classes, device=task.device))

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        logp = logits.log_softmax(-1)
        p = clamped(logp[0])
        now = p.detach() / p.detach().sum(-1, keepdim=True)
        target = self.beta * self.target[batch.index] + (1 - self.beta) * now
        self.target[batch.index] = target
        loss = cross_entropy(logp, batch.y).mean(-1) + self.weight * early_learning(target, p).mean()
        belief = target / target.sum(-1, keepdim=True)
        score = belief.gather(-1, batch.y[:, None]).T  # (1, B)
        return Step(loss, clean_score=score, relabelled=belief)
