"""The runs of level `accuracy` that need pixels in hand: the peer's loop, plain and fast, on a part of a data set.

Each run is a process of its own with one thread, as many at a time as there are cores.
`python -m bench.speed.accuracy_on_images REQUEST` is one of them; it prints the accuracy.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.datasets import Dataset, load
from bench.evidence.statistics import mean
from bench.fingerprint import ROOT
from bench.speed.options import Options
from bench.sweep.planning.grid import parse_seeds

SPECS = ("methods.cross_entropy:CrossEntropy", "methods.co_teaching:CoTeaching")
NOISE = "symmetric:0.4"
PATHS = ("peer", "plain", "fast", "bf16")
NETWORK, SAMPLES, EPOCHS, BATCH, SEEDS = "lenet_small", 10_000, 10, 128, "0-4"


def title(options: Options) -> str:
    """What was trained."""
    return f"{options.dataset}, {_samples(options):,} images, {_network(options)}, {_epochs(options)} epochs"


def _samples(options: Options) -> int:
    return options.samples or (64 if options.quick else SAMPLES)


def _epochs(options: Options) -> int:
    return options.epochs or (1 if options.quick else EPOCHS)


def _network(options: Options) -> str:
    return options.networks[0] if options.networks else NETWORK


def found(options: Options) -> dict[str, dict[str, list[float]]]:
    """The test accuracy of each seed after the last epoch, the mean of the networks, by method and path."""
    paths = PATHS if options.every else PATHS[:-1]
    seeds = parse_seeds([options.seeds or ("0-1" if options.quick else SEEDS)])
    jobs: list[dict[str, Any]] = [
        {
            "spec": spec,
            "path": path,
            "seed": seed,
            "dataset": options.dataset,
            "data_dir": str(options.data_dir) if options.data_dir else None,
            "samples": _samples(options),
            "epochs": _epochs(options),
            "network": _network(options),
            "device": options.device,
        }
        for spec in SPECS
        for path in paths
        for seed in seeds
    ]
    at_once = 1 if options.kind == "cuda" else len(os.sched_getaffinity(0))
    numbers: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with ThreadPoolExecutor(at_once) as pool:
        for job, number in zip(jobs, pool.map(_in_a_process, jobs), strict=True):
            name = f"{job['spec'].rpartition(':')[2]}, {NOISE}"
            numbers[name][job["path"]].append(number)
    return {name: dict(by_path) for name, by_path in numbers.items()}


def _in_a_process(job: dict[str, Any]) -> float:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-m", "bench.speed.accuracy_on_images", json.dumps(job)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(f"{job['spec']} by {job['path']}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return float(done.stdout.splitlines()[-1])


def main(argv: list[str]) -> int:
    """Do one run; print its accuracy."""
    job = json.loads(argv[0])
    data = _part(load(job["dataset"], Path(job["data_dir"]) if job["data_dir"] else None), job["samples"])
    print(_accuracy(job, data))
    return 0


def _part(data: Dataset, samples: int) -> Dataset:
    """So many images for training, and a fifth as many of the test set, the same for every run."""
    rng = np.random.default_rng(0)
    train = rng.permutation(len(data.train_labels))[:samples]
    test = rng.permutation(len(data.test_labels))[: max(1, samples // 5)]
    return replace(
        data,
        info=replace(data.info, train_size=len(train), test_size=len(test)),
        train_images=data.train_images[train],
        train_labels=data.train_labels[train].copy(),
        test_images=data.test_images[test],
        test_labels=data.test_labels[test].copy(),
    )


def _accuracy(job: dict[str, Any], data: Dataset) -> float:
    import torch

    from bench.speed import ours
    from bench.speed.peer import Recipe

    torch.set_num_threads(1)
    spec, network, device, epochs = job["spec"], job["network"], job["device"], job["epochs"]
    how: dict[str, Any] = {
        "peer": {},
        "plain": {"precision": "float32", "channels_last": False},
        "fast": ours.taken_by_default(network, device),
        "bf16": {"precision": "bf16", "channels_last": True},
    }[job["path"]]
    run = ours.config(spec, network, data, batch=BATCH, seed=job["seed"], epochs=epochs, trace_samples=0, **how)
    if job["path"] == "peer":
        torch.manual_seed(job["seed"])
        peer = ours.peer(spec, run, data, device, Recipe(BATCH, workers=0))
        scores = [peer.epoch() for _ in range(epochs)][-1]
        return float(mean(scores) or 0.0)
    trainer = ours.trainer(spec, run, ours.prepared(run, data, device), device)
    record = [trainer.epoch() for _ in range(epochs)][-1]
    heads = [record["heads"][head]["test"] for head in trainer.method.headline()]
    return sum(heads) / (len(heads) * len(data.test_labels))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
