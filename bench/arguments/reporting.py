"""Options of `report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.arguments.selecting import everything, selection
from bench.arguments.tabling import tabling


def report(verb: argparse.ArgumentParser) -> None:
    """One HTML file about a suite."""
    selection(verb)
    tabling(verb)
    everything(verb)
    verb.add_argument("--out", type=Path, metavar="FILE.html", help="the file to write (default: beside the table)")
    verb.add_argument(
        "--allow-incomplete", action="store_true", help="write the report although a stored result is damaged"
    )
