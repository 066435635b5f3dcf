"""ELR+: early-learning regularisation with two networks, their moving averages and mixup.

Liu, Niles-Weed, Razavian, Fernandez-Granda, NeurIPS 2020, arXiv:2007.00151, Sec. 4.3 and Appendix F.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods.averaging import Averaged
from methods.base import Batch, Clock, Judgement, Method, Pass, Step, Task
from methods.card import Card
from methods.elr import clamped, early_learning
from methods.mixing import mixed, one_hot, partners, soft_cross_entropy
from methods.recipes import DIVIDEMIX
from methods.registry import register

PREACT = {**DIVIDEMIX, "epochs": 200, "schedule": {"name": "steps", "steps": [150 / 200], "gamma": 0.1}}
CIFAR100 = {
    "epochs": 250,
    "schedule": {"steps": [200 / 250]},
    "params": {"beta": 0.9, "weight": 7.0, "reweigh_labels": True, "weight_ramp": 0.45, "average_ramp": 0.45},
}


def rise(share: float) -> float:
    """exp(-5 (1 - s)^2) for s = `share`, at most 1 from s = 1 on: the ramp of Laine and Aila (arXiv:1610.02242)."""
    return math.exp(-5 * (1 - min(share, 1.0)) ** 2)


def risen(clock: Clock, ramp: float) -> float:
    """How far a ramp over this share of the run has risen, in (0, 1]; 1 where there is none."""
    return clock.value(lambda now: rise(now.progress / ramp)) if ramp > 0 else 1.0


@register("elr_plus")
@dataclass(eq=False)
class ELRPlus(Method):
    """Pull each network towards what the other one's moving average has predicted, on mixtures of samples."""

    num_networks: ClassVar[int] = 2
    paper: ClassVar[str] = "arXiv:2007.00151"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Early-Learning Regularization Prevents Memorization of Noisy Labels; Liu et al.; NeurIPS 2020",
        equations="Appendix F: q_i <- beta q_i + (1 - beta) softmax of the peer's average on x_i; mixup of x, y and q "
        "by l ~ Beta(a, a), l >= 1/2; CE(mixed y) + lambda mean log(1 - <mixed q, p>)",
        code="shengliu66/ELR, folder ELR_plus (MIT)",
        defaults="the code's settings for CIFAR-10 with symmetric noise",
        deviations=(
            "both networks see the same labels and the same split; the code draws noise and split anew for each, so "
            "that one of them sees the truth of 87 % of the images",
            "averages include batch-norm statistics and are evaluated in evaluation mode",
            "the averages' rate rises over a share of the run (.57: the code's 40,000 of 70,000 steps), not over steps",
            "the ensemble is the mean of the raw networks' logits, as the code does on one GPU",
        ),
        tuned="beta, lambda and the schedule by noise type",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": PREACT,
        "paper:cifar100": CIFAR100,
        "paper_asymmetric": {**PREACT, "params": {"beta": 0.9, "weight": 1.0}},
        "paper_asymmetric:cifar100": CIFAR100,
    }
    beta: float = 0.7  # of the running mean, in [0, 1)
    weight: float = 3.0  # lambda, of the regularisation
    alpha: float = 1.0  # of mixup's Beta(alpha, alpha); 0: no mixing
    average: float = 0.997  # rate of the moving averages in the end, in [0, 1)
    average_ramp: float = 0.57  # share of the run in which that rate rises
    weight_ramp: float = 0.0  # share of the run in which the weight rises; 0: none
    reweigh_labels: bool = False  # multiply mixed labels by mixed targets (CIFAR-100)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("beta", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if self.alpha < 0:
            raise ValueError(f"alpha must be at least 0, got {self.alpha}")

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.averages = Averaged([task.make_network(k) for k in range(self.num_networks)])
        shape = (self.num_networks, task.num_train, task.num_classes)
        self.target = nn.Buffer(torch.zeros(shape, device=task.device))

    def epoch(self, clock: Clock) -> Iterator[Pass]:
        for k in range(self.num_networks):
            yield Pass(self.task.loader(stream=f"net{k + 1}"), partial(self.update, k=k), name=f"net{k + 1}")

    def update(self, batch: Batch, clock: Clock, k: int = 0) -> Step:
        lam, order = partners(self.task, clock, len(batch.y), self.alpha, f"mix{k}", near=True)
        with torch.no_grad():
            seen = self.averages[1 - k](batch.x).softmax(-1)
        own = self.beta * self.target[k][batch.index] + (1 - self.beta) * seen
        self.target[k][batch.index] = own
        logp = self.nets[k](mixed(batch.x, order, lam)).log_softmax(-1)
        loss = self.loss(logp, mixed(one_hot(batch.y, own.shape[-1]), order, lam), mixed(own, order, lam), clock)
        self.learn(loss)
        self.averages.follow(k, self.nets[k], self.average * risen(clock, self.average_ramp))
        return self.lone_step(k, loss)

    def loss(self, logp: Tensor, label: Tensor, target: Tensor, clock: Clock) -> Tensor:
        """Cross entropy to mixed labels and the pull to mixed targets, all (B, C); a scalar."""
        if self.reweigh_labels:
            label = label * target
            label = label / label.sum(-1, keepdim=True).clamp(min=1e-8)
        ramp = risen(clock, self.weight_ramp)
        pull = early_learning(target, clamped(logp)).mean()
        return soft_cross_entropy(logp, label).mean() + ramp * self.weight * pull

    def judgement(self) -> Judgement:
        target = self.target + 1e-8  # where a network has not met a sample yet, all classes alike
        belief = target / target.sum(-1, keepdim=True)
        given = self.task.labels().expand(self.num_networks, -1)[..., None]
        return Judgement(clean_score=belief.gather(-1, given).squeeze(-1), relabelled=belief.mean(0))

    def predict(self, x: Tensor) -> dict[str, Tensor]:
        heads = super().predict(x)
        heads["ensemble"] = (heads["net1"] + heads["net2"]) / 2
        return heads | {f"ema{k + 1}": net(x) for k, net in enumerate(self.averages)}
