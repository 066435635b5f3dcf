"""Level `input`: batches and nothing else, ours from uint8 on the device, the peer's from PIL in a DataLoader.

The figure is samples per core-second: CPU-seconds of the process and its workers, on a set of CIFAR's size.
"""

import itertools
import os
from dataclasses import replace

import numpy as np

from bench.data.loader import Resident
from bench.speed import checks
from bench.speed.images import dataset
from bench.speed.options import Options, Report
from bench.speed.pairs import paired
from bench.speed.peer import Items, pipeline
from bench.speed.side import Request, Work, compared

BAR = 10.0
BATCH = 128
LAYOUTS = {"channels_last": True, "NCHW": False}


def measure(options: Options) -> Report:
    """Compare both layouts of our batches with the peer's."""
    checks.same_pixels(options.device)
    samples, workers = options.samples or options.size.input_samples, 0 if options.quick else peer_workers()
    here = Request("bench.speed.input:ours", device=options.device)
    requests = {
        name: replace(here, arguments={"samples": samples, "device": options.device, "channels_last": layout})
        for name, layout in LAYOUTS.items()
    }
    theirs = {"samples": samples, "workers": workers}
    requests["peer"] = Request("bench.speed.input:peer", theirs, harness=False)
    rounds, facts = compared(requests, options.rounds, at_once=options.quick)
    pairs = [
        paired(
            f"input, {name}, {samples:,} images",
            rounds[name],
            rounds["peer"],
            figure="cpu",
            bar=None if options.quick or not layout else BAR,
            samples=samples,
            peak_mib=facts[name]["peak_mib"],
            facts={"ours": facts[name], "peer": facts["peer"]},
        )
        for name, layout in LAYOUTS.items()
    ]
    return Report.of(pairs, pipeline=pipeline(), workers=workers)


def peer_workers() -> int:
    """DataLoader workers of the peer: as many as its authors take, or as there are cores."""
    return min(4, len(os.sched_getaffinity(0)))


def ours(samples: int, device: str, channels_last: bool) -> Work:
    data, epochs = dataset(samples, 1), itertools.count()
    resident = Resident(
        np.asarray(data.train_images), data.train_labels, data.info, device, channels_last, data.info.augment
    )

    def work() -> None:
        batches = resident.batches(
            batch_size=BATCH, shuffle=True, seed=0, stream="main", epoch=next(epochs), drop_single=True
        )
        for batch in batches:
            assert batch.x.shape[1:] == data.info.shape

    return work


def peer(samples: int, workers: int) -> Work:
    from torch.utils.data import DataLoader

    data = dataset(samples, 1)
    items = Items(np.asarray(data.train_images), data.train_labels, data.info.mean, data.info.std, augment=True)

    def work() -> None:
        for images, _, _ in DataLoader(items, BATCH, shuffle=True, num_workers=workers):
            assert images.shape[1:] == data.info.shape

    return work
