"""Records and cells once more, from their definitions: by this road `verify` holds the harness to account.

The standard library alone, and nothing of what writes a record or computes a table: an error there cannot hide here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from math import atan, cos, pi, sin
from statistics import mean, stdev
from typing import Any, NamedTuple

Payload = Mapping[str, Any]

RULES = ("last", "last10", "noisy_val", "clean_val", "oracle")
SCHEMA = 1
SAME = 1e-9  # points: means of equal counts may differ by their rounding
NETWORKS = "mean of networks"
ALPHA = 0.05
LAST = 10  # epochs that "last10" averages
FIELDS = {"payload", "payload_sha256", "provenance", "sha256"}
# beside the settings, what the runs of a cell must have in common
COMMON = ("schema", "code", "method_code", "dataset_digest", "device_kind")
TOLD = (*COMMON, "noise_id", "num_networks", "headline", "needs")  # without which a record is of no use
# a count of an epoch -> what it is a count of; of the others, which need true labels, see `_limits`
PARTS = {"test": "test", "val_noisy": "val", "val_clean": "val_clean"}


class Record(NamedTuple):
    """A valid result.json, with the digest of its payload."""

    payload: dict[str, Any]
    provenance: dict[str, Any]
    payload_sha256: str


class Run(NamedTuple):
    """What tables need of a record: a hundredth of it, so that many fit the memory."""

    facts: dict[str, Any]  # the payload without its history
    provenance: dict[str, Any]
    payload_sha256: str
    last: dict[str, int]  # head -> test samples that it gets right after the last epoch
    scores: dict[tuple[str, str], Fraction | None]  # (rule, head) -> test accuracy


class Number(NamedTuple):
    """Mean in percent and sample standard deviation in points of n runs; None where there is none."""

    mean: float | None
    sd: float | None
    n: int


def spelt(value: object) -> bytes:
    """The canonical JSON of a value: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def identity(config: object) -> str:
    """The run_id of a configuration."""
    return f"r{digest(spelt(config))[:20]}"


def opened(data: bytes, run_id: str) -> Record:
    """The record in a result.json; ValueError with what is wrong with it."""
    try:
        whole = json.loads(data.decode("ascii"))
        if spelt(whole) != data:
            raise ValueError("its bytes are not the canonical spelling of what they say")
        if set(whole) != FIELDS:
            raise ValueError(f"it has the fields {', '.join(sorted(whole))}")
        if whole["sha256"] != digest(spelt({name: whole[name] for name in FIELDS - {"sha256"}})):
            raise ValueError("sha256 is not the digest of the record")
        payload = whole["payload"]
        if whole["payload_sha256"] != digest(spelt(payload)):
            raise ValueError("payload_sha256 is not the digest of the payload")
        if payload["schema"] != SCHEMA:
            raise ValueError(f"schema {payload['schema']} is unknown")
        if not run_id == payload["run_id"] == identity(payload["config"]):
            raise ValueError(f"folder, run_id and configuration name different runs, the last {payload['run_id']}")
        if lacking := [name for name in TOLD if name not in payload]:
            raise ValueError(f"it does not tell its {', '.join(lacking)}")
        _check_history(payload)
        return Record(payload, whole["provenance"], whole["payload_sha256"])
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ValueError("it is no JSON: empty, cut off or damaged") from None
    except (KeyError, TypeError, AttributeError, RecursionError) as error:  # another shape than a record's
        raise ValueError(f"it is no record: {error!r}") from None


def _check_history(payload: Payload) -> None:
    planned, history, limits = payload["config"]["train"]["epochs"], payload["history"], _limits(payload["totals"])
    if len(history) != planned and not (payload["diverged"] is True and 1 <= len(history) < planned):
        raise ValueError(f"it tells of {len(history)} epochs, {planned} were planned")
    for number, epoch in enumerate(history):
        if epoch["epoch"] != number or set(epoch["heads"]) != set(payload["heads"]):
            raise ValueError(f"epoch {number} is out of place or lacks a head")
        for head, counts in epoch["heads"].items():
            for name, limit in limits.items():
                count = counts[name]
                unknown = count is None and name not in ("test", "val_noisy")
                if not unknown and not (type(count) is int and 0 <= count <= limit):
                    raise ValueError(f"epoch {number}, {head}: {name} is {count}, of {limit}")


def _limits(totals: Mapping[str, Any]) -> dict[str, int]:
    sizes = {"val_clean": totals["val"], **totals}
    wrong = totals["trace_wrong"] or 0
    right = totals["trace"] - (totals.get("trace_foreign") or 0) - wrong
    traced = {"right_fit": right, "wrong_fit": wrong, "wrong_recovered": wrong}
    return {name: sizes[part] for name, part in PARTS.items()} | traced


def brief(record: Record) -> Run:
    """Return what tables need of a record."""
    payload = record.payload
    facts = {name: value for name, value in payload.items() if name != "history"}
    last = {head: counts["test"] for head, counts in payload["history"][-1]["heads"].items()}
    heads = {"headline", "ensemble", NETWORKS, *payload["heads"]}
    scores = {(rule, head): _score(payload, rule, head) for rule in RULES for head in heads}
    return Run(facts, record.provenance, record.payload_sha256, last, scores)


