"""CDR: let only the weights that matter for the clean part be moved by the loss; the others just decay.

Xia et al., ICLR 2021 ("Robust early-learning: hindering the memorization of noisy labels"), Sec. 3: of all weights, the
share 1 - r with the largest |gradient x weight| is called critical.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from methods.base import Batch, Clock, Method, Needs, Step
from methods.card import Card
from methods.losses import cross_entropy
from methods.recipes import SGD
from methods.registry import register


@register("cdr")
@dataclass(eq=False)
class CDR(Method):
    """Update critical weights by the loss, and let weight decay alone act on the rest."""

    needs: ClassVar[Needs] = Needs(noise_rate=True)
    paper: ClassVar[str] = "openreview:Eql5b1_hTE4"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Robust early-learning: Hindering the memorization of noisy labels; Xia et al.; ICLR 2021",
        equations="Sec. 3: gradients of the (1 - r) share of weights with the largest |g w| are kept, others zeroed",
        code="xiaoboxia/CDR (no licence)",
        defaults="r = the rate of wrong labels; kept gradients are multiplied by 1 - r, as in the code",
        deviations=(
            "one forward pass a batch, not two; the code's ramp of r over 20 epochs is dead, and there is none here",
            "early stopping by noisy validation labels is for the table's rule to do",
        ),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "network": "resnet50_valid",
            "epochs": 200,
            "batch_size": 64,
            "augment": "crop_flip",
            "optimizer": {**SGD, "lr": 0.01, "weight_decay": 1e-3},
            "schedule": {"name": "steps", "steps": [40 / 200, 80 / 200], "gamma": 0.1},
        }
    }
    forget_rate: float | None = None  # share of weights left to decay, in [0, 1); None: the true rate of wrong labels
    grad_scale: bool = True  # multiply kept gradients by 1 - r

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.forget_rate is not None and not 0 <= self.forget_rate < 1:
            raise ValueError(f"forget_rate must be in [0, 1), got {self.forget_rate}")

    def update(self, batch: Batch, clock: Clock) -> Step:
        loss = cross_entropy(self.nets[0](batch.x).log_softmax(-1), batch.y).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.hold_back(self.task.noise_rate if self.forget_rate is None else self.forget_rate)
        self.optimizer.step()
        return Step(loss[None]).detached()

    @torch.no_grad()
    def hold_back(self, rate: float) -> None:
        """Zero the gradients of all but the critical weights of linear and convolutional layers."""
        weights = [w for w in self.nets.parameters() if w.ndim in (2, 4) and w.grad is not None]
        gradients: list[Tensor] = [w.grad for w in weights if w.grad is not None]
        merit = [(g * w).abs() for g, w in zip(gradients, weights, strict=True)]
        total = sum(m.numel() for m in merit)
        keep = max(1, int((1 - rate) * total + 1e-9))
        least = torch.cat([m.flatten() for m in merit]).topk(keep, sorted=False).values.min()
        for g, m in zip(gradients, merit, strict=True):
            g.mul_((m >= least) * (1 - rate if self.grad_scale else 1.0))
