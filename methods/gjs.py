"""GJS and JS: a divergence between the label and one or more predictions, bounded and consistent.

Englesson and Azizpour, NeurIPS 2021, arXiv:2105.04522, eq. 4 to 6.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from methods.base import Batch, Clock, Method, Pass, Step
from methods.card import Card
from methods.recipes import SGD
from methods.registry import register
from methods.robust_losses import jensen_shannon

RECIPE = {
    "network": "preact_narrow",
    "epochs": 400,
    "batch_size": 128,
    "augment": "crop_flip",
    "optimizer": {**SGD, "lr": 0.1, "weight_decay": 5e-4, "nesterov": True},
    "schedule": {"name": "steps", "steps": [200 / 400, 300 / 400], "gamma": 0.1},
}


@register("gjs")
@dataclass(eq=False)
class GJS(Method):
    """Keep predictions of differently augmented copies close to the label and to each other."""

    paper: ClassVar[str] = "arXiv:2105.04522"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Generalized Jensen-Shannon Divergence Loss for Learning with Noisy Labels; Englesson, Azizpour; "
        "NeurIPS 2021",
        equations="Eq. 4-6: sum_j pi_j KL(d_j || m) / Z over the label and the predictions, m their weighted mean at "
        "least 1e-7, Z = -(1 - pi_1) log(1 - pi_1)",
        code="ErikEnglesson/GJS (no licence)",
        defaults="pi_1 = .9, found by the authors for CIFAR-10 with 40 % symmetric noise",
        deviations=(
            "RandAugment and cutout act on the whole batch, and the mean is clamped as in the code",
            "paper_asymmetric is CIFAR-10's on other data sets too",
        ),
        tuned="pi_1, learning rate and weight decay per noise setting",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": RECIPE,
        "paper_asymmetric": {
            **RECIPE,
            "optimizer": {**SGD, "lr": 0.1, "weight_decay": 1e-3, "nesterov": True},
            "params": {"label_weight": 0.3},
        },
        "paper:cifar100": {"optimizer": {"lr": 0.2, "weight_decay": 5e-5}, "params": {"label_weight": 0.5}},
    }
    label_weight: float = 0.9  # pi_1, of the label, in (0, 1); the predictions share the rest equally
    predictions: int = 2  # how many strongly augmented copies are compared

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.label_weight < 1:
            raise ValueError(f"label_weight must be in (0, 1), got {self.label_weight}")
        if self.predictions < 1:
            raise ValueError(f"predictions must be at least 1, got {self.predictions}")

    def epoch(self, clock: Clock) -> Iterator[Pass]:
        yield Pass(self.task.loader(views=("strong",) * self.predictions), self.update)

    def update(self, batch: Batch, clock: Clock) -> Step:
        parts = [self.nets[0](view).log_softmax(-1) for view in batch.views]
        rest = (1 - self.label_weight) / len(parts)
        loss = jensen_shannon(parts, batch.y, [self.label_weight, *[rest] * len(parts)]).mean()
        self.learn(loss)
        return Step(loss[None]).detached()


@register("js", predictions=1, label_weight=0.7)
@dataclass(eq=False)
class JS(GJS):
    """Keep the prediction close to the label by a bounded divergence."""

    card: ClassVar[Card] = Card(
        title="Generalized Jensen-Shannon Divergence Loss for Learning with Noisy Labels; Englesson, Azizpour; "
        "NeurIPS 2021",
        equations="Eq. 4: pi_1 KL(q || m) + pi_2 KL(p || m) over Z, m = pi_1 q + pi_2 p",
        code="ErikEnglesson/GJS (no licence)",
        defaults="pi_1 = .7, found by the authors for CIFAR-10 with 40 % symmetric noise",
        deviations=("RandAugment and cutout act on the whole batch, and the mean is clamped as in the code",),
        tuned="pi_1, learning rate and weight decay per noise setting",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {**RECIPE, "optimizer": {**SGD, "lr": 0.01, "weight_decay": 5e-4, "nesterov": True}},
    }
