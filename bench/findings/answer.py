"""The answer of `compare`, as text and as JSON: the verdicts first, then what they rest on."""

from __future__ import annotations

import io
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.evidence.cells import DAGGER, DASH
from bench.evidence.contests import VERDICTS, Contest, Duel, Together, family
from bench.evidence.grouping import Group, Grouping
from bench.evidence.ranks import settings_text
from bench.evidence.records import HEADLINE, RULES
from bench.evidence.statistics import ALPHA, limits_text
from bench.findings import notes
from bench.findings.derived import Evidence
from bench.printable import printable

IDS_SHOWN = 6
NARROWEST = 60
WHOLE = ("difference", "95 % interval", "p", "verdict")  # columns whose cells are not broken on a narrow terminal
CHOSEN = {
    "oracle": "by an oracle: epochs chosen on the test labels",
    "clean_val": f"epochs chosen with clean validation labels {DAGGER}",
}
Key = tuple[str, str, str]  # labels of our row, of theirs, and of the column


@dataclass(frozen=True)
class Cost:
    """What the runs of a row took, each a mean over runs; `device` is what the hours are of, "" where they differ."""

    networks: tuple[int, ...]
    epochs: tuple[int, ...]
    passes: float | None  # forward, over the training set, summed over the networks; scoring included
    hours: float | None
    device: str
    runs: int


@dataclass(frozen=True)
class Answer:
    """All that was found; `images` are intervals over new seeds and new images, `no_images` why some are not there."""

    found: Evidence
    grouping: Grouping
    contests: tuple[Contest, ...]
    rule: str
    head: str
    names: Sequence[str]
    costs: dict[str, Cost]
    cost_notes: tuple[str, ...]
    images: dict[Key, tuple[float, float]]
    no_images: str

    def marked(self, row: Group) -> str:
        """A row's label, with a dagger where its method is told more than the noisy labels."""
        return row.label + (DAGGER if self.needs(row) else "")

    def needs(self, row: Group) -> list[str]:
        """The facts beyond the noisy labels that a row's method is told."""
        told = {need for entry in row.entries if entry.payload for need in entry.payload["needs"]}
        info = self.found.infos.get(row.method)
        return sorted(told | set(info.needs if info is not None else ()))

    def image_interval(self, contest: Contest, duel: Duel) -> tuple[float, float] | None:
        return self.images.get((contest.ours.label, contest.theirs.label, duel.column))


def text(answer: Answer, width: int) -> str:
    """The whole answer for a terminal."""
    width = max(NARROWEST, width)
    parts = ["\n".join(_wrapped(verdict_line(answer, contest), width) for contest in answer.contests)]
    for contest in answer.contests:
        if any(duel.pairs for duel in contest.duels):
            parts.append(_contest(answer, contest, width))
    if any(cost.runs for cost in answer.costs.values()):
        parts.append(_table(*_costs(answer), width))
    parts.append("\n".join(_wrapped(f"- {note}", width) for note in _notes(answer)))
    return "\n\n".join(parts) + "\n"


def verdict_line(answer: Answer, contest: Contest) -> str:
    """One sentence: on how many settings which verdict, and the cost."""
    head = f"{answer.marked(contest.ours)} against {answer.marked(contest.theirs)}: "
    lacking = [row.label for row in (contest.ours, contest.theirs) if not answer.costs[row.label].runs]
    if lacking:
        return f"{head}nothing to compare: no run of {' or '.join(lacking)} is done"
    if not any(duel.pairs for duel in contest.duels):
        return f"{head}nothing to compare: they share no seed of one setting and the same labels"
    total = len(contest.duels)
    said = [
        f"{verdict} on {contest.count(verdict) or 'none'}"
        for verdict in VERDICTS
        if contest.count(verdict) or verdict in ("better", "worse")
    ]
    said[0] += f" of {total} setting{'' if total == 1 else 's'}"
    if answer.rule in CHOSEN:
        head += f"({CHOSEN[answer.rule]}) "
    return f"{head}{', '.join(said)}; {_cost_words(answer, contest)}"


