"""`compare`: run what is missing; say where one method is better or worse than others, by how much, at which cost."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path

from bench.arguments import parser
from bench.arguments.words import words
from bench.commands import run
from bench.evidence import costs
from bench.evidence.contests import Contest, contests
from bench.evidence.grouping import Group, group
from bench.evidence.records import HEADLINE, Payload, reported_heads
from bench.exit_codes import DAMAGED, DONE, INCOMPLETE
from bench.findings.comparison import document, text
from bench.findings.comparison.answer import Answer, Cost, Key
from bench.findings.gathering import Evidence, gather
from bench.sweep.planning import grid
from bench.sweep.planning.selection import data_dir_of, planned, rule_of
from bench.sweep.records.reading import without_collector
from bench.sweep.records.store import Store
from methods import registry

COMPARED = (DONE, INCOMPLETE)  # exit codes of `run` after which there is something to compare
MOST_SEEDS = 200  # of a setting, for an interval over images


def main(args: argparse.Namespace) -> int:
    chosen = _asked(args)
    code = DONE
    if not args.only_compare:
        plan = args.dry_run and not args.json
        with nullcontext() if plan else redirect_stdout(sys.stderr):
            code = run.main(chosen, tabled=False)
        if args.dry_run or code not in COMPARED:
            return code
    suite, runs = planned(chosen)
    store = Store(args.results)
    found = gather(store, suite, runs)
    if found.alarms():
        print("\n".join(found.alarms()), file=sys.stderr)
        print("nothing is compared: `run` sets damaged results aside and trains these runs again", file=sys.stderr)
        return DAMAGED
    names = [registry.describe(spec).name for spec in chosen.methods]
    made = _answered(args, found, store, names, data_dir_of(chosen, suite))
    code = code or (INCOMPLETE if found.failed else DONE)
    elsewhere = args.backend == "slurm" and not args.wait and not args.only_compare  # submitted: the array goes on
    if not elsewhere and not any(duel.pairs for contest in made.contests for duel in contest.duels):
        code = code or INCOMPLETE
    if args.json:
        print(json.dumps({**document.of(made), "exit": code}, indent=1))
    else:
        print(text.of(made, shutil.get_terminal_size((120, 24)).columns), end="")
    return code


def _asked(args: argparse.Namespace) -> argparse.Namespace:
    """What `run` would be asked for; ValueError in one line for a method that is compared with itself or twice."""
    if args.suite is not None:
        grid.load(args.suite, args.results)  # here, where an unknown name is that of no command
    ours = registry.describe(args.method)
    theirs = [registry.describe(spec) for spec in args.against]
    for number, info in enumerate(theirs):
        if (info.name, info.file) == (ours.name, ours.file):
            raise ValueError(f"{info.name} is to be compared with itself: leave it out of --against")
        if (info.name, info.file) in [(other.name, other.file) for other in theirs[:number]]:
            raise ValueError(f"--against names {info.name} twice")
    methods = [args.method, *args.against]
    wanted = argparse.Namespace(**{**vars(args), "methods": methods})
    return parser().parse_args(words(wanted, "run"))


def _answered(
    args: argparse.Namespace, found: Evidence, store: Store, names: Sequence[str], data_dir: Path | None
) -> Answer:
    expected = {run.run_id: run.config.to_dict() for run in found.runs}
    with without_collector():
        summaries = [facts.summary(expected[run_id]) for run_id, facts in found.facts.items()]
        heads = sorted({HEADLINE, "ensemble"} | {name for payload in summaries for name in payload["heads"]})
        if summaries and args.head not in heads:
            raise ValueError(f"head must be one of {', '.join(heads)}; got {args.head!r}")
        grouping = group(
            summaries,
            methods=found.methods,
            columns=found.columns,
            expected=expected,
            defaults={run.config.method.name: run.defaults for run in found.runs},
        )
    rule = rule_of(args, found.suite)
    made = contests(grouping, names[0], names[1:], rule, args.head)
    rows = {row.label: row for contest in made for row in (contest.ours, contest.theirs)}
    told = costs.of(grouping, found.spent)
    prices = {label: _cost(row, told.rows[label]) for label, row in rows.items()}
    images, why = _images(made, store, data_dir, args) if rule == "last" else ({}, "")
    return Answer(found, grouping, tuple(made), rule, args.head, names, prices, told.notes, images, why)


def _cost(row: Group, told: costs.Cost) -> Cost:
    """What the finished runs of a row took."""
    finished = [entry for entry in row.entries if entry.payload]
    return Cost(
        tuple(sorted({entry.payload["num_networks"] for entry in finished if entry.payload})),
        tuple(sorted({entry.config["train"]["epochs"] for entry in finished})),
        told.passes,
        told.hours,
        told.device,
        len(finished),
    )


def _images(
    made: Sequence[Contest], store: Store, data_dir: Path | None, args: argparse.Namespace
) -> tuple[dict[Key, tuple[float, float]], str]:
    """The interval over new seeds and new images of each duel that has two pairs, and why the first other has none."""
    from bench.evidence.correctness import Reader, Right, stacked
    from bench.evidence.per_image import two_way_interval

    reader, known, why = Reader(store.root, data_dir), dict[str, Right](), ""
    found: dict[Key, tuple[float, float]] = {}
    duels = [(contest, duel) for contest in made for duel in contest.duels if len(duel.pairs) > 1]
    for contest, duel in duels:
        if len(duel.pairs) > MOST_SEEDS:
            why = why or f"more than {MOST_SEEDS} seeds would fill the memory"
            continue
        try:
            for run in (run for pair in duel.pairs for run in pair if run["run_id"] not in known):
                known[run["run_id"]] = reader.read(run)
            sides = [
                stacked([known[pair[side]["run_id"]] for pair in duel.pairs], _head(duel.pairs[0][side], args.head))
                for side in (0, 1)
            ]
        except (ValueError, OSError) as error:  # no predictions, no test labels, others than the runs met
            why = why or str(error)
            continue
        interval = two_way_interval(*sides)
        if interval is not None:
            found[contest.ours.label, contest.theirs.label, duel.column] = interval
    return found, why


def _head(run: Payload, head: str) -> str | None:
    """The one head that is read, None for the mean of the headline's."""
    heads = reported_heads(run, head)
    return None if heads == list(run["headline"]) else heads[0]
