"""`repro`: run the suite of a paper's table, and say where ours lies beside what was published."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from typing import Any

from bench.arguments import parser
from bench.arguments.words import words
from bench.commands import paper_suites, run
from bench.data import datasets
from bench.evidence import published
from bench.evidence.published import Reference
from bench.exit_codes import DAMAGED, DONE, INCOMPLETE
from bench.findings import side_by_side
from bench.findings.compared import lines
from bench.findings.gathering import Evidence, gather
from bench.sweep.planning import grid
from bench.sweep.planning.grid import Suite
from bench.sweep.planning.selection import planned
from bench.sweep.records.store import Store
from methods import registry

COMPARED = (DONE, INCOMPLETE)  # exit codes of `run` after which there is something to compare
SHORT_EPOCHS, SMOKE_EPOCHS = 10, 2
SMOKE_TRAIN, SMOKE_PER_CLASS, SMOKE_TEST, SMOKE_TRACE = 256, 10, 200, 64


def main(args: argparse.Namespace) -> int:
    references = published.load()
    if args.suite is None:
        return paper_suites.main(args, references)
    suite = grid.load(args.suite, args.results)
    told = published.of_table(references, suite.published) if suite.published else []
    chosen = parser().parse_args([*words(args, "run"), *_scaled(suite, args)])
    code = DONE
    if not args.only_compare:
        with redirect_stdout(sys.stderr) if args.json else nullcontext():
            code = run.main(chosen)
        if args.dry_run or code not in COMPARED:
            return code
    if args.scale != "full":
        return _not_compared(args, suite, chosen, code)
    return _compare(args, suite, told, chosen, code)


def _scaled(suite: Suite, args: argparse.Namespace) -> list[str]:
    """The words of `run` that make a suite small enough to be tried."""
    if args.scale == "full":
        return []
    phases = max(registry.describe(method).shortest for method in args.methods or suite.methods)
    seeds = [] if args.seeds else ["--seeds", "0"]
    if args.scale == "short":
        return [*seeds, "--epochs", str(max(SHORT_EPOCHS, phases))]
    info = datasets.info(suite.dataset, args.data_dir)
    train = min(max(SMOKE_TRAIN, SMOKE_PER_CLASS * info.num_classes), info.train_size)
    limits = ["--train-limit", str(train), "--test-limit", str(min(SMOKE_TEST, info.test_size))]
    side = min(info.shape[1:])
    network = "digits_cnn" if side < 28 else "lenet_small" if side < 128 else "resnet32"
    epochs = ["--epochs", str(max(SMOKE_EPOCHS, phases)), "--network", network]
    return [*seeds, *epochs, *limits, "--set", f"trace_samples={SMOKE_TRACE}"]


def _not_compared(args: argparse.Namespace, suite: Suite, chosen: argparse.Namespace, code: int) -> int:
    found = _gathered(chosen)
    what = "one seed" if not args.seeds else "the seeds asked for"
    cut = "a small network and few samples" if args.scale == "smoke" else f"{chosen.epochs} epochs"
    said = f"scale {args.scale} ({what}, {cut}) shows that the cells run; its numbers are not compared with any"
    ran = {"runs": len(found.runs), "finished": len(found.facts), "failed": sorted(found.failed)}
    if args.json:
        print(json.dumps({**_head(args, suite, code), "compared": False, "reason": said, **ran, "cells": []}, indent=1))
    else:
        print(f"\n{suite.title or suite.name}: {len(found.facts)} of {len(found.runs)} runs are done\n{said}")
    return code


def _compare(
    args: argparse.Namespace, suite: Suite, told: Sequence[Reference], chosen: argparse.Namespace, code: int
) -> int:
    found = _gathered(chosen)
    if found.alarms():
        print("\n".join(found.alarms()), file=sys.stderr)
        return DAMAGED
    made = lines(found, told, chosen, suite.rule or "last")
    hours = paper_suites.hours_of(Store(args.results), found.runs)
    if args.json:
        body = {"compared": True, "hours": hours, "cells": [line.to_dict() for line in made]}
        print(json.dumps({**_head(args, suite, code), **body}, indent=1))
        return code
    print(side_by_side.text(suite, told, made, _hours_text(hours, found, args.suite)), end="")
    return code


def _gathered(chosen: argparse.Namespace) -> Evidence:
    suite, runs = planned(chosen)
    return gather(Store(chosen.results), suite, runs)


def _head(args: argparse.Namespace, suite: Suite, code: int) -> dict[str, Any]:
    return {"suite": args.suite, "published": suite.published, "scale": args.scale, "exit": code}


def _hours_text(hours: dict[str, Any] | None, found: Evidence, suite: str) -> str:
    passes = sum(run.networks * run.config.train.epochs for run in found.runs)
    work = f"{len(found.runs)} runs, {len(found.facts)} done; {passes:,} epochs of one network"
    if hours is None:
        return f"{work}; for the hours: run_bench.py repro {suite} --dry-run"
    return f"{work}; {paper_suites.hours_text(hours)}"
