"""`leaderboard`: a folder of submissions, each checked, and one page of those that hold."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.data import datasets
from bench.exit_codes import DAMAGED, DONE, INCOMPLETE, REFUSED
from bench.files import publish
from bench.printable import printable
from bench.sharing import board, protocol
from bench.sharing.entries import check_all
from bench.sharing.protocol import Protocol
from bench.sweep.planning import grid
from bench.sweep.records.reading import without_collector

PAGE = "leaderboard.html"
OPENING = b"<!doctype html>"


def main(args: argparse.Namespace) -> int:
    """Check and print; write the page, or with --check return 3 if one is refused and 1 if one is not accepted."""
    data_dir = args.data_dir.expanduser().resolve() if args.data_dir else None
    if args.folder.is_file():
        raise ValueError(f"{args.folder} is a file: name the folder in which submissions lie")
    asked = _asked(args.suite, data_dir) if args.suite else None
    out: Path = args.out or args.folder / PAGE
    if not args.check:
        _check_place(out)
    try:
        with without_collector():
            entries = check_all(args.folder, asked, data_dir)
    except OSError as error:  # a full disk, above all
        if not error.filename:
            raise
        print(printable(f"run_bench.py leaderboard: {error.filename}: {error.strerror}"), file=sys.stderr)
        return REFUSED
    told = board.as_dict(entries)
    print(json.dumps(told, indent=1) if args.json else printable(_text(told)))
    if args.check:
        counts = told["counts"]
        if counts["refused"]:
            return DAMAGED
        return INCOMPLETE if counts["incomplete"] or counts["unchecked"] else DONE
    _write(out, told, args.suite)
    if not args.json:
        print(printable(f"written: {out}"))
    return DONE


def _asked(name: str, data_dir: Path | None) -> list[Protocol]:
    """The protocols of a suite, once for each precision where it leaves that to the machine."""
    suite = grid.load(name)
    if datasets.is_own(suite.dataset):
        data_dir = datasets.locate(suite.dataset, data_dir)[1]
    runs = grid.plan(suite, data_dir)
    found = protocol.of((run.config.to_dict() for run in runs), suite.rule or "last")
    return protocol.in_any_precision(found) if any(run.auto for run in runs) else found


def _check_place(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_file()):
        raise ValueError(f"{out}: must be a regular file; links are not followed")
    if not out.parent.is_dir():
        raise ValueError(f"there is no folder {out.parent}")
    if out.exists():
        with out.open("rb") as file:
            if file.read(len(OPENING)) not in (OPENING, b""):
                raise ValueError(f"{out} is no page: name another file by --out")


def _write(out: Path, told: dict[str, Any], suite: str | None) -> None:
    from bench.evidence.page import render

    page = render("leaderboard.html", scripts=("sort.js",), suite=suite, **told)
    publish(out, page.encode(), replace=True)


def _text(told: dict[str, Any]) -> str:
    lines = []
    for one in told["submissions"]:
        methods = f"{len(one['methods'])} method{'' if len(one['methods']) == 1 else 's'}, {one['runs']:,} runs"
        reasons: Sequence[str] = one["reasons"]
        place = "" if one["place"] in one["entry"] else f" ({one['place']})"
        lines.append(f"{one['verdict']:10s}  {one['entry']}{place}: {reasons[0] if reasons else methods}")
        lines += [f"{'':12s}{reason}" for reason in (*reasons[1:], *one["notes"])]
    lines += [f"conflict    {line}" for line in told["conflicts"]]
    counts = ", ".join(f"{n} {verdict}" for verdict, n in told["counts"].items() if n)
    n = len(told["protocols"])
    return "\n".join([*lines, f"{counts}; {n} protocol{'' if n == 1 else 's'}"])
