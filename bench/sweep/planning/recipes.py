"""The harness's uniform settings: one recipe a dataset, the same for every method of a table."""

from typing import Any

from bench.data.datasets import DatasetInfo

_SGD = {"name": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.0005}
_SMALL_IMAGES = {  # 28 x 28 and more
    "network": "cnn9",
    "epochs": 100,
    "batch_size": 128,
    "optimizer": _SGD,
    "schedule": {"name": "cosine"},
    "precision": "auto",
}
_TINY_IMAGES = {  # in float32, which is no slower here, so that their runs have the same ids on every machine
    "network": "digits_cnn",
    "epochs": 14,
    "batch_size": 128,
    "optimizer": {"name": "adam", "lr": 0.004, "momentum": 0.9, "weight_decay": 0.0},
    "schedule": {"name": "linear", "start": 0.66},
    "trace_samples": 500,
}
_PHOTOGRAPHS = {  # 224 x 224 and more
    "network": "resnet50",
    "epochs": 10,
    "batch_size": 64,
    "optimizer": {"name": "sgd", "lr": 0.002, "momentum": 0.9, "weight_decay": 0.001},
    "schedule": {"name": "steps", "steps": [0.5], "gamma": 0.1},
    "precision": "auto",
}
# where the papers of a data set agree on something else than its size suggests
_BY_DATASET: dict[str, dict[str, Any]] = {
    "animal10n": {**_SMALL_IMAGES, "network": "resnet18"},
    "food101n": {**_PHOTOGRAPHS, "epochs": 30, "batch_size": 32, "optimizer": {**_SGD, "lr": 0.005}},
}


def base(info: DatasetInfo, preset: str) -> dict[str, Any]:
    """What a preset builds on: the uniform settings; of these only "uniform" leaves the precision to the machine.

    A paper's numbers were made in float32, and nobody has shown yet that those of every method stay in less.
    """
    settings = uniform(info)
    if preset != "uniform":
        settings.pop("precision", None)
    return settings


def uniform(info: DatasetInfo) -> dict[str, Any]:
    """The settings of a data set: its own, or those for images of its size."""
    side = min(info.shape[1:])
    by_size = _TINY_IMAGES if side < 28 else _SMALL_IMAGES if side < 128 else _PHOTOGRAPHS
    return {**_BY_DATASET.get(info.name, by_size), "augment": info.augment}
