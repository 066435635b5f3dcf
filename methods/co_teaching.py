"""Co-teaching: two networks pick each other's small-loss samples.

Han et al., NeurIPS 2018, arXiv:1804.06872, Algorithm 1: each network keeps the R(E) B samples of smallest loss, R(E) as
in `methods.forgetting`, and learns from the ones its peer kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods.base import Batch, Clock, LossMethod, Needs, Pass, Step, Task
from methods.card import Card
from methods.forgetting import Forgetting
from methods.losses import cross_entropy
from methods.recipes import CO_TEACHING, CO_TEACHING_CIFAR100
from methods.registry import register
from methods.schedules import phases_of
from methods.selection import masked_mean, smallest
from methods.transition import anchors
from methods.validated import Best


@register("co_teaching")
@dataclass(eq=False)
class CoTeaching(Forgetting, LossMethod):
    """Train each network on the share of the batch its peer finds easiest."""

    paper: ClassVar[str] = "arXiv:1804.06872"
    card: ClassVar[Card] = Card(
        title="Co-teaching: Robust Training of Deep Neural Networks with Extremely Noisy Labels; Han et al.; NeurIPS "
        "2018",
        equations="Algorithm 1: each network learns from the R(E) B samples of smallest loss of its peer, R(E) = 1 - "
        "r min(E / T_k, 1)",
        code="bhanML/Co-teaching (no licence)",
        defaults="T_k = 10 and r = the rate of wrong labels, as in the paper",
        deviations=(
            "r is the share of wrong labels in what is trained on, not the rate asked for",
            "the code divides the mean loss by the number of kept samples a second time, which Adam hides",
            "the code drops the last, smaller batch, trains 199 epochs, and scores 9,984 of 10,000 test images",
        ),
        reference="the code's ramp: r E / (T_k - 1) in epoch E",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": CO_TEACHING, "paper:cifar100": CO_TEACHING_CIFAR100}

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        loss = cross_entropy(logits.log_softmax(-1), batch.y)  # (K, B)
        kept = smallest(loss.detach(), self.kept(len(batch.y), clock))  # (K, B), row k: the choice of network k
        return Step(masked_mean(loss, kept.flip(0)), selected=kept, clean_score=-loss)


@register("co_teaching_estimated")
@dataclass(eq=False)
class CoTeachingEstimated(CoTeaching):
    """Co-teaching that nobody tells the noise rate: it is read off an estimated transition matrix first."""

    needs: ClassVar[Needs] = Needs(noisy_val=True)
    shortest: ClassVar[int] = 2
    card: ClassVar[Card] = Card(
        title="Co-teaching: Robust Training of Deep Neural Networks with Extremely Noisy Labels; Han et al.; NeurIPS "
        "2018",
        equations="Algorithm 1 with r = 1 - mean diagonal of T, T by anchors (arXiv:1609.03683, eq. 12-13)",
        code="bhanML/Co-teaching (no licence)",
        defaults="a third of the run estimates: ours",
        deviations=(
            "the paper takes r as known, or from an estimate that it does not describe; this estimate is ours",
            "it reads the first network at its best epoch on noisy validation labels, and leaves no outliers to be "
            "anchors where there are at most 16 classes",
            "both networks start again after it; ramp and schedule run over the second phase",
        ),
        reference="the code's ramp: r E / (T_k - 1) in epoch E",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": CO_TEACHING, "paper:cifar100": CO_TEACHING_CIFAR100}
    estimate: float = 1 / 3  # share of the epochs after which the rate is estimated

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.estimate < 1:
            raise ValueError(f"estimate must be in (0, 1), got {self.estimate}")

    def setup(self, task: Task) -> None:
        self.task = task
        self.nets = nn.ModuleList(task.make_network(k) for k in range(self.num_networks))
        self.optimizer = task.make_optimizer(self.nets.parameters(), follow="phase")
        self.best = Best(task)
        self.estimated = nn.Buffer(torch.zeros((), device=task.device))  # r
        self.known = 0.0  # the same rate on the host, read once an epoch

    def phases(self) -> list[tuple[str, int]]:
        return phases_of(self.task.epochs, estimate=self.estimate, train=1 - self.estimate)

    def epoch(self, clock: Clock) -> Iterator[Pass]:
        if clock.phase == "train" and clock.phase_epoch == 0:
            yield from self.best.predictions(self.task, self.nets[0])
            diagonal = anchors(self.best.predicted, filter_outlier=True).diagonal()
            self.estimated.copy_((1 - diagonal.mean()).clamp(0, 0.99))
            self.restart()
        self.known = float(self.estimated)
        yield Pass(self.task.loader(), self.update)
        if clock.phase == "estimate":
            yield from self.best.passes(self.task, self.nets[0])

    def rate(self) -> float:
        return self.known if self.forget_rate is None else self.forget_rate

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        if clock.phase == "estimate":
            return Step(cross_entropy(logits.log_softmax(-1), batch.y).mean(-1))
        step = super().losses(logits, batch, clock)
        return Step(step.losses, step.selected, step.clean_score, scalars={"rate": self.rate()})
