"""The one interface of a method: what it may know, what it sees in a batch, and what it gives back.

K networks, B samples in a batch, C classes, N training samples, V views.

No clean label exists on this side: the trainer alone holds them, so it can compute memorisation, selection precision
and the like for every method, and no method can look.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from methods.card import Card

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples as a method sees them: images, and labels of which some are wrong."""

    index: Tensor  # (B,) int64, position in the training split, stable for the whole run
    views: tuple[Tensor, ...]  # V tensors (B, ...), each an augmented copy
    y: Tensor  # (B,) int64, the observed, possibly wrong, label

    @property
    def x(self) -> Tensor:
        """The first view, (B, ...)."""
        return self.views[0]


@dataclass(frozen=True, slots=True)
class Clock:
    """Where training stands; everything that changes over time is a function of this."""

    epoch: int  # from 0, over the whole run
    epochs: int  # of the whole run
    step: int  # batch within the pass, from 0
    steps: int  # batches of the pass; 1 between passes
    progress: float  # share of the run done once this batch is: in (0, 1], exactly 1 at the last batch
    phase: str
    phase_epoch: int  # from 0, within the phase
    phase_epochs: int

    def value(self, function: Callable[[Clock], Value]) -> Value:
        """What a pure function makes of this clock: a float, a CPU tensor, or a tuple of these, of one shape in a pass.

        Whatever changes from step to step (`step`, `progress`, draws of `task.rng`) a step asks for in this way, and
        gets it where the networks are: on a GPU a float is a 0-d tensor that counts as a number, so no `if` or `max` on
        it. Where steps are recorded, the function is asked for all of them ahead, so it may look at its clock alone.
        """
        return function(self)


@dataclass(frozen=True, slots=True)
class Needs:
    """Facts beyond images and observed labels; a table marks every method that declares one."""

    noise_rate: bool = False  # the share of wrong labels in what it trains on
    noise_type: bool = False  # the family of the noise
    transition: bool = False  # (C, C), P(observed | true)
    noisy_val: bool = False  # held-out samples with observed labels
    trusted: int = 0  # held-out samples with true labels

    def declared(self) -> list[str]:
        """Names of the declared facts, in field order."""
        return [field.name for field in fields(self) if getattr(self, field.name)]


