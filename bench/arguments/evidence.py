"""The verbs that make evidence of results: table, plot, repro; with report, compare and check-method beside them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench.arguments.comparing import check_method, compare
from bench.arguments.parsing import EPILOG
from bench.arguments.reporting import report
from bench.arguments.running import running
from bench.arguments.selecting import data_dir, everything, results, selection
from bench.arguments.tabling import tabling

SCALES = ("smoke", "short", "full")
FIGURES = ("png", "svg", "pdf")
VIEWS = ("accuracy", "rules", "heads", "cost", "rank", "published")
FORMATS = ("text", "csv", "md", "tex", "html", "json")


def evidence(verbs: Any) -> None:
    """Add them."""
    _table(verbs.add_parser("table", help="the accuracy table of a suite, from finished runs", epilog=EPILOG))
    _plot(verbs.add_parser("plot", help="draw the plots of a suite from finished runs", epilog=EPILOG))
    about = "everything about a suite in one HTML file that opens offline"
    report(verbs.add_parser("report", help=about, epilog=EPILOG))
    about = "run the suite of a paper's table; print published, ours, difference, verdict"
    _repro(verbs.add_parser("repro", help=about, epilog=EPILOG))
    about = "run what is missing; say where a method is better, worse or not separable, and at which cost"
    compare(verbs.add_parser("compare", help=about, epilog=EPILOG))
    check_method(verbs.add_parser("check-method", help="hold a method to the contract that every method keeps"))


def _table(verb: argparse.ArgumentParser) -> None:
    selection(verb)
    tabling(verb)
    everything(verb)
    verb.add_argument(
        "--view",
        choices=VIEWS,
        default="accuracy",
        help="accuracy (the default); rules: every selection rule side by side, and the oracle gap; heads: each "
        "network, their mean and the ensemble; cost: networks, epochs, passes and hours against the baseline; rank: "
        "ranks over the columns; published: each column beside published numbers",
    )
    verb.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    verb.add_argument(
        "--allow-incomplete", action="store_true", help="print the table although a stored result is damaged"
    )
    verb.add_argument(
        "--require-complete", action="store_true", help="no table unless every planned run is done (exit code 1)"
    )


def _plot(verb: argparse.ArgumentParser) -> None:
    selection(verb)
    everything(verb)
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
