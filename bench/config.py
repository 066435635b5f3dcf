"""What identifies a run: everything that can change one of its numbers, and nothing else.

Paths, hosts, devices and the number of workers are not in it. The canonical JSON of a RunConfig hashes to its run_id.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bench.files import canonical, sha256
from bench.names import unknown

WORDS: dict[Any, str] = {  # a type, for a reader of error texts
    float: "a finite number",
    int: "a whole number",
    str: "a text",
    bool: "true or false",
    tuple: "a list",
    dict: "a table",
}
Precision = Literal["float32", "tf32", "bf16"]  # what "auto" asks for is chosen before there is a config
PROTOCOL = 1  # raised by every change that moves numbers, so that old and new runs are never mixed
# settings that came later, written only where they are not at their default: the ids of older runs stay
_LATER: dict[tuple[str, ...], dict[str, Any]] = {
    ("dataset",): {"trusted": 0},
    ("train",): {"strong": "randaugment", "rotate": 0.0, "compile": False},
    ("train", "optimizer"): {"nesterov": False, "clip_norm": None},
    ("train", "schedule"): {"final": 0.0, "cycles": 1, "warm_up": 0.0},
}


@dataclass(frozen=True)
class DatasetConfig:
    name: str
    digest: str  # sha256 of labels and pixels
    val: float = 0.1  # share of the training set held out, with its wrong labels, in [0, 1)
    train_limit: int | None = None  # use this many training samples only, drawn by the noise seed
    test_limit: int | None = None  # score the first so many test samples only
    trusted: int = 0  # samples taken out of training for methods that learn from true labels too


@dataclass(frozen=True)
class NoiseConfig:
    family: str
    rate: float | None  # asked, in [0, 1); None where labels come as they are
    dialect: str
    flips: str
    map: str | None
    options: dict[str, Any]
    seed: int


@dataclass(frozen=True)
class MethodConfig:
    name: str
    params: dict[str, Any]  # every hyper-parameter, defaults resolved


@dataclass(frozen=True)
class OptimizerConfig:
    name: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.02
    momentum: float = 0.9  # of SGD; beta1 of Adam
    weight_decay: float = 5e-4
    nesterov: bool = False  # of SGD
    clip_norm: float | None = None  # largest norm of the gradient of one network; None: any


@dataclass(frozen=True)
class ScheduleConfig:
    """Factor on the learning rate as a function of the share of epochs done."""

    name: Literal["constant", "cosine", "linear", "steps"] = "cosine"
    start: float = 0.0  # linear: constant until this share of the epochs, then down to 0 at the end
    steps: tuple[float, ...] = ()  # steps: shares of the epochs at which the rate is multiplied
    gamma: float = 0.1  # steps: by this
    momentum_after: float | None = None  # linear: momentum (Adam: beta1) from `start` on
    final: float = 0.0  # cosine: the factor that it falls to
    cycles: int = 1  # cosine: so many times from 1 down to `final`
    warm_up: float = 0.0  # any: share of the epochs in which the factor rises from 0 to what it would be


@dataclass(frozen=True)
class TrainConfig:
    network: str
    epochs: int = 100
    batch_size: int = 128
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    augment: Literal["none", "crop_flip", "crop_flip_reflect"] = "none"
    normalise: bool = True  # by the dataset's mean and standard deviation; else pixels in [0, 1]
    # of the networks, forward and backward; losses, weights and statistics are float32 throughout. tf32 multiplies
    # float32 with 10 bits of mantissa, on NVIDIA GPUs alone; bf16 computes in bfloat16 what autocast computes in it
    precision: Precision = "float32"
    channels_last: bool = True
    threads: int = 1  # of the process: another number gives other bits
    deterministic: bool = True
    preset: str = "uniform"  # "uniform": the harness's settings; else the method's own, by this name
    trace_samples: int = 10_000  # training samples on which memorisation is measured after every epoch
    strong: Literal["randaugment", "autoaugment"] = "randaugment"  # of the views that methods call "strong"
    rotate: float = 0.0  # degrees by which augmented images turn at most, either way
    compile: bool = False  # training batches of `batch_size` go through a compiled network, which rounds otherwise


@dataclass(frozen=True)
class RunConfig:
    dataset: DatasetConfig
    noise: NoiseConfig
    method: MethodConfig
    train: TrainConfig
    seed: int
    protocol: int = PROTOCOL

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, every default written out but for those of later settings."""
        data: dict[str, Any] = plain(self)
        for path, settings in _LATER.items():
            part = functools.reduce(lambda table, key: table[key], path, data)
            for name, default in settings.items():
                if part[name] == default:
                    del part[name]
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RunConfig:
        """The config of a dict; ValueError with the key for unknown keys, wrong types and wrong values."""
        config: RunConfig = typed(cls, data, "config")
        return config.checked()

    @functools.cached_property
    def run_id(self) -> str:
        """ "r" and 20 hex digits: a letter first, so that no reader takes it for a number."""
        return "r" + sha256(canonical(self.to_dict()))[:20]

    def checked(self) -> RunConfig:
        """This config, if its numbers make sense; otherwise ValueError naming the first that does not."""
        dataset, train = self.dataset, self.train
        optimizer, schedule = train.optimizer, train.schedule
        decay, clip, after = optimizer.weight_decay, optimizer.clip_norm, schedule.momentum_after
        rules = [
            (train.epochs >= 1, "epochs", train.epochs, "at least 1"),
            (train.batch_size >= 2, "batch_size", train.batch_size, "at least 2"),
            (0 < optimizer.lr < float("inf"), "optimizer.lr", optimizer.lr, "above 0"),
            (0 <= optimizer.momentum < 1, "optimizer.momentum", optimizer.momentum, "in [0, 1)"),
            (0 <= decay < float("inf"), "optimizer.weight_decay", decay, "at least 0"),
            (0 <= schedule.start < 1, "schedule.start", schedule.start, "in [0, 1)"),
            (0 < schedule.gamma <= 1, "schedule.gamma", schedule.gamma, "in (0, 1]"),
            (all(0 < step < 1 for step in schedule.steps), "schedule.steps", schedule.steps, "in (0, 1)"),
            (after is None or 0 <= after < 1, "schedule.momentum_after", after, "in [0, 1)"),
            (0 <= schedule.final < 1, "schedule.final", schedule.final, "in [0, 1)"),
            (schedule.cycles >= 1, "schedule.cycles", schedule.cycles, "at least 1"),
            (0 <= schedule.warm_up < 1, "schedule.warm_up", schedule.warm_up, "in [0, 1)"),
            (clip is None or clip > 0, "optimizer.clip_norm", clip, "above 0"),
            (0 <= train.rotate <= 180, "rotate", train.rotate, "in [0, 180] degrees"),
            (train.threads >= 1, "threads", train.threads, "at least 1"),
            (train.trace_samples >= 0, "trace_samples", train.trace_samples, "at least 0"),
            (0 <= dataset.val < 1, "val", dataset.val, "in [0, 1)"),
            (dataset.train_limit is None or dataset.train_limit >= 4, "train_limit", dataset.train_limit, "at least 4"),
            (dataset.test_limit is None or dataset.test_limit >= 1, "test_limit", dataset.test_limit, "at least 1"),
            (dataset.trusted >= 0, "trusted", dataset.trusted, "at least 0"),
            (0 <= self.seed < 2**32, "seed", self.seed, "in [0, 2**32)"),
            (0 <= self.noise.seed < 2**32, "noise seed", self.noise.seed, "in [0, 2**32)"),
        ]
        for holds, name, value, allowed in rules:
            if not holds:
                raise ValueError(f"{name} must be {allowed}, got {value!r}")
        return self


