"""Methods that are one bounded loss: GCE, SCE, and the active-passive pairs NCE+RCE, NCE+MAE, NCE+AGCE, NCE+AUL.

The formulas are in `methods.robust_losses`.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from methods.base import Batch, Clock, LossMethod, Step
from methods.card import Card
from methods.losses import cross_entropy
from methods.recipes import APL, APL_CIFAR100, GCE_CIFAR100
from methods.recipes import GCE as GCE_RECIPE
from methods.registry import register
from methods.robust_losses import (
    absolute,
    asymmetric_generalised,
    asymmetric_unhinged,
    generalised,
    normalised_cross_entropy,
    reverse_cross_entropy,
)

APL_CODE = "HanxunH/Active-Passive-Losses (MIT)"


@register("gce")
@dataclass(eq=False)
class GCE(LossMethod):
    """Stand between cross entropy and the absolute error."""

    paper: ClassVar[str] = "arXiv:1805.07836"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels; Zhang, Sabuncu; "
        "NeurIPS 2018",
        equations="Eq. 6: (1 - p_y^q) / q, p_y at least 1e-7",
        defaults="q = .7 is the paper's; the recipe is that of its CIFAR experiments, without truncation",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": GCE_RECIPE,
        "paper:cifar100": GCE_CIFAR100,
    }
    q: float = 0.7  # 0: cross entropy; 1: absolute error

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.q <= 1:
            raise ValueError(f"q must be in [0, 1], got {self.q}")

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        return Step(generalised(logits.log_softmax(-1), batch.y, self.q).mean(-1))


@register("sce")
@dataclass(eq=False)
class SCE(LossMethod):
    """Add to cross entropy the reverse one, with label and prediction exchanged."""

    paper: ClassVar[str] = "arXiv:1908.06112"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Symmetric Cross Entropy for Robust Learning with Noisy Labels; Wang et al.; ICCV 2019",
        equations="Eq. 7: a CE + b RCE; log 0 in RCE is log 1e-4",
        code="YisenWang/symmetric_cross_entropy_for_noisy_labels (no licence)",
        defaults="(a, b) = (.1, 1) for CIFAR-10; the preset takes (6, .1) on CIFAR-100",
        deviations=(
            "the code is Keras with a small network of its own and a decay of the rate per step; the preset takes "
            "resnet34 without it",
        ),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": GCE_RECIPE,
        "paper:cifar100": {
            "epochs": 150,
            "optimizer": {"lr": 0.1},
            "schedule": {"steps": [80 / 150, 120 / 150]},
            "params": {"alpha": 6.0, "beta": 0.1},
        },
    }
    alpha: float = 0.1  # of cross entropy
    beta: float = 1.0  # of reverse cross entropy

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        logp = logits.log_softmax(-1)
        loss = self.alpha * cross_entropy(logp, batch.y) + self.beta * reverse_cross_entropy(logp, batch.y)
        return Step(loss.mean(-1))


@dataclass(eq=False)
class ActivePassive(LossMethod):
    """An active, normalised loss and a passive one: the first fits the label, the second spares the other classes."""

    capturable: ClassVar[bool] = True
    alpha: float = 1.0  # of normalised cross entropy
    beta: float = 1.0  # of the passive loss

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        logp = logits.log_softmax(-1)
        active = normalised_cross_entropy(logp, batch.y)
        return Step((self.alpha * active + self.beta * self.passive(logp, batch.y)).mean(-1))

    @abstractmethod
    def passive(self, logp: Tensor, y: Tensor) -> Tensor:
        """The passive loss (K, B) of log-probabilities (K, B, C) and labels (B,)."""


@register("nce_rce")
@dataclass(eq=False)
class NCERCE(ActivePassive):
    """Normalised cross entropy and reverse cross entropy."""

    paper: ClassVar[str] = "arXiv:2006.13554"
    card: ClassVar[Card] = Card(
        title="Normalized Loss Functions for Deep Learning with Noisy Labels; Ma et al.; ICML 2020",
        equations="Sec. 3: a NCE + b RCE; NCE = log p_y / sum_c log p_c",
        code=APL_CODE,
        defaults="(1, 1) for CIFAR-10; the preset takes (10, .1) on CIFAR-100; gradients are clipped at norm 5",
        deviations=("on CIFAR-100 the preset's network is resnet34, as in the ANL code, not resnet50",),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": APL,
        "paper:cifar100": {**APL_CIFAR100, "params": {"alpha": 10.0, "beta": 0.1}},
    }

    def passive(self, logp: Tensor, y: Tensor) -> Tensor:
        return reverse_cross_entropy(logp, y)


@register("nce_mae")
@dataclass(eq=False)
class NCEMAE(ActivePassive):
    """Normalised cross entropy and absolute error."""

    paper: ClassVar[str] = "arXiv:2006.13554"
    card: ClassVar[Card] = Card(
        title="Normalized Loss Functions for Deep Learning with Noisy Labels; Ma et al.; ICML 2020",
        equations="Sec. 3: a NCE + b (1 - p_y)",
        code=APL_CODE,
        defaults="(1, 1) for CIFAR-10; the preset takes (10, 1) on CIFAR-100; gradients are clipped at norm 5",
        deviations=("on CIFAR-100 the preset's network is resnet34, as in the ANL code, not resnet50",),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": APL,
        "paper:cifar100": {**APL_CIFAR100, "params": {"alpha": 10.0, "beta": 1.0}},
    }

    def passive(self, logp: Tensor, y: Tensor) -> Tensor:
        return absolute(logp, y)


@register("nce_agce", beta=4.0)
@dataclass(eq=False)
class NCEAGCE(ActivePassive):
    """Normalised cross entropy and asymmetric generalised cross entropy."""

    paper: ClassVar[str] = "arXiv:2106.03110"
    card: ClassVar[Card] = Card(
        title="Asymmetric Loss Functions for Learning with Noisy Labels; Zhou et al.; ICML 2021",
        equations="a NCE + b ((A + 1)^q - (A + p_y)^q) / q",
        code="hitcszx/ALFs (no licence)",
        defaults="(a, b, A, q) = (1, 4, 6, 1.5) for CIFAR-10; the preset takes (10, .1, 1.8, 3) on CIFAR-100",
        deviations=("on CIFAR-100 the preset's network is resnet34, as in the ANL code",),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": APL,
        "paper:cifar100": {**APL_CIFAR100, "params": {"alpha": 10.0, "beta": 0.1, "a": 1.8, "q": 3.0}},
    }
    a: float = 6.0  # A: a larger one makes the loss more linear in p_y
    q: float = 1.5  # exponent

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.a < 0 or self.q <= 0:
            raise ValueError(f"a must be at least 0 and q above 0, got {self.a} and {self.q}")

    def passive(self, logp: Tensor, y: Tensor) -> Tensor:
        return asymmetric_generalised(logp, y, self.a, self.q)


@register("nce_aul", beta=4.0)
@dataclass(eq=False)
class NCEAUL(ActivePassive):
    """Normalised cross entropy and asymmetric unhinged loss."""

    paper: ClassVar[str] = "arXiv:2106.03110"
    card: ClassVar[Card] = Card(
        title="Asymmetric Loss Functions for Learning with Noisy Labels; Zhou et al.; ICML 2021",
        equations="a NCE + b ((A - p_y)^q - (A - 1)^q) / q",
        code="hitcszx/ALFs (no licence)",
        defaults="(a, b, A, q) = (1, 4, 6.3, 1.5) for CIFAR-10; the preset takes (10, .015, 6, 3) on CIFAR-100",
        deviations=("on CIFAR-100 the preset's network is resnet34, as in the ANL code",),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": APL,
        "paper:cifar100": {**APL_CIFAR100, "params": {"alpha": 10.0, "beta": 0.015, "a": 6.0, "q": 3.0}},
    }
    a: float = 6.3  # A, above 1
    q: float = 1.5  # exponent

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.a <= 1 or self.q <= 0:
            raise ValueError(f"a must be above 1 and q above 0, got {self.a} and {self.q}")

    def passive(self, logp: Tensor, y: Tensor) -> Tensor:
        return asymmetric_unhinged(logp, y, self.a, self.q)
