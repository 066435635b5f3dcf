"""The answer for a terminal: the verdicts first, then what they rest on."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.evidence.cells import DASH
from bench.evidence.contests import Contest, Duel, Together
from bench.evidence.costs import time_text
from bench.evidence.ranks import settings_text
from bench.findings.comparison import notes
from bench.findings.comparison.answer import Answer, ratio
from bench.findings.comparison.verdict import sentence, times
from bench.printable import printable

NARROWEST = 60
WHOLE = ("difference", "95 % interval", "p", "verdict")  # columns whose cells are not broken on a narrow terminal


def of(answer: Answer, width: int) -> str:
    """The whole answer for a terminal."""
    width = max(NARROWEST, width)
    parts = ["\n".join(_wrapped(sentence(answer, contest), width) for contest in answer.contests)]
    for contest in answer.contests:
        if any(duel.pairs for duel in contest.duels):
            parts.append(_contest(answer, contest, width))
    if any(cost.runs for cost in answer.costs.values()):
        parts.append(_table(*_costs(answer), width))
    parts.append("\n".join(_wrapped(f"- {note}", width) for note in notes.of(answer)))
    return "\n\n".join(parts) + "\n"


def _contest(answer: Answer, contest: Contest, width: int) -> str:
    """The settings of a contest, what its seeds could show, and all settings together."""
    title = f"{answer.marked(contest.ours)} (ours) against {answer.marked(contest.theirs)} (theirs)"
    first = ["setting", "ours", "theirs", "difference", "95 % interval", "n", "p", "verdict"]
    rows, limits = [], []
    for duel in contest.duels:
        rows.append([duel.column, *_numbers(duel), f"{duel.verdict}{_because(duel)}"])
        limits.append([duel.column, *_limits(duel), _interval(answer.image_interval(contest, duel))])
    second = ["setting", "n seeds find 4 times in 5", "seeds to find what was seen", "new seeds and new images"]
    parts = [_wrapped(title, width), _table(first, rows, width)]
    if any(duel.test.p is not None for duel in contest.duels):
        parts.append(_table(second, limits, width))
    if contest.together is not None:
        parts.append("\n".join(_wrapped(line, width) for line in _together(contest, contest.together)))
    return "\n\n".join(parts)


def _numbers(duel: Duel) -> list[str]:
    test = duel.test
    means = [DASH if value is None else f"{100 * value:.2f}" for value in (duel.ours, duel.theirs)]
    difference = DASH if test.difference is None else f"{100 * test.difference:+.2f}"
    interval = None if test.low is None or test.high is None else (test.low, test.high)
    p = DASH if test.adjusted is None else f"{test.adjusted:.2g}"
    return [*means, difference, _interval(interval), str(test.n), p]


def _because(duel: Duel) -> str:
    return f": {duel.reason}" if duel.reason else ""


def _interval(interval: tuple[float, float] | None) -> str:
    return DASH if interval is None else f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}"


def _limits(duel: Duel) -> list[str]:
    if duel.detectable is None:
        return [DASH, DASH]
    points = "none below 100" if duel.detectable >= 1 else f"{100 * duel.detectable:.2f} points"
    return [points, "more than anybody runs" if duel.needed is None else f"{duel.needed:,}"]


def _together(contest: Contest, whole: Together) -> list[str]:
    datasets = {pair[0]["config"]["dataset"]["name"] for duel in contest.duels for pair in duel.pairs}
    test = whole.test
    lines = []
    if test.difference is None:
        lines.append(f"all {whole.settings} settings together: no seed has all of them")
    else:
        said, how = f"all {whole.settings} settings together: {100 * test.difference:+.2f} points", "not tested"
        if test.low is not None and test.high is not None and test.adjusted is not None:
            said += f", {_interval((test.low, test.high))}, p = {test.adjusted:.2g}"
            how = "paired t over the seeds that have all of them"
        lines.append(f"{said} ({how}, n = {test.n})")
    lines.append(f"over settings, {whole.ranks.text}; {settings_text(whole.settings, len(datasets))}")
    if whole.chance is not None:
        interval = whole.chance_interval
        spread = "" if interval is None else f" ({interval[0]:.2f} to {interval[1]:.2f})"
        lines.append(f"a run of ours beats one of theirs with chance {whole.chance:.2f}{spread}, a mean over settings")
    return lines


def _costs(answer: Answer) -> tuple[list[str], list[list[str]]]:
    """The cost of every row, and how many times that of the first row it is."""
    labels = list(answer.costs)
    rows = {row.label: row for contest in answer.contests for row in (contest.ours, contest.theirs)}
    first = answer.costs[labels[0]]
    lines = []
    for label in labels:
        cost = answer.costs[label]
        hours = ratio(cost.hours, first.hours) if cost.device == first.device else None
        lines.append(
            [
                answer.marked(rows[label]),
                ", ".join(map(str, cost.networks)) or DASH,
                ", ".join(map(str, cost.epochs)) or DASH,
                DASH if cost.passes is None else f"{cost.passes:.1f}",
                times(ratio(cost.passes, first.passes)),
                DASH if cost.hours is None else time_text(cost.hours),
                times(hours),
            ]
        )
    return ["cost of a run", "networks", "epochs", "passes", "times ours", "time", "times ours"], lines


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for number, heading in enumerate(headings):
        words = number == 0 or heading == "verdict"
        table.add_column(Text(heading), justify="left" if words else "right", overflow="fold", no_wrap=heading in WHOLE)
    for row in rows:
        table.add_row(*(Text(" ".join(printable(cell).split())) for cell in row))
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").splitlines())


def _wrapped(line: str, width: int) -> str:
    plain = " ".join(printable(line).split())
    return "\n".join(textwrap.wrap(plain, width, subsequent_indent="  ", break_on_hyphens=False))