_hints = functools.cache(get_type_hints)  # the declared types: to work them out takes longer than to cast by them


def typed(cls: type[Any], data: Any, where: str) -> Any:
    """Build the dataclass `cls` from plain data, casting each value to its declared type.

    1 and 1.0 are written the same way for a float, so they cannot make two runs of one.
    """
    if not isinstance(data, dict):
        raise ValueError(f"{where} must be a table of settings, got {data!r}")
    hints = _hints(cls)  # type: ignore[arg-type]  # every class can be a key
    known = {f.name: f for f in dataclasses.fields(cls)}
    for key in data:
        if key not in known:
            raise unknown(f"setting in {where}", key, known)
    missing = [
        name
        for name, f in known.items()
        if name not in data and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{where} lacks {missing[0]!r}")
    return cls(**{key: cast(value, hints[key], f"{where}.{key}") for key, value in data.items()})


def cast(value: Any, hint: Any, where: str) -> Any:
    """`value` as a value of type `hint`, or ValueError saying what is allowed."""
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return typed(hint, value, where)
    origin = get_origin(hint)
    if origin is types.UnionType or origin is typing.Union:
        if value is None and type(None) in get_args(hint):
            return None
        return cast(value, next(a for a in get_args(hint) if a is not type(None)), where)
    if origin is Literal:
        if value in get_args(hint):
            return value
        raise unknown(where.removeprefix("config."), str(value), [str(a) for a in get_args(hint)])
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(cast(item, get_args(hint)[0], where) for item in value)
    if origin is dict and isinstance(value, dict):
        return {key: cast(item, get_args(hint)[1], f"{where}.{key}") for key, item in value.items()}
    # a whole number beyond all floats is none that a setting could mean
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if hint is float and number:
        return float(value)
    if hint is int and number and value == int(value):
        return int(value)
    if hint in (str, bool) and isinstance(value, hint):
        return value
    raise ValueError(f"{where.removeprefix('config.')} must be {WORDS[origin or hint]}, got {value!r}")


LEAVES = frozenset({str, int, float, bool, type(None)})


@functools.cache
def _names(table: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(table))


def plain(value: Any) -> Any:
    """A copy of `value` with tuples as lists and dataclasses as tables: what JSON gives back when it is read again."""
    if type(value) in LEAVES:  # first, for thousands of configurations are told at a time
        return value
    if dataclasses.is_dataclass(value):
        return {name: plain(getattr(value, name)) for name in _names(value.__class__)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
