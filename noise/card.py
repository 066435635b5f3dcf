"""What a label set really contains: counted from the labels themselves, never taken from what was asked."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise.base import Corruption
from noise.draws import labels_sha256
from noise.families import dialect_of

Card = dict[str, Any]


def card(corruption: Corruption, *, dataset: str = "", digest: str = "", train_index: ArrayLike | None = None) -> Card:
    """Return the card of a label set in plain JSON types.

    `effective` is the wrong share among the samples of `train_index`, the ones a method trains on; without it all N.
    A rate of a class without samples is None, and so is `z` unless every sample was drawn on its own.
    """
    c, spec, dialect = corruption, corruption.spec, dialect_of(corruption.spec)
    flips = spec.flips if spec.flips != "exact" else dialect.flips
    total, wrong = len(c.clean), c.wrong
    trained = np.arange(total) if train_index is None else _checked_index(train_index, total)
    counts = np.bincount(c.clean * c.num_classes + c.given, minlength=c.num_classes**2).reshape(c.num_classes, -1)
    diagonal, dominant = _diagonal(c.transition, counts)
    return {
        "noise_id": c.noise_id,
        "spec": str(spec),
        "label": spec.label,
        "asked": spec.rate,
        "expected": c.expected,
        "actual": float(wrong.mean()),
        "effective": float(wrong[trained].mean()),
        "wrong": int(wrong.sum()),
        "num_samples": total,
        "num_classes": c.num_classes,
        "trained": len(trained),
        "trained_wrong": int(wrong[trained].sum()),
        "covers": "train" if len(trained) == total else "train and validation",
        "family": spec.family,
        "dialect": spec.dialect,
        "convention": dialect.convention,
        "flips": flips,
        "map": spec.map,
        "options": dict(spec.options),
        "generator": c.generator,
        "seed": c.seed,
        "used_by": dialect.used_by,
        "numpy": np.__version__,
        "dataset": dataset,
        "digest": digest,
        "given_sha256": labels_sha256(c.given),
        "clean_sha256": labels_sha256(c.clean),
        "counts": counts.tolist(),
        "rate_by_class": _off_diagonal_share(counts, axis=1),
        "wrong_share_by_given": _off_diagonal_share(counts, axis=0),
        "smallest_diagonal": diagonal,
        "diagonally_dominant": dominant,
        "z": _z(c) if flips == "iid" else None,
        "foreign": 0 if c.is_ood is None else int(c.is_ood.sum()),
        "origin": None,
        "file_sha256": None,
    }


def card_line(card: Card) -> str:
    """Return the card in one line: the four rates, the id, the convention."""
    return (
        f"{card['label']}: asked {_share(card['asked'])}, expected {_share(card['expected'])}, "
        f"actual {_share(card['actual'])} over {card['num_samples']:,}, effective {_share(card['effective'])} "
        f"on the {card['trained']:,} trained on; id {card['noise_id']}; "
        f"{card['dialect']}, {card['convention']}, {card['flips']}"
        + ("" if card["diagonally_dominant"] else "; NOT diagonally dominant")
    )


def card_text(card: Card) -> str:
    """Return the card as a dozen lines for a terminal."""
    by_class = _extremes(card["rate_by_class"])
    by_given = _extremes(card["wrong_share_by_given"])
    chance = "" if card["z"] is None else f"; chance put it {card['z']:+.1f} sd from expected"
    data = [card["dataset"] or "unnamed data", f"{card['num_classes']} classes", f"noise on {card['covers']}"]
    lines = [
        f"{card['label']}  {card['noise_id']}",
        f"  rates       asked {_share(card['asked'])}, expected {_share(card['expected'])}, "
        f"actual {_share(card['actual'])}, effective {_share(card['effective'])}",
        f"  wrong       {card['wrong']:,} of {card['num_samples']:,}; "
        f"{card['trained_wrong']:,} of the {card['trained']:,} trained on{chance}",
        f"  definition  {card['family']}, {card['dialect']}: {card['convention']}, {card['flips']}",
        f"  used by     {card['used_by']}",
        f"  drawn       {card['generator']}, seed {card['seed']}, numpy {card['numpy']}",
        f"  data        {', '.join(data)}" + (f", digest {card['digest'][:12]}" if card["digest"] else ""),
        f"  by class    wrong from {by_class}",
        f"  by label    wrong among those given it from {by_given}",
        f"  confusions  {_top_confusions(card['counts'])}",
        f"  diagonal    smallest entry {_share(card['smallest_diagonal'])}, "
        + ("diagonally dominant" if card["diagonally_dominant"] else "not diagonally dominant"),
    ]
    if card["map"] is not None or card["options"]:
        settings = {**({"map": card["map"]} if card["map"] is not None else {}), **card["options"]}
        lines.insert(4, f"  options     {', '.join(f'{key} {value}' for key, value in settings.items())}")
    if card["foreign"]:
        lines.append(f"  foreign     {card['foreign']:,} images from another data set; none of their labels is right")
    ask = card["asked"] * card["num_classes"] / (card["num_classes"] - 1)
    if card["convention"] == "inclusive" and ask < 1:
        lines.append(
            f"  note        a flip may keep the true class: to make {_share(card['asked'])} wrong ask {ask:.4g}"
        )
    if not card["diagonally_dominant"]:
        lines.append(
            "  WARNING     in some class the true label is not the most frequent one: it cannot be learnt back"
        )
    return "\n".join(lines)


def _checked_index(train_index: ArrayLike, total: int) -> NDArray[np.int64]:
    index = np.asarray(train_index)
    if index.ndim != 1 or len(index) == 0 or not np.issubdtype(index.dtype, np.integer):
        raise ValueError(f"train_index must be integers of shape (n,), got {index.dtype} of shape {index.shape}")
    if index.min() < 0 or index.max() >= total or len(np.unique(index)) != len(index):
        raise ValueError(f"train_index must name samples 0..{total - 1} once each")
    return index.astype(np.int64)


def _off_diagonal_share(counts: NDArray[np.int64], axis: int) -> list[float | None]:
    totals = counts.sum(axis=axis)
    return [float((n - k) / n) if n else None for n, k in zip(totals, np.diag(counts), strict=True)]


def _diagonal(transition: NDArray[np.float64] | None, counts: NDArray[np.int64]) -> tuple[float, bool]:
    """Return the smallest diagonal entry and whether every one is the largest of its row.

    Of the transition matrix where there is one, else of the counted one, whose empty classes are left out.
    """
    seen = counts[counts.sum(axis=1) > 0]
    rows = seen / seen.sum(axis=1, keepdims=True) if transition is None else transition
    at = np.flatnonzero(counts.sum(axis=1) > 0) if transition is None else np.arange(len(transition))
    keep = rows[np.arange(len(rows)), at]
    others = rows.copy()
    others[np.arange(len(rows)), at] = -np.inf
    margin = 1e-12  # 1 - 2/3 is a hair above 2/3 / 2, and yet no majority
    return float(keep.min()), bool((keep > others.max(axis=1) + margin).all())


def _z(corruption: Corruption) -> float | None:
    """Return (actual - expected) / sd for samples drawn on their own, None where nothing is left to chance."""
    share = np.full(len(corruption.clean), corruption.expected)
    if corruption.transition is not None:
        share = 1 - np.diag(corruption.transition)[corruption.clean]
    sd = float(np.sqrt((share * (1 - share)).sum())) / len(share)
    return float((corruption.wrong.mean() - corruption.expected) / sd) if sd > 0 else None


def _share(value: float) -> str:
    return f"{value:.3f}".removeprefix("0") if value >= 0 else f"{value:.3f}"


def _extremes(shares: list[float | None]) -> str:
    known = [(share, c) for c, share in enumerate(shares) if share is not None]
    low, high = min(known), max(known)
    return f"{_share(low[0])} (class {low[1]}) to {_share(high[0])} (class {high[1]})"


def _top_confusions(counts: list[list[int]], top: int = 5) -> str:
    pairs = [(-n, y, g) for y, row in enumerate(counts) for g, n in enumerate(row) if y != g and n]
    return ", ".join(f"{y} -> {g}: {-n:,}" for n, y, g in sorted(pairs)[:top]) or "none"
