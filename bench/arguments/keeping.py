"""The verbs that keep a results folder in order: verify, merge, clean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.arguments.parsing import EPILOG
from bench.arguments.selecting import everything, selection


def keeping(verbs: Any) -> None:
    """What keeps a results folder in order."""
    verify = verbs.add_parser(
        "verify", help="recompute every digest and every cell of the tables independently", epilog=EPILOG
    )
    selection(verify)
    everything(verify)
    verify.add_argument(
        "--rerun", type=int, default=0, metavar="K", help="train K finished runs again, too, and compare their payloads"
    )
    verify.add_argument("--json", action="store_true", help="one JSON document on standard output")
    merge = verbs.add_parser(
        "merge", help="bring results of other folders, as of shards, or of archives of `export`, into one"
    )
    merge.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="results folders, or archives, to read")
    merge.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    merge.add_argument("--dry-run", action="store_true", help="say what would be copied; copy nothing")
    clean = verbs.add_parser("clean", help="remove what is no result; asks first")
    clean.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    what = clean.add_argument_group("what to remove (at least one)")
    what.add_argument("--failed", action="store_true", help="runs that failed, with their logs and checkpoints")
    what.add_argument("--interrupted", action="store_true", help="unfinished runs: their checkpoints are lost")
    what.add_argument("--quarantine", action="store_true", help="damaged files that were set aside")
    what.add_argument("--samples", action="store_true", help="per-sample tables")
    what.add_argument(
        "--suite", metavar="SUITE", help="every run of this suite, finished or not; with the above, only of its runs"
    )
    clean.add_argument("--yes", action="store_true", help="do not ask")
    clean.add_argument("--dry-run", action="store_true", help="say what would be removed; remove nothing")
