"""Words of `run` that mean stored runs: found from their settings, and tried before they are believed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.arguments import parser
from bench.arguments.words import command as written
from bench.data import places
from bench.files import canonical
from bench.sweep.planning.grid import Planned
from bench.sweep.planning.selection import planned


def cells(runs: Sequence[Planned]) -> list[list[Planned]]:
    """Runs that one command can mean: they differ in their seeds alone."""
    found: dict[bytes, list[Planned]] = {}
    for run in runs:
        config = run.config.to_dict()
        own = config["noise"].pop("seed") == config.pop("seed")
        found.setdefault(canonical([config, None if own else run.config.noise.seed]), []).append(run)
    return list(found.values())


def command(args: argparse.Namespace, runs: Sequence[Planned]) -> str | None:
    """The command that plans exactly these runs of one cell; None where the words found would plan others."""
    if any(not _safe(run) for run in runs):
        return None
    plain = _plain(args, runs)
    if any(value.startswith("-") for value in plain[1::2]):  # a name that would be taken for an option
        return None
    wanted = {run.run_id for run in runs}
    try:
        first = _planned(plain)
        words = [*plain, *_set(runs[0], first[0])]
        if len(words) > len(plain):
            first = _planned(words)
        if {run.run_id for run in first} != wanted:
            return None
        return written(parser().parse_args(["run", *words]), "run", resolve=False)
    except (ValueError, OSError, SystemExit):  # its data or its method are not at hand, or a value has no spelling
        return None


def _safe(run: Planned) -> bool:
    """Whether trying a command would look at no code and no place that a record, maybe a stranger's, chooses."""
    try:
        places.check(run.config)
    except ValueError:
        return False
    return ":" not in run.spec


def _plain(args: argparse.Namespace, runs: Sequence[Planned]) -> list[str]:
    """Options and values in turn."""
    run = runs[0]
    data, train = run.config.dataset, run.config.train
    seeds = ",".join(str(one.config.seed) for one in runs)
    words = ["--dataset", data.name, "--noise", run.noise, "--methods", run.spec, "--seeds", seeds]
    words += ["--results", str(args.results), "--preset", train.preset, "--network", train.network]
    words += ["--epochs", str(train.epochs), "--val", repr(data.val)]
    if run.config.noise.seed != run.config.seed:
        words += ["--noise-seed", str(run.config.noise.seed)]
    limits = {"--train-limit": data.train_limit, "--test-limit": data.test_limit, "--trusted": data.trusted or None}
    for flag, value in limits.items():
        words += [] if value is None else [flag, str(value)]
    return words + (["--data-dir", str(args.data_dir)] if args.data_dir else [])


def _planned(words: Sequence[str]) -> list[Planned]:
    return planned(parser().parse_args(["run", *words]))[1]


def _set(run: Planned, got: Planned) -> list[str]:
    """The settings in which what was planned differs from the run, and what another machine might choose otherwise."""
    wanted, plan = run.config.to_dict(), got.config.to_dict()
    own = f"{run.config.method.name}."
    differing = [
        *_differing(wanted["train"], plan["train"]),
        *_differing(wanted["method"]["params"], plan["method"]["params"], own),
    ]
    if got.auto and got.config.train.precision == run.config.train.precision:
        differing.append(f"precision={run.config.train.precision}")
    return ["--set", *differing] if differing else []


def _differing(wanted: Mapping[str, Any], got: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Settings as --set takes them, of what is wanted and not got."""
    for name, value in wanted.items():
        if isinstance(value, Mapping) and isinstance(got.get(name), Mapping):
            yield from _differing(value, got[name], f"{prefix}{name}.")
        elif name not in got or got[name] != value:
            yield f"{prefix}{name}={'none' if value is None else json.dumps(value)}"
