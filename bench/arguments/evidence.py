"""The verbs that make evidence of results: table, plot, report, repro, compare, check-method, export, leaderboard."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench.arguments.parsing import EPILOG
from bench.arguments.running import running
from bench.arguments.selecting import data_dir, results, selection
from bench.arguments.tabling import tabling

FORMATS = ("text", "csv", "md", "tex", "html", "json")
SCALES = ("smoke", "short", "full")
FIGURES = ("png", "svg", "pdf")


def evidence(verbs: Any) -> None:
    _table(verbs.add_parser("table", help="the accuracy table of a suite, from finished runs"))
    _plot(verbs.add_parser("plot", help="draw the plots of a suite from finished runs"))
    report = verbs.add_parser("report", help="one HTML file with tables, curves, noise and method cards, provenance")
    selection(report)
    tabling(report)
    _everything(report)
    report.add_argument("--out", type=Path, metavar="FILE.html", help="default: beside the suite's table")
    _repro(
        verbs.add_parser("repro", help="run the suite of a paper's table; print published, ours, difference, verdict")
    )
    _compare(verbs.add_parser("compare", help="run what is missing; say whether a method is better, and at what cost"))
    check = verbs.add_parser(
        "check-method", help="hold a method to the contract: leaks, determinism, resume, gradients"
    )
    check.add_argument("method", metavar="NAME", help="a method of `list methods`, or path/to/file.py:Class")
    check.add_argument("--set", nargs="+", metavar="FIELD=VALUE", default=[], help="hyper-parameters to check it with")
    check.add_argument("--device", default="cpu", metavar="D", help="cpu (the default) or cuda:0")
    check.add_argument("--json", action="store_true", help="one JSON document on standard output")
    _sharing(verbs)


def _everything(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--everything", action="store_true", help="instead of a suite: every finished run of the results folder"
    )


def _table(verb: argparse.ArgumentParser) -> None:
    selection(verb)
    tabling(verb)
    _everything(verb)
    verb.add_argument(
        "--view",
        choices=("accuracy", "rules", "heads", "cost", "published"),
        default="accuracy",
        help="accuracy (the default); rules: every rule side by side, and the oracle gap; heads: every network, their "
        "mean and the ensemble; cost: networks, epochs, passes, hours, against the baseline; published: reported "
        "numbers beside ours",
    )
    verb.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    verb.add_argument(
        "--allow-incomplete", action="store_true", help="print the table although a stored result is damaged"
    )
    verb.add_argument(
        "--require-complete", action="store_true", help="refuse a table that lacks planned runs, for a paper"
    )


def _plot(verb: argparse.ArgumentParser) -> None:
    selection(verb)
    _everything(verb)
    verb.add_argument(
        "--kind",
        nargs="+",
        metavar="KIND",
        help="which plots (default: all that the records allow); `--kind list` lists",
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


def _compare(verb: argparse.ArgumentParser) -> None:
    verb.epilog = EPILOG
    verb.add_argument("method", metavar="METHOD", help="a method of `list methods`, or path/to/file.py:Class")
    verb.add_argument("--against", nargs="+", metavar="NAME", required=True, help="methods to compare it with")
    verb.add_argument("--suite", metavar="SUITE", help="whose settings and seeds to use (default: quickstart)")
    for flag in ("--noise", "--seeds", "--set"):
        verb.add_argument(flag, nargs="+", metavar="X", default=[] if flag == "--set" else None, help="as for `run`")
    verb.add_argument("--json", action="store_true", help="one JSON document on standard output")
    data_dir(verb)
    results(verb)
    running(verb)


def _sharing(verbs: Any) -> None:
    export = verbs.add_parser("export", help="write a suite's finished runs for others: per-seed data and records")
    selection(export)
    export.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="FILE.csv (a line per run, rule and head), or FILE.zip (records and labels, for `leaderboard`)",
    )
    export.add_argument("--force", action="store_true", help="write over a file")
    board = verbs.add_parser("leaderboard", help="check submissions and write a static page of those that pass")
    board.add_argument("folder", type=Path, metavar="DIR", help="of submissions: .zip files of `export`, or folders")
    board.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the page")
    board.add_argument("--check", action="store_true", help="check the submissions only; write nothing")
