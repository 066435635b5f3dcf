"""What lies beside the records of runs, for plots: per-sample tables, predictions on test, stored labels.

N samples, H heads, C classes.
"""

from __future__ import annotations

import importlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import noise
from bench.data import datasets
from bench.evidence.grouping import Column, Grouping
from bench.evidence.plots.canvas import Nothing
from bench.evidence.plots.confidence import Histogram, added, counted
from bench.evidence.plots.matrices import Matrix
from bench.evidence.records import Payload, reported_heads
from bench.files import read_regular, sha256
from bench.findings import stored_labels
from bench.sweep.records.sample_files import SampleFiles
from bench.sweep.records.store import Store

COLUMNS = ("given", "true", "confidence")


def histograms(store: Store, grouping: Grouping) -> dict[str, dict[str, Histogram]]:
    """Confidence of the last epoch by column and row, of the runs that have a per-sample table."""
    found: dict[str, dict[str, Histogram]] = {}
    any_table = False
    for column, label, run in _runs(grouping):
        table = _last_table(store, run)
        if table is None:
            continue
        any_table = True
        epoch, given, true, confidence = table
        known = true >= 0
        if known.any():
            one = counted(confidence, known & (given == true), known & (given != true), epoch)
            rows = found.setdefault(grouping.column_label(column), {})
            rows[label] = added(rows[label], one) if label in rows else one
    if not found:
        raise Nothing(
            "the true labels of the samples are unknown"
            if any_table
            else "no run has a per-sample table: `run --per-sample last` writes them while runs train"
        )
    return found


def confusions(store: Store, grouping: Grouping, data_dir: Path | None) -> dict[str, list[Matrix]]:
    """Counted predictions on test after the last epoch by column, a matrix per row, over the heads it reports."""
    loaded: dict[str, datasets.Dataset] = {}
    counts: dict[str, dict[str, list[NDArray[np.int64]]]] = {}
    for column, label, run in _runs(grouping):
        if run["predictions_sha256"] is None:
            continue
        name, digest = run["config"]["dataset"]["name"], run["config"]["dataset"]["digest"]
        if name not in loaded:
            loaded[name] = _dataset(name, data_dir)
        if loaded[name].info.digest != digest:
            raise Nothing(f"the test labels are not at hand: {name} has other content than the runs met")
        counts.setdefault(grouping.column_label(column), {}).setdefault(label, []).append(
            _confusion(store, run, *_test_labels(store, run, loaded[name]))
        )
    if not counts:
        raise Nothing("no run stored its predictions on test")
    return {
        column: [_told(label, np.sum(all_of, axis=0)) for label, all_of in rows.items()]
        for column, rows in counts.items()
    }


def transitions(store: Store, grouping: Grouping) -> list[Matrix]:
    """Counted noise of each column, over its noise seeds."""
    found: dict[str, dict[tuple[str, int], Any]] = {}
    for column, _, run in _runs(grouping):
        key = run["noise_id"], run["config"]["noise"]["seed"]
        cards = found.setdefault(grouping.column_label(column), {})
        if key not in cards:
            try:
                cards[key] = stored_labels.card_of(store, dict(run))
            except FileNotFoundError as error:
                raise Nothing(f"the stored labels are not at hand: {error.filename}") from None
    matrices = []
    for name, cards in found.items():
        known = [card for card in cards.values() if card["counts"]]
        if known:
            total = np.array([card["counts"] for card in known], dtype=np.int64).sum(axis=0)
            rates = [100 * card["actual"] for card in known]
            spread = f"{min(rates):.2f} to {max(rates):.2f}" if len(set(rates)) > 1 else f"{rates[0]:.2f}"
            seeds = f", {len(known)} seeds" if len(known) > 1 else ""
            matrices.append(Matrix(name, total, f"{spread} % wrong{seeds}"))
    if not matrices:
        raise Nothing("the true labels are unknown: no transition can be counted")
    return matrices


def _runs(grouping: Grouping) -> Iterator[tuple[Column, str, Payload]]:
    for column in grouping.columns:
        for row in grouping.groups:
            for run in row.runs(column):
                yield column, row.label, run


