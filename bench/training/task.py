"""What a method may know, made from a run's config and data."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from bench.config import RunConfig
from bench.data.datasets import DatasetInfo
from bench.data.loader import Samples
from bench.seeds import derive
from bench.training import networks
from methods.base import Batch, Clock, Needs, Task, UndeclaredNeed


class RunTask(Task):
    """The task of one run: observed labels and declared facts; clean labels are not among its attributes."""

    def __init__(
        self,
        config: RunConfig,
        info: DatasetInfo,
        splits: dict[str, Samples],
        facts: dict[str, Any],
        needs: Needs,
        device: torch.device,
    ) -> None:
        self.num_classes, self.device, self.needs = info.num_classes, device, needs
        self.num_train, self.epochs = len(splits["train"]), config.train.epochs
        self.optimizers: list[torch.optim.Optimizer] = []
        self._config, self._info = config, info
        # a fact or a split that was not declared is not merely refused: it is not here
        self._facts = {name: value for name, value in facts.items() if name in needs.declared()}
        allowed = {"train"} | ({"val"} if needs.noisy_val else set()) | ({"trusted"} if needs.trusted else set())
        self._splits = {name: split for name, split in splits.items() if name in allowed}

    def loader(
        self,
        views: Sequence[str] = ("weak",),
        split: str = "train",
        subset: Tensor | None = None,
        batch_size: int | None = None,
        shuffle: bool = True,
        stream: str = "main",
    ) -> Iterable[Batch]:
        return self._split(split).batches(
            batch_size=batch_size or self._config.train.batch_size,
            views=tuple(views),
            subset=subset,
            shuffle=shuffle,
            seed=self._config.seed,
            stream=f"{split}/{stream}",
            epoch=self.clock.epoch,
            drop_single=shuffle,  # a shuffled pass trains, and batch norm cannot learn from one sample
        )

    def labels(self, split: str = "train") -> Tensor:
        return self._split(split).given.clone()  # a method may write into it; the batches must not change

    def _split(self, name: str) -> Samples:
        if name not in self._splits:
            if self._declares(name):
                raise ValueError(f"the method needs the split {name!r}, but this run holds out no such samples")
            fact = {"val": "noisy_val=True", "trusted": "trusted=n"}.get(name)
            if fact is None:
                raise ValueError(f"a task has the splits train, val and trusted; got {name!r}")
            raise UndeclaredNeed(f"split {name!r} was not declared: add needs = Needs({fact}) to the method's class")
        return self._splits[name]

    def _declares(self, split: str) -> bool:
        return bool({"val": self.needs.noisy_val, "trusted": self.needs.trusted}.get(split, False))

    def make_network(self, k: int) -> nn.Module:
        train = self._config.train
        seed = derive(self._config.seed, "init", k)
        network = networks.build(train.network, self._info, seed=seed, precision=train.precision)
        layout = torch.channels_last if train.channels_last else torch.contiguous_format
        return convert_conv2d_weight_memory_format(network.to(self.device), layout)

    def make_optimizer(self, params: Iterable[nn.Parameter], **overrides: Any) -> torch.optim.Optimizer:
        settings = {"weight_decay": self._config.train.optimizer.weight_decay, "fused": True}
        lr, momentum = self._config.train.optimizer.lr, self._config.train.optimizer.momentum
        optimizer: torch.optim.Optimizer
        if self._config.train.optimizer.name == "adam":
            optimizer = torch.optim.Adam(params, **{"lr": lr, "betas": (momentum, 0.999), **settings, **overrides})
        else:
            optimizer = torch.optim.SGD(params, **{"lr": lr, "momentum": momentum, **settings, **overrides})
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]  # what the schedule's factor multiplies
        self.optimizers.append(optimizer)
        return optimizer

    def rng(self, stream: str, clock: Clock) -> torch.Generator:
        return torch.Generator().manual_seed(derive(self._config.seed, "method", stream, clock.epoch, clock.step))

    def fact(self, name: str) -> Any:
        if name not in self._facts:
            hint = "; say what you believe, as in --noise none:assumed=0.3" if name == "noise_rate" else ""
            raise ValueError(f"the method needs {name}, which is unknown for this data and noise{hint}")
        return self._facts[name]
