"""PES: stop the layers of a network early one after the other, from the front, then learn from confident samples.

Bai et al., NeurIPS 2021, arXiv:2106.15853, Algorithm 1 and Sec. 3.3. `pes` goes on with cross entropy on the samples
whose label is predicted, `pes_semi` with MixMatch, the others being unlabelled.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods.base import Batch, Clock, Judgement, Method, Pass, Step, Task, zip_cycle
from methods.card import Card
from methods.losses import cross_entropy
from methods.mixing import one_hot, sharpen
from methods.mixmatch import mixmatch
from methods.recipes import DIVIDEMIX, SGD
from methods.registry import register
from methods.schedules import phases_of

TITLE = "Understanding and Improving Early Stopping for Learning with Noisy Labels; Bai et al.; NeurIPS 2021"
CODE = "tmllab/PES (no licence)"


@dataclass(eq=False)
class Progressive(Method):
    """Warm up, give the tail fresh weights and train it alone for a little while, then trust what is predicted."""

    paper: ClassVar[str] = "arXiv:2106.15853"
    capturable: ClassVar[bool] = True
    refine_lr: float = 1e-4  # Adam's rate while a tail is trained alone

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.whole = self.optimizer  # of all layers, beside those of the tails
        self.confident = nn.Buffer(torch.ones(task.num_train, dtype=torch.bool, device=task.device))

    def tails(self) -> dict[str, int]:
        """Stages before the head that are trained anew in each refining phase."""
        return {"refine": 0}

    def on_phase(self, clock: Clock) -> None:
        if clock.phase not in self.tails():
            self.nets.requires_grad_(True)
            self.optimizer = self.whole
            return
        stages = self.tails()[clock.phase]
        net: Any = self.nets[0]
        net.reinit_tail(stages)
        tail = nn.ModuleList([*list(net.stages)[len(net.stages) - stages :], net.head])
        self.nets.requires_grad_(False)
        tail.requires_grad_(True)
        for weight in tail.parameters():  # fresh weights have no momentum; zeros, since torch's fused SGD needs all
            for value in self.whole.state.get(weight, {}).values():
                value.zero_()
        self.optimizer = self.task.make_optimizer(
            tail.parameters(), name="adam", follow="constant", lr=self.refine_lr, weight_decay=0.0
        )

    def epoch(self, clock: Clock) -> Iterator[Pass]:
        if clock.phase == "main":
            loader = self.task.loader(("weak", "weak"), shuffle=False)  # the mean of two views decides
            yield Pass(loader, self.look, train=False, name="select")
            yield self.main()
        else:
            yield Pass(self.task.loader(), self.update)

    def look(self, batch: Batch, clock: Clock) -> None:
        p = torch.stack([self.nets[0](view).softmax(-1) for view in batch.views]).mean(0)
        self.confident[batch.index] = p.argmax(-1) == batch.y

    @abstractmethod
    def main(self) -> Pass:
        """The training pass of an epoch of the main phase."""

    def update(self, batch: Batch, clock: Clock) -> Step:
        loss = cross_entropy(self.nets[0](batch.x).log_softmax(-1), batch.y).mean()
        self.learn(loss)
        return Step(loss[None]).detached()

    def class_weights(self, highest: float) -> Tensor:
        """mean(n) / n_c of the n_c confident samples labelled c, (C,), at most `highest`; 0 where there is none.

        The mean is that of the classes which have some.
        """
        labels = self.task.labels()
        counts = torch.zeros(self.task.num_classes, device=labels.device)
        counts.scatter_add_(0, labels, self.confident.float())
        mean = counts.sum() / (counts > 0).sum().clamp(min=1)
        weights = mean / counts.clamp(min=1)
        return torch.where(counts > 0, weights, 0.0).clamp(max=highest)

    def judgement(self) -> Judgement | None:
        return Judgement(selected=self.confident[None]) if self.task.clock.phase == "main" else None


@register("pes")
@dataclass(eq=False)
class PES(Progressive):
    """Refine the last stage and then the head, and learn from the samples whose label is predicted."""

    shortest: ClassVar[int] = 4
    card: ClassVar[Card] = Card(
        title=TITLE,
        equations="Algorithm 1; then cross entropy on argmax p = y with class weights mean(n) / n_c",
        code=CODE,
        defaults="25, 7 and 5 of 212 epochs, Adam 1e-4 for the tails, for CIFAR-10; one released script has 7 for both",
        deviations=(
            "the code's optimiser goes on holding the replaced tail, so that the refined one never moves in the main "
            "phase; here it learns",
            "the frozen stages' batch-norm statistics go on following the data",
            "the code reports its best epoch by noisy validation: here that is the table's rule",
        ),
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "uniform:digits": {"params": {"warm_up": 0.2, "refine_stage": 0.15, "refine_head": 0.15, "refine_lr": 0.01}},
        "paper": {
            "network": "resnet18",
            "epochs": 212,
            "batch_size": 128,
            "augment": "crop_flip",
            "optimizer": {**SGD, "lr": 0.1, "weight_decay": 1e-4},
            "schedule": {"name": "steps", "steps": [112 / 212, 162 / 212], "gamma": 0.1},
        },
        "paper:cifar100": {"network": "resnet34", "params": {"warm_up": 30 / 212}},
    }
    warm_up: float = 25 / 212  # share of the epochs in which the whole network learns
    refine_stage: float = 7 / 212  # share in which its last stage and head do
    refine_head: float = 5 / 212  # share in which its head does

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = (self.warm_up, self.refine_stage, self.refine_head)
        if min(shares) <= 0 or sum(shares) >= 1:
            raise ValueError(f"warm_up, refine_stage and refine_head must be above 0, together below 1, got {shares}")

    def tails(self) -> dict[str, int]:
        return {"refine_stage": 1, "refine_head": 0}

    def phases(self) -> list[tuple[str, int]]:
        refine = {"refine_stage": self.refine_stage, "refine_head": self.refine_head}
        rest = 1 - self.warm_up - sum(refine.values())
        return phases_of(self.task.epochs, warm_up=self.warm_up, **refine, main=rest)

    def main(self) -> Pass:
        subset = self.confident.nonzero().flatten()
        weights = self.class_weights(float("inf"))
        if len(subset) < 2:
            return Pass(self.task.loader(), self.update)

        def step(batch: Batch, clock: Clock) -> Step:
            weight = weights[batch.y]
            own = cross_entropy(self.nets[0](batch.x).log_softmax(-1), batch.y)
            loss = (weight * own).sum() / weight.sum()
            self.learn(loss)
            return Step(loss[None]).detached()

        return Pass(self.task.loader(subset=subset), step)


@register("pes_semi")
@dataclass(eq=False)
class PESSemi(Progressive):
    """Refine the head, then take what is predicted as labelled and the rest as unlabelled."""

    shortest: ClassVar[int] = 3
    card: ClassVar[Card] = Card(
        title=TITLE,
        equations="Algorithm 1; then MixMatch with argmax p = y labelled, class weights mean(n) / n_c at most 3",
        code=CODE,
        defaults="20 and 5 of 300 epochs, T .5, alpha 4 and .75 from half way, lambda_u 15 over 16 epochs: the "
        "repository's README; its code's default is 150; 75 on CIFAR-100 is a third party's, for human noise",
        deviations=(
            "the code's optimiser goes on holding the replaced tail, so that the refined one never moves in the main "
            "phase; here it learns",
            "an epoch is one pass over the trusted samples; the code makes N / B steps",
            "labels are guessed in evaluation mode",
            "the frozen stages' batch-norm statistics go on following the data",
            "the code reports its best epoch on the test set: here that is the rule oracle, and marked",
        ),
        tuned="lambda_u per noise setting, 5 to 150",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "uniform:digits": {"params": {"warm_up": 0.3, "refine": 0.15, "refine_lr": 0.01}},
        "paper": {**DIVIDEMIX, "schedule": {"name": "cosine", "final": 0.01}},
        "paper:cifar100": {"params": {"warm_up": 35 / 300, "lambda_u": 75.0}},
    }
    warm_up: float = 20 / 300  # share of the epochs in which the whole network learns
    refine: float = 5 / 300  # share in which its head does
    temperature: float = 0.5  # by which guessed labels are sharpened
    alpha: float = 4.0  # of MixMatch's Beta(alpha, alpha)
    alpha_late: float = 0.75  # the same in the second half of the run
    lambda_u: float = 15.0  # weight of the unlabelled samples
    ramp: float = 16 / 300  # share of the epochs, in the main phase, in which that weight rises

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.warm_up > 0 and self.refine > 0 and self.warm_up + self.refine < 1):
            raise ValueError(
                f"warm_up and refine must be above 0 and together below 1, got {self.warm_up} and {self.refine}"
            )
        if self.temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        for name in ("alpha", "alpha_late", "lambda_u", "ramp"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")

    def phases(self) -> list[tuple[str, int]]:
        rest = 1 - self.warm_up - self.refine
        return phases_of(self.task.epochs, warm_up=self.warm_up, refine=self.refine, main=rest)

    def main(self) -> Pass:
        labelled, rest = self.confident.nonzero().flatten(), (~self.confident).nonzero().flatten()
        if len(labelled) < 2:
            return Pass(self.task.loader(), self.update)
        # a batch has as large a share of unlabelled samples as the data, but at most half
        doubtful = max(2, int(self.task.batch_size * min(0.5, len(rest) / len(self.confident))))
        two_views = partial(self.task.loader, ("weak", "weak"))
        pairs = zip_cycle(
            two_views(subset=labelled, batch_size=max(2, self.task.batch_size - doubtful), stream="labelled"),
            lambda number: two_views(subset=rest, batch_size=doubtful, stream=f"unlabelled.{number}"),
        )
        return Pass(pairs, partial(self.mix, weights=self.class_weights(3.0)))

    def mix(self, pair: tuple[Batch, Batch | None], clock: Clock, weights: Tensor) -> Step:
        """MixMatch on confident samples and the rest."""
        labelled, rest = pair
        known = one_hot(labelled.y, self.task.num_classes)
        guessed = None if rest is None else self.guess(rest)
        guesses = [] if rest is None or guessed is None else [(view, guessed) for view in rest.views]
        alpha = self.alpha if 2 * clock.epoch < clock.epochs else self.alpha_late
        views = [(view, known) for view in labelled.views]
        found = mixmatch(self.nets[0], views, guesses, self.task, clock, alpha, "mixmatch")
        rising = max(1.0, self.ramp * clock.epochs)  # epochs
        rise = clock.value(lambda now: min((now.phase_epoch + now.step / now.steps) / rising, 1.0))
        loss = found.supervised(weights) + self.lambda_u * rise * found.unsupervised()
        self.learn(loss)
        return Step(loss[None]).detached()

    @torch.no_grad()
    def guess(self, batch: Batch) -> Tensor:
        """The sharpened mean prediction (B, C) over all views, in evaluation mode."""
        self.nets.eval()
        p = torch.stack([self.nets[0](view).softmax(-1) for view in batch.views]).mean(0)
        self.nets.train()
        return sharpen(p, self.temperature)
