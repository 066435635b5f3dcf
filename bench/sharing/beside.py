"""The files of a submission beside its runs and labels: cards, pinned files and suites, each held to what names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import noise
from bench.files import canonical, parse, read_regular, sha256
from bench.sharing.submission import Submission


def faults(folder: Path, submission: Submission) -> Iterator[str]:
    """What is wrong with them, a line each."""
    for name in sorted(submission.files):
        if reason := _fault(folder, name):
            yield f"{name}: {reason}"
    if (suite := submission.suite) is not None:
        digest = sha256(canonical(suite.definition))
        if digest != suite.digest:
            yield f"submission.json: the suite's digest is {digest[:12]}, and {suite.digest[:12]} is told"
        if f"suites/{suite.name}/{digest[:12]}.json" not in submission.files:
            yield f"submission.json: the suite {suite.name} is not among the files"


def _fault(folder: Path, name: str) -> str:
    top, last = name.partition("/")[0], name.rpartition("/")[2]
    if top == "noise" and last.endswith(".json"):
        return _card_fault(folder / name)
    if top == "noise" and not last.endswith(".npz"):
        return "" if sha256(read_regular(folder / name)) == last else "its digest is not its name"
    if top == "suites" and "/chosen/" not in name:
        data = read_regular(folder / name)
        return "" if sha256(data).startswith(Path(name).stem) else f"its digest is {sha256(data)[:12]}"
    if top == "suites":
        chosen = parse(read_regular(folder / name))
        fits = isinstance(chosen, dict) and all(isinstance(value, str) for value in chosen.values())
        return "" if fits else "what was chosen for a suite is no table of words"
    return ""


def _card_fault(path: Path) -> str:
    """Whether a card is that of the labels beside it."""
    try:
        _, card = noise.from_bytes(read_regular(path.with_suffix(".npz")))
    except FileNotFoundError:
        return "it is the card of labels that are not there"
    return "" if parse(read_regular(path)) == card else "it is not the card that the labels beside it hold"
