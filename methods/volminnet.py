"""VolMinNet: learn the transition matrix along with the network, and keep its volume small.

Li, Liu, Han, Niu, Sugiyama, ICML 2021, arXiv:2102.02400, eq. 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from methods.base import Batch, Clock, Judgement, Method, Step, Task
from methods.card import Card
from methods.recipes import SGD
from methods.registry import register
from methods.transition import forward_loss

RECIPE = {
    "network": "resnet18_valid",
    "epochs": 80,
    "batch_size": 128,
    "augment": "crop_flip",
    "optimizer": {**SGD, "lr": 0.01, "weight_decay": 1e-4},
    "schedule": {"name": "steps", "steps": [30 / 80, 60 / 80], "gamma": 0.1},
}


@register("volminnet")
@dataclass(eq=False)
class VolMinNet(Method):
    """Fit the given labels through a matrix of least volume, so that the network has to fit the true ones."""

    paper: ClassVar[str] = "arXiv:2102.02400"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Provably End-to-end Label-Noise Learning without Anchor Points; Li, Liu, Han, Niu, Sugiyama; ICML 2021",
        equations="Eq. 4: -log (T^T p)_y + lambda log |det T|; T = row-normalised I + off-diagonal sigmoid(W)",
        code="xuefeng-li1/Provably-end-to-end-label-noise-learning-without-anchor-points (no licence)",
        defaults="lambda 1e-4, W from -2, SGD .01 for W: the code's on CIFAR-10; -4.5 and Adam on CIFAR-100; for ten "
        "classes T starts with a diagonal of .48, close to 50 % symmetric noise, and in a short run hardly leaves it",
        deviations=(
            "the code keeps the epoch of lowest loss on noisy validation labels: here that is the table's rule",
        ),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": RECIPE,
        "paper:cifar100": {
            "network": "resnet34_valid",
            "params": {"start": -4.5, "matrix_optimizer": "adam"},
        },
    }
    weight: float = 1e-4  # lambda, of the volume
    start: float = -2.0  # of every entry of W
    matrix_lr: float = 0.01  # learning rate of W, by the run's schedule
    matrix_optimizer: Literal["sgd", "adam"] = "sgd"  # of W

    def setup(self, task: Task) -> None:
        super().setup(task)
        shape = (task.num_classes, task.num_classes)
        self.logits = nn.Parameter(torch.full(shape, self.start, device=task.device))
        self.matrix_steps = task.make_optimizer(
            [self.logits], name=self.matrix_optimizer, lr=self.matrix_lr, weight_decay=0.0
        )

    @property
    def transition(self) -> Tensor:
        """T (C, C), rows summing to 1."""
        one = torch.eye(len(self.logits), device=self.logits.device)
        whole = one + (1 - one) * self.logits.sigmoid()
        return whole / whole.sum(1, keepdim=True)

    def judgement(self) -> Judgement:
        return Judgement(transition=self.transition.detach())

    def update(self, batch: Batch, clock: Clock) -> Step:
        matrix = self.transition
        logp = self.nets[0](batch.x).log_softmax(-1)
        volume = torch.linalg.slogdet(matrix).logabsdet
        loss = forward_loss(logp, batch.y, matrix).mean() + self.weight * volume
        self.matrix_steps.zero_grad(set_to_none=True)
        self.learn(loss)
        self.matrix_steps.step()
        return Step(loss[None]).detached()
