"""What a run records beside its losses: computed by the trainer, which alone holds the clean labels.

K networks, B samples in a batch, C classes, N training samples.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from methods.base import Batch, Judgement, Step

Count = dict[str, int]
PartCount = dict[str, int | None]  # None: the true labels would have to be known


class Traces:
    """Device buffers that collect what the steps of one epoch return; the host reads them once, at its end.

    What a step says of one network alone is written to that network's row, so `seen` is kept for each network. Buffers
    are written in place, so that a recorded step finds them; what the host counts meanwhile is in `counts` alone.
    """

    def __init__(self, num_networks: int, num_train: int, device: torch.device) -> None:
        shape = (num_networks, num_train)
        self.selected = torch.zeros(shape, dtype=torch.bool, device=device)
        self.clean_score = torch.zeros(shape, device=device)
        self.relabelled = torch.zeros(num_train, dtype=torch.int64, device=device)
        self.seen = {
            "selected": torch.zeros(shape, dtype=torch.bool, device=device),
            "clean_score": torch.zeros(shape, dtype=torch.bool, device=device),
            "relabelled": torch.zeros(num_train, dtype=torch.bool, device=device),
        }
        self.loss = torch.zeros(num_networks, dtype=torch.float64, device=device)
        self.finite = torch.ones((), dtype=torch.bool, device=device)
        self.scalars: dict[str, Tensor] = {}  # sums, in the precision of what is summed
        self.counts: Counter[int | str] = Counter()  # of steps that trained a network, and that named a scalar

    def add(self, step: Step, index: Tensor) -> None:
        """Note one training step over the samples at `index`, (B,) distinct positions in the training split."""
        rows = self._rows(step.network)
        losses = step.losses.detach()[rows]
        self.loss[rows].add_(losses)
        self.finite.logical_and_(torch.isfinite(losses).all())
        for name, value in (step.scalars or {}).items():
            self._sum(name, value).add_(value)
        if step.selected is not None:
            self.selected[rows, index] = step.selected[rows]
            self.seen["selected"][rows].index_fill_(1, index, True)  # not `= True`: a GPU would wait for the number
        if step.clean_score is not None:
            self.clean_score[rows, index] = step.clean_score[rows].float()
            self.seen["clean_score"][rows].index_fill_(1, index, True)
        if step.relabelled is not None:
            self.relabelled[index] = classes(step.relabelled)
            self.seen["relabelled"].index_fill_(0, index, True)
        self.counts.update([*range(len(self.loss))[rows], *(step.scalars or {})])

    def _rows(self, network: int | None) -> slice:
        if network is None:
            return slice(None)
        if not 0 <= network < len(self.loss):
            raise ValueError(f"Step.network must be in [0, {len(self.loss) - 1}], got {network}")
        return slice(network, network + 1)

    def _sum(self, name: str, value: Tensor | float) -> Tensor:
        """The buffer of a scalar: of Python numbers float64, of tensors as they are."""
        if name not in self.scalars:
            shape, dtype = (value.shape, torch.result_type(value, 0.0)) if isinstance(value, Tensor) else ((), None)
            self.scalars[name] = torch.zeros(shape, dtype=dtype or torch.float64, device=self.loss.device)
        return self.scalars[name]

    def judge(self, judgement: Judgement) -> None:
        """Put what a method holds of all training samples in the place of what its steps said.

        Fields that are None leave the steps' word standing. ValueError naming a field of another shape.
        """
        for name, buffer in (("selected", self.selected), ("clean_score", self.clean_score)):
            value = getattr(judgement, name)
            if value is not None:
                if value.shape != buffer.shape:
                    due = tuple(buffer.shape)
                    raise ValueError(f"Judgement.{name} must have the shape {due}, got {tuple(value.shape)}")
                buffer.copy_(value.detach())
                self.seen[name].fill_(True)
        if judgement.relabelled is not None:
            shape = tuple(judgement.relabelled.shape)
            if len(shape) != 2 or shape[0] != len(self.relabelled):
                raise ValueError(f"Judgement.relabelled must have the shape ({len(self.relabelled)}, C), got {shape}")
            self.relabelled.copy_(classes(judgement.relabelled))
            self.seen["relabelled"].fill_(True)

    def summary(self, given: Tensor, clean: Tensor | None) -> dict[str, Any]:
        """The epoch in plain numbers, held against labels (N,): was right what the steps chose, scored, corrected?

        The loss of a network that no step trained is None. Without true labels (`clean`, -1 for foreign images) nobody
        can say what was right: those counts are None, and there is no score_auc.
        """
        right = None if clean is None else given == clean
        totals = [(total, self.counts[network]) for network, total in enumerate(self.loss.tolist())]
        return {
            "loss": [finite(total / steps) if steps else None for total, steps in totals],
            "scalars": {name: finite(float(total) / self.counts[name]) for name, total in sorted(self.scalars.items())},
            "selection": self._selection(right),
            "score_auc": self._score_auc(right),
            "correction": self._correction(given, clean),
        }

    def _selection(self, right: Tensor | None) -> list[PartCount]:
        """Per network, for precision and recall; foreign images may be selected, and never rightly."""
        if not bool(self.seen["selected"].any()):
            return []
        return [
            {
                "seen": int(seen.sum()),
                "selected": int((row & seen).sum()),
                "right_seen": None if right is None else int((seen & right).sum()),
                "selected_right": None if right is None else int((row & seen & right).sum()),
            }
            for row, seen in zip(self.selected, self.seen["selected"], strict=True)
        ]

    def _score_auc(self, right: Tensor | None) -> list[float | None]:
        if right is None or not bool(self.seen["clean_score"].any()):
            return []
        return [
            auc(row[seen], right[seen]) for row, seen in zip(self.clean_score, self.seen["clean_score"], strict=True)
        ]

    def _correction(self, given: Tensor, clean: Tensor | None) -> PartCount | None:
        """Which labels were mended and which were broken; foreign images have no right label and are in neither."""
        seen = self.seen["relabelled"]
        if not bool(seen.any()):
            return None
        names = ("right", "wrong_seen", "wrong_corrected", "right_seen", "right_broken")
        if clean is None:
            return {"seen": int(seen.sum()), **dict.fromkeys(names)}
        own, wrong = seen & (clean >= 0), given != clean
        as_true = own & (self.relabelled == clean)
        parts = (as_true, own & wrong, as_true & wrong, own & ~wrong, own & ~wrong & ~as_true)
        counts: PartCount = {"seen": int(seen.sum())}
        return counts | {name: int(part.sum()) for name, part in zip(names, parts, strict=True)}


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


def transition(estimate: Tensor, truth: Tensor | None) -> dict[str, float | None]:
    """An estimated matrix (C, C) in numbers: mean diagonal, condition number, and how far it is from the noise's own.

    The error is the mean over true classes of sum_j |T[i, j] - T*[i, j]|, in [0, 2]; None where the noise has none.
    """
    found = estimate.detach().double().cpu()
    error = None if truth is None else float((found - truth.double().cpu()).abs().sum(1).mean())
    return {
        "diagonal": finite(float(found.diagonal().mean())),
        "condition": finite(float(torch.linalg.cond(found))),
        "error": error,
    }


Predict = Callable[[Tensor], dict[str, Tensor]]
Watch = Callable[[str, Tensor, Batch], None]  # is shown a head's name, its logits (B, C), and their batch


def classes(values: Tensor) -> Tensor:
    """The class (n,) int64 of the largest value in each row of (n, C); -1 for a row with a NaN.

    The argmax of NaN is a class, so without this a dead network would score the share of that class.
    """
    return torch.where(torch.isnan(values).any(-1), -1, values.argmax(-1))


@torch.inference_mode()
def predictions(
    predict: Predict, batches: Iterable[Batch], num_classes: int, watches: Sequence[Watch] = ()
) -> dict[str, Tensor]:
    """Predicted classes (n,) int64 of every head, in the order of the batches; NaN logits predict class -1.

    Whatever else is measured on these logits is handed in as `watches`, so that no batch goes forward twice.
    """
    parts: dict[str, list[Tensor]] = {}
    for batch in batches:
        for head, logits in predict(batch.x).items():
            if logits.shape != (len(batch.y), num_classes):
                raise ValueError(
                    f"predict gave {tuple(logits.shape)} for head {head!r}, not {(len(batch.y), num_classes)}"
                )
            parts.setdefault(head, []).append(classes(logits))
            for watch in watches:
                watch(head, logits, batch)
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
