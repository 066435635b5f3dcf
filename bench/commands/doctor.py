"""`doctor`: what is there of a data set, what is missing, where to get it, and what a run will use."""

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from bench.data import datasets, padded
from bench.data.report import Report

MARKS = {"ok": "ok     ", "note": "note   ", "missing": "MISSING", "broken": "BROKEN "}


def main(args: argparse.Namespace) -> int:
    """Print the report; 0 if a run can start, 2 if something is missing or broken."""
    name, folder = datasets.locate(args.dataset, args.data_dir)
    if args.skip_broken:
        _skip_broken(name, folder)
    report = datasets.examine(name, folder)
    report = replace(report, findings=(*report.findings, *padded.findings(name, folder)))
    if args.json:
        print(json.dumps({"usable": report.usable, "folder": str(folder), **asdict(report)}, indent=1))
    else:
        print(text(report, folder))
    if args.decode and report.usable:
        from bench.data import decoded

        decoded.decode(datasets.load(name, folder), folder, _say)
    return 0 if report.usable else 2


def text(report: Report, folder: Path) -> str:
    """The report for a terminal, worst things last, where they are seen."""
    order = ("ok", "note", "missing", "broken")
    findings = sorted(report.findings, key=lambda finding: order.index(finding.state))
    lines = [f"{report.name}  in {folder}"]
    lines += [f"  {MARKS[finding.state]}  {finding.text}" for finding in findings]
    if report.usable:
        return "\n".join([*lines, f"  used     {report.used}"])
    return "\n".join([*lines, f"  get it   {report.where}", f"{report.name} cannot be used as it is"])


def _skip_broken(name: str, folder: Path) -> None:
    from bench.data import manifest

    source = datasets.source(name)
    dataset = (source.files or source.read)(folder)
    left_out = manifest.skip_broken(dataset, folder, _say)
    _say(f"{left_out} unreadable images are left out of {name} from now on")


def _say(line: str) -> None:
    print(line, file=sys.stderr)
