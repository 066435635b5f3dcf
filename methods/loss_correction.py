"""Loss correction by a transition matrix T: forward and backward, told T or estimating it, and Dual-T's estimate.

Patrini, Rozza, Menon, Nock, Qu, CVPR 2017, arXiv:1609.03683: the loss of T^T p on the given label (forward), or T^-1
applied to the losses of all labels (backward). Formulas are in `methods.transition`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from methods.base import Batch, Clock, Judgement, LossMethod, Needs, Pass, Step, Task
from methods.card import Card
from methods.losses import cross_entropy
from methods.recipes import LOSS_CORRECTION, LOSS_CORRECTION_CIFAR100, SGD
from methods.registry import register
from methods.schedules import phases_of
from methods.transition import anchors, backward_loss, damped_inverse, dual, forward_loss, inverse_of
from methods.validated import Best

TITLE = (
    "Making Deep Neural Networks Robust to Label Noise: a Loss Correction Approach; Patrini, Rozza, Menon, Nock, Qu; "
    "CVPR 2017"
)
CODE = "giorgiop/loss-correction (Keras; no licence)"
ORACLE = {**LOSS_CORRECTION, "epochs": 120}
ORACLE_CIFAR100 = {**LOSS_CORRECTION_CIFAR100, "epochs": 150}


@register("forward_oracle")
@dataclass(eq=False)
class ForwardOracle(LossMethod):
    """Be told how labels flip, and fit the given label by what the prediction becomes when flipped so."""

    paper: ClassVar[str] = "arXiv:1609.03683"
    needs: ClassVar[Needs] = Needs(transition=True)
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title=TITLE,
        equations="Theorem 2: -log (T^T p)_y, T the true matrix",
        code=CODE,
        defaults="nothing to set",
        deviations=("the code's networks are pre-activation Keras ones; ours are resnet32 and resnet44",),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": ORACLE, "paper:cifar100": ORACLE_CIFAR100}

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        return Step(forward_loss(logits.log_softmax(-1), batch.y, self.task.transition).mean(-1))


@register("backward_oracle")
@dataclass(eq=False)
class BackwardOracle(LossMethod):
    """Be told how labels flip, and undo it in the loss."""

    paper: ClassVar[str] = "arXiv:1609.03683"
    needs: ClassVar[Needs] = Needs(transition=True)
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title=TITLE,
        equations="Theorem 1: -sum_k T^-1[y, k] log p_k, T the true matrix",
        code=CODE,
        defaults="nothing to set",
        deviations=("a matrix of condition number above 10,000 is refused",),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": ORACLE, "paper:cifar100": ORACLE_CIFAR100}

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.inverse = nn.Buffer(inverse_of(task.transition))

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        return Step(backward_loss(logits.log_softmax(-1), batch.y, self.inverse).mean(-1))


@dataclass(eq=False)
class Corrected(LossMethod):
    """Estimate T from a network trained by cross entropy, then start again and train through it."""

    needs: ClassVar[Needs] = Needs(noisy_val=True)
    shortest: ClassVar[int] = 2
    paper: ClassVar[str] = "arXiv:1609.03683"
    first_rate: ClassVar[Literal["phase", "constant"]] = "phase"  # what the rate of the first phase follows
    capturable: ClassVar[bool] = True
    estimate: float = 0.5  # share of the epochs after which T is estimated
    filter_outlier: bool = True  # leave the surest 3 % of the samples out when looking for anchors

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.estimate < 1:
            raise ValueError(f"estimate must be in (0, 1), got {self.estimate}")

    def setup(self, task: Task) -> None:
        self.task = task
        self.nets = nn.ModuleList([task.make_network(0)])
        self.best = Best(task)
        self.transition = nn.Buffer(torch.eye(task.num_classes, device=task.device))

    def phases(self) -> list[tuple[str, int]]:
        return phases_of(self.task.epochs, estimate=self.estimate, train=1 - self.estimate)

    def on_phase(self, clock: Clock) -> None:
        follow = self.first_rate if clock.phase == "estimate" else "phase"
        self.optimizer = self.task.make_optimizer(self.nets.parameters(), follow=follow)

    def epoch(self, clock: Clock) -> Iterator[Pass]:
        if clock.phase == "train" and clock.phase_epoch == 0:
            yield from self.best.predictions(self.task, self.nets[0])
            self.transition.copy_(self.estimated(self.best.predicted, self.task.labels()))
            self.restart()
        yield Pass(self.task.loader(), self.update)
        if clock.phase == "estimate":
            yield from self.best.passes(self.task, self.nets[0])

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        logp = logits.log_softmax(-1)
        if clock.phase == "estimate":
            return Step(cross_entropy(logp, batch.y).mean(-1))
        return Step(self.corrected(logp, batch.y).mean(-1))

    def judgement(self) -> Judgement | None:
        return Judgement(transition=self.transition) if self.task.clock.phase == "train" else None

    def estimated(self, p: Tensor, y: Tensor) -> Tensor:
        """T (C, C) from predictions (N, C) and given labels (N,)."""
        return anchors(p, self.filter_outlier)

    def corrected(self, logp: Tensor, y: Tensor) -> Tensor:
        """The loss (K, B) through the estimated matrix."""
        return forward_loss(logp, y, self.transition)


ESTIMATED = (
    "the matrix is estimated from the epoch of best accuracy, not lowest loss, on noisy validation labels; which "
    "epoch of the second phase counts is for the table's rule to say",
    "the code's networks are pre-activation Keras ones; ours are resnet32 and resnet44",
)


@register("forward")
@dataclass(eq=False)
class Forward(Corrected):
    """Estimate how labels flip, and fit the given label by what the prediction becomes when flipped so."""

    paper: ClassVar[str] = "arXiv:1609.03683"
    card: ClassVar[Card] = Card(
        title=TITLE,
        equations="Theorem 2: -log (T^T p)_y; T by eq. 12-13: row i is the prediction of the sample surest of class i",
        code=CODE,
        defaults="half of the run estimates, half trains, as two full trainings do in the code; outliers filtered",
        deviations=ESTIMATED,
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": LOSS_CORRECTION,
        "paper:cifar100": {**LOSS_CORRECTION_CIFAR100, "params": {"filter_outlier": False}},
    }


@register("backward")
@dataclass(eq=False)
class Backward(Corrected):
    """Estimate how labels flip, and undo it in the loss."""

    paper: ClassVar[str] = "arXiv:1609.03683"
    card: ClassVar[Card] = Card(
        title=TITLE,
        equations="Theorem 1: -sum_k T^-1[y, k] log p_k; T by eq. 12-13",
        code=CODE,
        defaults="half of the run estimates, half trains, as two full trainings do in the code; outliers filtered",
        deviations=(*ESTIMATED, "singular values of the estimate below 1 % of the largest are not inverted"),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "uniform:digits": {"params": {"filter_outlier": False}},
        "paper": LOSS_CORRECTION,
        "paper:cifar100": {**LOSS_CORRECTION_CIFAR100, "params": {"filter_outlier": False}},
    }

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.inverse = nn.Buffer(torch.eye(task.num_classes, device=task.device))

    def estimated(self, p: Tensor, y: Tensor) -> Tensor:
        found = super().estimated(p, y)
        self.inverse.copy_(damped_inverse(found))
        return found

    def corrected(self, logp: Tensor, y: Tensor) -> Tensor:
        return backward_loss(logp, y, self.inverse)


@register("dual_t", estimate=20 / 220)
@dataclass(eq=False)
class DualT(Corrected):
    """Estimate how labels flip in two steps, of which only one needs good probabilities, and train through it."""

    paper: ClassVar[str] = "arXiv:2006.07805"
    first_rate: ClassVar[Literal["phase", "constant"]] = "constant"  # too short a phase for the run's steps
    card: ClassVar[Card] = Card(
        title="Dual T: Reducing Estimation Error for Transition Matrix in Label-noise Learning; Yao et al.; NeurIPS "
        "2020",
        equations="Eq. 4-6: T = T_true-to-predicted (anchors) T_predicted-to-given (counts); then forward correction",
        code="a5507203/dual-t (no licence)",
        defaults="20 epochs to estimate and 200 to train, as in the code; outliers filtered",
        deviations=(
            "a class that is never predicted keeps its label: the code leaves a row of zeros",
            "which epoch of the second phase counts is for the table's rule to say",
        ),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "uniform:digits": {"params": {"estimate": 0.3}},
        "paper": {
            "network": "resnet18",
            "epochs": 220,
            "batch_size": 128,
            "augment": "crop_flip",
            "optimizer": {**SGD, "lr": 0.01, "momentum": 0.0, "weight_decay": 1e-4},
            "schedule": {"name": "steps", "steps": [50 / 200, 100 / 200, 150 / 200], "gamma": 0.1},
        },
        "paper:cifar100": {"network": "resnet34"},
    }

    def estimated(self, p: Tensor, y: Tensor) -> Tensor:
        return dual(p, y, self.filter_outlier)
