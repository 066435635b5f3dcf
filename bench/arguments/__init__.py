"""What may be typed: every verb and its options, and how that is written again. Nothing here does anything."""

from __future__ import annotations

from pathlib import Path

from bench.arguments.evidence import evidence
from bench.arguments.keeping import keeping
from bench.arguments.labels import noise
from bench.arguments.parsing import EPILOG, Parser
from bench.arguments.running import running
from bench.arguments.selecting import data_dir, selection
from bench.arguments.sharing import sharing
from bench.arguments.tabling import tabling

VERBS = (
    *("run", "status", "table", "plot", "report", "repro", "compare", "check-method", "list", "show", "noise"),
    *("doctor", "verify", "merge", "clean", "export", "leaderboard"),
)
LISTED = ("methods", "noise", "datasets", "networks", "suites")


def parser() -> Parser:
    """The parser of all verbs."""
    top = Parser(prog="run_bench.py", description="Benchmark of learning with noisy labels.", epilog=EPILOG)
    verbs = top.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
    run = verbs.add_parser(
        "run", help="do the runs of a suite that are not done, then print its table (the default)", epilog=EPILOG
    )
    selection(run)
    running(run)
    tabling(run)
    status = verbs.add_parser("status", help="how far the runs of a suite are")
    selection(status)
    status.add_argument("--json", action="store_true", help="one JSON document on standard output")
    evidence(verbs)
    _listing(verbs.add_parser("list", help="what can be named: " + ", ".join(LISTED)))
    _show(verbs.add_parser("show", help="all about one run"))
    noise(verbs.add_parser("noise", help="which labels a noise spec makes: show, export or compare them"))
    about = "of a dataset: what is there and what is missing; without one: this machine and the results"
    _doctor(verbs.add_parser("doctor", help=about))
    keeping(verbs)
    sharing(verbs)
    return top


def _listing(listing: Parser) -> None:
    listing.add_argument("what", choices=LISTED, metavar="|".join(LISTED))
    listing.add_argument("--json", action="store_true", help="one JSON document on standard output")
    listing.add_argument("--markdown", action="store_true", help="of noise and methods: as tables for a page")
    listing.add_argument("--card", metavar="NAME", help="of methods: all about one of them")


def _show(show: Parser) -> None:
    show.add_argument("run_id", metavar="RUN_ID", help="or the first letters of one")
    show.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    show.add_argument("--json", action="store_true", help="the stored record as it is")


def _doctor(doctor: Parser) -> None:
    doctor.add_argument(
        "dataset", nargs="?", metavar="DATASET", help="see `list datasets`; or your own folder or .npz file"
    )
    doctor.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    doctor.add_argument(
        "--sweep", action="store_true", help="remove what killed writers left half-written in the results folder"
    )
    data_dir(doctor)
    doctor.add_argument(
        "--decode",
        action="store_true",
        help="decode all image files once, in parallel, into a memory-mapped cache in the data folder",
    )
    doctor.add_argument(
        "--skip-broken",
        action="store_true",
        help="decode every image file, and leave those out of the dataset from now on that cannot be read",
    )
    doctor.add_argument("--json", action="store_true", help="one JSON document on standard output")
