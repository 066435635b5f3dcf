"""The harness's uniform settings: one recipe a dataset, the same for every method of a table."""

from typing import Any

UNIFORM: dict[str, dict[str, Any]] = {
    "digits": {
        "network": "digits_cnn",
        "epochs": 14,
        "batch_size": 128,
        "optimizer": {"name": "adam", "lr": 0.004, "momentum": 0.9, "weight_decay": 0.0},
        "schedule": {"name": "linear", "start": 0.66},
        "augment": "none",
        "trace_samples": 500,
    },
    "cifar10": {
        "network": "cnn9",
        "epochs": 100,
        "batch_size": 128,
        "optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.0005},
        "schedule": {"name": "cosine"},
        "augment": "crop_flip",
    },
}
