"""Deep mutual learning: networks teach each other everything they predict.

Zhang, Xiang, Hospedales, Lu, CVPR 2018, arXiv:1706.00384, equations 2 to 7: L_k = CE(z_k, y) + KL(p_j || p_k), the peer
without gradient.  Differs from the authors' code: the networks learn at the same time from one batch; theirs updates
one after the other, each on a batch of its own.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from methods.base import Batch, Clock, LossMethod, Step
from methods.losses import cross_entropy, kl
from methods.registry import register


@register("dml")
@dataclass(eq=False)
class DML(LossMethod):
    """Add to each network's cross entropy its divergence from the peer's prediction."""

    num_networks: ClassVar[int] = 2
    paper: ClassVar[str] = "arXiv:1706.00384"
    weight: float = 1.0  # of the divergence; the paper adds it as it is

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        logp = logits.log_softmax(-1)
        peer = logp.detach().flip(0)  # row k holds what network k hears: its peer, without gradient
        return Step(cross_entropy(logp, batch.y).mean(-1) + self.weight * kl(peer, logp).mean(-1))
