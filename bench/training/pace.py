"""One of several runs that are timed side by side on one device: a real trainer on made-up data.

`python -m bench.training.pace '[SPEC, CONFIG, DATASET_INFO]' DEVICE CAPTURE` trains a short run, through all phases of
its method, and prints {"epochs": ..., "seconds": ..., "memory_mb": ...}. It does the same again for each line of
standard input, which says the number of epochs. What comes before the first epoch is not timed.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from dataclasses import replace
from itertools import chain
from math import prod

import torch

from bench.config import RunConfig
from bench.data.datasets import DatasetInfo
from bench.data.prepare import Prepared
from bench.training.recorders import recorder
from bench.training.stand_in import stand_in
from bench.training.trainer import Trainer
from methods import registry

BATCHES = 8  # of a made-up epoch
CAPTURED = 50  # of one whose steps may be captured: enough for the trial that decides on it
BYTES = 2**28  # of images above which an epoch has no more than BATCHES
EPOCHS = 4  # of a short run at least: a ramp or a memory of the last epoch shows
CONTEXT_MB = 600  # what a CUDA context with its libraries takes beside what torch reserves, by and large


def main(argv: list[str]) -> int:
    """Train when told to, until standard input ends."""
    spec, settings, facts = json.loads(argv[0])
    config, info, device = RunConfig.from_dict(settings), DatasetInfo(**facts), torch.device(argv[1])
    fewest = max(registry.describe(spec).shortest, EPOCHS)
    batches = _batches(config, info, recorder(argv[2], device) is not None)
    run, data = _made_up(config, info, batches * config.train.batch_size, device)
    for line in chain([fewest], sys.stdin):
        gc.collect()  # of the run before, what refers to itself still holds memory
        short = replace(run, train=replace(run.train, epochs=max(int(line), fewest)))
        method = registry.create(spec, **config.method.params)
        told = _timed(Trainer(short, data, method, device, recorder(argv[2], device)))
        print(json.dumps({**told, "memory_mb": memory_mb(device)}), flush=True)
    return 0


def memory_mb(device: torch.device) -> float:
    """The most GPU memory that this process has held so far, its CUDA context included; 0 on the CPU."""
    if device.type != "cuda":
        return 0.0
    return torch.cuda.max_memory_reserved(device) / 2**20 + CONTEXT_MB


def _batches(config: RunConfig, info: DatasetInfo, captured: bool) -> int:
    size = config.train.batch_size * prod(info.shape)
    return max(BATCHES, min(CAPTURED, BYTES // size)) if captured else BATCHES


def _made_up(config: RunConfig, info: DatasetInfo, trained: int, device: torch.device) -> tuple[RunConfig, Prepared]:
    """The run and its data, with as much to score for each sample of training as the real run has."""
    whole = min(config.dataset.train_limit or info.train_size, info.train_size)
    scored = min(config.dataset.test_limit or info.test_size, info.test_size) + config.train.trace_samples
    share = min(1.0, scored / whole)
    return stand_in(config, info, train=trained, scored=round(share * trained), device=device)


def _timed(trainer: Trainer) -> dict[str, float]:
    epochs, started = trainer.config.train.epochs, time.perf_counter()
    for _ in range(epochs):
        trainer.epoch()  # whose record is read from the device: nothing is under way any more
    return {"epochs": epochs, "seconds": time.perf_counter() - started}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
