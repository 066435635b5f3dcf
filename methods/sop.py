"""SOP: every sample's label noise is a sparse vector that is learnt along with the network.

Liu, Zhu, Qu, You, ICML 2022, arXiv:2202.14026, eq. 4 to 8: a label is explained as f(x) + u^2 q - v^2 (1 - q).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods.base import Batch, Clock, Method, Pass, Step, Task
from methods.card import Card
from methods.losses import kl
from methods.mixing import one_hot, soft_cross_entropy
from methods.recipes import DIVIDEMIX
from methods.registry import register

PREACT = {**DIVIDEMIX, "strong": "autoaugment", "schedule": {"name": "cosine", "final": 0.01}}


@register("sop")
@register("sop_plus", balance=0.1, consistency=0.9)
@dataclass(eq=False)
class SOP(Method):
    """Let a sparse term for every sample take up its wrong label, so that the network need not."""

    paper: ClassVar[str] = "arXiv:2202.14026"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Robust Training under Label Noise by Over-parameterization; Liu, Zhu, Qu, You; ICML 2022",
        equations="Eq. 4-8: U = u^2 q, V = v^2 (1 - q); CE(q, norm(p + U - V)) with V fixed, plus |onehot(argmax p) + "
        "U - V - q|^2, with p fixed; SOP+ adds class balance and consistency under strong views",
        code="shengliu66/SOP (MIT)",
        defaults="u, v from N(0, 1e-8^2); rates 10 and 10 as third parties use on CIFAR-10; weights .1 and .9 of SOP+",
        deviations=(
            "u takes the gradient of both terms, as in the repository's later version; an early one detaches it in one",
            "both views go through the network in one batch, as in the code",
            "u and v are stepped row by row, which for plain SGD is what the code's dense optimiser does",
            "the recipe is preact_resnet18, .02, cosine for both; third parties run SOP with resnet34",
        ),
        tuned="the rates of u and v by noise type: 1 and 10 symmetric, .1 and 100 asymmetric on CIFAR-100",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "uniform:digits": {"params": {"lr_u": 100.0, "lr_v": 100.0}},
        "paper": PREACT,
        "paper:cifar100": {"optimizer": {"weight_decay": 1e-3}, "params": {"lr_u": 1.0, "lr_v": 10.0}},
        "paper_asymmetric": PREACT,
        "paper_asymmetric:cifar100": {"optimizer": {"weight_decay": 1e-3}, "params": {"lr_u": 0.1, "lr_v": 100.0}},
    }
    lr_u: float = 10.0  # learning rate of u, constant
    lr_v: float = 10.0  # learning rate of v, constant
    start: float = 1e-8  # standard deviation of the initial u and v
    balance: float = 0.0  # weight of the term that keeps all classes in use (SOP+: .1)
    consistency: float = 0.0  # weight of the divergence between a weak and a strong view (SOP+: .9)

    def setup(self, task: Task) -> None:
        super().setup(task)
        generator = task.rng("sop", task.clock)
        u, v = (self.start * torch.randn(task.num_train, wide, generator=generator) for wide in (1, task.num_classes))
        self.u, self.v = nn.Buffer(u.to(task.device)), nn.Buffer(v.to(task.device))

    def epoch(self, clock: Clock) -> Iterator[Pass]:
        yield Pass(self.task.loader(views=("weak", "strong") if self.consistency else ("weak",)), self.update)

    def update(self, batch: Batch, clock: Clock) -> Step:
        u, v = (table[batch.index].requires_grad_() for table in (self.u, self.v))
        # one forward pass of all views, as in the code: they share the statistics of batch norm
        logits = self.nets[0](torch.cat(batch.views)).chunk(len(batch.views))
        loss, belief = self.loss(logits, batch.y, u, v)
        self.learn(loss)
        for table, row, rate in ((self.u, u, self.lr_u), (self.v, v, self.lr_v)):
            slope = torch.zeros_like(row) if row.grad is None else row.grad
            table[batch.index] = row.detach() - rate * slope
        score = -(u.detach() ** 2).T  # what a label owes to u, its network does not believe
        return Step(loss[None], clean_score=score, relabelled=belief).detached()

    def loss(self, logits: Sequence[Tensor], y: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, a scalar, of the views' logits (B, C), and the prediction (B, C) freed from noise."""
        label = one_hot(y, logits[0].shape[-1])
        logp = logits[0].log_softmax(-1)
        p = logp.exp()
        added, removed = (u**2 * label).clamp(0, 1), (v**2 * (1 - label)).clamp(0, 1)
        whole = (p + added - removed.detach()).clamp(min=1e-4)
        whole = (whole / whole.sum(-1, keepdim=True)).clamp(1e-4, 1.0)
        decided = one_hot(p.detach().argmax(-1), p.shape[-1])
        loss = soft_cross_entropy(whole.log(), label).mean()
        loss = loss + ((decided + added - removed - label) ** 2).sum(-1).mean()
        if self.balance:
            loss = loss - self.balance * whole.mean(0).log().mean()
        if self.consistency and len(logits) > 1:
            loss = loss + self.consistency * kl(logp.detach(), logits[1].log_softmax(-1)).mean()
        return loss, p.detach()