def _score(payload: Payload, rule: str, head: str) -> Fraction | None:
    """The test accuracy of a run by a rule, averaged over the heads that are asked for; None where there is none."""
    heads: Sequence[str] = [head]
    if head == "headline" or (head == "ensemble" and head not in payload["heads"] and payload["num_networks"] == 1):
        heads = payload["headline"]
    elif head == NETWORKS:
        heads = sorted({f"net{number}" for number in range(1, payload["num_networks"] + 1)} & set(payload["heads"]))
    if not payload["totals"]["test"] or not heads or not set(heads) <= set(payload["heads"]):
        return None
    counts = [_count(payload, rule, name) for name in heads]
    known = [count for count in counts if count is not None]
    return sum(known) / len(heads) / payload["totals"]["test"] if len(known) == len(heads) else None


def _count(payload: Payload, rule: str, head: str) -> Fraction | None:
    """How many test samples a head gets right in the epoch, or on average in the epochs, that the rule picks."""
    epochs = [epoch["heads"][head] for epoch in payload["history"]]
    test = [epoch["test"] for epoch in epochs]
    if rule == "last":
        return Fraction(test[-1])
    if rule == "last10":
        return Fraction(sum(test[-LAST:]), len(test[-LAST:]))
    if rule == "oracle":
        return Fraction(max(test))
    votes = [epoch["val_noisy" if rule == "noisy_val" else "val_clean"] for epoch in epochs]
    held_out = payload["totals"]["val"]
    if rule == "clean_val":
        held_out = payload["totals"].get("val_clean", held_out)
    if not held_out or None in votes:
        return None
    return Fraction(next(right for right, vote in zip(test, votes, strict=True) if vote == max(votes)))


def together(runs: Iterable[Run]) -> list[list[Run]]:
    """Sort runs into cells: those that differ in their seeds alone."""
    found: dict[bytes, list[Run]] = {}
    for run in runs:
        config = {name: value for name, value in run.facts["config"].items() if name != "seed"}
        config["noise"] = {name: value for name, value in config["noise"].items() if name != "seed"}
        found.setdefault(spelt([config, *(run.facts[name] for name in COMMON)]), []).append(run)
    return list(found.values())


def cells(groups: Iterable[Sequence[Run]], rule: str, head: str) -> dict[frozenset[str], Number]:
    """The numbers of a table by the ids of the runs behind them, which `together` has sorted."""
    return {frozenset(run.facts["run_id"] for run in runs): _number(runs, rule, head) for runs in groups}


def gaps(groups: Iterable[Sequence[Run]], head: str) -> dict[frozenset[str], Number]:
    """By how many points the best epoch on test is above the last one, run by run, as `cells` gives numbers."""
    found = {}
    for runs in groups:
        pairs = [(run.scores.get(("oracle", head)), run.scores.get(("last", head))) for run in runs]
        values = [100 * (best - last) for best, last in pairs if best is not None and last is not None]
        found[frozenset(run.facts["run_id"] for run in runs)] = _of(values)
    return found


def marks(rows: Mapping[str, Sequence[Run]], rule: str, head: str) -> tuple[str | None, set[str]]:
    """The row of the highest mean of a column, and the rows that it is not shown to be better than, itself included.

    By paired t tests of all pairs that share two seeds, with Holm's correction over these; nothing and nobody where the
    best has one run, or shares two seeds with none.
    """
    shares: dict[str, dict[tuple[object, ...], Fraction]] = {}
    for label, runs in rows.items():
        known = {_seeds(run): share for run in runs if (share := run.scores.get((rule, head))) is not None}
        if known:
            shares[label] = known
    if not shares:
        return None, set()
    best = max(shares, key=lambda label: mean(shares[label].values()))  # the first of equals
    pairs = {pair: _differences(shares[pair[0]], shares[pair[1]]) for pair in combinations(shares, 2)}
    rivals = {(set(pair) - {best}).pop(): gaps for pair, gaps in pairs.items() if best in pair}
    if len(shares[best]) < 2 or all(len(gaps) < 2 for gaps in rivals.values()):
        return None, set()
    worse = {(set(pair) - {best}).pop() for pair in _separated(pairs) if best in pair}
    tested = {label for label, gaps in rivals.items() if len(gaps) > 1 and (len(set(gaps)) > 1 or not gaps[0])}
    return best, {best} | (tested - worse)


def _seeds(run: Run) -> tuple[object, ...]:
    config = run.facts["config"]
    return config["seed"], config["noise"]["seed"], run.facts["noise_id"]


def _differences(one: Mapping[Any, Fraction], other: Mapping[Any, Fraction]) -> list[Fraction]:
    return [share - other[seeds] for seeds, share in one.items() if seeds in other]


