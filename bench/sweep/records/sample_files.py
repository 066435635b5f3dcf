"""Tables of training samples in a run's folder: one file for an epoch, `samples/epoch-0013.npz` after the thirteenth.

Where pyarrow is installed the file is .parquet, in long format: one row for each head and sample. H heads, N samples in
the training split.
"""

from __future__ import annotations

import importlib
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import noise
from bench.config import RunConfig
from bench.data.noisy import split_of, stored_name
from bench.files import TEMPORARY_PATTERN, make_folder, publish, read_regular, remove, sha256

Columns = Mapping[str, NDArray[Any]]

NAMED = 5  # runs in a line about many
NAME_PATTERN = re.compile(r"epoch-(\d{4,})\.(?:npz|parquet)", re.ASCII)


class SampleFiles:
    """The tables of one run; who writes holds the run's lock."""

    def __init__(self, run: Path) -> None:
        self.path = run / "samples"

    def files(self) -> list[Path]:
        """Return the tables in the order of their names."""
        try:
            return sorted(path for path in self.path.iterdir() if NAME_PATTERN.fullmatch(path.name))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def lacks(self, when: str, epochs: int) -> bool:
        """Say whether a run of so many epochs is without a table that `when` ("last" or "every") asks for."""
        there = {int(path.name.removeprefix("epoch-").partition(".")[0]) for path in self.files()}
        return not set(range(1, epochs + 1) if when == "every" else [epochs]) <= there

    def write(self, epoch: int, columns: Columns) -> Path:
        """Publish the table after `epoch` epochs, in the place of one that an attempt cut short has left."""
        data, suffix = to_bytes({"epoch": np.array(epoch), **columns})
        make_folder(self.path)
        for path in self.path.iterdir():
            if TEMPORARY_PATTERN.fullmatch(path.name):  # half-written by a process that was killed
                remove(path)
        path = self.path / f"epoch-{epoch:04d}{suffix}"
        publish(path, data, replace=True)
        return path

    def digests(self) -> dict[str, str]:
        """Return the sha256 of each table by its name."""
        return {path.name: sha256(read_regular(path)) for path in self.files()}


def to_bytes(columns: Columns) -> tuple[bytes, str]:
    """Return a table as the bytes of a file, and the suffix of its kind: .parquet where pyarrow is there, else .npz."""
    out = io.BytesIO()
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        np.savez_compressed(out, **columns)  # type: ignore[arg-type]   # its stub takes no arrays by name
        return out.getvalue(), ".npz"
    parquet.write_table(arrow.table(long(columns)), out)
    return out.getvalue(), ".parquet"


def long(columns: Columns) -> dict[str, NDArray[Any]]:
    """Return columns of H * N rows, head by head, of arrays that are () of the table, (N,) of a sample or (H, N)."""
    heads = columns["heads"]
    shape = (len(heads), len(columns["given"]))
    wide = {"head" if name == "heads" else name: values for name, values in columns.items()}
    wide["head"] = heads[:, None]
    return {name: np.broadcast_to(values, shape).reshape(-1) for name, values in wide.items()}


def official_index(config: RunConfig, noise_folder: Path, noise_id: str, truth: bool) -> NDArray[np.int64]:
    """Return where the N samples of a run's training split stand in the official training set, in their order.

    Read off the stored labels, from which the run's own split was made; `truth` tells whether the true ones are known.
    """
    stored = read_regular(noise_folder / f"{stored_name(noise_id, truth)}.npz")
    labels, _ = noise.from_bytes(stored, noise_id)
    return split_of(labels, asdict(config.dataset), config.noise.seed).train_index


def untabled(runs: Path, when: str, epochs: Iterable[tuple[str, int]]) -> str:
    """Return one line naming the finished runs, given as (run_id, epochs trained), that lack tables; "" for none."""
    ids = [run_id for run_id, trained in epochs if SampleFiles(runs / run_id).lacks(when, trained)]
    if not ids:
        return ""
    which = "1 finished run has" if len(ids) == 1 else f"{len(ids)} finished runs have"
    named = ", ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")
    return (
        f"--per-sample {when}: {which} no such table, and only training makes one: {named}"
        f" (what is moved out of {runs} is trained again)"
    )
