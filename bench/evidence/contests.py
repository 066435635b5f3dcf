"""One method against others, setting by setting and over all: paired differences, and what so many seeds could show.

Accuracies and differences are shares in [0, 1]; a difference is ours minus theirs. Pairs are runs of one column that
have seed, noise seed and labels in common. Holm's correction runs over all settings of all contests together, because
they answer one question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from bench.evidence.aggregates import improvement_interval, probability_of_improvement
from bench.evidence.exact import Exact, wilcoxon
from bench.evidence.grouping import Column, Group, Grouping
from bench.evidence.power import minimum_detectable_effect, seeds_needed
from bench.evidence.records import HEADLINE, Payload, accuracy
from bench.evidence.statistics import ALPHA, NO_SPREAD, Comparison, holm, mean, paired_t, sample_sd

Verdict = Literal["better", "worse", "not separable", "not tested"]
VERDICTS: tuple[Verdict, ...] = ("better", "not separable", "worse", "not tested")
FEWEST = 2  # settings that are worth a line about all of them together
MOST_SEEDS = 50  # of a setting, for the interval of a chance: every run drawn meets every other
Pair = tuple[Payload, Payload]


@dataclass(frozen=True)
class Duel:
    """Ours against theirs in one setting (`column`), over the runs that pair; `alone` are finished runs that don't.

    `ours` and `theirs` are means over the pairs, `sd` is that of their differences. `detectable` is the difference that
    so many seeds find four times in five, `needed` the seeds that would find the one seen as often; both as the first
    of all tests of the family.
    """

    column: str
    pairs: tuple[Pair, ...]
    alone: int
    ours: float | None
    theirs: float | None
    sd: float | None
    test: Comparison
    detectable: float | None = None
    needed: int | None = None

    @property
    def verdict(self) -> Verdict:
        """What the paired t test says after Holm's correction."""
        if self.test.adjusted is None:
            return "not separable" if self.equal else "not tested"
        if self.test.adjusted > ALPHA or self.test.difference is None:
            return "not separable"
        return "better" if self.test.difference > 0 else "worse"

    @property
    def equal(self) -> bool:
        """Whether the accuracies are the same in each of several pairs."""
        return self.test.n > 1 and self.test.p is None and abs(self.test.difference or 0.0) <= NO_SPREAD

    @property
    def reason(self) -> str:
        """Why there is no test; "" where there is one."""
        if self.test.p is not None:
            return ""
        if self.equal:
            return "equal in every seed"
        return {0: "no shared seed", 1: "one shared seed"}.get(self.test.n, "differences without spread")


@dataclass(frozen=True)
class Together:
    """All settings that have pairs. `test` is over seeds that all of them have, of the mean over the settings."""

    settings: int
    test: Comparison
    ranks: Exact  # Wilcoxon's test over settings
    chance: float | None  # that a run of ours beats one of theirs: a mean over settings
    chance_interval: tuple[float, float] | None


@dataclass(frozen=True)
class Contest:
    """A row of ours against a row of theirs, in every setting."""

    ours: Group
    theirs: Group
    duels: tuple[Duel, ...]
    together: Together | None  # None where fewer than two settings have pairs

    def count(self, verdict: Verdict) -> int:
        """In how many settings it holds."""
        return sum(duel.verdict == verdict for duel in self.duels)


def contests(
    grouping: Grouping, method: str, against: Sequence[str], rule: str = "last", head: str = HEADLINE
) -> list[Contest]:
    """Return every row of `method` against every row of each method in `against`, in that order.

    A method whose runs may not be averaged has several rows: each of them is a side of its own.
    """
    rows = {name: [row for row in grouping.groups if row.method == name] for name in (method, *against)}
    found = [
        Contest(
            ours, theirs, tuple(_duel(grouping, ours, theirs, column, rule, head) for column in grouping.columns), None
        )
        for other in against
        for ours in rows[method]
        for theirs in rows[other]
    ]
    return _together(_corrected(found), rule, head)


def family(found: Sequence[Contest]) -> int:
    """Return how many tests Holm's correction ran over."""
    return sum(duel.test.p is not None for contest in found for duel in contest.duels)


