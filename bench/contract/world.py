"""A world small enough to hold a method to its contract: noisy blobs of 8 x 8 pixels, and real trainers on them."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import noise
from bench.config import RunConfig
from bench.data.datasets import Dataset, DatasetInfo
from bench.data.noisy import frozen
from bench.data.prepare import Prepared, assemble
from bench.files import canonical
from bench.training import checkpoint
from bench.training.recorders import waits
from bench.training.trainer import Outcome, Trainer
from methods import registry
from methods.base import Batch, Clock, Method, Pass

CPU = torch.device("cpu")
CODES = {"code": "c" * 16, "method_code": "m" * 16}  # what the process of a run adds to a trainer's payload


class SmallTrainer(Trainer):
    """A trainer that keeps what it found, once it is finished."""

    outcome: Outcome


def blobs(num_classes: int = 3, train: int = 60, test: int = 24) -> Dataset:
    """Images that scatter around one random image per class."""
    rng = np.random.default_rng(7)
    labels = np.arange(train + test) % num_classes
    centres = rng.integers(40, 216, (num_classes, 8, 8, 1))
    images = (centres[labels] + rng.normal(0, 25, (train + test, 8, 8, 1))).clip(0, 255).astype(np.uint8)
    names = tuple(f"class {c}" for c in range(num_classes))
    info = DatasetInfo(
        "blobs", num_classes, train, test, (1, 8, 8), 255, (0.5,), (0.25,), names, "0" * 64, "crop_flip", "made here"
    )
    return Dataset(info, images[:train], labels[:train], images[train:], labels[train:])


def config(
    name: str, params: dict[str, Any], *, seed: int = 0, noise_text: str = "symmetric:0.4", **changes: Any
) -> RunConfig:
    """A run of three epochs of four batches; `changes` go to the training, `dataset` to the data."""
    dataset = {"name": "blobs", "digest": "0" * 64, "val": 0.1, **changes.pop("dataset", {})}
    optimizer = {"name": "adam", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0, **changes.pop("optimizer", {})}
    train = {
        "network": "digits_cnn",
        "epochs": 3,
        "batch_size": 16,
        "augment": "crop_flip",
        "channels_last": False,
        "optimizer": optimizer,
    }
    return RunConfig.from_dict(
        {
            "dataset": dataset,
            "noise": {**noise.NoiseSpec.parse(noise_text).to_dict(), "seed": 0},
            "method": {"name": name, "params": params},
            "train": train | changes,
            "seed": seed,
        }
    )


def prepared(run: RunConfig, data: Dataset) -> Prepared:
    """What a run trains on."""
    return assemble(run, data, frozen(data, run.noise, None), CPU)


def trainer(
    what: str | Method,
    data: Dataset | Prepared | None = None,
    *,
    device: torch.device = CPU,
    **settings: Any,
) -> SmallTrainer:
    """A trainer for a method, given by name or as an instance; `params` are its hyper-parameters."""
    params, recorder = settings.pop("params", {}), settings.pop("recorder", None)
    if isinstance(what, Method):
        method, name = what, type(what).__name__
        kind: Any = type(what)
        params = {f.name: getattr(what, f.name) for f in dataclasses.fields(kind)}
    else:
        info = registry.describe(what)
        method, name, params = registry.create(what, **params), info.name, info.resolve(params)
        settings = possible(info, settings)
    run = config(name, params, **settings)
    if not isinstance(data, Prepared):
        data = data or blobs()
        data = assemble(run, data, frozen(data, run.noise, None), device)
    return SmallTrainer(run, data, method, device, recorder)


def possible(info: registry.MethodInfo, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with an epoch for every phase, and with trusted samples where the method asks for them."""
    settings = {"epochs": max(3, info.shortest), **settings}
    if "trusted" in info.needs:
        settings["dataset"] = {"trusted": 6, **settings.get("dataset", {})}
    return settings


def finish(started: SmallTrainer) -> SmallTrainer:
    """Train the epochs that are left; `outcome` then holds what was found."""
    started.outcome = started.run(lambda state: None, lambda: False)
    return started


