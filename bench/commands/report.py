"""`report`: everything about a suite in one HTML file that opens offline, from finished runs alone."""

from __future__ import annotations

import argparse
import sys

from bench.exit_codes import DAMAGED, DONE
from bench.files import make_folder, publish
from bench.findings import everything
from bench.findings.sections import (
    accuracy,
    checklist,
    drawings,
    failures,
    method_cards,
    noise_cards,
    opening,
    provenance,
    rerun,
    runs,
    traces,
)
from bench.findings.sections.subject import Subject
from bench.printable import printable
from bench.sweep.planning.selection import baseline_of
from bench.sweep.records.reading import without_collector
from bench.sweep.records.store import Store

SCRIPTS = ("sort.js", "curves.js", "report.js")


def main(args: argparse.Namespace) -> int:
    store = Store(args.results)
    found = everything.asked(args, store)
    if found.alarms() and not args.allow_incomplete:
        print(printable("\n".join(found.alarms())), file=sys.stderr)
        print("no report: `run` sets damaged results aside and trains these runs again", file=sys.stderr)
        return DAMAGED
    if not found.facts:
        raise ValueError(f"no run of {found.suite.name!r} is done under {args.results}: nothing to report")
    path = args.out or store.tables / found.suite.name / "report.html"
    if path.is_dir() and not path.is_symlink():
        raise ValueError(f"--out must be a file, and {path} is a folder")
    if path.suffix not in (".html", ".htm"):
        raise ValueError(f"--out is a page, FILE.html; got {path}")
    baseline = baseline_of(args, found.suite, found.runs)
    data = page_of(Subject(args, store, found, baseline)).encode()
    make_folder(path.parent.resolve() if args.out else path.parent)  # one's own link may be followed
    publish(path, data, replace=True)
    print(printable(f"{path}  {_size(len(data))}"))
    return DONE


def page_of(subject: Subject) -> str:
    """The page; from the same records and code the same text."""
    from bench.evidence.page import render

    with without_collector():
        table, listed, failed = accuracy.of(subject), runs.of(subject), failures.of(subject)
        data = {
            "runs": listed["rows"],
            "accuracies": accuracy.of_runs(subject),
            "of_record": listed["of_record"],
            "accuracy_at": listed["accuracy"],
            "failures": failed["rows"],
            "curves": traces.of(subject),
        }
        sections = {
            "opening": opening.of(subject),
            "accuracy": table,
            "drawings": drawings.of(subject),
            "noise": noise_cards.of(subject),
            "failures": failed,
            "methods": method_cards.of(subject),
            "runs": listed,
            "provenance": provenance.of(subject),
            "checklist": checklist.of(subject),
            "rerun": rerun.of(subject),
        }
        return render("report.html", scripts=SCRIPTS, styles=("report.css",), data=data, **sections)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
