"""The verbs that give results to others and take theirs: export, leaderboard."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench.arguments.parsing import EPILOG
from bench.arguments.selecting import data_dir, everything, selection


def sharing(verbs: Any) -> None:
    """Add them."""
    about = "write the finished runs of a suite, with their proofs, for others"
    _export(verbs.add_parser("export", help=about, epilog=EPILOG))
    about = "check a folder of submissions; make one page of those that hold"
    _leaderboard(verbs.add_parser("leaderboard", help=about, epilog=EPILOG))


def _export(verb: argparse.ArgumentParser) -> None:
    selection(verb)
    everything(verb)
    verb.add_argument("--out", type=Path, required=True, metavar="FILE.zip", help="the archive to write")
    verb.add_argument("--force", action="store_true", help="write over a file that holds something else")
    verb.add_argument(
        "--with-code", action="store_true", help="enclose the source of methods of your own, not its digest alone"
    )
    about = verb.add_argument_group("of a submission to a leaderboard")
    about.add_argument("--name", metavar="TEXT", help="what the entry is called")
    about.add_argument("--by", metavar="TEXT", help="who submits it")
    about.add_argument("--link", metavar="URL", help="a paper or a repository")


def _leaderboard(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("folder", type=Path, metavar="DIR", help="folder of submissions: archives of `export`")
    verb.add_argument("--suite", metavar="SUITE", help="the protocol that entries must keep (default: their own)")
    data_dir(verb)
    verb.add_argument("--out", type=Path, metavar="FILE.html", help="the page to write (default: DIR/leaderboard.html)")
    verb.add_argument("--check", action="store_true", help="check only; exit code 3 if a submission does not hold")
    verb.add_argument("--json", action="store_true", help="one JSON document on standard output")
