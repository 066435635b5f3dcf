"""What a record tells of a head beside its accuracy: memorisation, selection, correction, calibration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bench.evidence.records import Payload, distinct, noise_text

Diagnosis = dict[str, float | None]


def of_head(payload: Payload, epoch: Mapping[str, Any], head: str) -> Diagnosis:
    """Return shares in [0, 1], and `nll` in nats, of one head in one entry of `payload["history"]`.

    `right_fit` of the right labels and `wrong_fit` of the wrong ones are predicted as given, `wrong_recovered` of the
    wrong ones as the true class. `selected` is the share of the samples seen, `precision` that of right labels among
    the selected, `recall` that of the selected among the right ones, `auc` the area under the ROC curve of the clean
    score. `corrected` of the wrong labels were replaced by the true class, `broken` of the right ones by another.
    None is what nobody knows or the record does not hold: the true labels, a share of nothing, an older record. What a
    method chooses for each network is None for a head that is none; its labels are replaced for all heads together.
    """
    totals, counts = payload["totals"], epoch["heads"][head]
    wrong = totals["trace_wrong"]
    right = None if wrong is None else totals["trace"] - (totals.get("trace_foreign") or 0) - wrong
    chosen: Mapping[str, Any] = _of_network(epoch.get("selection"), head) or {}
    mended: Mapping[str, Any] = epoch.get("correction") or {}
    calibration: Mapping[str, Any] = epoch.get("calibration", {}).get(head, {})
    return {
        "test": _share(counts["test"], totals["test"]),
        "right_fit": _share(counts["right_fit"], right),
        "wrong_fit": _share(counts["wrong_fit"], wrong),
        "wrong_recovered": _share(counts["wrong_recovered"], wrong),
        "ece": calibration.get("ece"),
        "nll": calibration.get("nll"),
        "selected": _share(chosen.get("selected"), chosen.get("seen")),
        "precision": _share(chosen.get("selected_right"), chosen.get("selected")),
        "recall": _share(chosen.get("selected_right"), chosen.get("right_seen")),
        "auc": _of_network(epoch.get("score_auc"), head),
        "corrected": _share(mended.get("wrong_corrected"), mended.get("wrong_seen")),
        "broken": _share(mended.get("right_broken"), mended.get("right_seen")),
    }


def rows(results: Iterable[Payload]) -> Iterator[dict[str, Any]]:
    """Yield a row for every epoch and head of every run, as `pandas.DataFrame` takes them; `epoch` counts from 1."""
    for payload in distinct(results):
        config = payload["config"]
        facts = {
            "run_id": payload["run_id"],
            "dataset": config["dataset"]["name"],
            "noise": noise_text(config["noise"]),
            "method": config["method"]["name"],
            "seed": config["seed"],
        }
        for epoch in payload["history"]:
            for head in payload["heads"]:
                yield {**facts, "epoch": epoch["epoch"] + 1, "head": head, **of_head(payload, epoch, head)}


def _of_network(values: list[Any] | None, head: str) -> Any:
    """Return what a record holds for the network that a head is, None for any other head."""
    named = {f"net{k + 1}": value for k, value in enumerate(values or [])}
    return named.get(head)


def _share(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else part / whole