def _cost_words(answer: Answer, contest: Contest) -> str:
    ratio = _ratio(answer.costs[contest.ours.label].passes, answer.costs[contest.theirs.label].passes)
    return "its cost is not told" if ratio is None else f"{_times(ratio)} the cost in forward passes"


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return ours / theirs if ours is not None and theirs else None


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
        ratio = _ratio(cost.hours, first.hours) if cost.device == first.device else None
        lines.append(
            [
                answer.marked(rows[label]),
                ", ".join(map(str, cost.networks)) or DASH,
                ", ".join(map(str, cost.epochs)) or DASH,
                DASH if cost.passes is None else f"{cost.passes:.1f}",
                _times(_ratio(cost.passes, first.passes)),
                _time(cost.hours),
                _times(ratio),
            ]
        )
    return ["cost of a run", "networks", "epochs", "passes", "times ours", "time", "times ours"], lines


def _times(ratio: float | None) -> str:
    return DASH if ratio is None else f"{ratio:.1f}x" if ratio >= 1 else f"{ratio:.2f}x"


def _time(hours: float | None) -> str:
    """A time in the unit that suits it."""
    if hours is None:
        return DASH
    seconds = 3600 * hours
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min" if hours < 1 else f"{hours:.1f} h"


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


def _notes(answer: Answer) -> list[str]:
    """How the numbers are to be read, and whatever a reader must know of the runs behind them."""
    tests = family(answer.contests)
    counts = Counter(duel.test.n for contest in answer.contests for duel in contest.duels if duel.pairs)
    head = "mean over a method's networks" if answer.head == HEADLINE else f"head {answer.head}"
    told = [f"number: {RULES[answer.rule]}, in %; {head}"]
    if counts:
        corrected = f", after Holm's correction over all {tests} comparisons" if tests > 1 else ""
        told.append(
            "difference: ours minus theirs in points, paired by seed, noise seed and wrong labels; interval: of the "
            f"paired t test, each by itself; p: of that test{corrected}; better and worse: p <= {ALPHA}"
        )
        told.append(limits_text(counts.most_common(1)[0][0], tests))
    if answer.images:
        told.append("new seeds and new images: 95 %, by t, for other seeds and other test images; on the wide side")
    if answer.no_images:
        told.append(f"no interval over new images: {answer.no_images}")
    if any(cost.runs for cost in answer.costs.values()):
        told += answer.cost_notes
    return [*told, *_rows(answer), *answer.grouping.notes, *_gaps(answer), *notes.of(answer.found)]


def _rows(answer: Answer) -> list[str]:
    """What the methods are told, and whose settings their papers tune."""
    rows = list({row.label: row for contest in answer.contests for row in (contest.ours, contest.theirs)}.values())
    told = {
        row.label: ", ".join(need.replace("_", " ") for need in needs) for row in rows if (needs := answer.needs(row))
    }
    said = []
    if told:
        each = "; ".join(f"{label}: {needs}" for label, needs in told.items())
        said.append(f"{DAGGER} told more than the noisy labels: {each}")
    infos = answer.found.infos
    tuned = {
        row.method: info.card.tuned
        for row in rows
        if (info := infos.get(row.method)) is not None and info.card is not None and info.card.tuned
    }
    if tuned:
        said.append(f"papers choose settings of these per noise setting, here one serves all: {', '.join(tuned)}")
    return said


