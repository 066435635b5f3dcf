"""Mixup: learn from convex combinations of pairs of samples and of their labels.

Zhang, Cisse, Dauphin, Lopez-Paz, ICLR 2018, arXiv:1710.09412, Sec. 2: x' = l x_i + (1 - l) x_j, l ~ Beta(a, a), and
the loss l CE(z', y_i) + (1 - l) CE(z', y_j).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from methods.base import Batch, Clock, Method, Step
from methods.card import Card
from methods.losses import cross_entropy
from methods.mixing import mixed, partners
from methods.recipes import SGD
from methods.registry import register


@register("mixup")
@dataclass(eq=False)
class Mixup(Method):
    """Train on mixtures of two samples and their two labels."""

    paper: ClassVar[str] = "arXiv:1710.09412"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="mixup: Beyond Empirical Risk Minimization; Zhang, Cisse, Dauphin, Lopez-Paz; ICLR 2018",
        equations="Sec. 2: x' = l x_i + (1 - l) x_j; l CE(z', y_i) + (1 - l) CE(z', y_j); one l ~ Beta(a, a) a batch",
        code="facebookresearch/mixup-cifar10 (CC BY-NC)",
        defaults="a = 1 and the recipe are those of the released code for clean CIFAR-10",
        tuned="the paper takes larger a (8, 32) under noise; not verified here",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "network": "resnet18",
            "epochs": 200,
            "batch_size": 128,
            "augment": "crop_flip",
            "optimizer": {**SGD, "lr": 0.1, "weight_decay": 1e-4},
            "schedule": {"name": "steps", "steps": [100 / 200, 150 / 200], "gamma": 0.1},
        }
    }
    alpha: float = 1.0  # of Beta(alpha, alpha); 0: no mixing

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha < 0:
            raise ValueError(f"alpha must be at least 0, got {self.alpha}")

    def update(self, batch: Batch, clock: Clock) -> Step:
        lam, order = partners(self.task, clock, len(batch.y), self.alpha, "mix")
        logp = self.nets[0](mixed(batch.x, order, lam)).log_softmax(-1)
        loss = (lam * cross_entropy(logp, batch.y) + (1 - lam) * cross_entropy(logp, batch.y[order])).mean()
        self.learn(loss)
        return Step(loss[None]).detached()
