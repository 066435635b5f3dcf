"""Options that say which runs are meant, and where data and results lie."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def selection(verb: argparse.ArgumentParser) -> None:
    """A suite by name, or runs by flags."""
    what = verb.add_argument_group("which runs")
    what.add_argument(
        "suite", nargs="?", metavar="SUITE", help="a name of `list suites`, or a .toml file (default: quickstart)"
    )
    what.add_argument(
        "--methods", nargs="+", metavar="NAME", help="see `list methods`; path/to/file.py:Class for your own"
    )
    setting(what)
    data_dir(what)
    results(verb)


def setting(what: Any) -> None:
    """Everything that makes runs besides the suite and the methods."""
    what.add_argument("--dataset", metavar="D", help="instead of a suite: see `list datasets`")
    what.add_argument(
        "--noise", nargs="+", metavar="FAMILY:RATE", help="such as symmetric:0.5 or pairflip:0.45:flips=iid"
    )
    what.add_argument("--seeds", nargs="+", metavar="N", help="such as 0-4 or 0 1 2")
    what.add_argument(
        "--noise-seed", type=int, metavar="N", help="one set of wrong labels for all seeds (default: each seed its own)"
    )
    what.add_argument("--network", metavar="N", help="see `list networks`")
    what.add_argument(
        "--preset",
        metavar="P",
        help="uniform (one recipe for all, the default), or a preset of the methods, such as paper",
    )
    what.add_argument("--epochs", type=int, metavar="E")
    what.add_argument(
        "--val", type=float, metavar="SHARE", help="of the training set held out with its wrong labels (default: 0.1)"
    )
    what.add_argument(
        "--trusted",
        type=int,
        metavar="N",
        help="take N samples with true labels out of training, for methods that ask for them (marked in the table)",
    )
    what.add_argument("--train-limit", type=int, metavar="N", help="use N training samples only, to try things out")
    what.add_argument(
        "--test-limit", type=int, metavar="N", help="score the first N test samples only, to try things out"
    )
    what.add_argument(
        "--set",
        nargs="+",
        metavar="KEY=VALUE",
        default=[],
        help="such as epochs=5, optimizer.lr=0.01 or precision=auto (or float32, bf16, tf32); METHOD.FIELD=VALUE for a "
        "hyper-parameter",
    )
    what.add_argument(
        "--allow-plugin", action="store_true", help="let a suite file name methods by path: their code will be run"
    )


def data_dir(verb: Any) -> None:
    verb.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="folder with the datasets, as torchvision lays them out (default: $LNBENCH_DATA, else a cache folder)",
    )


def everything(verb: Any) -> None:
    """All that a results folder holds."""
    verb.add_argument(
        "--everything", action="store_true", help="instead of a suite: all runs that the results folder holds"
    )


def results(verb: Any) -> None:
    """The results folder."""
    verb.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
