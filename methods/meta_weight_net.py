"""Meta-Weight-Net: a small network turns a sample's loss into its weight, and learns to from samples with true labels.

Shu et al., NeurIPS 2019, arXiv:1902.07379, eq. 3-7: take a virtual step with the weighted loss, see how well the result
does on trusted samples, and move the weighting network by the gradient of that, through the virtual step.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from methods.base import Batch, Clock, Method, Needs, Pass, Step, Task, zip_cycle
from methods.card import Card
from methods.losses import cross_entropy
from methods.recipes import SGD
from methods.registry import register

Named = dict[str, Tensor]


@register("meta_weight_net")
@dataclass(eq=False)
class MetaWeightNet(Method):
    """Learn which losses to trust from a few samples with true labels."""

    needs: ClassVar[Needs] = Needs(trusted=1000)
    paper: ClassVar[str] = "arXiv:1902.07379"
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="Meta-Weight-Net: Learning an Explicit Mapping For Sample Weighting; Shu et al.; NeurIPS 2019",
        equations="Eq. 3-7: w' = w - lr d/dw mean V(CE_i) CE_i; V moves down d/dV of CE(w') on trusted samples; then "
        "w takes the step with the new V fixed",
        code="xjtushujun/meta-weight-net (MIT)",
        defaults="V is 1-100-1 with a sigmoid, Adam 1e-3, weight decay 1e-4; 1,000 trusted samples in the paper",
        deviations=(
            "the virtual step is plain SGD at the present rate, and V's rate is constant, as in the code; batch-norm "
            "statistics follow the real step alone",
            "padding of the paper's recipe is by reflection; its unused flag for Nesterov momentum is not set",
        ),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "uniform:digits": {"params": {"weight_lr": 0.1}},
        "paper": {
            "network": "resnet32",
            "epochs": 120,
            "batch_size": 100,
            "augment": "crop_flip_reflect",
            "optimizer": {**SGD, "lr": 0.1, "weight_decay": 5e-4},
            "schedule": {"name": "steps", "steps": [80 / 120, 100 / 120], "gamma": 0.1},
        },
    }
    hidden: int = 100  # units of the weighting network
    weight_lr: float = 1e-3  # its learning rate, by Adam

    def setup(self, task: Task) -> None:
        super().setup(task)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(task.rng("weights", task.clock).initial_seed())
            layers = nn.Linear(1, self.hidden), nn.ReLU(), nn.Linear(self.hidden, 1), nn.Sigmoid()
        self.weigher = nn.Sequential(*layers).to(task.device)
        self.weigher_steps = task.make_optimizer(
            self.weigher.parameters(), name="adam", follow="constant", lr=self.weight_lr, weight_decay=1e-4
        )

    def epoch(self, clock: Clock) -> Iterator[Pass]:
        pairs = zip_cycle(self.task.loader(), lambda n: self.task.loader(split="trusted", stream=f"trusted.{n}"))
        yield Pass(pairs, self.update_pair)

    def update_pair(self, pair: tuple[Batch, Batch], clock: Clock) -> Step:
        batch, trusted = pair
        gradient = grad(self.trusted_loss)(dict(self.weigher.named_parameters()), batch, trusted)
        for name, parameter in self.weigher.named_parameters():
            parameter.grad = gradient[name].detach()
        self.weigher_steps.step()
        own = cross_entropy(self.nets[0](batch.x).log_softmax(-1), batch.y)
        weight = self.weigher(own.detach()[:, None]).detach().squeeze(-1)
        loss = (weight * own).mean()
        self.learn(loss)
        return Step(loss[None], clean_score=weight[None], scalars={"weight": weight.mean()}).detached()

    def trusted_loss(self, weigher: Named, batch: Batch, trusted: Batch) -> Tensor:
        """Cross entropy on trusted samples after a virtual step that weighs the batch by `weigher`; a scalar."""
        net = self.nets[0]
        weights: Named = {**dict(net.named_parameters())}

        def weighted(weights: Named) -> Tensor:
            own = cross_entropy(self.called(weights, batch.x).log_softmax(-1), batch.y)
            weight = functional_call(self.weigher, weigher, (own.detach()[:, None],)).squeeze(-1)
            return (weight * own).mean()

        slope = grad(weighted)(weights)
        rate = self.optimizer.param_groups[0]["lr"]
        moved = {name: value - rate * slope[name] for name, value in weights.items()}
        return cross_entropy(self.called(moved, trusted.x).log_softmax(-1), trusted.y).mean()

    def called(self, weights: Named, x: Tensor) -> Tensor:
        """The network with other weights, on copies of its batch-norm statistics."""
        buffers = {name: value.clone() for name, value in self.nets[0].named_buffers()}
        logits: Tensor = functional_call(self.nets[0], (weights, buffers), (x,))
        return logits

    def update(self, batch: Batch, clock: Clock) -> Step:
        """The batch as if its labels could be trusted."""
        return self.update_pair((batch, batch), clock)
