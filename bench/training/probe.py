"""How long a network takes here: a few steps on random images.

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

WARM_UP, ROUNDS = 1, 3


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
    x = torch.randn(max(batch, scored), *info.shape).to(device).contiguous(memory_format=layout)
    y = torch.randint(info.num_classes, (batch,), device=device)

    def train() -> None:
        torch.nn.functional.cross_entropy(network(x[:batch]), y).backward()

    def evaluate() -> None:
        with torch.inference_mode():
            network(x[:scored])

    seconds = {"train": _median(train, device) / batch}
    network.eval()
    seconds["evaluate"] = _median(evaluate, device) / scored
    print(json.dumps(seconds))
    return 0


def _median(step: Callable[[], None], device: torch.device) -> float:
    times = []
    for _ in range(WARM_UP + ROUNDS):
        started = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return sorted(times[WARM_UP:])[ROUNDS // 2]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
