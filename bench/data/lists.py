"""List files of image data sets: one image a line, with or without its label behind the last blank.

Names may hold blanks and commas, so a label is what stands behind the last one.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.images import check_inside
from bench.data.report import Finding

_NUMBER = re.compile(r"-?[0-9]{1,9}")  # what is no number is the end of a name


@dataclass
class Labelled:
    """Names and labels of a list, and the lines that lack a label."""

    names: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    unlabelled: list[int] = field(default_factory=list)  # line numbers, from 1

    def array(self) -> NDArray[np.int64]:
        """The labels as (n,) int64."""
        return np.array(self.labels, dtype=np.int64)


def findings_of(path: Path, found: Labelled) -> list[Finding]:
    """Return what a person should know of a list: the lines that have no label."""
    if not found.unlabelled:
        return []
    return [Finding("note", f"{path}: no label in line {some(found.unlabelled)}; left out")]


def lines_of(path: Path) -> list[str]:
    """Return the lines of a text file without line ends; ValueError if it is no UTF-8 text or is empty."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8 ({error.reason} at byte {error.start})") from None
    if not any(line.strip() for line in lines):
        raise ValueError(f"{path}: the list is empty")
    return lines


def keys(path: Path, change: Callable[[str], str] = str) -> list[str]:
    """Return the names of a list without labels, each after `change`."""
    names = []
    for number, line in enumerate(lines_of(path), 1):
        if line.strip():
            names.append(change(line.strip()))
            _check(path, number, names[-1])
    return names


def labelled(path: Path, num_classes: int, change: Callable[[str], str] = str) -> Labelled:
    """Return names and labels of a list; a line without a label is noted by its number and left out.

    Raises ValueError, naming file and line, for a label outside 0..C-1 and for a name that leads out of the folder.
    """
    found = Labelled()
    for number, line in enumerate(lines_of(path), 1):
        text = line.strip()
        if not text:
            continue
        name, _, label = text.rpartition(" ")
        if not name or not _NUMBER.fullmatch(label):
            found.unlabelled.append(number)
            continue
        if not 0 <= int(label) < num_classes:
            raise ValueError(f"{path}, line {number}: label must lie in 0..{num_classes - 1}, got {label}")
        name = change(name.strip())
        _check(path, number, name)
        found.names.append(name)
        found.labels.append(int(label))
    if not found.names:
        raise ValueError(f"{path}: no line is a name and a label")
    return found


def unambiguous(path: Path, found: Labelled) -> dict[str, int]:
    """Return the label of each name, or raise ValueError naming the first that a list gives two."""
    labels: dict[str, int] = {}
    for name, label in zip(found.names, found.labels, strict=True):
        if labels.setdefault(name, label) != label:
            raise ValueError(f"{path}: {name} has two labels, {labels[name]} and {label}")
    return labels


def looked_up(path: Path, names: Sequence[str], labels: dict[str, int]) -> NDArray[np.int64]:
    """Return the label of each name, or raise ValueError naming the first that has none."""
    missing = [name for name in names if name not in labels]
    if missing:
        raise ValueError(f"{path}: {len(missing):,} of {len(names):,} images have no label, the first is {missing[0]}")
    return np.array([labels[name] for name in names], dtype=np.int64)


def some(numbers: Sequence[int], most: int = 5) -> str:
    """Return a few line numbers as text."""
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(map(str, numbers[:most])) + more


def _check(path: Path, number: int, name: str) -> None:
    try:
        check_inside(name)
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: {error}") from None
