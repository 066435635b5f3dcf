"""How long a network takes here: a few steps on random images, within some seconds.

`python -m bench.training.probe '[CONFIG, DATASET_INFO]' DEVICE`
"""

import json
import sys
import time
from collections.abc import Callable

import torch
from torch.nn.utils import convert_conv2d_weight_memory_format

from bench.config import RunConfig
from bench.data.datasets import DatasetInfo
from bench.training import networks
from bench.training.trainer import EVAL_BATCH, configure_torch

FIRST = 8  # samples of the batch that tells whether there is time for a whole one
ROUNDS = 3
SECONDS = 1.5  # for training, and for scoring


def main(argv: list[str]) -> int:
    """Print {"train": seconds, "evaluate": seconds} per sample for one network, on images like the data set's."""
    settings, facts = json.loads(argv[0])
    config, info, device = RunConfig.from_dict(settings), DatasetInfo(**facts), torch.device(argv[1])
    configure_torch(config, device)
    scored = EVAL_BATCH[device.type]
    batch = config.train.batch_size
    layout = torch.channels_last if config.train.channels_last else torch.contiguous_format
    network = networks.build(config.train.network, info, seed=0, precision=config.train.precision)
    network = convert_conv2d_weight_memory_format(network.to(device), layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-6, momentum=0.9, fused=True)
    x = torch.randn(max(batch, scored), *info.shape).to(device).contiguous(memory_format=layout)
    y = torch.randint(info.num_classes, (batch,), device=device)

    def train(size: int) -> None:
        torch.nn.functional.cross_entropy(network(x[:size]), y[:size]).backward()
        optimizer.step()
        optimizer.zero_grad()

    def evaluate(size: int) -> None:
        with torch.inference_mode():
            network(x[:size])

    seconds = {"train": per_sample(train, batch, device)}
    network.eval()
    seconds["evaluate"] = per_sample(evaluate, scored, device)
    print(json.dumps(seconds))
    return 0


def per_sample(step: Callable[[int], None], batch: int, device: torch.device, seconds: float = SECONDS) -> float:
    """Seconds per sample of `step(samples)` in whole batches, or in small ones where some of them would take longer.

    A small batch is taken twice, and the first one is not counted: it finds memory and kernels. Small batches cost up
    to half as much again per sample.
    """
    started = time.perf_counter()
    small = min(FIRST, batch)
    _timed(step, small, device)
    first = _timed(step, small, device)
    left = seconds - (time.perf_counter() - started)
    if small == batch or first / small * batch * 2 > left:
        return first / small
    _timed(step, batch, device)
    times = [_timed(step, batch, device)]
    while len(times) < ROUNDS and time.perf_counter() - started + times[0] < seconds:
        times.append(_timed(step, batch, device))
    return sorted(times)[len(times) // 2] / batch


def _timed(step: Callable[[int], None], samples: int, device: torch.device) -> float:
    started = time.perf_counter()
    step(samples)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
