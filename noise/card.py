"""What a label set really contains: counted from the labels themselves, never taken from what was asked."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise.base import Corruption
from noise.draws import Floats, Labels, labels_sha256
from noise.spec import dialect_of

Card = dict[str, Any]


def card(corruption: Corruption, *, dataset: str = "", digest: str = "", train_index: ArrayLike | None = None) -> Card:
    """Return the card of a label set in plain JSON types.

    `effective` is the wrong share among the samples of `train_index`, the ones a method trains on; without it all N.
    Foreign images are counted apart: they are in no rate and in no cell of `counts`. A rate of a class without samples
    is None, and so is `z` unless every sample was drawn on its own. Where the true labels are unknown, so is all that
    is counted against them.
    """
    c, spec, dialect = corruption, corruption.spec, dialect_of(corruption.spec)
    total = len(c.given)
    trained = np.arange(total) if train_index is None else _checked_index(train_index, total)
    return {
        "noise_id": c.noise_id,
        "spec": str(spec),
        "table": spec.to_dict(),
        "label": spec.label,
        "asked": spec.rate,
        "expected": c.expected,
        "num_samples": total,
        "num_classes": c.num_classes,
        "trained": len(trained),
        "covers": "train" if len(trained) == total else "train and validation",
        "family": spec.family,
        "dialect": spec.dialect,
        "convention": dialect.convention,
        "flips": _flips(c),
        "map": spec.map,
        "options": dict(spec.options),
        "formula": dialect.formula,
        "source": dialect.source,
        "generator": c.generator,
        "seed": c.seed,
        "used_by": dialect.used_by,
        "numpy": np.__version__,
        "dataset": dataset,
        "digest": digest,
        "given_sha256": labels_sha256(c.given),
        "clean_sha256": None if c.clean is None else labels_sha256(c.clean),
        "given_counts": np.bincount(c.given, minlength=c.num_classes).tolist(),
        "foreign": 0 if c.is_ood is None else int(c.is_ood.sum()),
        "known_classes": c.known_classes,
        "notes": list(c.notes),
        "origin": spec.options.get("path"),
        "file_sha256": spec.options.get("sha256"),
    } | (_unknown() if c.clean is None else _against_truth(c, c.clean, trained))


def _against_truth(c: Corruption, clean: Labels, trained: NDArray[np.int64]) -> Card:
    own = np.ones(len(clean), dtype=bool) if c.is_ood is None else ~c.is_ood
    wrong = c.wrong
    counts = np.bincount((clean * c.num_classes + c.given)[own], minlength=c.num_classes**2)
    counts = counts.reshape(c.num_classes, -1)
    diagonal, dominant = _diagonal(c.transition, counts)
    return {
        "actual": float(wrong.mean()),
        "effective": float(wrong[trained].mean()),
        "wrong": int(wrong.sum()),
        "trained_wrong": int(wrong[trained].sum()),
        "counts": counts.tolist(),
        "rate_by_class": _off_diagonal_share(counts, axis=1),
        "wrong_share_by_given": _off_diagonal_share(counts, axis=0),
        "smallest_diagonal": diagonal,
        "diagonally_dominant": dominant,
        "z": _z(c, clean) if _flips(c) == "iid" else None,
    }


def _flips(c: Corruption) -> str:
    """How wrong samples were picked; "exact" of our own dialects is what the dialect says it is."""
    return c.spec.flips if c.spec.flips != "exact" else dialect_of(c.spec).flips


def _unknown() -> Card:
    names = ("actual", "effective", "wrong", "trained_wrong", "counts", "rate_by_class", "wrong_share_by_given")
    return {name: None for name in (*names, "smallest_diagonal", "diagonally_dominant", "z")}


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


def _diagonal(transition: Floats | None, counts: Labels) -> tuple[float, bool]:
    """Return the smallest diagonal entry and whether every one is the largest of its row.

    Of the transition matrix where there is one, else of the counted one, whose empty classes are left out.
    """
    seen = counts[counts.sum(axis=1) > 0]
    if not len(seen) and transition is None:  # every image is foreign
        return 1.0, True
    rows = seen / seen.sum(axis=1, keepdims=True) if transition is None else transition
    at = np.flatnonzero(counts.sum(axis=1) > 0) if transition is None else np.arange(len(transition))
    keep = rows[np.arange(len(rows)), at]
    others = rows.copy()
    others[np.arange(len(rows)), at] = -np.inf
    margin = 1e-12  # 1 - 2/3 is a hair above 2/3 / 2, and yet no majority
    return float(keep.min()), bool((keep > others.max(axis=1) + margin).all())


def _z(corruption: Corruption, clean: Labels) -> float | None:
    """Return (actual - expected) / sd for samples drawn on their own, None where nothing is left to chance."""
    if corruption.expected is None:
        return None
    share = np.full(len(clean), corruption.expected)
    if corruption.transition is not None:
        share = 1 - np.diag(corruption.transition)[clean]
    chances = corruption.flip_rate
    if chances is not None and corruption.transition is None and corruption.expected == float(chances.mean()):
        share = chances  # known sample by sample, as PMD's are; PTD's are drawn around the expected one
    sd = float(np.sqrt((share * (1 - share)).sum())) / len(share)
    return float((corruption.wrong.mean() - corruption.expected) / sd) if sd > 0 else None
