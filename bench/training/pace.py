"""One of several runs that are timed side by side on one device: a real trainer on made-up data.

`python -m bench.training.pace '[SPEC, CONFIG, DATASET_INFO]' DEVICE CAPTURE` prints {"memory_mb": ...} when it is warm.
Then, for each line of standard input, it trains for so many seconds and prints {"epochs": ..., "seconds": ...}.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace

import torch

from bench.config import RunConfig
from bench.data.datasets import DatasetInfo
from bench.training.recorders import recorder
from bench.training.stand_in import stand_in
from bench.training.trainer import Trainer
from methods import registry

BATCHES = 8  # of a made-up epoch
WARM_UP = 2  # epochs: kernels are found and steps captured in the first
CONTEXT_MB = 600  # what a CUDA context with its libraries takes beside what torch reserves, by and large
MANY = 10**6  # epochs: more than fit into any window


def main(argv: list[str]) -> int:
    """Train when told to, until standard input ends."""
    spec, settings, facts = json.loads(argv[0])
    config, info, device = RunConfig.from_dict(settings), DatasetInfo(**facts), torch.device(argv[1])
    trainer = _trainer(spec, config, info, device, argv[2])
    for _ in range(WARM_UP):
        trainer.epoch()
    print(json.dumps({"memory_mb": memory_mb(device)}), flush=True)
    for line in sys.stdin:
        print(json.dumps(_window(trainer, float(line))), flush=True)
    return 0


def memory_mb(device: torch.device) -> float:
    """The most GPU memory that this process has held so far, its CUDA context included; 0 on the CPU."""
    if device.type != "cuda":
        return 0.0
    return torch.cuda.max_memory_reserved(device) / 2**20 + CONTEXT_MB


def _trainer(spec: str, config: RunConfig, info: DatasetInfo, device: torch.device, capture: str) -> Trainer:
    trained = BATCHES * config.train.batch_size
    whole = min(config.dataset.train_limit or info.train_size, info.train_size)
    scored = min(config.dataset.test_limit or info.test_size, info.test_size) + config.train.trace_samples
    share = min(1.0, scored / whole)
    endless = replace(config, train=replace(config.train, epochs=MANY))
    run, data = stand_in(endless, info, train=trained, scored=round(share * trained), device=device)
    return Trainer(run, data, registry.create(spec, **config.method.params), device, recorder(capture, device))


def _window(trainer: Trainer, length: float) -> dict[str, float]:
    """Train for `length` seconds, at least one epoch; only whole epochs and their time count."""
    started, epochs = time.perf_counter(), 0
    while not epochs or time.perf_counter() - started < length:
        trainer.epoch()  # whose record is read from the device: nothing is under way any more
        epochs += 1
    return {"epochs": epochs, "seconds": time.perf_counter() - started}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
