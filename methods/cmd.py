"""CMD: mutual distillation of confident knowledge, with a static (CMD-S) or progressive (CMD-P) threshold.

Li et al., "Not All Knowledge Is Created Equal", arXiv:2106.01489; IJCNN 2023, doi 10.1109/IJCNN54540.2023.10191991.
For sender j and receiver k:  L_k = mean_i source(z_k, y)_i + weight * mean_i m_j(i) KL(p_j || p_k)_i with p_j without
gradient and m_j(i) = 1 where the *sender's* entropy H(p_j(i)) <= threshold(t) * log C.

No public code of CMD is known and the paper's body was not at hand: its abstract fixes the two concerns (a reliable
source, a selection of knowledge) and that one formula gives both thresholds. The formula, its constants and every
default below are our reading, each a named hyper-parameter; no number of ours is a reproduction of a CMD table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from methods.base import Batch, Clock, LossMethod, Step
from methods.card import Card
from methods.losses import corrected_label, entropy, kl, source_loss
from methods.recipes import PROSELFLC_200EP, PROSELFLC_CVPR21
from methods.registry import register
from methods.schedules import knowledge_threshold
from methods.selection import confident, masked_mean


@register("cmd_p")
@register("cmd_s", b=0.0)
@register("cmd_zero", mode="zero")
@register("cmd_all", mode="all")
@dataclass(eq=False)
class CMD(LossMethod):
    """Let each network teach its peers only what it is confident of."""

    num_networks: ClassVar[int] = 2
    paper: ClassVar[str] = "arXiv:2106.01489"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Not All Knowledge Is Created Equal: Mutual Distillation of Confident Knowledge; Li et al.; 2021, IJCNN "
        "2023",
        equations="our reading of the abstract: source_k + weight sum_j mean_i m_j(i) KL(p_j || p_k), m_j(i) = 1 "
        "where H(p_j) <= threshold(t) log C, threshold = clip(norm eta sigmoid(-+ b (t - 1/2)))",
        defaults="ours: the paper's constants, networks and schedule are not known to us, and no code is public",
        deviations=(
            "no number is a reproduction of a CMD table, and no preset is called paper: the presets are ProSelfLC's, "
            "the source loss's own",
        ),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "proselflc_cvpr21": PROSELFLC_CVPR21,
        "proselflc_200ep": PROSELFLC_200EP,
    }
    mode: Literal["gate", "zero", "all"] = "gate"  # which knowledge passes: the confident, none, all
    source: Literal["proselflc", "cce", "ls", "cp", "bootstrap_soft"] = "proselflc"  # each network's own loss
    eta: float = 0.5  # threshold at mid-training, a share of log C
    b: float = 4.0  # steepness of the progressive threshold; 0: static
    direction: Literal["tighten", "relax"] = "tighten"  # the threshold falls or rises
    norm: float = 2.0  # factor before eta; at 2 a static threshold is eta itself
    criterion: Literal["entropy", "max_prob"] = "entropy"  # how confidence is measured
    weight: float = 1.0  # of the distillation term
    temperature: float = 1.0  # softens both sides of the KL, which is scaled by its square; the gate stays at 1
    normaliser: Literal["batch", "selected"] = "batch"  # distillation is a mean over B, or over the selected
    peers: Literal["sum", "mean"] = "sum"  # over the senders of a receiver; they differ for K > 2
    views: Literal["shared", "independent"] = "shared"  # all networks see one augmented copy, or each its own
    knowledge: Literal["raw", "corrected"] = "raw"  # send p, or (1 - e) q + e p
    e: float = 0.5  # weight of the target's second part in ls, cp and bootstrap_soft
    sharpness: float = 12.0  # ProSelfLC's B
    transit: float = 0.5  # ProSelfLC's tau, a share of training
    local_trust: Literal["entropy", "max_prob"] = "entropy"  # ProSelfLC's l(p)
    detach_target: bool = False  # no gradient through the prediction where it is a target (ProSelfLC-AT)
    target_temperature: float = 1.0  # of that target

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("norm", "temperature", "target_temperature"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name, high in (("e", 1.0), ("eta", float("inf")), ("b", float("inf"))):
            if not 0 <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be in [0, {high:g}], got {getattr(self, name)}")
        self.source_loss = source_loss(
            self.source,
            e=self.e,
            sharpness=self.sharpness,
            transit=self.transit,
            local=self.local_trust,
            detach=self.detach_target,
            temperature=self.target_temperature,
        )
        self.num_views = self.num_networks if self.views == "independent" else 1

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        logp = logits.log_softmax(-1)  # (K, B, C)
        own, trust = self.source_loss(logp, batch.y, clock)  # (K, B) each
        send, threshold = self.gate(logp.detach(), clock)  # (K, B): row j is what network j may send
        taught = torch.zeros_like(own) if self.mode == "zero" else self.taught(logp, batch.y, trust, send)
        relabelled = corrected_label(logp.detach().exp(), batch.y, trust).mean(0)
        uncertainty = entropy(logp.detach())
        by_network = {
            "trust": trust.mean(-1),
            "source_loss": own.mean(-1),
            "taught": taught.mean(-1),
            "entropy_sent": masked_mean(uncertainty, send),
            "entropy_held": masked_mean(uncertainty, ~send),
        }
        scalars: dict[str, Tensor | float] = {"threshold": threshold}
        scalars |= {f"{name}_{k + 1}": v for name, values in by_network.items() for k, v in enumerate(values)}
        return Step(own.mean(-1) + self.weight * taught.mean(-1), send, relabelled=relabelled, scalars=scalars)

    def gate(self, logp: Tensor, clock: Clock) -> tuple[Tensor, float]:
        """The mask (K, B) of knowledge that each network may send, and the threshold in [0, 1] behind it."""
        if self.mode != "gate":
            return torch.full(logp.shape[:-1], self.mode == "all", device=logp.device), float(self.mode == "all")
        shape = self.eta, self.b, self.direction, self.norm
        threshold = clock.value(lambda now: knowledge_threshold(now.progress, *shape))
        return confident(logp, threshold, self.criterion), threshold

    def taught(self, logp: Tensor, y: Tensor, trust: Tensor, send: Tensor) -> Tensor:
        """Distillation loss (K, B) of every receiver, summed over its senders; no gradient reaches a sender."""
        if self.temperature != 1:
            logp = (logp / self.temperature).log_softmax(-1)
        message = logp.detach()
        if self.knowledge == "corrected":
            message = corrected_label(message.exp(), y, trust).clamp(min=1e-12).log()
        total = torch.zeros_like(send, dtype=logp.dtype)
        for shift in range(1, len(logp)):  # row k hears network k - shift
            mask = send.roll(shift, 0)
            part = torch.where(mask, kl(message.roll(shift, 0), logp), 0.0) * self.temperature**2
            scale = mask.float().mean(-1, keepdim=True).clamp(min=1 / mask.shape[-1])
            total = total + (part if self.normaliser == "batch" else part / scale)
        return total if self.peers == "sum" else total / (len(logp) - 1)
