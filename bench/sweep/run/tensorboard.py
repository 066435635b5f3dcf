"""Scalars for TensorBoard, written from a run's records as its epochs end; nothing is ever read back from them.

A run has a folder under results/tensorboard, named for a person. A run that is resumed takes back the steps it repeats.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.config import RunConfig
from bench.evidence.diagnostics import of_head
from bench.evidence.records import noise_text
from bench.files import make_folder

FOLDER = "tensorboard"  # in the results folder

Record = Mapping[str, Any]


def require() -> None:
    """ValueError in one line where the package is not installed."""
    if find_spec("tensorboard") is None:
        raise ValueError('--tensorboard needs TensorBoard: pip install -e ".[tensorboard]" -c constraints.txt')


class Board:
    """What TensorBoard shows of a run. Where it cannot be written, the run goes on without, and its log says so."""

    def __init__(self, results: Path, config: RunConfig, totals: Mapping[str, Any], history: Sequence[Record]) -> None:
        """`history` holds the records of the epochs that the run goes on from."""
        self._totals, self._writer = totals, None
        folder = results / FOLDER / name_of(config)
        try:
            from torch.utils.tensorboard import SummaryWriter

            make_folder(folder.parent)
            begun = folder.exists()
            self._writer = SummaryWriter(str(folder), purge_step=len(history) + 1)
        except (ImportError, OSError, ValueError) as error:  # not on this node; a full disk; a link in its place
            self._give_up(error)
            return
        for record in () if begun else history:
            self.write(record)

    def write(self, record: Record) -> None:
        """Write the scalars of an epoch; the step is the number of epochs finished."""
        if self._writer is None:
            return
        try:
            for tag, value in scalars(record, self._totals):
                self._writer.add_scalar(tag, value, record["epoch"] + 1)
            self._writer.flush()
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Write nothing more."""
        if self._writer is not None:
            try:
                self._writer.close()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        print(f"no scalars for TensorBoard: {error}", flush=True)
        self._writer = None


def name_of(config: RunConfig) -> str:
    """The name of a run's folder, with its run_id at the end."""
    words = [config.method.name, config.dataset.name, noise_text(config.to_dict()["noise"]), f"seed{config.seed}"]
    return "_".join([*(re.sub(r"[^A-Za-z0-9.]+", "-", word).strip("-.")[:40] for word in words), config.run_id])


def scalars(record: Record, totals: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Tags and values of what an epoch's record tells, counts as shares; what nobody knows is left out."""
    told: dict[str, Any] = {"lr": record["lr"]}
    told |= {f"loss/net{k + 1}": value for k, value in enumerate(record["loss"])}
    told |= {f"scalars/{name}": value for name, value in record["scalars"].items()}
    held_out = {"val_noisy": totals["val"], "val_clean": totals.get("val_clean", totals["val"])}
    for head, counts in record["heads"].items():
        told |= {f"{name}/{head}": value for name, value in of_head({"totals": totals}, record, head).items()}
        for name, total in held_out.items():
            told[f"{name}/{head}"] = counts[name] / total if total and counts[name] is not None else None
    yield from ((tag, float(value)) for tag, value in told.items() if value is not None)
