"""T-Revision: estimate the transition matrix, weight samples by it, then learn a correction of it along.

Xia et al., NeurIPS 2019, arXiv:1906.00189, Algorithm 1 and eq. 2-3.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods.base import Batch, Clock, Judgement, Method, Needs, Pass, Step, Task
from methods.card import Card
from methods.losses import cross_entropy
from methods.recipes import SGD
from methods.registry import register
from methods.schedules import phases_of
from methods.transition import anchors, importance
from methods.validated import Best


@register("t_revision")
@dataclass(eq=False)
class TRevision(Method):
    """Weight each sample by how likely its label is the true one, and revise the matrix behind the weights."""

    needs: ClassVar[Needs] = Needs(noisy_val=True)
    paper: ClassVar[str] = "arXiv:1906.00189"
    shortest: ClassVar[int] = 3
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Are Anchor Points Really Indispensable in Label-Noise Learning?; Xia et al.; NeurIPS 2019",
        equations="Eq. 2-3: mean of p_y / (T^T p)_y CE, the weight fixed while T is; then with T + dT, dT learnt along",
        code="xiaoboxia/T-Revision (no licence)",
        defaults="20, 200 and 200 epochs, revision by Adam with rate 5e-7, as in the code",
        deviations=(
            "dT is added once a batch: the code's first version adds it again for every sample, its second lets no "
            "gradient reach it",
            "anchors are found on a copy, and rows sum to 1: the code zeroes the predictions in place and divides "
            "columns",
            "the denominator of a weight is at least 1e-6",
            "which epoch of the last phase counts is for the table's rule to say",
        ),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "network": "resnet18_valid",
            "epochs": 420,
            "batch_size": 128,
            "augment": "crop_flip",
            "optimizer": {**SGD, "lr": 0.01, "weight_decay": 1e-4},
            "schedule": {"name": "steps", "steps": [40 / 200, 80 / 200], "gamma": 0.1},
            "params": {"first_momentum": 0.0},
        },
        "paper:cifar100": {
            "network": "resnet34_valid",
            "epochs": 415,
            "params": {"estimate": 15 / 415, "revision": 200 / 415, "filter_outlier": False},
        },
    }
    estimate: float = 20 / 420  # share of the epochs after which T is estimated
    revision: float = 200 / 420  # share of the epochs in which it is revised, at the end
    revision_lr: float = 5e-7  # Adam's rate in that phase, for network and dT
    first_momentum: float | None = None  # of SGD in the first phase; None: the run's optimiser as it is
    filter_outlier: bool = True  # leave the surest 3 % of the samples out when looking for anchors

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.estimate > 0 and self.revision > 0 and self.estimate + self.revision < 1):
            raise ValueError(
                f"estimate and revision must be above 0 and together below 1, got {self.estimate} and {self.revision}"
            )

    def setup(self, task: Task) -> None:
        self.task = task
        self.nets = nn.ModuleList([task.make_network(0)])
        self.best = Best(task)
        self.transition = nn.Buffer(torch.eye(task.num_classes, device=task.device))
        self.slack = nn.Parameter(torch.zeros_like(self.transition))  # dT

    def phases(self) -> list[tuple[str, int]]:
        middle = 1 - self.estimate - self.revision
        return phases_of(self.task.epochs, estimate=self.estimate, reweight=middle, revise=self.revision)

    def on_phase(self, clock: Clock) -> None:
        if clock.phase == "estimate":
            momentum: dict[str, Any] = {} if self.first_momentum is None else {"momentum": self.first_momentum}
            name = "sgd" if momentum else None
            self.optimizer = self.task.make_optimizer(self.nets.parameters(), name=name, follow="constant", **momentum)
        elif clock.phase == "reweight":
            self.optimizer = self.task.make_optimizer(self.nets.parameters(), follow="phase")
        else:
            everything = [*self.nets.parameters(), self.slack]
            self.optimizer = self.task.make_optimizer(everything, name="adam", follow="constant", lr=self.revision_lr)

    def epoch(self, clock: Clock) -> Iterator[Pass]:
        if clock.phase == "revise" and clock.phase_epoch == 0:
            self.best.recall(self.nets[0])
        if clock.phase == "reweight" and clock.phase_epoch == 0:
            yield from self.best.predictions(self.task, self.nets[0])
            self.transition.copy_(anchors(self.best.predicted, self.filter_outlier))
        yield Pass(self.task.loader(), self.update)
        yield from self.best.passes(self.task, self.nets[0], self.transition + self.slack.detach())

    def judgement(self) -> Judgement | None:
        if self.task.clock.phase == "estimate":
            return None
        return Judgement(transition=(self.transition + self.slack).detach())

    def update(self, batch: Batch, clock: Clock) -> Step:
        logp = self.nets[0](batch.x).log_softmax(-1)
        loss = self.loss(logp, batch.y, clock.phase)
        self.learn(loss)
        return Step(loss[None], scalars={"slack": self.slack.detach().abs().sum()}).detached()

    def loss(self, logp: Tensor, y: Tensor, phase: str) -> Tensor:
        """Cross entropy, weighted by fixed weights, or by weights that are learnt along; a scalar."""
        own = cross_entropy(logp, y)
        if phase == "estimate":
            return own.mean()
        weight = importance(logp, y, self.transition + self.slack)
        return ((weight if phase == "revise" else weight.detach()) * own).mean()
