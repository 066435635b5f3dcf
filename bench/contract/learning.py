"""How a method learns: all its networks, each from its own loss, and memories by sample."""

from __future__ import annotations

from typing import Any

import torch

from bench.contract import world
from bench.contract.checks import DoesNotApply, Violation, about, generator, listed, require
from bench.contract.outputs import member
from methods.base import Batch, Clock, LossMethod

check = about("how it learns")


@check("training", "a training epoch moves every network")
def training(spec: str) -> None:
    trainer = world.trainer(spec)
    method = trainer.method
    before = world.weights(method)
    trainer.epoch()
    after = method.state_dict()
    change = "give its parameters to the optimiser, and its loss a gradient: one loss for every network"
    for k in range(method.num_networks):
        own = [name for name, _ in method.nets.named_parameters(prefix="nets") if name.startswith(f"nets.{k}.")]
        require(bool(own), f"self.nets holds no network {k + 1}", "make num_networks networks in setup", "setup")
        still = [name for name in own if name.endswith("weight") and torch.equal(before[name], after[name])]
        require(not still, f"network {k + 1} did not learn: {listed(still)} stayed", change, member(trainer))


@check("looking", "a look at the data moves no weight and no statistic of batch norm", after=("predict",))
def looking(spec: str) -> None:
    trainer = world.trainer(spec)
    trainer.epoch()
    before = world.weights(trainer.method)
    seen: list[int] = []
    attached: list[str] = []

    def look(batch: Batch, clock: Clock) -> None:
        seen.append(len(batch.y))
        attached.extend(head for head, z in trainer.method.predict(batch.x).items() if z.requires_grad)

    world.looking_only(trainer.method, look)
    trainer.epoch()
    change = "call predict without switching gradients on"
    require(not attached, f"without gradients, head {attached[:1]} still records them", change, "predict")
    whole = trainer.task.num_train
    require(sum(seen) == whole, f"a pass showed {sum(seen)} of {whole} samples", "make no loader of its own", "setup")
    moved = world.changed(before, trainer.method)
    change = "leave the modes of the networks to the trainer, and change nothing in predict and judgement"
    require(not moved, f"an evaluation pass changed {listed(moved)}", change, "predict")


@check("gradients", "no loss sends a gradient to another network, and each one to its own", after=("steps", "training"))
def gradients(spec: str) -> None:
    trainer = world.trainer(spec)
    method = trainer.method
    if not isinstance(method, LossMethod):
        raise DoesNotApply("a method with an update of its own may share networks between losses")
    rng = generator("gradients", spec)
    y = torch.randint(3, (16,), generator=rng)
    change = "loss k trains network k alone: detach what it takes from the others"
    for progress, size in ((0.1, 1.0), (0.9, 1.0), (0.9, 8.0)):
        logits = (size * torch.randn(method.num_networks, 16, 3, generator=rng)).requires_grad_()
        losses = method.losses(logits, world.batch(y), world.clock(progress)).losses
        for k, loss in enumerate(losses):
            (grad,) = torch.autograd.grad(loss, logits, retain_graph=True)
            own = bool(grad[k].abs().sum() > 0)
            require(own, f"loss {k + 1} sends no gradient to its network", "compute it from logits[k]", "losses")
            for j in range(len(losses)):
                alone = j == k or torch.equal(grad[j], torch.zeros_like(grad[j]))
                require(alone, f"loss {k + 1} sends a gradient to network {j + 1}", change, "losses")


@check("memory", "a memory follows the sample and not its place in the batch", after=("training",))
def memory(spec: str) -> None:
    trainer = world.trainer(spec)
    trainer.epoch()
    before, method = world.weights(trainer.method), trainer.method
    memories = [name for name, value in before.items() if len(value.shape) and len(value) == trainer.task.num_train]
    batch: Any = next(iter(trainer.task.loader()))
    order = torch.randperm(len(batch.y), generator=generator("memory", spec))
    shuffled = type(batch)(batch.index[order], tuple(view[order] for view in batch.views), batch.y[order])
    states = []
    for each in (batch, shuffled):
        method.load_state_dict(before)
        method.train()
        method.update(each, world.clock())
        states.append(world.weights(method))
    change = "write it at batch.index: `self.memory[batch.index] = ...`"
    for name in memories:
        try:
            torch.testing.assert_close(states[0][name], states[1][name], rtol=1e-4, atol=1e-6)
        except AssertionError:
            text = f"one batch in two orders left {name} differently"
            raise Violation(text, change, member(trainer)) from None