def _last_table(
    store: Store, run: Payload
) -> tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]] | None:
    """Epoch, given and true labels (N,), and confidences (H, N) of the heads that the run reports."""
    folder = store.run(run["run_id"])
    samples = SampleFiles(folder.path)
    files = [] if samples.path.is_symlink() else samples.files()
    result = folder.result() if files else None
    if result is None:
        return None
    path, data = files[-1], read_regular(files[-1])
    if (result.provenance.get("samples_sha256") or {}).get(path.name) != sha256(data):
        raise ValueError(f"{path}: its digest is not the one in result.json")
    columns = _parquet(path, data) if path.suffix == ".parquet" else _npz(path, data)
    heads = [str(head) for head in columns["heads"]]
    try:
        rows = [heads.index(head) for head in reported_heads(run)]
    except ValueError:
        raise ValueError(f"{path}: has no head {', '.join(reported_heads(run))}") from None
    epoch = int(path.name.removeprefix("epoch-").partition(".")[0])
    return epoch, columns["given"], columns["true"], np.asarray(columns["confidence"], np.float64)[rows]


def _npz(path: Path, data: bytes) -> Mapping[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in ("heads", *COLUMNS)}
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: is no per-sample table: {error}") from None


def _parquet(path: Path, data: bytes) -> Mapping[str, NDArray[Any]]:
    """The same columns of a file in long format, which has a row for each head and sample, head by head."""
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise Nothing(f"{path.name} is read by pyarrow, which is not installed") from None
    table = parquet.read_table(io.BytesIO(data), columns=["head", *COLUMNS])
    heads = list(dict.fromkeys(table.column("head").to_pylist()))
    wide = {name: table.column(name).to_numpy().reshape(len(heads), -1) for name in COLUMNS}
    given, true = wide["given"][0], wide["true"][0]
    return {"heads": np.array(heads), "given": given, "true": true, "confidence": wide["confidence"]}


def _dataset(name: str, data_dir: Path | None) -> datasets.Dataset:
    try:
        return datasets.load(name, data_dir)
    except (ValueError, OSError) as error:
        raise Nothing(f"the test labels are not at hand: {error}") from None


def _test_labels(store: Store, run: Payload, dataset: datasets.Dataset) -> tuple[NDArray[np.int64], int]:
    """The true test labels that a run was scored on, and C: noise may have kept some classes out of both."""
    truth = run["totals"].get("train_wrong") is not None
    try:
        labels, _ = noise.from_bytes(stored_labels.read(store, run["noise_id"], truth), run["noise_id"])
    except FileNotFoundError as error:
        raise Nothing(f"the stored labels are not at hand: {error.filename}") from None
    classes = labels.known_classes or dataset.info.num_classes
    test = dataset.test_labels[dataset.test_labels < classes]
    return test[: run["config"]["dataset"]["test_limit"]], classes


def _confusion(store: Store, run: Payload, test: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts (C, C + 1) over the heads that a run reports; the last column holds predictions of no class."""
    named = str(run["predictions_sha256"])
    path = store.run(run["run_id"]).path / f"predictions-{named[:16]}.npy"
    try:
        data = read_regular(path)
    except FileNotFoundError:
        raise Nothing(f"the predictions are not at hand: {path}") from None
    if sha256(data) != named:
        raise ValueError(f"{path}: its digest is not the one in result.json")
    predicted = np.load(io.BytesIO(data), allow_pickle=False)
    if predicted.shape != (len(run["heads"]), len(test)):
        raise ValueError(f"{path}: has the shape {predicted.shape}, not {(len(run['heads']), len(test))}")
    counts = np.zeros((classes, classes + 1), dtype=np.int64)
    for head in reported_heads(run):
        row = np.minimum(predicted[run["heads"].index(head)].astype(np.int64), classes)
        np.add.at(counts, (test, row), 1)
    return counts


def _told(label: str, counts: NDArray[np.int64]) -> Matrix:
    lost = int(counts[:, -1].sum())
    share = 100 * float(np.trace(counts)) / max(1, int(counts.sum()))
    return Matrix(label, counts, f"{share:.1f} % right" + (f", {lost} without a class" if lost else ""))
