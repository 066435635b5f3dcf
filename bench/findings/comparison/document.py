"""The answer as one JSON document."""

from __future__ import annotations

from typing import Any

from bench.evidence.contests import VERDICTS, Contest, Duel, Together, family
from bench.findings.comparison import notes
from bench.findings.comparison.answer import Answer, Cost, ratio
from bench.findings.comparison.verdict import sentence


def of(answer: Answer) -> dict[str, Any]:
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
        "notes": notes.of(answer),
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
        "verdict": sentence(answer, contest),
        "counts": {verdict: contest.count(verdict) for verdict in VERDICTS},
        "settings": [_plain_duel(duel, answer.image_interval(contest, duel)) for duel in contest.duels],
        "together": None if contest.together is None else _plain_whole(contest.together),
        "passes_ratio": ratio(ours.passes, theirs.passes),
        "hours_ratio": ratio(ours.hours, theirs.hours) if ours.device == theirs.device else None,
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
