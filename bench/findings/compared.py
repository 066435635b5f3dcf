"""Ours beside what was published: a line for every cell of a suite and every number that answers it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.arguments.words import cell_command
from bench.data.noisy import spec_of
from bench.evidence.grouping import group
from bench.evidence.published import Match, Reference, Setting, Verdict, matching, nearest, rule_of, verdict
from bench.evidence.records import HEADLINE, accuracy
from bench.evidence.statistics import mean, sample_sd
from bench.findings.gathering import Evidence
from bench.sweep.planning.grid import Planned


@dataclass(frozen=True)
class Line:
    """A cell of ours under the rule and head of a reference, or under the suite's rule where there is none."""

    method: str
    dataset: str
    noise: str  # as the suite writes it
    label: str  # as a table writes it
    rule: str
    head: str
    mean: float | None  # in percent
    sd: float | None
    n: int
    planned: int
    match: Match | None
    verdict: Verdict
    command: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        ours = {"mean": self.mean, "sd": self.sd, "n": self.n, "planned": self.planned, "head": self.head}
        match = self.match
        return {
            **{"method": self.method, "dataset": self.dataset, "noise": self.noise, "rule": self.rule, "ours": ours},
            "published": None if match is None else asdict(match.reference),
            "differs": [] if match is None else list(match.differs),
            "remarks": [] if match is None else list(match.remarks),
            **asdict(self.verdict),
            "command": self.command,
        }


def lines(
    found: Evidence, references: Sequence[Reference], args: argparse.Namespace, otherwise: str = "last"
) -> list[Line]:
    """Every cell of the suite, in the order of its rows, with what `args` of `run` would be given to make it alone."""
    made = []
    for runs in _cells(found):
        command = cell_command(args, runs[0].spec, runs[0].noise)
        own = [reference for reference in references if reference.method == runs[0].config.method.name]
        matches = [match for reference in own for match in _match(found, runs, reference, otherwise)]
        answers: list[Match | None] = [*nearest(matches)] or [None]
        made += [_line(found, runs, match, otherwise, command) for match in answers]
    return made


def _cells(found: Evidence) -> list[list[Planned]]:
    """The runs of each cell, by the rows of a table: what must not be averaged stands in cells of its own."""
    configs = {run.run_id: run.config.to_dict() for run in found.runs}
    summaries = [facts.summary(configs[run_id]) for run_id, facts in found.facts.items()]
    grouping = group(summaries, methods=found.methods, columns=found.columns, expected=configs)
    rows = {entry.run_id: row.label for row in grouping.groups for entry in row.entries}
    order = {row.label: number for number, row in enumerate(grouping.groups)}
    cells: dict[tuple[str, str], list[Planned]] = {}
    for run in sorted(found.runs, key=lambda run: order[rows[run.run_id]]):
        cells.setdefault((rows[run.run_id], run.noise), []).append(run)
    return list(cells.values())


def _asked(reference: Reference | None, run: Planned, otherwise: str) -> tuple[str, str]:
    """The rule and the head under which ours is read."""
    if reference is None:
        return otherwise, HEADLINE
    return rule_of(reference, otherwise), reference.head if reference.head and run.networks > 1 else HEADLINE


def _match(found: Evidence, runs: Sequence[Planned], reference: Reference, otherwise: str) -> list[Match]:
    run = runs[0]
    rule, head = _asked(reference, run, otherwise)
    n = len(_values(found, runs, rule, head))
    setting = Setting.of(run.config.to_dict(), run.info.train_size, rule=rule, n=n, head=head, networks=run.networks)
    return matching([reference], setting)


def _values(found: Evidence, runs: Sequence[Planned], rule: str, head: str) -> list[float]:
    values = []
    for run in runs:
        if (facts := found.facts.get(run.run_id)) is not None:
            value = accuracy(facts.summary(run.config.to_dict()), rule, head)
            values += [100 * value] if value is not None else []
    return values


def _line(found: Evidence, runs: Sequence[Planned], match: Match | None, otherwise: str, command: str) -> Line:
    run = runs[0]
    rule, head = _asked(match.reference if match else None, run, otherwise)
    values = _values(found, runs, rule, head)
    ours, sd = mean(values), sample_sd(values)
    if match is not None:
        said = verdict(ours, sd, len(values), match)
    else:
        said = Verdict("no reference", "no published number")
    config = run.config
    return Line(
        config.method.name,
        config.dataset.name,
        run.noise,
        spec_of(config.noise).label,
        rule,
        head,
        ours,
        sd,
        len(values),
        len(runs),
        match,
        said,
        command,
    )
