"""One epoch of one run, training sample by training sample: how each head stands to it, and what became of it.

H heads, N samples in the training split, B in a batch, C classes, K networks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.training.metrics import Traces, classes
from methods.base import Batch

Columns = dict[str, NDArray[Any]]

UNKNOWN = -1  # a class or a choice that nobody knows, or of which the method says nothing


@dataclass(frozen=True)
class Tables:
    """When tables are wanted, and who takes them."""

    when: str  # "last" epoch of a run, or "every" one
    write: Callable[[int, Columns], object]  # is given the number of epochs trained and the table

    def due(self, is_last: bool) -> bool:
        """Whether an epoch is to have a table."""
        return is_last or self.when == "every"


class Sheet:
    """Watches the predictions of one pass over the whole training split, in order and not augmented."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Tensor]] = {}  # of each head: (3, B) loss, confidence, predicted class

    def note(self, head: str, logits: Tensor, batch: Batch) -> None:
        """Note the logits (B, C) of a head, normalised or not; its loss is the cross entropy of the given label."""
        log = logits.double().log_softmax(-1)
        loss = -log.gather(-1, batch.y[:, None])[:, 0]
        parts = torch.stack((loss, log.amax(-1).exp(), classes(logits).double()))
        self._parts.setdefault(head, []).append(parts)

    def columns(self, traces: Traces, given: Tensor, true: Tensor | None) -> Columns:
        """The table as arrays: (N,) of a sample, (H, N) of a head's view of it, in the order of the names in `heads`.

        `true` (N,) holds -1 for foreign images; None, where nobody knows the true labels, becomes -1 throughout. What
        is not said of a sample is -1 in `selected` and NaN in `clean_score`, both throughout for a head that is no
        network, and -1 in `relabelled`.
        """
        heads = sorted(self._parts)
        loss, confidence, predicted = torch.stack([torch.cat(self._parts[head], 1) for head in heads], 1)
        unknown = torch.full_like(given, UNKNOWN)
        return {
            "heads": np.array(heads),
            "given": _classes(given),
            "true": _classes(unknown if true is None else true),
            "relabelled": _classes(torch.where(traces.seen["relabelled"], traces.relabelled, unknown)),
            "loss": loss.float().cpu().numpy(),
            "confidence": confidence.float().cpu().numpy(),
            "predicted": _classes(predicted),
            "selected": np.stack([_selected(traces, head) for head in heads]),
            "clean_score": np.stack([_clean_score(traces, head) for head in heads]),
        }


def _classes(values: Tensor) -> NDArray[np.int32]:
    return values.to(torch.int32).cpu().numpy()


def _network(traces: Traces, head: str) -> int | None:
    names = [f"net{k + 1}" for k in range(len(traces.selected))]
    return names.index(head) if head in names else None


def _selected(traces: Traces, head: str) -> NDArray[np.int8]:
    network = _network(traces, head)
    if network is None:
        return np.full(traces.selected.shape[1], UNKNOWN, dtype=np.int8)
    chosen = torch.where(traces.seen["selected"][network], traces.selected[network].to(torch.int8), UNKNOWN)
    return chosen.to(torch.int8).cpu().numpy()


def _clean_score(traces: Traces, head: str) -> NDArray[np.float32]:
    network = _network(traces, head)
    if network is None:
        return np.full(traces.selected.shape[1], np.nan, dtype=np.float32)
    score = torch.where(traces.seen["clean_score"][network], traces.clean_score[network], torch.nan)
    return score.float().cpu().numpy()
