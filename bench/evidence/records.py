"""Payloads of finished runs in, accuracies out: which epoch and which head make the number of a run.

A selection rule is applied to each head that a method reports, and the results are averaged over those heads: choosing
one epoch for two networks, or averaging their validation accuracies first, would be another rule.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from noise import NoiseSpec

if TYPE_CHECKING:
    import pandas as pd

Payload = Mapping[str, Any]


class Summary(dict[str, Any]):
    """A payload without its history, in whose place `accuracies` are: by rule and head, what a table needs of it."""


class Spent(NamedTuple):
    """What a record tells of the time that its run took: `seconds` are None where they are those of a part of it."""

    seconds: float | None = None
    device: str = ""  # as the machine names it, "" if it is not told
    host: str = ""  # tells machines apart
    started: str = ""  # ISO 8601, to the second
    sharing: int | None = None  # runs on its GPU when it began, itself included


HEADLINE = "headline"
NETWORKS = "mean of networks"  # every network's own head
LAST_EPOCHS = 10
RULES = {
    "last": "test accuracy after the last epoch",
    "last10": f"mean test accuracy of the last {LAST_EPOCHS} epochs",
    "noisy_val": "test accuracy at the first best epoch on validation samples with noisy labels",
    "clean_val": "test accuracy at the first best epoch on validation samples with clean labels (†)",
    "oracle": "best test accuracy of any epoch (an oracle: chosen on the test labels)",
}


def text_of(value: object) -> str:
    """Return a setting as short text: a word as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))


def noise_text(noise: Mapping[str, Any]) -> str:
    """Return the column label of a noise spec, without its seed: two specs share a label only if they are equal."""
    return NoiseSpec.from_dict({name: value for name, value in noise.items() if name != "seed"}).label


def reported_heads(payload: Payload, head: str = HEADLINE) -> list[str]:
    """Return the heads whose mean is the number asked for: empty if the run has no such head.

    An ensemble of one network is that network, so that one-network methods have a number beside ensembles.
    """
    if head == NETWORKS:
        return networks_of(payload)
    if head == HEADLINE or (head == "ensemble" and head not in payload["heads"] and payload["num_networks"] == 1):
        return list(payload["headline"])
    return [head] if head in payload["heads"] else []


def networks_of(payload: Payload) -> list[str]:
    """Return the heads that are one network each, in the order of the networks."""
    names = (f"net{number + 1}" for number in range(payload["num_networks"]))
    return [name for name in names if name in payload["heads"]]


def series(payload: Payload, head: str, count: str) -> list[int] | None:
    """Return a count of one head per epoch, or None where an epoch lacks it."""
    values = [epoch["heads"][head].get(count) for epoch in payload["history"]]
    return None if not values or None in values else values


def first_maximum(values: list[int]) -> int:
    return values.index(max(values))


def accuracy(payload: Payload, rule: str = "last", head: str = HEADLINE) -> float | None:
    """Return the test accuracy of a run in [0, 1], or None if the run has no such head or nothing to select by."""
    check_rule(rule)
    heads = reported_heads(payload, head)
    values = [_accuracy_of_head(payload, rule, name) for name in heads]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(heads) else None


def summary(payload: Payload) -> Summary:
    """Return a payload with what every rule makes of its history in place of the history, a hundredth of its size."""
    rest = {name: value for name, value in payload.items() if name != "history"}
    heads = {head: _by_rule(payload, head) for head in payload["heads"]}
    accuracies = {rule: {head: found[rule] for head, found in heads.items()} for rule in RULES}
    return Summary(rest | {"accuracies": accuracies})


def check_rule(rule: str) -> None:
    if rule not in RULES:
        raise ValueError(f"unknown selection rule {rule!r}; allowed: {', '.join(RULES)}")


def _accuracy_of_head(payload: Payload, rule: str, head: str) -> float | None:
    if isinstance(payload, Summary):
        known: float | None = payload["accuracies"][rule][head]
        return known
    return _by_rule(payload, head)[rule]


def _by_rule(payload: Payload, head: str) -> dict[str, float | None]:
    totals = payload["totals"]
    test, total = series(payload, head, "test"), totals["test"]
    if test is None or not total:
        return dict.fromkeys(RULES)

    def chosen(count: str, held_out: int | None) -> float | None:
        votes = series(payload, head, count) if held_out else None
        return None if votes is None else test[first_maximum(votes)] / total

    recent = test[-LAST_EPOCHS:]
    return {
        "last": test[-1] / total,
        "last10": sum(recent) / (len(recent) * total),
        "noisy_val": chosen("val_noisy", totals["val"]),
        "clean_val": chosen("val_clean", totals.get("val_clean", totals["val"])),
        "oracle": max(test) / total,
    }


def share_per_epoch(payload: Payload, count: str, total: int, heads: Iterable[str]) -> list[float] | None:
    """Return a count as a share of `total` per epoch, averaged over `heads`; None where it is unknown or total is 0."""
    per_head = [series(payload, head, count) for head in heads]
    known = [values for values in per_head if values is not None]
    if not total or not known or len(known) < len(per_head):
        return None
    return [sum(counts) / (len(known) * total) for counts in zip(*known, strict=True)]


_FACTS: dict[str, Callable[[Payload], object]] = {
    "run_id": lambda p: p["run_id"],
    "dataset": lambda p: p["config"]["dataset"]["name"],
    "noise": lambda p: noise_text(p["config"]["noise"]),
    "noise_seed": lambda p: p["config"]["noise"]["seed"],
    "noise_id": lambda p: p["noise_id"],
    "method": lambda p: p["config"]["method"]["name"],
    "params": lambda p: text_of(p["config"]["method"]["params"]),
    "seed": lambda p: p["config"]["seed"],
    "network": lambda p: p["config"]["train"]["network"],
    "epochs": lambda p: p["config"]["train"]["epochs"],
    "preset": lambda p: p["config"]["train"]["preset"],
    "protocol": lambda p: p["config"]["protocol"],
    "dataset_digest": lambda p: p["dataset_digest"],
    "code": lambda p: p["code"],
    "networks": lambda p: p["num_networks"],
    "needs": lambda p: ",".join(p["needs"]),
    "diverged": lambda p: p["diverged"],
    "parameters": lambda p: p["parameters"],
    "forward_samples": lambda p: p["forward_samples"],
}


def frame(results: Iterable[Payload]) -> pd.DataFrame:
    """Return one row per run, rule and head; `accuracy` is in [0, 1], NaN where the rule does not apply.

    `head` is "headline" (the mean of the heads that the method reports) or the name of one head.
    """
    import pandas as pd

    rows = []
    for payload in distinct(results):
        facts = {name: fact(payload) for name, fact in _FACTS.items()}
        for rule in RULES:
            for head in [HEADLINE, *payload["heads"]]:
                rows.append({**facts, "rule": rule, "head": head, "accuracy": accuracy(payload, rule, head)})
    table = pd.DataFrame(rows, columns=[*_FACTS, "rule", "head", "accuracy"])
    return table.astype({"accuracy": float})


def distinct(results: Iterable[Payload]) -> list[Payload]:
    """Return the payloads as a list; a run given twice raises, because it would count as two seeds."""
    payloads: dict[str, Payload] = {}
    for payload in results:
        if payload["run_id"] in payloads:
            raise ValueError(f"run {payload['run_id']} is given twice; a run counts once")
        payloads[payload["run_id"]] = payload
    return list(payloads.values())
