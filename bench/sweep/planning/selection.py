"""From the words of a command line to the suite they mean and its planned runs."""

import argparse
import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from bench import hardware
from bench.arguments import VERBS
from bench.data import datasets
from bench.names import unknown
from bench.sweep.planning import grid
from bench.sweep.planning.grid import Planned, Suite
from bench.sweep.records.store import Store
from methods import registry


def suite_of(args: argparse.Namespace) -> Suite:
    """The suite named, or made of flags; ValueError in one line for what makes no sense.

    Flags change a named suite. `--dataset` without a suite starts from that dataset's recipe alone.
    """
    if args.suite in VERBS:
        raise ValueError(f"the command comes first: run_bench.py {args.suite} ...")
    suite = _start(args)
    methods = tuple(args.methods) if args.methods else suite.methods
    train, params = grid.assignments(args.set, methods)
    for key in ("network", "epochs"):
        if getattr(args, key) is not None:
            train[key] = getattr(args, key)
    kept = suite.params
    if methods != suite.methods:
        names = [registry.describe(spec).name for spec in methods]
        kept = {name: value for name, value in suite.params.items() if name in names}
    return grid.custom(
        suite,
        noise=tuple(args.noise) if args.noise else None,
        methods=methods,
        seeds=grid.parse_seeds(args.seeds) if args.seeds else None,
        noise_seed=args.noise_seed,
        preset=args.preset,
        val=args.val,
        train_limit=args.train_limit,
        test_limit=args.test_limit,
        trusted=args.trusted,
        train=grid.merge(suite.train, train),
        params=grid.merge(kept, params),
    )


def _start(args: argparse.Namespace) -> Suite:
    if args.dataset is None:
        if args.suite and difflib.get_close_matches(args.suite, VERBS, 1) and args.suite not in grid.available():
            raise unknown("command or suite", args.suite, [*VERBS, *grid.available()])
        suite = grid.load(args.suite or grid.DEFAULT, args.results)
        plugins = [method for method in suite.methods if ":" in method] if not args.methods else []
        if plugins and not args.allow_plugin:
            raise ValueError(f"suite {suite.name!r} names code to be run, {plugins[0]}: allow it with --allow-plugin")
        return suite
    if args.suite is not None:
        raise ValueError(f"give a suite ({args.suite!r}) or --dataset, not both")
    for flag in ("noise", "methods"):
        if not getattr(args, flag):
            raise ValueError(f"--dataset needs --{flag} too: see `list {flag}`")
    name = re.sub(r"[^A-Za-z0-9._-]", "-", Path(args.dataset).name).strip("._-") or "own"
    return Suite(name, args.dataset, (), ())  # the flags fill it, which gives it a name of its own


def data_dir_of(args: argparse.Namespace, suite: Suite) -> Path | None:
    """The folder in which runs look for data: the one asked for, or that of somebody's own data."""
    data_dir: Path | None = args.data_dir.expanduser().resolve() if args.data_dir else None
    if getattr(args, "everything", False):  # of several data sets: each is looked for by itself
        return data_dir
    return datasets.locate(suite.dataset, data_dir)[1] if datasets.is_own(suite.dataset) else data_dir


def planned(args: argparse.Namespace) -> tuple[Suite, list[Planned]]:
    """The suite and its runs, in table order, in the precision in which it was begun or would be begun here."""
    suite = suite_of(args)
    try:
        runs = grid.plan(suite, args.data_dir)
    except ValueError as error:
        if args.suite and suite.name in (args.suite, Path(args.suite).stem):  # unchanged by flags: the file is at fault
            raise ValueError(f"{args.suite}: {error}") from error
        raise

    def choose() -> str:
        begun = Store(args.results).chosen(suite.name, suite.to_dict())
        if begun is None:
            return hardware.choose(_devices(args)).precision
        return begun.get("precision", "float32")  # all there was before there was a choice

    return suite, grid.settle(runs, choose)


def _devices(args: argparse.Namespace) -> str:
    """The devices that a choice is for: only `run` is told, and of other machines nothing is known here."""
    devices = str(getattr(args, "devices", "auto"))
    return devices if devices == "cpu" or getattr(args, "backend", "") == "local" else "auto"


def rule_of(args: argparse.Namespace, suite: Suite) -> str:
    """The selection rule asked for, the suite's own, or the last epoch."""
    return str(args.rule or suite.rule or "last")


def baseline_of(args: argparse.Namespace, suite: Suite, runs: Sequence[Planned]) -> str:
    """The method to compare with: asked for, the suite's, or the first row."""
    names = list(dict.fromkeys(run.config.method.name for run in runs))
    if args.baseline is not None and args.baseline not in names:
        raise unknown("baseline", args.baseline, names)
    return args.baseline or usual_baseline(suite, runs)


def usual_baseline(suite: Suite, runs: Sequence[Planned]) -> str:
    """The method that a suite's table compares with: its own, or the first row."""
    return suite.baseline or runs[0].config.method.name