def _separated(pairs: Mapping[tuple[str, str], Sequence[Fraction]]) -> list[tuple[str, str]]:
    """The pairs whose means differ by Holm's procedure: the smallest p first, until one is above its share of alpha."""
    known = {pair: _p(gaps) for pair, gaps in pairs.items() if len(set(gaps)) > 1}
    order, found = sorted(known, key=lambda pair: known[pair]), []
    for number, pair in enumerate(order):
        if known[pair] * (len(order) - number) > ALPHA:
            break
        found.append(pair)
    return found


def _p(gaps: Sequence[Fraction]) -> float:
    """The two-sided p of a paired t test: Student's distribution in closed form, for whole degrees of freedom."""
    df = len(gaps) - 1
    t = abs(float(mean(gaps))) / (stdev(map(float, gaps)) / len(gaps) ** 0.5)
    angle = atan(t / df**0.5)
    term, total = (cos(angle), 0.0) if df % 2 else (1.0, 0.0)
    for k in range(1 + df % 2, df, 2):  # Abramowitz and Stegun, 26.7.3 and 26.7.4
        total += term
        term *= cos(angle) ** 2 * k / (k + 1)
    inside = 2 / pi * (angle + sin(angle) * total) if df % 2 else sin(angle) * total
    return 1 - inside


COSTS = ("epochs", "passes", "passes ratio")


def costs(rows: Mapping[str, Sequence[Sequence[Run]]], baseline: str | None) -> dict[str, dict[str, Fraction]]:
    """What the runs of each row and column took, without those that diverged; nothing where it is not known.

    Epochs and passes over the training set are means over all runs of a row; the ratio to the baseline's passes is the
    mean over the columns that both have.
    """
    whole = {
        label: [[run for run in cell if not run.facts["diverged"]] for cell in cells] for label, cells in rows.items()
    }
    base = None if baseline is None else [_passes(cell) for cell in whole[baseline]]
    found: dict[str, dict[str, Fraction]] = {}
    for label, cells in whole.items():
        runs, known = [run for cell in cells for run in cell], found.setdefault(label, {})
        if not runs:
            continue
        known["epochs"] = Fraction(sum(run.facts["config"]["train"]["epochs"] for run in runs), len(runs))
        if (passes := _passes(runs)) is not None:
            known["passes"] = passes
        own = [_passes(cell) for cell in cells]
        ratios = [one / other for one, other in zip(own, base or [], strict=False) if one is not None and other]
        if ratios:
            known["passes ratio"] = sum(ratios, Fraction()) / len(ratios)
    return found


def _passes(runs: Sequence[Run]) -> Fraction | None:
    if not runs or not all(run.facts["totals"]["train"] for run in runs):
        return None
    return sum(
        (Fraction(run.facts["forward_samples"], run.facts["totals"]["train"]) for run in runs), Fraction()
    ) / len(runs)


def ranks(means: Mapping[str, Sequence[float | None]]) -> dict[str, list[float | None]]:
    """The rank of each row in each column, given its mean there; 1 is the highest, equal means share the mean rank.

    Every row that ranks has a mean in every column that counts: until then the column or row goes that lacks the
    largest share of its means; of equals the column, and the first one.
    """
    width = max(map(len, means.values()), default=0)
    full, kept = dict(means), list(range(width))
    while any(row[column] is None for row in full.values() for column in kept):
        lacks = [Fraction(sum(row[column] is None for row in full.values()), len(full)) for column in kept]
        needs = {label: Fraction(sum(row[c] is None for c in kept), len(kept)) for label, row in full.items()}
        if max(lacks) >= max(needs.values()):
            del kept[lacks.index(max(lacks))]
        else:
            del full[max(needs, key=lambda label: needs[label])]
    found: dict[str, list[float | None]] = {}
    for label, row in full.items() if len(full) > 1 and kept else ():
        found[label] = [None] * width
        for column in kept:
            others = [(other[column] or 0.0) - (row[column] or 0.0) for other in full.values()]
            above, equal = sum(gap > SAME for gap in others), sum(abs(gap) <= SAME for gap in others)
            found[label][column] = above + (equal + 1) / 2
    return found


def _number(runs: Sequence[Run], rule: str, head: str) -> Number:
    return _of([100 * value for run in runs if (value := run.scores.get((rule, head))) is not None])


def _of(values: Sequence[Fraction]) -> Number:
    return Number(
        mean=float(mean(values)) if values else None,
        sd=float(stdev(values)) if len(values) > 1 else None,
        n=len(values),
    )


def unequal_labels(runs: Iterable[Run]) -> list[str]:
    """A line for each setting and noise seed whose runs did not all meet the same wrong labels."""
    met: dict[bytes, dict[str, str]] = {}
    for run in runs:
        data, noise = run.facts["config"]["dataset"], run.facts["config"]["noise"]
        setting = spelt([data["name"], data["digest"], noise])
        met.setdefault(setting, {}).setdefault(run.facts["noise_id"], run.facts["run_id"])
    return [
        "runs of one setting and noise seed met different labels: "
        + ", ".join(f"{run_id} {noise_id}" for noise_id, run_id in ids.items())
        for ids in met.values()
        if len(ids) > 1
    ]
