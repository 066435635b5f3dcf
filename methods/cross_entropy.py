"""Cross entropy on the observed labels: the control of every table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from methods.base import Batch, Clock, LossMethod, Step
from methods.card import Card
from methods.losses import cross_entropy
from methods.recipes import DIVIDEMIX, PROSELFLC_200EP, PROSELFLC_CVPR21
from methods.registry import register


@register("ce")
@dataclass(eq=False)
class CrossEntropy(LossMethod):
    """Trust every label."""

    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="no paper: the control",
        equations="-log p_y",
        defaults="nothing to set; the preset paper is the recipe of DivideMix, by which BadLabels trains its CE row",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": DIVIDEMIX,
        "proselflc_cvpr21": PROSELFLC_CVPR21,
        "proselflc_200ep": PROSELFLC_200EP,
    }

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        return Step(cross_entropy(logits.log_softmax(-1), batch.y).mean(-1))