def _duel(grouping: Grouping, ours: Group, theirs: Group, column: Column, rule: str, head: str) -> Duel:
    sides = [_by_key(row, column, rule, head) for row in (ours, theirs)]
    keys = [key for key in sides[0] if key in sides[1]]
    pairs = tuple((sides[0][key], sides[1][key]) for key in keys)
    a, b = _values(pairs, rule, head)
    test = Comparison(**vars(paired_t(a, b)))
    alone = sum(map(len, sides)) - 2 * len(keys)
    return Duel(grouping.column_label(column), pairs, alone, mean(a), mean(b), sample_sd(np.subtract(a, b)), test)


def _by_key(row: Group, column: Column, rule: str, head: str) -> dict[tuple[int, int, str], Payload]:
    return {
        (run["config"]["seed"], run["config"]["noise"]["seed"], run["noise_id"]): run
        for run in row.runs(column)
        if accuracy(run, rule, head) is not None
    }


def _values(pairs: Sequence[Pair], rule: str, head: str) -> tuple[list[float], list[float]]:
    ours, theirs = ([accuracy(pair[side], rule, head) or 0.0 for pair in pairs] for side in (0, 1))
    return ours, theirs


def _corrected(found: Sequence[Contest]) -> list[Contest]:
    """The contests with every p after Holm's correction, and what the seeds could show under it."""
    tests = family(found)
    adjusted = iter(holm([duel.test.p for contest in found for duel in contest.duels if duel.test.p is not None]))

    def corrected(duel: Duel) -> Duel:
        if duel.test.p is None or duel.test.difference is None or duel.sd is None:
            return duel
        return replace(
            duel,
            test=replace(duel.test, adjusted=next(adjusted)),
            detectable=minimum_detectable_effect(duel.test.n, ALPHA / tests) * duel.sd,
            needed=_needed(abs(duel.test.difference) / duel.sd, ALPHA / tests),
        )

    return [replace(contest, duels=tuple(map(corrected, contest.duels))) for contest in found]


def _needed(effect: float, alpha: float) -> int | None:
    """The seeds that find an effect in sd, None where no number of seeds that anybody runs does."""
    try:
        return seeds_needed(effect, alpha)
    except ValueError:  # nothing was seen, or next to nothing
        return None


def _together(found: Sequence[Contest], rule: str, head: str) -> list[Contest]:
    """The contests with what all settings say together, each kind of test corrected over the contests."""
    raw = [_over_settings(contest, rule, head) for contest in found]
    seeds = iter(holm([one.test.p for one in raw if one is not None and one.test.p is not None]))
    tested = [one.ranks for one in raw if one is not None and one.ranks.p is not None]
    ranks = iter(holm([ranks.p for ranks in tested if ranks.p is not None]))
    hopeless = bool(tested) and len(tested) * min(one.floor for one in tested) > ALPHA
    whole = []
    for contest, one in zip(found, raw, strict=True):
        if one is not None and one.test.p is not None:
            one = replace(one, test=replace(one.test, adjusted=next(seeds)))
        if one is not None and one.ranks.p is not None:
            adjusted = next(ranks) if len(tested) > 1 else None
            told = replace(one.ranks, adjusted=adjusted, tests=len(tested) if hopeless else 1)
            one = replace(one, ranks=told)
        whole.append(replace(contest, together=one))
    return whole


def _over_settings(contest: Contest, rule: str, head: str) -> Together | None:
    duels = [duel for duel in contest.duels if duel.pairs]
    if len(duels) < FEWEST:
        return None
    sides = [_values(duel.pairs, rule, head) for duel in duels]
    seeds = [{_seeds(pair): i for i, pair in enumerate(duel.pairs)} for duel in duels]
    common = [key for key in seeds[0] if all(key in known for known in seeds)]
    means = [
        [
            float(np.mean([values[side][known[key]] for values, known in zip(sides, seeds, strict=True)]))
            for key in common
        ]
        for side in (0, 1)
    ]
    cells = [values[0] for values in sides], [values[1] for values in sides]
    return Together(
        len(duels),
        Comparison(**vars(paired_t(*means))),
        wilcoxon(*(np.array([getattr(duel, side) for duel in duels], float) for side in ("ours", "theirs"))),
        probability_of_improvement(*cells),
        improvement_interval(*cells) if max(map(len, cells[0])) <= MOST_SEEDS else None,
    )


def _seeds(pair: Pair) -> tuple[int, int]:
    config = pair[0]["config"]
    return config["seed"], config["noise"]["seed"]
