"""Deep mutual learning: networks teach each other everything they predict.

Zhang, Xiang, Hospedales, Lu, CVPR 2018, arXiv:1706.00384, equations 2 to 7: L_k = CE(z_k, y) + KL(p_j || p_k), the peer
without gradient.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from methods.base import Batch, Clock, LossMethod, Step
from methods.card import Card
from methods.losses import cross_entropy, kl
from methods.recipes import SGD
from methods.registry import register


@register("dml")
@dataclass(eq=False)
class DML(LossMethod):
    """Add to each network's cross entropy its divergence from the peer's prediction."""

    num_networks: ClassVar[int] = 2
    paper: ClassVar[str] = "arXiv:1706.00384"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Deep Mutual Learning; Zhang, Xiang, Hospedales, Lu; CVPR 2018",
        equations="Eq. 2-7: CE(z_k, y) + KL(p_j || p_k), the peer j without gradient",
        code="YingZhangDUT/Deep-Mutual-Learning (TensorFlow 1, person re-identification; no licence)",
        defaults="the recipe is that of the unofficial chxy95/Deep-Mutual-Learning: the paper's for CIFAR was not read",
        deviations=(
            "the networks learn at the same time from one batch; the authors' code updates one after the other, each "
            "on a batch of its own",
        ),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "network": "resnet32",
            "epochs": 200,
            "batch_size": 256,
            "augment": "crop_flip",
            "optimizer": {**SGD, "lr": 0.1, "weight_decay": 5e-4, "nesterov": True},
            "schedule": {"name": "steps", "steps": [60 / 200, 120 / 200, 180 / 200], "gamma": 0.1},
        }
    }
    weight: float = 1.0  # of the divergence; the paper adds it as it is

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        logp = logits.log_softmax(-1)
        peer = logp.detach().flip(0)  # row k holds what network k hears: its peer, without gradient
        return Step(cross_entropy(logp, batch.y).mean(-1) + self.weight * kl(peer, logp).mean(-1))
