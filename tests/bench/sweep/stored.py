"""A made-up run and its record, and a fresh process to meddle with them."""

import copy
import os
import subprocess
import sys
import textwrap

from bench.fingerprint import ROOT
from bench.sweep.records.store import run_id_of

CONFIG = {"protocol": 1, "method": {"name": "any", "params": {}}, "train": {"epochs": 2}, "seed": 0}
RUN_ID = run_id_of(CONFIG)
MENDED = {"seen": 10, "right": 9, "wrong_seen": 4, "wrong_corrected": 4, "right_seen": 6, "right_broken": 1}
COUNTS = {"test": 9, "val_noisy": 3, "val_clean": 4, "right_fit": 6, "wrong_fit": 1, "wrong_recovered": 3}


def payload_of(config=CONFIG, epochs=2, **changes):
    head = {"net1": dict(COUNTS)}
    history = [
        {
            "epoch": number,
            "lr": 0.1,
            "loss": [2.3],
            "heads": copy.deepcopy(head),
            "selection": [{"seen": 10, "selected": 5, "selected_right": 4}],
            "knowledge": [{"open": 5, "open_right": 5, "shut": 5, "shut_right": 0}],
            "scalars": {"threshold": None},
        }
        for number in range(epochs)
    ]
    totals = {"test": 10, "val": 4, "train": 10, "trace": 10, "trace_wrong": 4}
    return {
        "schema": 1,
        "run_id": run_id_of(config),
        "config": copy.deepcopy(config),
        "noise_id": "n" + "0" * 16,
        "dataset_digest": "d" * 64,
        "code": "c" * 16,
        "method_code": "m" * 16,
        "device_kind": "cpu",
        "num_networks": 1,
        "needs": [],
        "heads": ["net1"],
        "headline": ["net1"],
        "diverged": False,
        "totals": totals,
        "history": history,
        **changes,
    }


def spawn(code, *arguments):
    """Start a fresh single-threaded interpreter, in which forking is safe."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def changed(path, value):
    payload = payload_of()
    *folders, last = path
    place = payload
    for key in folders:
        place = place[key]
    place[last] = value
    return payload
