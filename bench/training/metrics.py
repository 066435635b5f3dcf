"""What a run records beside its losses: computed by the trainer, which alone holds the clean labels.

K networks, B samples in a batch, C classes, N training samples.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from methods.base import Batch, Step

Count = dict[str, int]
PartCount = dict[str, int | None]  # None: the true labels would have to be known


class Traces:
    """Device buffers that collect what the steps of one epoch return; the host reads them once, at its end."""

    def __init__(self, num_networks: int, num_train: int, device: torch.device) -> None:
        shape = (num_networks, num_train)
        self.selected = torch.zeros(shape, dtype=torch.bool, device=device)
        self.clean_score = torch.zeros(shape, device=device)
        self.relabelled = torch.zeros(num_train, dtype=torch.int64, device=device)
        self.seen = {
            name: torch.zeros(num_train, dtype=torch.bool, device=device)
            for name in ("selected", "clean_score", "relabelled")
        }
        self.loss = torch.zeros(num_networks, dtype=torch.float64, device=device)
        self.finite = torch.ones((), dtype=torch.bool, device=device)
        self.scalars: dict[str, Tensor | float] = {}
        self.steps = 0

    def add(self, step: Step, index: Tensor) -> None:
        """Note one training step over the samples at `index`, (B,) distinct positions in the training split."""
        self.loss += step.losses.detach()
        self.finite &= torch.isfinite(step.losses).all()
        self.steps += 1
        for name, value in (step.scalars or {}).items():
            self.scalars[name] = self.scalars.get(name, 0.0) + value
        if step.selected is not None:
            self.selected[:, index] = step.selected
            self.seen["selected"][index] = True
        if step.clean_score is not None:
            self.clean_score[:, index] = step.clean_score.float()
            self.seen["clean_score"][index] = True
        if step.relabelled is not None:
            self.relabelled[index] = step.relabelled.argmax(-1)
            self.seen["relabelled"][index] = True

    def summary(self, given: Tensor, clean: Tensor | None) -> dict[str, Any]:
        """The epoch in plain numbers, held against labels (N,): was right what the steps chose, scored, corrected?

        Without true labels nobody can say what was right: those counts are None, and there is no score_auc.
        """
        steps = max(1, self.steps)
        right = None if clean is None else given == clean
        record: dict[str, Any] = {
            "loss": [finite(x / steps) for x in self.loss.tolist()],
            "scalars": {name: finite(float(value) / steps) for name, value in sorted(self.scalars.items())},
            "selection": [],
            "score_auc": [],
            "correction": None,
        }
        if bool(self.seen["selected"].any()):
            seen = self.seen["selected"]
            record["selection"] = [
                {
                    "seen": int(seen.sum()),
                    "selected": int((row & seen).sum()),
                    "selected_right": None if right is None else int((row & seen & right).sum()),
                }
                for row in self.selected
            ]
        if right is not None and bool(self.seen["clean_score"].any()):
            seen = self.seen["clean_score"]
            record["score_auc"] = [auc(row[seen], right[seen]) for row in self.clean_score]
        if bool(self.seen["relabelled"].any()):
            seen = self.seen["relabelled"]
            true = None if clean is None else int((seen & (self.relabelled == clean)).sum())
            record["correction"] = {"seen": int(seen.sum()), "right": true}
        return record


def finite(x: float) -> float | None:
    """`x`, or None (null in JSON) for NaN and infinities."""
    return x if x == x and abs(x) != float("inf") else None


def auc(score: Tensor, right: Tensor) -> float | None:
    """P(score of a right sample > score of a wrong one), ties half; None if either kind is absent or a score is NaN."""
    num_right, num_wrong = int(right.sum()), int((~right).sum())
    if not num_right or not num_wrong or bool(torch.isnan(score).any()):
        return None
    ordered, rank = score.double().sort()
    below = torch.searchsorted(ordered, ordered, right=False) + torch.searchsorted(ordered, ordered, right=True)
    mean_rank = (below.double() + 1) / 2  # of the samples tied with each
    rank_sum = float(mean_rank[right[rank]].sum())
    return (rank_sum - num_right * (num_right + 1) / 2) / (num_right * num_wrong)


Predict = Callable[[Tensor], dict[str, Tensor]]


@torch.inference_mode()
def predictions(predict: Predict, batches: Iterable[Batch], num_classes: int) -> dict[str, Tensor]:
    """Predicted classes (n,) int64 of every head, in the order of the batches; NaN logits predict class -1.

    The argmax of NaN is class 0, so without this a dead network would score the share of class 0.
    """
    parts: dict[str, list[Tensor]] = {}
    for batch in batches:
        for head, logits in predict(batch.x).items():
            if logits.shape != (len(batch.y), num_classes):
                raise ValueError(
                    f"predict gave {tuple(logits.shape)} for head {head!r}, not {(len(batch.y), num_classes)}"
                )
            dead = torch.isnan(logits).any(-1)
            parts.setdefault(head, []).append(torch.where(dead, -1, logits.argmax(-1)))
    return {head: torch.cat(rows) for head, rows in parts.items()}


def correct(predicted: Tensor, labels: Tensor) -> int:
    """How many predictions equal the labels."""
    return int((predicted == labels).sum())


def memorisation(predicted: Tensor, given: Tensor, clean: Tensor, truth: bool = True) -> PartCount:
    """How a head treats training samples: right labels fitted, wrong labels fitted, true classes recovered.

    Foreign images, of true class -1, have no right label and are in no count; without `truth` there is none at all.
    """
    if not truth:
        return {"right_fit": None, "wrong_fit": None, "wrong_recovered": None}
    own = clean >= 0
    given, clean, predicted = given[own], clean[own], predicted[own] if len(predicted) else predicted
    wrong = given != clean
    as_given = predicted == given
    return {
        "right_fit": int((as_given & ~wrong).sum()),
        "wrong_fit": int((as_given & wrong).sum()),
        "wrong_recovered": int(((predicted == clean) & wrong).sum()),
    }


def knowledge(predicted: Tensor, clean: Tensor, gate: Tensor, seen: Tensor) -> Count:
    """Accuracy against the true class of what a network's gate let through and of what it held back, as counts."""
    true, is_open, is_shut = predicted == clean, gate & seen, ~gate & seen
    return {
        "open": int(is_open.sum()),
        "open_right": int((is_open & true).sum()),
        "shut": int(is_shut.sum()),
        "shut_right": int((is_shut & true).sum()),
    }
