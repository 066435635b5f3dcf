"""DivideMix: split samples by a mixture fitted to their losses, and treat the doubtful ones as unlabelled.

Li, Socher, Hoi, ICLR 2020, arXiv:2002.07394, Algorithm 1 and Sec. 3. In every epoch after a warm-up, each network's
losses say which labels are probably right; the *other* network then learns from those as labelled samples, their labels
refined by its own prediction, and from the rest as unlabelled ones, with labels guessed by both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from methods.base import Batch, Clock, Judgement, Method, Pass, Step, Task, zip_cycle
from methods.card import Card
from methods.losses import cross_entropy, entropy
from methods.mixing import one_hot, sharpen
from methods.mixmatch import mixmatch
from methods.mixture import clean_probability
from methods.recipes import DIVIDEMIX
from methods.registry import register
from methods.schedules import phases_of

Pair = tuple[Batch, Batch | None]


@register("dividemix")
@dataclass(eq=False)
class DivideMix(Method):
    """Divide by the peer's losses, guess labels together, and learn by MixMatch."""

    num_networks: ClassVar[int] = 2
    paper: ClassVar[str] = "arXiv:2002.07394"
    shortest: ClassVar[int] = 2
    capturable: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        title="DivideMix: Learning with Noisy Labels as Semi-supervised Learning; Li, Socher, Hoi; ICLR 2020",
        equations="Algorithm 1; eq. 1 (co-divide), 3-5 (co-refine, co-guess), 6-11 (MixMatch losses)",
        code="LiJunnan1992/DivideMix (MIT)",
        defaults="alpha 4, T .5, threshold .5, lambda_u 25, warm-up 10 of 300 epochs: those of the code",
        deviations=(
            "labels are guessed in evaluation mode by both networks; the code leaves the learning one in training mode",
            "the code switches on the true noise type (a penalty in the warm-up) and rate (5 epochs of losses at 90 "
            "%): here warm_up_penalty and loss_history, off unless set",
            "300 epochs, not 301; a network that is left fewer than two labelled samples learns by cross entropy",
            "phases and ramps are shares of the run",
            "on Clothing1M an epoch is all labelled samples; the code makes 1,000 class-balanced batches",
        ),
        reference="labels guessed with the learning network in training mode",
        tuned="lambda_u per noise setting: CIFAR-10 symmetric 20/50/80/90 % 0/25/25/50, asymmetric 40 % 0; CIFAR-100 "
        "symmetric 20 % 25, else 150 (assembled from the repository's threads); threshold .6 at 90 %",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "uniform:digits": {"params": {"warm_up": 0.15}},
        "paper": DIVIDEMIX,
        "paper:cifar100": {"params": {"warm_up": 30 / 300, "lambda_u": 150.0}},
        "paper_asymmetric": {**DIVIDEMIX, "params": {"warm_up_penalty": True, "lambda_u": 0.0}},
        "paper_asymmetric:cifar100": {"params": {"warm_up": 30 / 300, "lambda_u": 150.0}},
        "paper:clothing1m": {
            "network": "resnet50_imagenet",
            "epochs": 80,
            "batch_size": 64,
            "optimizer": {"lr": 0.002, "weight_decay": 1e-3},
            "params": {"alpha": 0.5, "lambda_u": 0.0, "warm_up": 1 / 80, "warm_up_penalty": True},
        },
    }
    warm_up: float = 10 / 300  # share of the epochs in which both networks trust every label
    warm_up_penalty: bool = False  # add sum p log p then, against early confidence (asymmetric noise)
    p_threshold: float = 0.5  # above this probability of a right label a sample counts as labelled
    loss_history: int = 1  # epochs whose losses are averaged before the mixture is fitted
    alpha: float = 4.0  # of MixMatch's Beta(alpha, alpha)
    temperature: float = 0.5  # by which refined and guessed labels are sharpened
    lambda_u: float = 25.0  # weight of the unlabelled samples
    ramp: float = 16 / 300  # share of the epochs, after the warm-up, in which that weight rises
    compat: Literal["correct", "reference"] = "correct"  # reference: guess with the learning network in training mode

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("temperature", "loss_history"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("alpha", "lambda_u", "ramp"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if not 0 <= self.p_threshold < 1:
            raise ValueError(f"p_threshold must be in [0, 1), got {self.p_threshold}")
        if not 0 < self.warm_up < 1:
            raise ValueError(f"warm_up must be in (0, 1), got {self.warm_up}")

    def setup(self, task: Task) -> None:
        super().setup(task)
        shape = (self.num_networks, task.num_train)
        self.clean = nn.Buffer(torch.ones(shape, device=task.device))  # probability of a right label
        self.losses = nn.Buffer(torch.zeros(self.loss_history, *shape, device=task.device))

    def phases(self) -> list[tuple[str, int]]:
        return phases_of(self.task.epochs, warm_up=self.warm_up, divide=1 - self.warm_up)

    def epoch(self, clock: Clock) -> Iterator[Pass]:
        both = range(self.num_networks)
        if clock.phase == "divide":
            self.losses.copy_(self.losses.roll(1, 0))  # row 0 is the newest epoch's
            for k in both:
                loader = self.task.loader(views=("plain",), shuffle=False)
                yield Pass(loader, partial(self.measure, k=k), train=False, name=f"measure{k + 1}")
            for k in both:
                self.clean[k] = self.divided(k, clock)
        for k in both:
            yield self.lesson(k, clock)

    def measure(self, batch: Batch, clock: Clock, k: int) -> None:
        self.losses[0, k, batch.index] = cross_entropy(self.nets[k](batch.x).log_softmax(-1), batch.y)

    def divided(self, k: int, clock: Clock) -> Tensor:
        """Probability (N,) that each label is right, by network k's losses in the last epochs."""
        newest = self.losses[0, k]
        low, high = newest.min(), newest.max()
        self.losses[0, k] = (newest - low) / (high - low).clamp(min=1e-12)
        recent = self.losses[: min(self.loss_history, clock.phase_epoch + 1), k].mean(0)
        seed = self.task.rng(f"mixture{k}", clock).initial_seed() % 2**32
        return torch.from_numpy(clean_probability(recent.cpu().numpy(), seed)).to(self.clean)

    def lesson(self, k: int, clock: Clock) -> Pass:
        """The pass that trains network k on the division by its peer."""
        trusted = self.clean[1 - k] > self.p_threshold
        labelled, rest = trusted.nonzero().flatten(), (~trusted).nonzero().flatten()
        if clock.phase == "warm_up" or len(labelled) < 2:
            return Pass(self.task.loader(stream=f"net{k + 1}"), partial(self.update, k=k), name=f"net{k + 1}")
        two_views = partial(self.task.loader, ("weak", "weak"), batch_size=self.half_batch)
        pairs = zip_cycle(
            two_views(subset=labelled, stream=f"labelled{k + 1}"),
            lambda number: two_views(subset=rest, stream=f"unlabelled{k + 1}.{number}"),
        )
        return Pass(pairs, partial(self.mix, k=k), name=f"net{k + 1}")

    @property
    def half_batch(self) -> int:
        """Labelled samples of a batch, and as many unlabelled ones: together the run's batch size."""
        return max(2, self.task.batch_size // 2)

    def update(self, batch: Batch, clock: Clock, k: int = 0) -> Step:
        """Cross entropy on the given labels, for network k alone."""
        logp = self.nets[k](batch.x).log_softmax(-1)
        loss = cross_entropy(logp, batch.y).mean()
        if self.warm_up_penalty and clock.phase == "warm_up":
            loss = loss - entropy(logp).mean()
        self.learn(loss)
        return self.lone_step(k, loss)

    def mix(self, pair: Pair, clock: Clock, k: int) -> Step:
        """MixMatch on labelled and unlabelled samples, for network k alone."""
        labelled, rest = pair
        weight = self.clean[1 - k][labelled.index][:, None]
        self.nets.eval()
        if self.compat == "reference":
            self.nets[k].train()
        with torch.no_grad():  # in the code's order: in training mode the last batch seen counts most
            guessed = sharpen(self.guess(rest.views, [k, 1 - k]), self.temperature) if rest else None
            own = self.guess(labelled.views, [k])
            refined = sharpen(weight * one_hot(labelled.y, own.shape[-1]) + (1 - weight) * own, self.temperature)
        self.nets.train()
        known = [(view, refined) for view in labelled.views]
        guesses = [(view, guessed) for view in rest.views] if rest and guessed is not None else []
        found = mixmatch(self.nets[k], known, guesses, self.task, clock, self.alpha, f"mixmatch{k}")
        loss = found.supervised() + self.unlabelled_weight(clock) * found.unsupervised() + found.unevenness()
        self.learn(loss)
        return self.lone_step(k, loss)

    def guess(self, views: tuple[Tensor, ...], networks: list[int]) -> Tensor:
        """Mean prediction (B, C) of some networks over all views."""
        return torch.stack([self.nets[j](view).softmax(-1) for j in networks for view in views]).mean(0)

    def unlabelled_weight(self, clock: Clock) -> float:
        """lambda_u, after a linear rise that begins with the division."""
        rising = max(1.0, self.ramp * clock.epochs)  # epochs
        return clock.value(lambda now: self.lambda_u * min((now.phase_epoch + now.step / now.steps) / rising, 1.0))

    def judgement(self) -> Judgement | None:
        if self.task.clock.phase == "warm_up":
            return None
        return Judgement(selected=self.clean > self.p_threshold, clean_score=self.clean)

    def predict(self, x: Tensor) -> dict[str, Tensor]:
        heads = super().predict(x)
        heads["ensemble"] = heads["net1"] + heads["net2"]  # of logits, as the paper's code scores
        return heads
