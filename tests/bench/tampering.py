"""What is done to a results folder behind the harness's back: records changed and sealed again, data taken away."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from bench.data.datasets import MissingDataError
from bench.files import canonical
from bench.sweep.records.result import run_id_of_bytes, seal


class Named(Protocol):
    """A planned run, or whatever else has its id."""

    @property
    def run_id(self) -> str: ...


def record(folder: Path, run: Named) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "runs" / run.run_id / "result.json").read_bytes())
    return found


def reseal(folder: Path, run: Named, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    """Change payload or provenance of a result, and seal it again as the harness does: only other checks can see it."""
    found = record(folder, run)
    change(found["payload"], found["provenance"])
    (folder / "runs" / run.run_id / "result.json").write_bytes(seal(found["payload"], found["provenance"]))


def absent(*_: object) -> None:
    """In the place of `datasets.load`."""
    raise MissingDataError("digits: gone")


def alike(folder: Path, run_id: str, change: Callable[[dict[str, Any]], object]) -> str:
    """A valid result of other settings, made of a run's; return its run_id."""
    record = json.loads((folder / "runs" / run_id / "result.json").read_bytes())
    payload = record["payload"]
    change(payload["config"])
    name = run_id_of_bytes(canonical(payload["config"]))
    payload |= {"run_id": name, "dataset_digest": payload["config"]["dataset"]["digest"]}
    place = folder / "runs" / name
    place.mkdir()
    (place / "config.json").write_bytes(canonical(payload["config"]))
    (place / "result.json").write_bytes(seal(payload, record["provenance"]))
    for path in (folder / "runs" / run_id).glob("predictions-*"):
        shutil.copy(path, place)
    return name
