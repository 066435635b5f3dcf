"""What a report is about: the runs that were asked for, their records, and what several sections need of them."""

from __future__ import annotations

import argparse
from collections import Counter
from functools import cached_property
from typing import Any

from bench.arguments.words import cell_command, command
from bench.evidence.cells import Table
from bench.evidence.records import HEADLINE, RULES, Summary
from bench.findings import figures, tabulating
from bench.findings.gathering import Evidence
from bench.findings.remembering import remembered
from bench.findings.sections import origins, words_of_runs
from bench.findings.sections.origins import Origins
from bench.sweep.planning.grid import Planned
from bench.sweep.planning.selection import data_dir_of, rule_of
from bench.sweep.records.store import State, Store


class Subject:
    """Records of runs under the command that asked for them."""

    def __init__(self, args: argparse.Namespace, store: Store, found: Evidence, baseline: str) -> None:
        self.args, self.store, self.found, self.baseline = args, store, found, baseline
        self.rule = rule_of(args, found.suite)

    @cached_property
    def summaries(self) -> dict[str, Summary]:
        """run_id -> summary, of the finished runs."""
        configs = {run.run_id: run.config.to_dict() for run in self.found.runs}
        return {run_id: facts.summary(configs[run_id]) for run_id, facts in self.found.facts.items()}

    @cached_property
    def heads(self) -> list[str]:
        """The heads that make different numbers: the headline alone where every run has one head."""
        names = {head for summary in self.summaries.values() for head in summary["heads"]}
        others = sorted({"ensemble", *names}) if any(len(s["heads"]) > 1 for s in self.summaries.values()) else []
        return list(dict.fromkeys([self.args.head, HEADLINE, *others]))

    @cached_property
    def tables(self) -> dict[tuple[str, str], Table]:
        """The accuracy table by rule and head; the one that was asked for comes first."""
        asked = (self.rule, self.args.head)
        pairs = dict.fromkeys([asked, *((rule, head) for rule in RULES for head in self.heads)])
        return {pair: tabulating.table_of(self.found, *pair, self.baseline) for pair in pairs}

    @property
    def table(self) -> Table:
        """The one that was asked for."""
        return self.tables[self.rule, self.args.head]

    @cached_property
    def rows(self) -> dict[str, str]:
        """run_id -> the label of its row in the table; of a run that is not done, its method."""
        found = {run.run_id: run.config.method.name for run in self.found.runs}
        return found | {run_id: row.label for row in self.table.rows for cell in row.cells for run_id in cell.runs}

    @cached_property
    def columns(self) -> dict[str, str]:
        """run_id -> the label of its column."""
        return self.found.column_of

    @cached_property
    def states(self) -> dict[str, State]:
        """run_id -> state, of every planned run and of whatever else is damaged."""
        known = {}
        for run in self.found.runs:
            facts = self.found.facts.get(run.run_id)
            if facts is not None:
                known[run.run_id] = State.DIVERGED if facts.told["diverged"] else State.DONE
            elif run.run_id in self.found.corrupt:
                known[run.run_id] = State.CORRUPT
            else:
                known[run.run_id] = self.store.run(run.run_id).state(quick=True)
        return known | {run_id: State.CORRUPT for run_id in self.found.corrupt}

    @property
    def counts(self) -> dict[State, int]:
        """How many runs are in each state that one is in."""
        counted = Counter(self.states.values())
        return {state: counted[state] for state in State if counted[state]}

    @cached_property
    def origins(self) -> Origins:
        """Where the finished runs were made."""
        return origins.read(self.store, self.found)

    @cached_property
    def ground(self) -> figures.Ground:
        """What plots are drawn from."""
        return figures.Ground(self.found, self.store, data_dir_of(self.args, self.found.suite))

    def line(self, verb: str) -> str:
        """The command of another verb, or of this one, about the same runs."""
        return command(self.args, verb, without=("out", "allow_incomplete"), resolve=False)

    def command(self, run: Planned) -> str | None:
        """What does this run alone again; None where no words are known to mean it."""
        if self.args.everything:
            return words_of_runs.command(self.args, [run])
        return cell_command(self.args, run.spec, run.noise, run.config.seed, resolve=False)

    def cells(self) -> list[tuple[str, str, str | None]]:
        """Method, column and command of what one command can make, in table order."""
        if self.args.everything:
            cells = words_of_runs.cells(self.found.runs)
            commands = [words_of_runs.command(self.args, runs) for runs in cells]
        else:
            firsts = {(run.config.method.name, self.columns[run.run_id]): [run] for run in reversed(self.found.runs)}
            cells = list(reversed(firsts.values()))
            commands = [cell_command(self.args, run.spec, run.noise, resolve=False) for (run,) in cells]
        return [
            (runs[0].config.method.name, self.columns[runs[0].run_id], command)
            for runs, command in zip(cells, commands, strict=True)
        ]

    def remembered(self, name: str, make: Any, *more: Any) -> Any:
        """What a section computes from the records, or computed before from the same."""
        found, digests = self.found, self.found.digests
        order = [[run.run_id, digests.get(run.run_id)] for run in found.runs]
        return remembered([name, order, found.methods, found.columns, *more], make)
