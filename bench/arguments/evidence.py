"""The verbs that make evidence of results: table, plot, repro."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench.arguments.parsing import EPILOG
from bench.arguments.running import running
from bench.arguments.selecting import data_dir, results, selection
from bench.arguments.tabling import tabling

SCALES = ("smoke", "short", "full")
FIGURES = ("png", "svg", "pdf")


def evidence(verbs: Any) -> None:
    """Add them."""
    _table(verbs.add_parser("table", help="the accuracy table of a suite, from finished runs"))
    _plot(verbs.add_parser("plot", help="draw the plots of a suite from finished runs"))
    about = "run the suite of a paper's table; print published, ours, difference, verdict"
    _repro(verbs.add_parser("repro", help=about, epilog=EPILOG))


def _table(verb: argparse.ArgumentParser) -> None:
    selection(verb)
    tabling(verb)
    verb.add_argument("--format", choices=("text", "csv", "md", "tex", "json"), default="text", help="default: text")
    verb.add_argument(
        "--allow-incomplete", action="store_true", help="print the table although a stored result is damaged"
    )


def _plot(verb: argparse.ArgumentParser) -> None:
    selection(verb)
    verb.add_argument(
        "--kind",
        nargs="+",
        metavar="KIND",
        help="which plots (default: all that the records alone allow); `--kind list` lists",
    )
    verb.add_argument(
        "--format", nargs="+", choices=FIGURES, default=["png", "svg"], help="of the files (default: png svg)"
    )
    verb.add_argument("--out", type=Path, metavar="DIR", help="folder for the files (default: beside the table)")


def _repro(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("suite", nargs="?", metavar="SUITE", help="suite of a paper's table; without one they are listed")
    verb.add_argument(
        "--scale",
        choices=SCALES,
        default="full",
        help="smoke: minutes on a CPU, compares nothing; short: some epochs, compares nothing; full: as published",
    )
    verb.add_argument("--methods", nargs="+", metavar="NAME", help="some rows of the table only")
    verb.add_argument("--noise", nargs="+", metavar="FAMILY:RATE", help="some columns of the table only")
    verb.add_argument("--seeds", nargs="+", metavar="N", help="such as 0-4 or 0 1 2")
    verb.add_argument("--only-compare", action="store_true", help="start nothing: compare what is done")
    verb.add_argument("--json", action="store_true", help="one JSON document on standard output")
    data_dir(verb)
    results(verb)
    running(verb)
