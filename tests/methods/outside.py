"""Two methods from outside: one with a memory of every sample, one in two phases with its own optimisers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods import Batch, Clock, LossMethod, Method, Needs, Pass, Step, Task
from methods.losses import cross_entropy


@dataclass(eq=False)
class Remembering(LossMethod):
    """Pull each prediction towards a running mean of what was predicted for that sample before."""

    paper: ClassVar[str] = "arXiv:2007.00151"
    capturable: ClassVar[bool] = True
    beta: float = 0.7  # of the running mean
    weight: float = 1.0  # of the pull

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.register_buffer("memory", torch.zeros(task.num_train, task.num_classes))

    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        logp = logits.log_softmax(-1)
        p = logp[0].exp()
        target = self.beta * self.memory[batch.index] + (1 - self.beta) * p.detach()
        self.memory[batch.index] = target
        pull = (1 - (target * p).sum(-1)).clamp(min=1e-4).log()
        own = cross_entropy(logp, batch.y)
        return Step((own + self.weight * pull).mean(-1), clean_score=-own, relabelled=target / target.sum(-1)[:, None])


@dataclass(eq=False)
class TwoPhases(Method):
    """Warm up; then start again with fresh tails, and give each sample the weight that the epoch before measured."""

    num_networks: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs(noisy_val=True)
    paper: ClassVar[str] = "none: an example"
    warm_up: int = 1  # epochs of the first phase

    def setup(self, task: Task) -> None:
        self.task = task
        self.nets = nn.ModuleList(task.make_network(k) for k in range(self.num_networks))
        self.register_buffer("trust", torch.ones(task.num_train))
        task.labels("val")

    def phases(self) -> list[tuple[str, int]]:
        return [("warm_up", self.warm_up), ("again", self.task.epochs - self.warm_up)]

    def on_phase(self, clock: Clock) -> None:
        for net in self.nets:
            net.reinit_tail(1)
        rate: dict[str, Any] = {} if clock.phase == "warm_up" else {"lr": 0.005}
        self.optimizer = self.task.make_optimizer(self.nets.parameters(), **rate)

    def epoch(self, clock: Clock) -> Iterator[Pass]:
        yield Pass(self.task.loader(), self.update)
        before = torch.zeros_like(self.trust)

        def measure(batch: Batch, clock: Clock) -> None:
            logp = self.nets[0](batch.x).log_softmax(-1)
            before[batch.index] = -cross_entropy(logp, batch.y)

        yield Pass(self.task.loader(views=("plain",), shuffle=False), measure, train=False, name="measure")
        self.trust = before.exp()
        yield Pass(self.task.loader(stream="second"), self.update)

    def update(self, batch: Batch, clock: Clock) -> Step:
        loss = torch.stack([cross_entropy(net(batch.x).log_softmax(-1), batch.y) for net in self.nets])
        losses = (loss * self.trust[batch.index]).mean(-1)
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        self.optimizer.step()
        trusted = (self.trust[batch.index] > 0.5).expand(2, -1)
        return Step(losses, selected=trusted).detached()
