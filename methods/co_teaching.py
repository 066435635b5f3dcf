"""Co-teaching: two networks pick each other's small-loss samples.

Han et al., NeurIPS 2018, arXiv:1804.06872, Algorithm 1: with E = 1, 2, ... each network keeps the R(E) B samples of
smallest loss, R(E) = 1 - r min(E / T_k, 1), and learns from the ones its peer kept.
Differs from the authors' code: theirs forgets r E / (T_k - 1) in epoch E and divides the mean by the number of kept
samples a second time, which Adam hides.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from methods.base import Batch, Clock, LossMethod, Needs, Step
from methods.losses import cross_entropy
from methods.registry import register
from methods.schedules import ramp
from methods.selection import masked_mean, smallest


@register("co_teaching")
@dataclass(eq=False)
class CoTeaching(LossMethod):
    """Train each network on the share of the batch its peer finds easiest."""

    num_networks: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs(noise_rate=True)
    paper: ClassVar[str] = "arXiv:1804.06872"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            "network": "cnn9",
            "epochs": 200,
            "batch_size": 128,
            "augment": "none",
            "normalise": False,
            "optimizer": {"name": "adam", "lr": 0.001, "momentum": 0.9, "weight_decay": 0.0},
            "schedule": {"name": "linear", "start": 0.4, "momentum_after": 0.1},
        }
    }
    forget_rate: float | None = None  # share dropped after the ramp, in [0, 1); None: the true rate of wrong labels
    ramp_epochs: int = 10  # epochs over which the dropped share grows from 0 (the paper's T_k)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.forget_rate is not None and not 0 <= self.forget_rate < 1:
            raise ValueError(f"forget_rate must be in [0, 1), got {self.forget_rate}")
        if self.ramp_epochs < 0:
            raise ValueError(f"ramp_epochs must be at least 0, got {self.ramp_epochs}")

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        rate = self.task.noise_rate if self.forget_rate is None else self.forget_rate
        keep = int((1 - rate * ramp(clock.epoch, self.ramp_epochs)) * len(batch.y) + 1e-9)
        loss = cross_entropy(logits.log_softmax(-1), batch.y)  # (K, B)
        kept = smallest(loss.detach(), max(1, keep))  # (K, B), row k: the choice of network k
        return Step(masked_mean(loss, kept.flip(0)), selected=kept, clean_score=-loss)
