"""What the labels of each column really contain, counted from the stored labels of its noise seeds."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from bench.files import sha256
from bench.findings import stored_labels
from bench.findings.remembering import remembered
from bench.findings.sections.subject import Subject
from bench.sweep.records.store import Store
from noise import card_line

WRITTEN = 20  # classes up to which a cell holds its number
SHADES = 12
IDS = 50  # noise ids that are named for a column


def of(subject: Subject) -> list[dict[str, Any]]:
    """One card a column; `problem` is why it has none."""
    return [_column(subject.store, label, runs) for label, runs in stored_labels.by_column(subject.found).items()]


def _column(store: Store, label: str, runs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    ids = [(config.noise.seed, facts.noise_id) for config, facts in runs]
    head = {"label": label, "ids": ids[:IDS], "more": max(0, len(ids) - IDS), "problem": ""}
    try:
        stored = [stored_labels.read(store, facts.noise_id, facts.truth) for _, facts in runs]
        told = [(config.to_dict(), facts.noise_id, data) for (config, facts), data in zip(runs, stored, strict=True)]
        inputs = [[config["dataset"], config["noise"], sha256(data)] for config, _, data in told]
        return head | remembered(["noise card", inputs], functools.partial(_counted, told))
    except (FileNotFoundError, ValueError) as error:  # the numbers stand without it; the page says so
        return head | {"problem": f"the stored labels are not readable ({error})"}


def _counted(told: Sequence[tuple[dict[str, Any], str, bytes]]) -> dict[str, Any]:
    cards = [stored_labels.card_from(config, noise_id, data) for config, noise_id, data in told]
    first = cards[0]
    rates = [card["effective"] for card in cards if card["effective"] is not None]
    facts = [
        ("definition", f"{first['family']}, {first['dialect']}: {first['convention']}, {first['flips']}"),
        ("formula", first.get("formula") or ""),
        ("source", first.get("source") or ""),
        ("used by", first.get("used_by") or ""),
        ("drawn by", f"{first['generator']}" if first.get("generator") else ""),
        ("data", f"{first['dataset']}, {first['num_classes']} classes, digest {first['digest'][:12]}"),
        ("notes", "; ".join(first.get("notes", []))),
    ]
    return {
        "line": card_line(first),
        "effective": f"{min(rates):.3f} to {max(rates):.3f}" if len(set(rates)) > 1 else "",
        "facts": [(name, text) for name, text in facts if text],
        "seeds": len(cards),
        "matrix": _matrix([card["counts"] for card in cards if card["counts"]]),
    }


def _matrix(counts: Sequence[Sequence[Sequence[int]]]) -> dict[str, Any] | None:
    """Shares of given classes within each true one over all seeds, as shades of squares and, if few, numbers."""
    if not counts:
        return None
    size = len(counts[0])
    total = [[sum(one[i][j] for one in counts) for j in range(size)] for i in range(size)]
    shares = [[value / sum(row) if sum(row) else 0.0 for value in row] for row in total]
    top = max((shares[i][j] for i in range(size) for j in range(size) if i != j), default=0.0) or 1.0
    squares: dict[int, list[str]] = defaultdict(list)
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            if i != j and share > 0:
                squares[max(1, round(SHADES * share / top))].append(f"M{j} {i}h1v1h-1z")
    return {
        "size": size,
        "top": f"{100 * top:.1f}",
        "diagonal": "".join(f"M{i} {i}h1v1h-1z" for i in range(size)),
        "shades": [(f"{shade / SHADES:.3f}", "".join(paths)) for shade, paths in sorted(squares.items())],
        "numbers": _numbers(shares, top) if size <= WRITTEN else [],
    }


def _numbers(shares: Sequence[Sequence[float]], top: float) -> list[dict[str, Any]]:
    return [
        {"x": j + 0.5, "y": i + 0.5, "text": f"{100 * share:.0f}", "dark": i != j and share > 0.6 * top}
        for i, row in enumerate(shares)
        for j, share in enumerate(row)
        if share >= 0.005
    ]
