"""Peer loss: subtract what the network would lose on a random pairing of images and labels.

Liu and Guo, ICML 2020, arXiv:1910.03231, eq. 4: l(f(x_i), y_i) - a l(f(x_j), y_k), j and k drawn independently.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from methods.base import Batch, Clock, Method, Pass, Step, zip_cycle
from methods.card import Card
from methods.losses import cross_entropy
from methods.recipes import SGD
from methods.registry import register
from methods.schedules import piecewise

# the weight a over the share of training: the code's pieces of its 300 epochs on CIFAR-10, of which the last is
# written for epochs 240 to 340, so that it ends at 4.3
WEIGHT = [
    (20 / 300, 0.0),
    (40 / 300, 0.1),
    (40 / 300, 1.0),
    (90 / 300, 2.0),
    (140 / 300, 2.5),
    (240 / 300, 3.3),
    (340 / 300, 5.0),
]


@register("peer_loss")
@dataclass(eq=False)
class PeerLoss(Method):
    """Punish agreement with labels that belong to other images."""

    paper: ClassVar[str] = "arXiv:1910.03231"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Peer Loss Functions: Learning from Noisy Labels without Knowing Noise Rates; Liu, Guo; ICML 2020",
        equations="Eq. 4: l(f(x_i), y_i) - a l(f(x_j), y_k), l = -log(p_y + 1e-5)",
        code="weijiaheng/Multi-class-Peer-Loss-functions (no licence)",
        defaults="a rises with training by the code's pieces for CIFAR-10: 0 to .1 (40 of 300 epochs), 1 to 2 (90), "
        "2.5 (140), 3.3 (240), then towards 5, which the code's last piece does not reach: 4.3 at the end",
        deviations=(
            "the code divides the learning rate by 1 + a, and with it the weight decay; ours divides the loss alone",
            "the code makes a new optimiser every epoch, so its momentum starts anew",
            "the preset's network is resnet34; the code has a pre-activation ResNet-18 of its own",
        ),
        tuned="the code has another ramp for its sparse noise",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "network": "resnet34",
            "epochs": 300,
            "batch_size": 64,
            "augment": "crop_flip",
            "optimizer": {**SGD, "lr": 0.1, "weight_decay": 1e-4},
            "schedule": {
                "name": "steps",
                "steps": [2 / 15, 4 / 15, 6 / 15, 8 / 15, 10 / 15, 12 / 15, 14 / 15],
                "gamma": 0.1,
            },
        }
    }
    weight: float | None = None  # of the random pairing (the paper's alpha), constant; None: rising with training

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight is not None and self.weight < 0:
            raise ValueError(f"weight must be at least 0, got {self.weight}")

    def epoch(self, clock: Clock) -> Iterator[Pass]:
        yield Pass(zip_cycle(self.task.loader(), self.task.loader(stream="peer")), self.update_pair)

    def update_pair(self, pair: tuple[Batch, Batch], clock: Clock) -> Step:
        batch, other = pair
        labels = self.task.labels()
        size = len(labels), (len(other.y),)
        label = labels[clock.value(lambda now: torch.randint(*size, generator=self.task.rng("peer", now)))]
        own, foreign = (self.nets[0](x).softmax(-1) for x in (batch.x, other.x))
        weight = self.weight
        if weight is None:
            weight = clock.value(lambda now: piecewise(now.progress, WEIGHT))
        loss = cross_entropy((own + 1e-5).log(), batch.y).mean()
        loss = (loss - weight * cross_entropy((foreign + 1e-5).log(), label).mean()) / (1 + weight)
        self.learn(loss)
        return Step(loss[None], scalars={"weight": weight}).detached()

    def update(self, batch: Batch, clock: Clock) -> Step:
        """The batch as its own peer."""
        return self.update_pair((batch, batch), clock)
