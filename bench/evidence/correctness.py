"""Which test images a finished run gets right, from its stored predictions and the labels of the test set.

H heads, N test images. A run keeps predictions-<sha256>.npy (H, N) of its last epoch. Labels come from the data set,
which must be there; torch need not be.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data import datasets
from bench.data.noisy import stored_name
from bench.evidence.records import Payload, accuracy
from bench.files import read_regular, sha256


@dataclass(frozen=True, eq=False)
class Right:
    """The images that the heads of one run get right after its last epoch, a bit for each."""

    run_id: str
    heads: tuple[str, ...]
    headline: tuple[str, ...]
    images: int
    bits: NDArray[np.uint8] = field(repr=False)  # (H, ceil(N / 8)), as numpy.packbits makes them

    @property
    def all(self) -> NDArray[np.bool_]:
        """(H, N), in the order of `heads`."""
        return np.unpackbits(self.bits, axis=1, count=self.images).astype(bool)

    def of(self, head: str) -> NDArray[np.bool_]:
        """Return the images (N,) that one head gets right."""
        if head not in self.heads:
            raise ValueError(f"run {self.run_id} has no head {head!r}; it has {', '.join(self.heads)}")
        row = self.bits[self.heads.index(head)]
        return np.unpackbits(row, count=self.images).astype(bool)


class Reader:
    """Reads which test images the runs of a results folder get right; labels are read once a data set."""

    def __init__(self, results: Path, data_dir: Path | None = None) -> None:
        self.results, self.data_dir = results, data_dir
        self._labels: dict[tuple[str, str], NDArray[np.int64]] = {}
        self._known: dict[str, int | None] = {}

    def read(self, payload: Payload) -> Right:
        """Return what a finished run gets right.

        Raises ValueError, in one line, where predictions are absent or not those of the record, and where the data
        set is absent, other than the run's, or does not give the accuracy that the record tells.
        """
        predicted = self._predicted(payload)
        labels = self._test_labels(payload)
        run_id, heads = payload["run_id"], tuple(payload["heads"])
        if predicted.shape != (len(heads), len(labels)):
            raise ValueError(
                f"run {run_id}: predictions are {predicted.shape}, heads and test images {(len(heads), len(labels))}"
            )
        right = predicted == labels
        for head, row in zip(heads, right, strict=True):
            told = accuracy(payload, "last", head)
            if told is None or round(told * len(labels)) != row.sum():
                raise ValueError(f"run {run_id}: {head} gets {row.sum()} images right, which its record does not tell")
        return Right(run_id, heads, tuple(payload["headline"]), len(labels), np.packbits(right, axis=1))

    def read_all(self, payloads: Iterable[Payload]) -> list[Right]:
        """Return what each run gets right, in their order; the first that cannot be read raises ValueError."""
        return [self.read(payload) for payload in payloads]

    def _predicted(self, payload: Payload) -> NDArray[np.unsignedinteger[Any]]:
        run_id, named = payload["run_id"], payload.get("predictions_sha256")
        if not isinstance(named, str):
            raise ValueError(f"run {run_id} has no stored predictions, which tests on single images need")
        name = f"predictions-{named[:16]}.npy"
        try:
            data = read_regular(self.results / "runs" / run_id / name)
        except (FileNotFoundError, NotADirectoryError):
            raise ValueError(f"run {run_id}: {name} is gone; tests on single images need it") from None
        if sha256(data) != named:
            raise ValueError(f"run {run_id}: {name} is damaged: its digest is not the one of the record")
        found = np.load(io.BytesIO(data), allow_pickle=False)
        if not isinstance(found, np.ndarray) or found.dtype.kind != "u":
            raise ValueError(f"run {run_id}: {name} holds no predicted classes")
        return found

    def _test_labels(self, payload: Payload) -> NDArray[np.int64]:
        wanted = payload["config"]["dataset"]
        key = wanted["name"], wanted["digest"]
        if key not in self._labels:
            self._labels[key] = self._load(*key)
        labels, known = self._labels[key], self._known_classes(payload)
        if known is not None:
            labels = labels[labels < known]
        return labels[: wanted["test_limit"]]

    def _load(self, name: str, digest: str) -> NDArray[np.int64]:
        name, folder = datasets.locate(name, self.data_dir)
        source = datasets.source(name)
        found = (source.files or source.read)(folder)  # without decoding images, where they are files
        if found.info.digest != digest:
            raise ValueError(f"{name} has digest {found.info.digest[:12]}, the runs were made on {digest[:12]}")
        return found.test_labels.copy()  # lets go of the images

    def _known_classes(self, payload: Payload) -> int | None:
        """From which class on test images are foreign, by the card of the labels that the run met.

        Without a card none are; a wrong answer cannot give the accuracy of the record.
        """
        name = stored_name(payload["noise_id"], payload["totals"].get("train_wrong") is not None)
        if name not in self._known:
            try:
                card = json.loads(read_regular(self.results / "noise" / f"{name}.json"))
            except FileNotFoundError:
                card = {}
            known = card.get("known_classes") if isinstance(card, dict) else None
            self._known[name] = known if type(known) is int else None
        return self._known[name]


def stacked(rights: Sequence[Right], head: str | None = None) -> NDArray[np.bool_]:
    """Return what `per_image.two_way_interval` takes: one head (S, N) of S runs, or their headline heads (S, H, N)."""
    if len({(right.images, len(right.headline)) for right in rights}) != 1:
        counts = ", ".join(f"{right.run_id} {len(right.headline)} and {right.images:,}" for right in rights)
        raise ValueError(f"runs must be alike in their headline heads and test images, got {counts or 'no runs'}")
    if head is not None:
        return np.stack([right.of(head) for right in rights])
    return np.stack([[right.of(name) for name in right.headline] for right in rights])
