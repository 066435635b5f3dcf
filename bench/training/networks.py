"""The networks by name, for a data set's images and classes."""

import torch

from bench.data.datasets import DatasetInfo
from bench.names import unknown
from bench.training import photo_resnets, plain_cnns, preact, resnets, shufflenet
from bench.training.catalog import NETWORKS, SMALLEST_SIDE
from bench.training.network import Builder, Network

_BUILDERS: dict[str, Builder] = {
    **plain_cnns.BUILDERS,
    **resnets.BUILDERS,
    **preact.BUILDERS,
    **shufflenet.BUILDERS,
    **photo_resnets.BUILDERS,
}


def build(name: str, info: DatasetInfo, *, seed: int, precision: str = "float32") -> Network:
    """Return the network `name` for the images and classes of `info`, on the CPU.

    Its weights depend on `seed` alone (and on a file of pinned content, where a network starts from one), and no
    generator of torch is left changed. Raises a ValueError for an unknown name, for images too small for the network,
    and where its file is missing.
    """
    if name not in NETWORKS:
        raise unknown("network", name, NETWORKS)
    _, height, width = info.shape
    smallest = SMALLEST_SIDE[name]
    if min(height, width) < smallest:
        raise ValueError(
            f"network {name!r} needs images of at least {smallest} x {smallest} pixels, "
            f"but {info.name} has {height} x {width}; see: run_bench.py list networks"
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the accelerators as well
        network = _BUILDERS[name](info, precision)
        network.start()
    return network
