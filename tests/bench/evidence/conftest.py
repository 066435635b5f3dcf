"""Payloads made by hand: valid in shape, with whatever counts a test needs."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

DIGEST = "d" * 64


def config_of(method="ce", seed=0, *, noise=None, dataset=None, train=None, params=None, protocol=1) -> dict[str, Any]:
    return {
        "protocol": protocol,
        "dataset": {"name": "digits", "digest": DIGEST, "val": 0.1, "train_limit": None, "test_limit": None}
        | (dataset or {}),
        "noise": {
            "family": "symmetric",
            "rate": 0.5,
            "dialect": "native",
            "flips": "exact",
            "map": None,
            "options": {},
            "seed": seed,
        }
        | (noise or {}),
        "method": {"name": method, "params": params or {}},
        "train": {
            "network": "small",
            "epochs": 3,
            "batch_size": 64,
            "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0005},
            "schedule": {"name": "cosine"},
            "augment": "none",
            "precision": "fp32",
            "channels_last": False,
            "threads": 1,
            "deterministic": True,
            "preset": "uniform",
            "trace_samples": 100,
        }
        | (train or {}),
        "seed": seed,
    }


def run_id_of(config: dict[str, Any]) -> str:
    return "r" + hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:20]


def payload_of(
    method="ce",
    seed=0,
    test=(50, 60, 70),
    *,
    val_noisy=None,
    val_clean=None,
    heads=None,
    headline=None,
    networks=1,
    needs=(),
    diverged=False,
    noise_id=None,
    code="c" * 16,
    method_code="d" * 16,
    val_total=50,
    **config,
) -> dict[str, Any]:
    """`test` are counts of 100 for every head, or `heads` maps names to their counts."""
    made = config_of(method, seed, **{"train": {"epochs": len(test)}, **config})
    heads = heads or {f"net{k + 1}": list(test) for k in range(networks)}
    length = len(next(iter(heads.values())))
    history = [
        {
            "epoch": e,
            "lr": 0.1,
            "loss": [1.0] * networks,
            "heads": {
                head: {
                    "test": counts[e],
                    "val_noisy": (val_noisy or [0] * length)[e],
                    "val_clean": (val_clean or [0] * length)[e],
                    "right_fit": 40,
                    "wrong_fit": 10 + e,
                    "wrong_recovered": 20 - e,
                }
                for head, counts in heads.items()
            },
            "selection": [],
            "knowledge": [],
            "scalars": {},
        }
        for e in range(length)
    ]
    noise = {k: v for k, v in made["noise"].items()}
    identity = json.dumps([noise, made["dataset"]["digest"]], sort_keys=True)
    return {
        "schema": 1,
        "run_id": run_id_of(made),
        "config": made,
        "noise_id": noise_id or "n" + hashlib.sha256(identity.encode()).hexdigest()[:12],
        "dataset_digest": made["dataset"]["digest"],
        "code": code,
        "method_code": method_code,
        "device_kind": "cpu",
        "num_networks": networks,
        "heads": list(heads),
        "headline": list(headline or heads),
        "needs": list(needs),
        "paper": "",
        "diverged": diverged,
        "parameters": 1000,
        "forward_samples": 5000,
        "totals": {"test": 100, "val": val_total, "train": 1000, "trace": 100, "trace_wrong": 50},
        "history": history,
        "predictions_sha256": None,
    }


class Make:
    """What tests use: `make(...)` a payload, `make.config(...)`, `make.run_id(config)`."""

    config = staticmethod(config_of)
    run_id = staticmethod(run_id_of)

    def __call__(self, *args: Any, **changes: Any) -> dict[str, Any]:
        return payload_of(*args, **changes)


@pytest.fixture
def make() -> Make:
    return Make()
