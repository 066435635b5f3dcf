"""PENCIL: a distribution over classes for every sample, learnt by gradient along with the network.

Yi and Wu, CVPR 2019, arXiv:1903.07788, eq. 2-9: labels yd = softmax(y~), y~ starting at K onehot(y).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from methods.base import Batch, Clock, Judgement, Method, Step, Task
from methods.card import Card
from methods.losses import cross_entropy, entropy, kl
from methods.mixing import one_hot
from methods.recipes import JOINT_OPTIM
from methods.registry import register
from methods.schedules import phases_of


@register("pencil")
@dataclass(eq=False)
class PENCIL(Method):
    """Learn by cross entropy, then correct labels along, then fine-tune on the labels found."""

    paper: ClassVar[str] = "arXiv:1903.07788"
    shortest: ClassVar[int] = 3
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Probabilistic End-to-end Noise Correction for Learning with Noisy Labels; Yi, Wu; CVPR 2019",
        equations="Eq. 2-9: KL(p || yd) / C - alpha log yd_y + beta H(p) / C, and y~ -= lambda d(mean loss) / dy~; at "
        "last KL(p || yd) / C",
        code="yikun2019/PENCIL (no licence)",
        defaults="alpha .4, beta .1, lambda 600, K 10, 70 + 130 + 120 epochs: the code's; dividing by C is its too",
        deviations=("the last phase falls to .02 and .002, where the code's integer division makes the rate 0",),
        reference="the code's rate of 0 after a third of the last phase, and its cross entropy of labels that are "
        "already probabilities",
        tuned="alpha, beta and lambda per noise setting in the paper's tables",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {**JOINT_OPTIM, "params": {"first_lr": 0.06}}}
    backbone: float = 70 / 320  # share of the epochs of cross entropy
    correction: float = 130 / 320  # share of the epochs in which labels are learnt
    alpha: float = 0.4  # of the term that keeps labels close to the given ones
    beta: float = 0.1  # of the entropy of predictions
    label_lr: float = 600.0  # lambda, by which labels move
    start: float = 10.0  # K, the logit of the given label at first
    first_lr: float | None = None  # constant learning rate of the first two phases; None: the run's
    class_mean: bool = True  # divide divergence and entropy by the number of classes
    compat: Literal["correct", "reference"] = "correct"  # reference: both defects of the code that the card names

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.backbone > 0 and self.correction > 0 and self.backbone + self.correction < 1):
            shares = (self.backbone, self.correction)
            raise ValueError(f"backbone and correction must be above 0 and together below 1, got {shares}")

    def setup(self, task: Task) -> None:
        self.task = task
        self.nets = nn.ModuleList([task.make_network(0)])
        self.label_logits = nn.Buffer(self.start * one_hot(task.labels(), task.num_classes))

    def phases(self) -> list[tuple[str, int]]:
        last = 1 - self.backbone - self.correction
        return phases_of(self.task.epochs, backbone=self.backbone, correct=self.correction, tune=last)

    def on_phase(self, clock: Clock) -> None:
        if clock.phase == "backbone":
            rate: dict[str, Any] = {} if self.first_lr is None else {"lr": self.first_lr}
            self.optimizer = self.task.make_optimizer(self.nets.parameters(), follow="constant", **rate)
        elif clock.phase == "tune":
            self.optimizer = self.task.make_optimizer(self.nets.parameters(), follow="phase")

    def update(self, batch: Batch, clock: Clock) -> Step:
        logits = self.label_logits[batch.index].requires_grad_()
        logp = self.nets[0](batch.x).log_softmax(-1)
        loss = self.loss(logp, logits, batch.y, clock.phase)
        frozen = clock.phase == "tune" and 3 * clock.phase_epoch >= clock.phase_epochs
        if self.compat == "correct" or not frozen:
            self.learn(loss)
        if clock.phase == "correct" and logits.grad is not None:
            self.label_logits[batch.index] = logits.detach() - self.label_lr * logits.grad
        return Step(loss[None], relabelled=logits.softmax(-1)).detached()

    def loss(self, logp: Tensor, label_logits: Tensor, y: Tensor, phase: str) -> Tensor:
        """The loss, a scalar, of log-probabilities and label logits (B, C)."""
        if phase == "backbone":
            return cross_entropy(logp, y).mean()
        label = label_logits.log_softmax(-1)
        scale = 1 / logp.shape[-1] if self.class_mean else 1.0
        fit = scale * kl(logp, label).mean()
        if phase == "tune":
            return fit
        kept = label.exp().log_softmax(-1) if self.compat == "reference" else label
        return fit + self.alpha * cross_entropy(kept, y).mean() + self.beta * scale * entropy(logp).mean()

    def judgement(self) -> Judgement:
        return Judgement(relabelled=self.label_logits.softmax(-1))
