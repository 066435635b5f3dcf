"""What a method may know, made from a run's config and data."""

import weakref
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args, get_type_hints

import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from bench.config import OptimizerConfig, RunConfig
from bench.data.datasets import DatasetInfo
from bench.data.loader import Samples
from bench.names import unknown
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
        self.batch_size = config.train.batch_size
        self.optimizers: list[torch.optim.Optimizer] = []
        self.forward_samples = 0  # images that went forward through a network, in training and out of it
        self._networks: list[weakref.ref[nn.Module]] = []  # some serve for a moment only
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
        network.compiled_batch = train.batch_size if train.compile else None
        layout = torch.channels_last if train.channels_last else torch.contiguous_format
        network = convert_conv2d_weight_memory_format(network.to(self.device), layout)

        def count(network: nn.Module, args: tuple[Tensor, ...]) -> None:  # no method: copying a network copies no task
            self.forward_samples += len(args[0])

        network.register_forward_pre_hook(count)
        self._networks.append(weakref.ref(network))
        return network

    def make_optimizer(
        self,
        params: Iterable[nn.Parameter],
        *,
        name: str | None = None,
        follow: Literal["run", "phase", "constant"] = "run",
        **overrides: Any,
    ) -> torch.optim.Optimizer:
        run = self._config.train.optimizer
        kind, kinds = name or run.name, get_args(get_type_hints(OptimizerConfig)["name"])
        if kind not in kinds:
            raise unknown("optimizer", kind, kinds)
        settings: dict[str, Any] = {"lr": run.lr, "weight_decay": run.weight_decay, "fused": True}
        optimizer: torch.optim.Optimizer
        if kind == "adam":
            beta = run.momentum if run.name == "adam" else 0.9  # not the run's optimiser: at its usual momentum
            settings |= {"betas": (beta, 0.999), "capturable": self.device.type == "cuda", **overrides}
            optimizer = torch.optim.Adam(params, **settings)
            optimizer._warned_capturable_if_run_uncaptured = True  # most steps run outside of a graph, and may
        else:
            settings |= {"momentum": run.momentum if run.name == "sgd" else 0.9, **overrides}
            settings.setdefault("nesterov", run.nesterov and settings["momentum"] > 0)
            optimizer = torch.optim.SGD(params, **settings)
        for group in optimizer.param_groups:
            group["base_lr"], group["follow"] = group["lr"], follow  # what the schedule's factor multiplies, and when
        if run.clip_norm is not None:
            self._clip(optimizer, run.clip_norm)
        self.optimizers.append(optimizer)
        return optimizer

    def _clip(self, optimizer: torch.optim.Optimizer, largest: float) -> None:
        """Let no step see a gradient of a larger norm, each network by its own: none depends on another's."""
        own = {id(p): p for group in optimizer.param_groups for p in group["params"]}
        alive = [network for found in self._networks if (network := found()) is not None]
        parts = [[own.pop(id(p)) for p in network.parameters() if id(p) in own] for network in alive]
        parts.append(list(own.values()))  # what belongs to the method itself

        def clip(*_: Any) -> None:
            for part in parts:
                nn.utils.clip_grad_norm_(part, largest)

        optimizer.register_step_pre_hook(clip)

    def rng(self, stream: str, clock: Clock) -> torch.Generator:
        return torch.Generator().manual_seed(derive(self._config.seed, "method", stream, clock.epoch, clock.step))

    def fact(self, name: str) -> Any:
        if name not in self._facts:
            hint = "; say what you believe, as in --noise none:assumed=0.3" if name == "noise_rate" else ""
            raise ValueError(f"the method needs {name}, which is unknown for this data and noise{hint}")
        return self._facts[name]