class UndeclaredNeed(RuntimeError):
    """A method reached for a fact that its `needs` do not declare."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one batch produced. Tensors are detached or get detached by `LossMethod.update`; nothing is read here."""

    losses: Tensor  # (K,), loss k trains network k and no other
    selected: Tensor | None = None  # (K, B) bool, what network k chose: samples, or its own knowledge
    clean_score: Tensor | None = None  # (K, B), larger means "label more likely right"
    relabelled: Tensor | None = None  # (B, C), rows sum to 1: the label the method would rather train on
    scalars: Mapping[str, Tensor | float] | None = None  # by name, for plots; per-network names end in _1, _2, ...
    network: int | None = None  # the only network this batch trained: the rows of the others mean nothing

    def check(self, num_networks: int, batch_size: int, num_classes: int) -> None:
        """ValueError naming the first field of another shape; shapes alone are looked at, so nothing waits."""
        shapes = {
            "losses": (num_networks,),
            "selected": (num_networks, batch_size),
            "clean_score": (num_networks, batch_size),
            "relabelled": (batch_size, num_classes),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and tuple(value.shape) != shape:
                raise ValueError(f"Step.{name} must have the shape {shape}, got {tuple(value.shape)}")

    def detached(self) -> Step:
        """The same step without its autograd graph."""

        def cut(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.detach()

        scalars = {name: v.detach() if isinstance(v, Tensor) else v for name, v in (self.scalars or {}).items()}
        parts = cut(self.selected), cut(self.clean_score), cut(self.relabelled)
        return Step(self.losses.detach(), *parts, scalars, self.network)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a method holds between two epochs of all training samples; what is not None replaces the steps' word."""

    selected: Tensor | None = None  # (K, N) bool
    clean_score: Tensor | None = None  # (K, N), larger means "label more likely right"
    relabelled: Tensor | None = None  # (N, C), rows sum to 1
    transition: Tensor | None = None  # (C, C), what the method takes for P(given | true = i) in row i


class Pass(NamedTuple):
    """One sweep over batches. With `train=False` the networks are in evaluation mode and no gradient is recorded."""

    batches: Iterable[Any]  # of Batch, or of pairs of Batch
    step: Callable[[Any, Clock], Step | None]
    train: bool = True
    name: str = "train"


class Task(ABC):
    """Everything a method may know. The trainer provides the one real implementation."""

    num_classes: int
    num_train: int
    epochs: int
    batch_size: int
    device: torch.device
    needs: Needs
    clock: Clock

    @abstractmethod
    def loader(
        self,
        views: Sequence[str] = ("weak",),
        split: str = "train",
        subset: Tensor | None = None,
        batch_size: int | None = None,
        shuffle: bool = True,
        stream: str = "main",
    ) -> Iterable[Batch]:
        """Batches of a split ("train", "val" or "trusted") for the present epoch, sized (`len` works).

        `views` are "weak" (the run's augmentation), "strong" (more of it) or "plain" (none). Loaders of one `stream`
        share order and draws; give another name to a second, independent pass. `subset` holds positions in the split,
        (n,) int64.
        """

    @abstractmethod
    def labels(self, split: str = "train") -> Tensor:
        """Observed labels of a split, (N,) int64 on the task's device."""

    @abstractmethod
    def make_network(self, k: int) -> nn.Module:
        """Network number k of this run; its initial weights depend on the run's seed and k alone."""

    @abstractmethod
    def make_optimizer(
        self,
        params: Iterable[nn.Parameter],
        *,
        name: str | None = None,
        follow: Literal["run", "phase", "constant"] = "run",
        **overrides: Any,
    ) -> torch.optim.Optimizer:
        """The run's optimiser over `params`, or the one called `name` ("sgd", "adam") in its place.

        Before every pass the trainer multiplies its learning rate by the run's schedule, over the whole run, over the
        phase, or not at all (`follow`). `overrides` are arguments of torch's optimiser, such as lr and weight_decay.
        """

    @abstractmethod
    def rng(self, stream: str, clock: Clock) -> torch.Generator:
        """A CPU generator that depends on the run's seed, the stream's name, epoch and step."""

    @abstractmethod
    def fact(self, name: str) -> Any:
        """The granted value of a field of `Needs`; called by the properties below after their check."""

    def _declared(self, name: str) -> Any:
        if not getattr(self.needs, name):
            raise UndeclaredNeed(f"task.{name} was not declared: add needs = Needs({name}=True) to the method's class")
        return self.fact(name)

    @property
    def noise_rate(self) -> float:
        """Share of wrong labels among the training samples, in [0, 1); needs noise_rate."""
        return float(self._declared("noise_rate"))

    @property
    def noise_type(self) -> str:
        """Family of the noise; needs noise_type."""
        return str(self._declared("noise_type"))

    @property
    def transition(self) -> Tensor:
        """(C, C) float32, row i holds P(observed | true = i); needs transition."""
        matrix: Tensor = self._declared("transition")
        return matrix


class Method(nn.Module, ABC):
    """Networks and memories that learn from a Task.

    A subclass is a dataclass with eq=False whose fields are its hyper-parameters. Constructing stores them and does
    nothing else; networks, optimisers and per-sample memories appear in `setup`, so that everything that must survive
    an interruption sits in `state_dict()` and in the optimisers made by the task.
    """

    num_networks: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs()
    paper: ClassVar[str] = ""  # an identifier, such as arXiv:1804.06872
    card: ClassVar[Card | None] = None
    # recipes by name: settings of training, and under "params" hyper-parameters. "NAME:DATASET" adds what differs there
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    shortest: ClassVar[int] = 1  # fewest epochs of a run: one for every phase
    # whether a step may be recorded once in a pass and replayed: it asks the clock for step and progress by `value`
    # alone, and what it changes are tensors of the method and its optimisers, written in place and never bound anew
    capturable: ClassVar[bool] = False
    task: Task

    def __post_init__(self) -> None:
        super().__init__()

    def setup(self, task: Task) -> None:
        """Make the K networks and one optimiser over all of them; called once, before training or a resume."""
        self.task = task
        self.nets = nn.ModuleList(task.make_network(k) for k in range(self.num_networks))
        self.optimizer = task.make_optimizer(self.nets.parameters())

    def phases(self) -> list[tuple[str, int]]:
        """(name, epochs) in order; the epochs sum to the run's."""
        return [("train", self.task.epochs)]

    def on_phase(self, clock: Clock) -> None:
        """Called as a phase begins, and once more for each begun phase, in order, when a run is resumed."""

    def epoch(self, clock: Clock) -> Iterator[Pass]:
        """The passes of one epoch. What stands between two yields runs between the two passes."""
        yield Pass(self.task.loader(), self.update)

    @abstractmethod
    def update(self, batch: Batch, clock: Clock) -> Step | None:
        """Learn from one batch. Never waits for the device: no `.item()`, no boolean indexing."""

    def learn(self, loss: Tensor) -> None:
        """One step of the optimiser down the gradient of a scalar; parameters that it does not reach stay."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def lone_step(self, k: int, loss: Tensor, **more: Any) -> Step:
        """The step of a batch that trained network k alone, by a scalar loss; `more` are other fields of Step."""
        losses = torch.zeros(self.num_networks, device=loss.device)
        losses[k] = loss.detach()
        return Step(losses, network=k, **more).detached()

    def restart(self) -> None:
        """Give every network the weights it began with, and forget what the optimiser has gathered."""
        for k, net in enumerate(self.nets):
            net.load_state_dict(self.task.make_network(k).state_dict())
        self.optimizer.state.clear()

    def judgement(self) -> Judgement | None:
        """What the method holds of every training sample after an epoch; None where its steps have said it."""
        return None

    def predict(self, x: Tensor) -> dict[str, Tensor]:
        """Logits (B, C) of every head: net1, net2, ..., and for several networks `ensemble`."""
        logits = [net(x) for net in self.nets]
        heads = {f"net{k + 1}": z for k, z in enumerate(logits)}
        if len(logits) > 1:  # log of the mean of the softmaxes, a distribution in log space
            mean = torch.stack([z.log_softmax(-1) for z in logits]).logsumexp(0)
            heads["ensemble"] = mean - math.log(len(logits))
        return heads

    def headline(self) -> list[str]:
        """The heads whose mean accuracy is the method's number in a table: its networks, not their ensemble."""
        return [f"net{k + 1}" for k in range(self.num_networks)]


class LossMethod(Method):
    """A method that is one loss per network, a pure function of the logits of one batch."""

    num_views: int = 1  # with more than one, network k sees view k

    def epoch(self, clock: Clock) -> Iterator[Pass]:
        yield Pass(self.task.loader(views=("weak",) * self.num_views), self.update)

    @abstractmethod
    def losses(self, logits: Tensor, batch: Batch, clock: Clock) -> Step:
        """Losses (K,) of logits (K, B, C); loss k must send no gradient to the logits of another network."""

    def update(self, batch: Batch, clock: Clock) -> Step:
        views = batch.views
        logits = torch.stack([net(views[min(k, len(views) - 1)]) for k, net in enumerate(self.nets)])
        step = self.losses(logits, batch, clock)
        step.check(*logits.shape)
        self.learn(step.losses.sum())  # one backward serves all: no loss reaches another's network
        return step.detached()


Rounds = Iterable[Any] | Callable[[int], Iterable[Any]]


def zip_cycle(a: Iterable[Any], b: Rounds) -> ZipCycle:
    """Pairs (batch of a, batch of b), as long as `a`; `b` starts again when it ends, and (x, None) if it is empty.

    `b` may be a function of the round, from 0, so that its batches are drawn anew each time it starts.
    """
    return ZipCycle(a, b)


class ZipCycle:
    """The sized iterable behind `zip_cycle`."""

    def __init__(self, a: Iterable[Any], b: Rounds) -> None:
        self.a, self.b = a, b

    def __len__(self) -> int:
        return len(self.a)  # type: ignore[arg-type]   # loaders are sized

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        rounds = map(self._round, itertools.count())
        other, empty = next(rounds), False
        for first in self.a:
            second = next(other, None)
            if second is None and not empty:
                other = next(rounds)
                second = next(other, None)
                empty = second is None
            yield first, second

    def _round(self, number: int) -> Iterator[Any]:
        return iter(self.b(number) if callable(self.b) else self.b)
