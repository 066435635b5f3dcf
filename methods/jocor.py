"""JoCoR: two networks learn together, as one, from the samples on which they agree and that fit their labels.

Wei, Feng, Chen, An, CVPR 2020, arXiv:2003.02752, eq. 1 to 5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from methods.base import Batch, Clock, Step
from methods.card import Card
from methods.forgetting import Forgetting
from methods.losses import cross_entropy, kl
from methods.recipes import CO_TEACHING, CO_TEACHING_CIFAR100
from methods.registry import register
from methods.selection import masked_mean, smallest


@register("jocor")
@dataclass(eq=False)
class JoCoR(Forgetting):
    """Drop the samples of largest joint loss, and pull the networks together on the others."""

    paper: ClassVar[str] = "arXiv:2003.02752"
    card: ClassVar[Card] = Card(
        title="Combating Noisy Labels by Agreement: A Joint Training Method with Co-Regularization; Wei et al.; CVPR "
        "2020",
        equations="Eq. 1-5: (1 - L) (CE_1 + CE_2) + L (KL(p1 || p2) + KL(p2 || p1)), mean over its R(E) B smallest",
        code="hongxin001/JoCoR (no licence)",
        defaults="L = .9, the repository's advice for CIFAR-10 with 20 % and 50 % symmetric and 40 % asymmetric noise",
        deviations=(
            "r is the share of wrong labels in what is trained on: half of the asked rate for asymmetric noise, which "
            "the code's users set by hand",
        ),
        reference="the code's ramp: r E / (T_k - 1) in epoch E",
        tuned="L per noise setting: .9, .65 at 80 %, .85 on CIFAR-100; the code's default is .1",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "uniform:digits": {"params": {"agreement": 0.5}},
        "paper": {**CO_TEACHING, "network": "cnn6"},
        "paper:cifar100": {**CO_TEACHING_CIFAR100, "params": {"agreement": 0.85}},
        "paper:mnist": {"network": "mlp"},
    }
    agreement: float = 0.9  # the paper's lambda: weight of the divergence, in [0, 1]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.agreement <= 1:
            raise ValueError(f"agreement must be in [0, 1], got {self.agreement}")

    def update(self, batch: Batch, clock: Clock) -> Step:
        logp = torch.stack([net(batch.x).log_softmax(-1) for net in self.nets])
        each = self.joint(logp, batch.y)  # (B,)
        kept = smallest(each.detach(), self.kept(len(batch.y), clock))
        loss = masked_mean(each, kept)
        self.learn(loss)
        return Step(loss.expand(2), selected=kept.expand(2, -1), clean_score=-each.expand(2, -1)).detached()

    def joint(self, logp: Tensor, y: Tensor) -> Tensor:
        """The loss (B,) that both networks share, of log-probabilities (2, B, C)."""
        apart = kl(logp[0], logp[1]) + kl(logp[1], logp[0])
        return (1 - self.agreement) * cross_entropy(logp, y).sum(0) + self.agreement * apart
