"""How much arithmetic a method takes beyond one plain pass over its data: its work factor, counted and not timed.

`python -m bench.training.work` reads [[SPEC, CONFIG, DATASET_INFO], ...] and prints a list: a factor or null for each.

A factor is the ratio of two counts of multiply-adds and hardly depends on the network, so it is that of a small one on
a few small made-up images, on the CPU, whatever the run trains and wherever it will. What a method does may depend on
its data: DivideMix takes the more steps the more samples it believes, about half of these here. Its factor is right to
a third where half of the labels are wrong, and to a factor of two elsewhere.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.config import OptimizerConfig, RunConfig
from bench.data.datasets import DatasetInfo
from bench.training.stand_in import stand_in
from bench.training.trainer import Trainer
from methods import registry
from methods.base import Method

SIDE = 8  # pixels of a made-up image
NETWORK = "digits_cnn"
BATCH, TRAINED, SCORED, EPOCHS = 32, 128, 64, 6
RATE = 0.003  # of Adam: it tells the classes apart in the first epoch, and has not learnt all by heart in the last


def main() -> int:
    """Print the factors; null for a run that cannot be tried."""
    factors: list[float | None] = []
    for spec, settings, facts in json.load(sys.stdin):
        config, info = RunConfig.from_dict(settings), DatasetInfo(**facts)
        try:
            method = registry.create(spec, **config.method.params)
            factors.append(factor(config, info, method, registry.describe(spec).shortest))
        except (ValueError, RuntimeError, TypeError, AttributeError, IndexError) as error:  # any method may be given
            print(f"{config.method.name}: {error!r}", file=sys.stderr)
            factors.append(None)
    print(json.dumps(factors))
    return 0


def factor(config: RunConfig, info: DatasetInfo, method: Method, shortest: int = 1) -> float:
    """Multiply-adds of a short run, its scoring left out, over those of training its networks on each sample once."""
    cpu = torch.device("cpu")
    epochs = min(config.train.epochs, max(EPOCHS, shortest))
    how: dict[str, Any] = {"network": NETWORK, "epochs": epochs, "batch_size": BATCH}
    how |= {"precision": "float32", "threads": 1, "compile": False}
    small = replace(config.train, optimizer=OptimizerConfig("adam", RATE), **how)
    seen = replace(info, shape=(info.shape[0], SIDE, SIDE))
    run, data = stand_in(replace(config, train=small), seen, train=TRAINED, scored=SCORED, device=cpu)
    trainer = Trainer(run, data, method, cpu)
    with FlopCounterMode(display=False) as counted:
        trainer.run(lambda state: None, lambda: False)
    forward, both = _plain(trainer.task.make_network(0), torch.zeros(2, *seen.shape))
    scored = sum(len(data.splits[name]) for name in ("test", "val", "trace") if name in data.splits)
    epochs = len(trainer.history) * method.num_networks
    return (counted.get_total_flops() - epochs * scored * forward) / (epochs * len(data.splits["train"]) * both)


def _plain(network: torch.nn.Module, x: torch.Tensor) -> tuple[float, float]:
    """Multiply-adds of a sample that is scored, and of one that is trained on."""
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        network(x)
    with FlopCounterMode(display=False) as both:
        network(x).sum().backward()
    return forward.get_total_flops() / len(x), both.get_total_flops() / len(x)


if __name__ == "__main__":
    sys.exit(main())
