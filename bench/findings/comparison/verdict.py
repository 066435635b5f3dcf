"""The verdict of a contest in one sentence, as a terminal and JSON have it."""

from __future__ import annotations

from bench.evidence.cells import DAGGER, DASH
from bench.evidence.contests import VERDICTS, Contest
from bench.evidence.costs import times_text
from bench.findings.comparison.answer import Answer, ratio

CHOSEN = {
    "oracle": "by an oracle: epochs chosen on the test labels",
    "clean_val": f"epochs chosen with clean validation labels {DAGGER}",
}


def sentence(answer: Answer, contest: Contest) -> str:
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
    cost = ratio(answer.costs[contest.ours.label].passes, answer.costs[contest.theirs.label].passes)
    return "its cost is not told" if cost is None else f"{times(cost)} the cost in forward passes"


def times(value: float | None) -> str:
    """A ratio as a reader is told."""
    return DASH if value is None else times_text(value)
