"""Losses whose target is not the given label alone: smoothing, penalty, bootstrapping, ProSelfLC.

The formulas are in `methods.losses`; the notation (q one-hot, p prediction, u uniform) is that of ProSelfLC (Wang et
al., CVPR 2021, arXiv:2005.03788), which compares all of them by one recipe.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from methods.base import Batch, Clock, LossMethod, Step
from methods.card import Card
from methods.losses import (
    bootstrap_hard,
    bootstrap_soft,
    confidence_penalty,
    corrected_label,
    label_smoothing,
    proselflc,
    self_trust,
)
from methods.mixing import one_hot
from methods.recipes import PROSELFLC_200EP, PROSELFLC_200EP_REFERENCE, PROSELFLC_CVPR21
from methods.registry import register

# ProSelfLC's recipes with the weight of the best mean in its Table 5
HALF = {"params": {"e": 0.5}}
BY_HALF = {
    "paper": {**PROSELFLC_CVPR21, **HALF},
    "proselflc_cvpr21": {**PROSELFLC_CVPR21, **HALF},
    "proselflc_200ep": {**PROSELFLC_200EP, **HALF},
}
PROSELFLC_TUNED = "ProSelfLC's tables choose it per noise setting, on clean validation data"


@dataclass(eq=False)
class Weighted(LossMethod):
    """A loss between the given label and something else, mixed by a fixed weight e in [0, 1]."""

    capturable: ClassVar[bool] = True
    e: float = 0.5  # weight of the target's second part, in [0, 1]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.e <= 1:
            raise ValueError(f"e must be in [0, 1], got {self.e}")


@register("label_smoothing", e=0.1)
@dataclass(eq=False)
class LabelSmoothing(Weighted):
    """Share a part of every label among all classes."""

    paper: ClassVar[str] = "arXiv:1512.00567"
    card: ClassVar[Card] = Card(
        title="Rethinking the Inception Architecture for Computer Vision; Szegedy et al.; CVPR 2016",
        equations="Sec. 7: (1 - e) H(q, p) + e H(u, p)",
        defaults="e = .1 is the paper's; the presets are ProSelfLC's (arXiv:2005.03788), with e = .5",
        tuned=PROSELFLC_TUNED,
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = BY_HALF

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        return Step(label_smoothing(logits.log_softmax(-1), batch.y, self.e).mean(-1))


@register("confidence_penalty", e=0.1)
@dataclass(eq=False)
class ConfidencePenalty(Weighted):
    """Reward uncertain predictions."""

    paper: ClassVar[str] = "arXiv:1701.06548"
    card: ClassVar[Card] = Card(
        title="Regularizing Neural Networks by Penalizing Confident Output Distributions; Pereyra et al.; ICLR-W 2017",
        equations="Sec. 3, in ProSelfLC's convex form: (1 - e) H(q, p) - e H(p)",
        defaults="e = .1 is our choice; the presets are ProSelfLC's (arXiv:2005.03788), with e = .5",
        deviations=("the paper adds -beta H(p) to the whole cross entropy: beta = e / (1 - e) up to a factor",),
        tuned=PROSELFLC_TUNED,
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = BY_HALF

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        return Step(confidence_penalty(logits.log_softmax(-1), batch.y, self.e).mean(-1))


@register("bootstrap_soft", e=0.05)
@dataclass(eq=False)
class BootstrapSoft(Weighted):
    """Mix the network's own prediction into every label."""

    paper: ClassVar[str] = "arXiv:1412.6596"
    card: ClassVar[Card] = Card(
        title="Training Deep Neural Networks on Noisy Labels with Bootstrapping; Reed et al.; ICLR-W 2015",
        equations="Eq. 6 with beta = 1 - e: H((1 - e) q + e p, p); the gradient flows through both p",
        defaults="e = .05 is the paper's (beta = .95); the presets are ProSelfLC's (arXiv:2005.03788), with e = .5",
        tuned=PROSELFLC_TUNED,
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = BY_HALF

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        logp = logits.log_softmax(-1)
        target = corrected_label(logp[0].detach().exp(), batch.y, logp.new_full((len(batch.y),), self.e))
        return Step(bootstrap_soft(logp, batch.y, self.e).mean(-1), relabelled=target)


@register("bootstrap_hard", e=0.2)
@dataclass(eq=False)
class BootstrapHard(Weighted):
    """Mix the network's own decision into every label."""

    paper: ClassVar[str] = "arXiv:1412.6596"
    card: ClassVar[Card] = Card(
        title="Training Deep Neural Networks on Noisy Labels with Bootstrapping; Reed et al.; ICLR-W 2015",
        equations="Eq. 7 with beta = 1 - e: H((1 - e) q + e onehot(argmax p), p)",
        defaults="e = .2 is the paper's (beta = .8); the preset is ProSelfLC's recipe (arXiv:2005.03788)",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": PROSELFLC_CVPR21,
        "proselflc_cvpr21": PROSELFLC_CVPR21,
        "proselflc_200ep": PROSELFLC_200EP,
    }

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        logp = logits.log_softmax(-1)
        decided = one_hot(logp[0].detach().argmax(-1), logp.shape[-1])
        target = corrected_label(decided, batch.y, decided.new_full((len(batch.y),), self.e))
        return Step(bootstrap_hard(logp, batch.y, self.e).mean(-1), relabelled=target)


@register("proselflc")
@dataclass(eq=False)
class ProSelfLC(LossMethod):
    """Trust the own prediction more as training goes on, and where it is confident."""

    paper: ClassVar[str] = "arXiv:2005.03788"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="ProSelfLC: Progressive Self Label Correction; Wang, Hua, Kodirov, Clifton, Robertson; CVPR 2021",
        equations="Eq. 9-12: (1 - e_i) H(q, p) + e_i H(p), e_i = g(t) l(p_i), g = sigmoid(B (t - tau)), l = 1 - H / "
        "log C",
        code="XinshaoAmosWang/ProSelfLC-CVPR2021 (academic use)",
        defaults="B = 12, tau = .5: the best mean of the paper's Table 5 among those that never collapse",
        deviations=(
            "t is the share of training done once the batch is, as in the code's iteration counter",
            "no epsilon in logarithms: they are taken of a log-softmax",
            "the later code's scheduler stands still during warm-up, so its drops fall 16 epochs later than it says: "
            "preset proselflc_200ep_reference",
        ),
        tuned="the paper's Table 4 takes the best B per noise setting, on clean validation data",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": PROSELFLC_CVPR21,
        "proselflc_cvpr21": PROSELFLC_CVPR21,
        "proselflc_200ep": PROSELFLC_200EP,
        "proselflc_200ep_reference": PROSELFLC_200EP_REFERENCE,
    }
    sharpness: float = 12.0  # B
    transit: float = 0.5  # tau, a share of training
    local_trust: Literal["entropy", "max_prob"] = "entropy"  # l(p)
    detach_target: bool = False  # no gradient through the prediction where it is a target (ProSelfLC-AT)
    target_temperature: float = 1.0  # of that target

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target_temperature <= 0:
            raise ValueError(f"target_temperature must be above 0, got {self.target_temperature}")

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        logp = logits.log_softmax(-1)
        trust = self_trust(logp, clock, self.sharpness, self.transit, self.local_trust)
        loss = proselflc(logp, batch.y, trust, self.detach_target, self.target_temperature)
        relabelled = corrected_label(logp[0].detach().exp(), batch.y, trust[0])
        return Step(loss.mean(-1), relabelled=relabelled, scalars={"trust_1": trust.mean()})
