"""`repro` without a suite: which tables of papers can be run, what that takes, and what it would be held against."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.data import datasets
from bench.data.attachments import attached
from bench.evidence.published import Reference
from bench.exit_codes import DONE
from bench.sweep.planning import grid, timings
from bench.sweep.planning.grid import Planned, Suite
from bench.sweep.records.store import Store
from noise import NoiseSpec, family_of


def main(args: argparse.Namespace, references: Sequence[Reference]) -> int:
    """Print them."""
    store = Store(args.results)
    suites = [(name, grid.load(name)) for name in grid.available()]
    entries = [_entry(name, suite, references, store, args.data_dir) for name, suite in suites if of_a_paper(suite)]
    if args.json:
        print(json.dumps(entries, indent=1))
        return DONE
    for entry in entries:
        print(f"{entry['suite']}  {entry['title']}")
        print("    " + "; ".join([entry["runs"], _hours(entry), _references(entry)]))
        print(f"    {entry['data']}")
    print("run one by `repro SUITE`; --scale smoke tries it in minutes, --dry-run says what it costs on this machine")
    return DONE


def of_a_paper(suite: Suite) -> bool:
    """Whether a suite follows a paper's recipe instead of ours."""
    return bool(suite.published) or suite.preset != "uniform"


def _entry(
    name: str, suite: Suite, references: Sequence[Reference], store: Store, data_dir: Path | None
) -> dict[str, Any]:
    lacks = missing(suite, data_dir)
    entry: dict[str, Any] = {"suite": name, "title": suite.title, "published": suite.published or None}
    entry["references"] = sum(reference.table == suite.published for reference in references)
    entry["data"] = f"{suite.dataset} is here" if lacks is None else f"data needed: {lacks}"
    entry["data_here"] = lacks is None
    try:
        runs = grid.plan(suite, data_dir)
    except datasets.MissingDataError:  # a set of files that tell its facts
        count = len(suite.noise) * len(suite.methods) * len(suite.seeds)
        return {**entry, "runs": f"{count} runs", "epochs": None, "hours": None}
    epochs = sum(run.networks * run.config.train.epochs for run in runs)
    told = f"{len(runs)} runs, {epochs:,} epochs of one network"
    return {**entry, "runs": told, "epochs": epochs, "hours": hours_of(store, runs)}


def missing(suite: Suite, data_dir: Path | None) -> str | None:
    """What is not there of a suite's data, None if all is."""
    name, folder = datasets.locate(suite.dataset, data_dir)
    try:
        info = datasets.info(name, folder)
        datasets.require(info, folder)
        for spec in (NoiseSpec.parse(text) for text in suite.noise):
            if family_of(spec.family).needs:
                attached(spec, info, folder)
    except ValueError as error:  # files that are not there, or not what they should be
        return str(error).partition("; name the right folder")[0]
    return None


def hours_of(store: Store, runs: Sequence[Planned]) -> dict[str, Any] | None:
    """Hours of one device for all the runs by the times of finished ones, of a GPU if they tell; None if neither."""
    kinds = [timings.kind_of(run) for run in runs]
    for device in ("cuda", "cpu"):
        past = timings.read(store, runs, device)
        if all(kind in past.same for kind in kinds):
            return {"hours": sum(median(past.same[kind]) for kind in kinds) / 3600, "device": device}
    return None


def hours_text(hours: dict[str, Any]) -> str:
    """What `hours_of` found, for a reader."""
    return f"{hours['hours']:.3g} hours of one {'GPU' if hours['device'] == 'cuda' else 'CPU slot'} by finished runs"


def _hours(entry: dict[str, Any]) -> str:
    return hours_text(entry["hours"]) if entry["hours"] else "hours not known before any of it has run here"


def _references(entry: dict[str, Any]) -> str:
    return f"{entry['references']} published numbers" if entry["published"] else "no published number"
