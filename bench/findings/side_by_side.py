"""The text of `repro`: each published number under its protocol, ours beside it, and what may be said."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from bench.evidence.cells import DASH
from bench.evidence.published import KIND_TEXTS, NOT_STATED, Reference
from bench.evidence.records import RULES
from bench.findings.compared import Line
from bench.sweep.planning.grid import Suite

HEADINGS = (
    *("method", "noise", "their noise", "their epochs", "printed as"),
    *("published", "ours", "difference", "verdict"),
)
NONE = "published numbers: none is known from a source"


def text(suite: Suite, told: Sequence[Reference], made: Sequence[Line], work: str) -> str:
    """One table for every source and protocol, with footnotes; then the command of each cell."""
    title = suite.title or suite.name
    parts = [f"{title}\n" + (f"published numbers: results/published, table {suite.published}" if told else NONE)]
    blocks: dict[tuple[str, ...], list[Line]] = {}
    for line in made:
        reference = line.match.reference if line.match else None
        blocks.setdefault(_told(reference) if reference else (), []).append(line)
    notes: dict[str, int] = {}
    for key, own in blocks.items():
        parts.append((_heading(key) if key else "ours alone") + "\n" + _table(own, notes))
    if notes:
        parts.append("\n".join(f"[{number}] {note}" for note, number in notes.items()))
    used = dict.fromkeys(line.rule for line in made)
    parts.append("\n".join(f"ours, {rule}: {RULES[rule]}, in %: mean ± sample sd (runs)" for rule in used))
    commands = {line.command: None for line in made}
    parts.append("the command of each cell:\n" + "\n".join(f"  {command}" for command in commands))
    return "\n\n".join([*parts, work]) + "\n"


def _told(reference: Reference) -> tuple[str, ...]:
    """Where numbers come from and what is common to them: a block of rows shares it."""
    spread = "" if reference.spread is not None else ", no spread"
    common = {"network": reference.network, "split": reference.split, "rule": reference.rule}
    facts = [f"{name} {value or NOT_STATED}" for name, value in common.items()]
    return reference.source, KIND_TEXTS[reference.kind], "; ".join([*facts, reference.count + spread])


def _heading(key: tuple[str, ...]) -> str:
    source, kind, protocol = key
    return f"{source} ({kind})\n  theirs: {protocol}"


def _table(own: Sequence[Line], notes: dict[str, int]) -> str:
    rows = [
        [
            line.method,
            line.label,
            *_theirs(line.match.reference if line.match else None),
            _ours(line),
            DASH if line.verdict.difference is None else f"{line.verdict.difference:+.2f}",
            _verdict(line, notes),
        ]
        for line in own
    ]
    table = tabulate(rows, HEADINGS, tablefmt="simple", disable_numparse=True)
    return "\n".join(f"  {line}" for line in table.splitlines())


def _theirs(reference: Reference | None) -> list[str]:
    if reference is None:
        return [DASH] * 4
    epochs = NOT_STATED if reference.epochs is None else f"{reference.epochs:g}"
    return [reference.noise_definition, epochs, reference.label, reference.number]


def _ours(line: Line) -> str:
    if line.mean is None:
        return f"{DASH} (0/{line.planned})"
    spread = "" if line.sd is None else f" ± {line.sd:.2f}"
    count = f"({line.n})" if line.n == line.planned else f"({line.n}/{line.planned})"
    return f"{line.mean:.2f}{spread} {count} {line.rule}"


def _verdict(line: Line, notes: dict[str, int]) -> str:
    """The verdict in few words, with the numbers of its footnotes."""
    said, remarks = line.verdict.text, []
    if line.match is not None:
        remarks = [remark for remark in line.match.remarks if not remark.startswith("n (")]  # both counts stand there
        if line.match.differs:
            remarks.insert(0, f"differs in {', '.join(line.match.differs)}")
    if line.verdict.outcome == "not comparable":
        said = "not comparable"
    numbers = [notes.setdefault(remark, len(notes) + 1) for remark in remarks]
    return said + "".join(f" [{number}]" for number in numbers)
