"""ANL-CE: an active normalised loss and a negative one, with weights kept small by their absolute sum.

Ye et al., NeurIPS 2023, arXiv:2309.02981: a NCE + b NNCE + d sum |w|.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from methods.base import Batch, Clock, Method, Step
from methods.card import Card
from methods.recipes import APL, APL_CIFAR100
from methods.registry import register
from methods.robust_losses import normalised_cross_entropy, normalised_negative_cross_entropy


@register("anl_ce")
@dataclass(eq=False)
class ANLCE(Method):
    """Fit the label by a normalised loss, and spare the other classes by a negative one."""

    paper: ClassVar[str] = "arXiv:2309.02981"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Active Negative Loss Functions for Learning with Noisy Labels; Ye et al.; NeurIPS 2023",
        equations="a NCE + b NNCE + d sum |w|; NNCE = 1 - (A + log p_y) / sum_c (A + log p_c), A = -log 1e-7",
        code="Virusdoll/Active-Negative-Loss (no licence)",
        defaults="(a, b, d) = (5, 5, 5e-5) for CIFAR-10; the preset takes (10, 1, 5e-7) on CIFAR-100; no weight decay",
        deviations=("the released code leaves its generator unseeded for initial weights; ours follow the seed",),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            **APL,
            "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0, "clip_norm": 5.0},
        },
        "paper:cifar100": {
            **APL_CIFAR100,
            "optimizer": {"lr": 0.1},
            "params": {"alpha": 10.0, "beta": 1.0, "shrinkage": 5e-7},
        },
    }
    alpha: float = 5.0  # of normalised cross entropy
    beta: float = 5.0  # of the normalised negative loss
    shrinkage: float = 5e-5  # of the sum of all absolute weights (the paper's delta)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shrinkage < 0:
            raise ValueError(f"shrinkage must be at least 0, got {self.shrinkage}")

    def update(self, batch: Batch, clock: Clock) -> Step:
        logp = self.nets[0](batch.x).log_softmax(-1)
        active, negative = (f(logp, batch.y) for f in (normalised_cross_entropy, normalised_negative_cross_entropy))
        loss = (self.alpha * active + self.beta * negative).mean()
        self.learn(loss + self.shrinkage * torch.stack([w.abs().sum() for w in self.nets.parameters()]).sum())
        return Step(loss[None]).detached()
