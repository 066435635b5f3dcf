"""Options of `compare` and `check-method`: what a method of one's own is held against."""

from __future__ import annotations

import argparse

from bench.arguments.running import running
from bench.arguments.selecting import data_dir, results, setting
from bench.arguments.tabling import counting


def compare(verb: argparse.ArgumentParser) -> None:
    """One method against others."""
    verb.add_argument("method", metavar="METHOD", help="path/to/mine.py:Mine, or a name of `list methods`")
    verb.add_argument("--against", nargs="+", required=True, metavar="NAME", help="the methods to compare it with")
    what = verb.add_argument_group("on which settings")
    what.add_argument("--suite", metavar="SUITE", help="those of a suite (default: quickstart)")
    setting(what)
    data_dir(what)
    results(verb)
    counting(verb)
    verb.add_argument("--only-compare", action="store_true", help="start nothing: compare what is done")
    verb.add_argument("--json", action="store_true", help="one JSON document on standard output")
    running(verb)


def check_method(verb: argparse.ArgumentParser) -> None:
    """The contract."""
    verb.add_argument("method", nargs="*", metavar="METHOD", help="path/to/mine.py:Mine, or a name of `list methods`")
    verb.add_argument("--only", nargs="+", metavar="CHECK", help="some checks only; `--only list` lists them")
    verb.add_argument("--json", action="store_true", help="one JSON document on standard output")