def resumed(what: str | Method, cut: int, fresh: Method | None = None, **settings: Any) -> SmallTrainer:
    """Train `cut` epochs, pass the state through bytes to a new trainer, and let that one finish."""
    first = trainer(what, **settings)
    for _ in range(cut):
        first.epoch()
    data = checkpoint.to_bytes(first.state())
    second = trainer(fresh or what, **settings)
    second.restore(checkpoint.from_bytes(data, second.config.run_id, CPU))
    return finish(second)


def bits(finished: SmallTrainer) -> dict[str, bytes]:
    """Every number that a finished trainer holds, as bytes by name."""
    found = {name: value.cpu().numpy().tobytes() for name, value in finished.method.state_dict().items()}
    for number, optimizer in enumerate(finished.task.optimizers):
        for key, slots in optimizer.state_dict()["state"].items():
            found |= {f"optimizer {number}.{key}.{name}": v.cpu().numpy().tobytes() for name, v in slots.items()}
    found["predictions"] = finished.outcome.predictions.cpu().numpy().tobytes()
    found["payload"] = canonical(finished.outcome.payload)
    return found


@contextmanager
def torch_as_found() -> Iterator[None]:
    """One thread within, and a trainer's settings of torch taken back afterwards."""
    torch.set_num_threads(1)
    deterministic, precision = torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.set_float32_matmul_precision(precision)
        torch.set_rng_state(state)


def weights(method: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of all parameters and buffers."""
    return {name: value.clone() for name, value in method.state_dict().items()}


def changed(before: dict[str, torch.Tensor], method: torch.nn.Module) -> list[str]:
    """The parameters and buffers that are not as they were, or came, or went."""
    now = method.state_dict()
    return [
        name
        for name in dict.fromkeys([*before, *now])
        if name not in before or name not in now or not torch.equal(before[name], now[name])
    ]


def clock(progress: float = 0.5, epoch: int = 0, epochs: int = 10) -> Clock:
    """A clock in the middle of a run."""
    return Clock(epoch, epochs, 0, 1, progress, "train", epoch, epochs)


def batch(y: list[int] | torch.Tensor, x: torch.Tensor | None = None) -> Batch:
    """The first samples of a split, of black images where none are given."""
    y = torch.as_tensor(y)
    return Batch(torch.arange(len(y)), (torch.zeros(len(y), 1, 8, 8) if x is None else x,), y)


def looking_only(method: Method, step: Callable[[Any, Clock], None]) -> None:
    """Let the next epochs of a method be one evaluation pass and nothing else."""
    vars(method)["on_phase"] = lambda clock: None
    vars(method)["epoch"] = lambda clock: iter([Pass(method.task.loader(), step, train=False, name="look")])


class Watch(TorchDispatchMode):
    """Notes in `seen` what would make the host wait for a GPU, told on the CPU by the operation's name.

    `calls` are the frames that led to the first of these, outermost first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.calls: list[traceback.FrameSummary] = []
        self._numbers: list[torch.Tensor] = []  # made of Python numbers; kept, so that none takes another's place

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "lift_fresh":
            self._numbers.append(found)
        put = name == "index_put_" and any(args[2] is number for number in self._numbers)
        if put or waits(func, args):
            self._note(f"a number into {name}" if put else name)
        return found

    def _note(self, name: str) -> None:
        self.calls = self.calls or list(traceback.extract_stack())
        self.seen.append(name)

    @contextmanager
    def on(self) -> Iterator[None]:
        """Watch everything within, also what a CPU's tensor gives away without an operation."""

        def noting(name: str, real: Any) -> Any:
            def noted(*args: Any, **kwargs: Any) -> Any:
                self._note(name)
                return real(*args, **kwargs)

            return noted

        with (
            mock.patch.multiple(
                torch.Tensor,
                **{name: noting(name, getattr(torch.Tensor, name)) for name in ("cpu", "numpy", "tolist", "item")},
            ),
            self,
        ):
            yield


def watched(started: Trainer) -> Watch:
    """Watch every step of every pass of a trainer that has not begun."""
    watch, passes = Watch(), started.method.epoch

    def epoch(clock: Clock) -> Iterator[Pass]:
        for part in passes(clock):

            def step(batch: Any, now: Clock, step: Any = part.step) -> Any:
                with watch.on():
                    return step(batch, now)

            yield part._replace(step=step)

    vars(started.method)["epoch"] = epoch
    return watch