def _gaps(answer: Answer) -> list[str]:
    """Planned runs that are not there, failed or diverged, and finished ones without a partner."""
    found = answer.found
    planned = [run.run_id for run in found.runs]
    failed = [run_id for run_id in planned if run_id in found.failed]
    waiting = [run_id for run_id in planned if run_id not in found.facts and run_id not in found.failed]
    diverged = [run_id for run_id, facts in found.facts.items() if facts.told["diverged"]]
    said = []
    if failed:
        reasons = ", ".join(f"{run_id} ({found.failed[run_id]})" for run_id in failed[:IDS_SHOWN])
        said.append(f"failed: {len(failed)} of {len(planned)} runs: {reasons}{_more(failed)}")
    if waiting:
        said.append(f"not run: {len(waiting)} of {len(planned)} runs: {', '.join(waiting[:IDS_SHOWN])}{_more(waiting)}")
    if diverged:
        ids = ", ".join(diverged[:IDS_SHOWN])
        said.append(
            f"diverged, counted as they ended: {len(diverged)} of {len(found.facts)} runs: {ids}{_more(diverged)}"
        )
    for contest in answer.contests:
        if alone := {duel.column: duel.alone for duel in contest.duels if duel.alone}:
            where = ", ".join(f"{column}: {count}" for column, count in alone.items())
            said.append(
                f"{contest.ours.label} against {contest.theirs.label}: runs without a partner left out ({where})"
            )
    return said


def _more(ids: Sequence[str]) -> str:
    return f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""


def document(answer: Answer) -> dict[str, Any]:
    """The answer in plain JSON types; accuracies in %, differences in points."""
    return {
        "method": answer.names[0],
        "against": list(answer.names[1:]),
        "suite": answer.found.suite.name,
        "rule": answer.rule,
        "head": answer.head,
        "tests": family(answer.contests),
        "comparisons": [_plain(answer, contest) for contest in answer.contests],
        "costs": {label: _plain_cost(cost) for label, cost in answer.costs.items()},
        "notes": _notes(answer),
        "planned": len(answer.found.runs),
        "finished": len(answer.found.facts),
        "failed": answer.found.failed,
    }


def _plain(answer: Answer, contest: Contest) -> dict[str, Any]:
    ours, theirs = answer.costs[contest.ours.label], answer.costs[contest.theirs.label]
    return {
        "ours": contest.ours.label,
        "theirs": contest.theirs.label,
        "needs": {row.label: answer.needs(row) for row in (contest.ours, contest.theirs)},
        "verdict": verdict_line(answer, contest),
        "counts": {verdict: contest.count(verdict) for verdict in VERDICTS},
        "settings": [_plain_duel(duel, answer.image_interval(contest, duel)) for duel in contest.duels],
        "together": None if contest.together is None else _plain_whole(contest.together),
        "passes_ratio": _ratio(ours.passes, theirs.passes),
        "hours_ratio": _ratio(ours.hours, theirs.hours) if ours.device == theirs.device else None,
    }


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _plain_duel(duel: Duel, images: tuple[float, float] | None) -> dict[str, Any]:
    test = duel.test
    return {
        "setting": duel.column,
        "verdict": duel.verdict,
        "reason": duel.reason,
        "ours": _percent(duel.ours),
        "theirs": _percent(duel.theirs),
        "n": test.n,
        "difference": _percent(test.difference),
        "sd": _percent(duel.sd),
        "low": _percent(test.low),
        "high": _percent(test.high),
        "p": test.p,
        "adjusted": test.adjusted,
        "detectable": _percent(duel.detectable),
        "seeds_needed": duel.needed,
        "new_images": None if images is None else [100 * images[0], 100 * images[1]],
        "without_partner": duel.alone,
        "runs": [[pair[0]["run_id"], pair[1]["run_id"]] for pair in duel.pairs],
    }


def _plain_whole(whole: Together) -> dict[str, Any]:
    test, ranks = whole.test, whole.ranks
    seeds = {
        "n": test.n,
        "difference": _percent(test.difference),
        "low": _percent(test.low),
        "high": _percent(test.high),
    }
    return {
        "settings": whole.settings,
        "over_seeds": {**seeds, "p": test.p, "adjusted": test.adjusted},
        "over_settings": {"test": ranks.test, "n": ranks.n, "text": ranks.text, "floor": ranks.floor},
        "chance": whole.chance,
        "chance_interval": None if whole.chance_interval is None else list(whole.chance_interval),
    }


def _plain_cost(cost: Cost) -> dict[str, Any]:
    return {**vars(cost), "networks": list(cost.networks), "epochs": list(cost.epochs)}
