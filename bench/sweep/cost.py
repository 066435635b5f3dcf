"""What a sweep will cost: by the times of its finished runs, else by a few steps of each network on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from bench.files import canonical
from bench.fingerprint import ROOT
from bench.sweep.devices import Slot
from bench.sweep.grid import Planned
from bench.sweep.store import Store


@dataclass(frozen=True)
class Cost:
    """`seconds` on one slot, None where nothing tells; `basis` says what the figure rests on."""

    seconds: float | None
    basis: str


def expected(store: Store, runs: Sequence[Planned], todo: Sequence[Planned], slots: Sequence[Slot]) -> Cost:
    """Seconds of one slot for `todo`; a probe's figure leaves the start of processes out."""
    recorded = _recorded(store, runs)
    if recorded is not None:
        per_unit, count = recorded
        return Cost(per_unit * sum(_units(run) for run in todo), f"the times of {count} finished runs of this suite")
    seconds = 0.0
    measured: dict[bytes, dict[str, float] | None] = {}
    for run in todo:
        train_config = run.config.train
        told = (train_config.network, train_config.batch_size, train_config.precision, train_config.threads)
        key = canonical([*told, train_config.channels_last, run.config.dataset.name])
        if key not in measured:
            print(f"measuring a few steps of {train_config.network} ...", file=sys.stderr)
            measured[key] = _probe(run, slots[0])
        figures = measured[key]
        if figures is None:
            return Cost(None, "the probe of a network failed; start the sweep to learn more")
        train, scored = _samples(run)
        seconds += run.networks * run.config.train.epochs * (train * figures["train"] + scored * figures["evaluate"])
    basis = "a few steps of each network here, just now; methods that pass over the data several times take longer"
    return Cost(seconds, basis)


def _recorded(store: Store, runs: Sequence[Planned]) -> tuple[float, int] | None:
    rates = []
    for run in runs:
        try:
            result = store.run(run.run_id).result()
        except ValueError:  # damaged: it will be trained again
            continue
        if result is not None and len(result.payload["history"]) == result.provenance.get("epochs_this_attempt"):
            rates.append(float(result.provenance["seconds"]) / _units(run))
    return (median(rates), len(rates)) if rates else None


def _units(run: Planned) -> int:
    return run.networks * run.config.train.epochs


def _samples(run: Planned) -> tuple[int, int]:
    """Training samples of an epoch, and samples scored after it."""
    info, data = run.info, run.config.dataset
    total = data.train_limit or info.train_size
    held_out = round(data.val * total)
    train = total - held_out - data.trusted
    held_out += info.val_size
    train = min(train, info.epoch_size or train)
    return train, min(data.test_limit or info.test_size, info.test_size) + held_out + min(
        run.config.train.trace_samples, train
    )


def _probe(run: Planned, slot: Slot) -> dict[str, float] | None:
    device = "cpu" if slot.gpu is None else "cuda:0"
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": slot.gpu or "",
        "OMP_NUM_THREADS": str(run.config.train.threads),
    }
    command = [
        sys.executable,
        "-m",
        "bench.training.probe",
        json.dumps([run.config.to_dict(), asdict(run.info)]),
        device,
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    try:
        figures: dict[str, float] = json.loads(done.stdout)
    except ValueError:  # it died: no figure
        return None
    return figures
