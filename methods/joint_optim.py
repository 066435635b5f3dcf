"""Joint-Optim: labels and weights are optimised in turn, then a fresh network learns from the labels found.

Tanaka, Ikami, Yamasaki, Aizawa, CVPR 2018, arXiv:1803.11364, eq. 4-10.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods.base import Batch, Clock, Judgement, Method, Pass, Step, Task
from methods.card import Card
from methods.losses import entropy
from methods.mixing import one_hot, soft_cross_entropy
from methods.recipes import JOINT_OPTIM
from methods.registry import register
from methods.schedules import epochs_of, phases_of


@register("joint_optim")
@dataclass(eq=False)
class JointOptim(Method):
    """Replace labels by what the network has predicted lately, and start again from them."""

    paper: ClassVar[str] = "arXiv:1803.11364"
    shortest: ClassVar[int] = 2
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Joint Optimization Framework for Learning with Noisy Labels; Tanaka, Ikami, Yamasaki, Aizawa; CVPR 2018",
        equations="Eq. 4-10: H(s, p) + alpha KL(u || mean p) + beta H(p); s = mean prediction of the last 10 epochs; "
        "then H(s, p) from the start",
        code="DaikiTanaka-UT/JointOptimization (Chainer; no licence)",
        defaults="alpha 1.2, beta .8, labels renewed from epoch 70 of the first 200: the paper's for 70 % symmetric "
        "noise",
        deviations=(
            "alpha's term leaves out the constant -log C",
            "predictions are those made in training, on augmented images, as in the paper; before ten epochs are "
            "gathered the mean is over those there are",
        ),
        tuned="alpha, beta and the first rate per noise setting: .03, .8, .4 for 40 % asymmetric noise",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {**JOINT_OPTIM, "params": {"first_lr": 0.08}},
        "paper_asymmetric": {**JOINT_OPTIM, "params": {"first_lr": 0.03, "alpha": 0.8, "beta": 0.4}},
    }
    first: float = 200 / 320  # share of the epochs in which labels are optimised along
    renew: float = 70 / 320  # share of the epochs after which labels are renewed
    memory: int = 10  # epochs whose predictions make a label
    alpha: float = 1.2  # of the term that keeps all classes in use
    beta: float = 0.8  # of the entropy of predictions
    first_lr: float | None = None  # constant learning rate of the first phase; None: the run's

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.renew <= self.first < 1 or self.first <= 0:
            raise ValueError(f"renew and first must ascend in [0, 1), got {self.renew} and {self.first}")
        if self.memory < 1:
            raise ValueError(f"memory must be at least 1, got {self.memory}")

    def setup(self, task: Task) -> None:
        self.task = task
        self.nets = nn.ModuleList([task.make_network(0)])
        shape = (task.num_train, task.num_classes)
        self.soft = nn.Buffer(one_hot(task.labels(), task.num_classes))  # the labels trained on
        self.recent = nn.Buffer(torch.zeros(self.memory, *shape, device=task.device))

    def phases(self) -> list[tuple[str, int]]:
        return phases_of(self.task.epochs, optimise=self.first, train=1 - self.first)

    def on_phase(self, clock: Clock) -> None:
        if clock.phase == "optimise":
            rate: dict[str, Any] = {} if self.first_lr is None else {"lr": self.first_lr}
            self.optimizer = self.task.make_optimizer(self.nets.parameters(), follow="constant", **rate)
        else:
            self.optimizer = self.task.make_optimizer(self.nets.parameters(), follow="phase")
            self.restart()

    def epoch(self, clock: Clock) -> Iterator[Pass]:
        if clock.phase == "optimise":
            self.recent[clock.epoch % self.memory] = 0  # else one that no batch holds would keep an older prediction
        yield Pass(self.task.loader(), self.update)
        if clock.phase == "optimise" and clock.epoch + 1 >= epochs_of(self.renew, clock.epochs):
            total = self.recent.sum(0)  # epochs to come hold zeros
            seen = total.sum(-1, keepdim=True)  # in how many epochs; a sample that no batch held keeps its label
            self.soft.copy_(torch.where(seen > 0, total / seen.clamp(min=1e-8), self.soft))

    def update(self, batch: Batch, clock: Clock) -> Step:
        logp = self.nets[0](batch.x).log_softmax(-1)
        target = self.soft[batch.index]
        loss = soft_cross_entropy(logp, target).mean()
        if clock.phase == "optimise":
            self.recent[clock.epoch % self.memory, batch.index] = logp.detach().exp()
            loss = loss + self.regularisation(logp)
        self.learn(loss)
        return Step(loss[None], relabelled=target).detached()

    def regularisation(self, logp: Tensor) -> Tensor:
        """alpha H(u, mean p) + beta mean H(p) of log-probabilities (B, C)."""
        mean = logp.exp().mean(0).clamp(min=1e-8)
        return -self.alpha * mean.log().mean() + self.beta * entropy(logp).mean()

    def judgement(self) -> Judgement:
        return Judgement(relabelled=self.soft)
