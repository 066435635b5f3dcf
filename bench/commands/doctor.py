"""`doctor`: what is there of a data set, and what a run will use; without one, how this machine and its results are."""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

from bench.data import datasets, padded
from bench.data.report import Finding, Report
from bench.exit_codes import DAMAGED, DONE, REFUSED

MARKS = {"ok": "ok     ", "note": "note   ", "missing": "MISSING", "broken": "BROKEN "}


def main(args: argparse.Namespace) -> int:
    """Print the report; 0 if a run can start, 2 if something is missing or broken, 3 if a result is damaged."""
    if args.dataset is None:
        return _machine(args)
    if args.sweep:
        raise ValueError("--sweep is about the results folder: leave the dataset out")
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
    return DONE if report.usable else REFUSED


def _machine(args: argparse.Namespace) -> int:
    from bench.commands import checkup
    from bench.sweep.upkeep import health

    for flag in ("decode", "skip_broken"):
        if getattr(args, flag):
            raise ValueError(f"--{flag.replace('_', '-')} is about the images of a dataset: name it")
    if args.sweep:
        _say(f"removed {health.sweep(args.results)} half-written files")
    sections, found = checkup.sections(args.results, args.data_dir)
    findings = [finding for section in sections for finding in section.findings]
    usable = all(finding.state in ("ok", "note") for finding in findings)
    code = DAMAGED if found.damaged else DONE if usable else REFUSED
    if args.json:
        parts = {part.title: {"findings": list(map(asdict, part.findings)), **part.facts} for part in sections}
        print(json.dumps({"exit": code, **parts}, indent=1))
    else:
        print("\n".join(line for section in sections for line in [section.title, *_lines(section.findings)]))
    return code


def text(report: Report, folder: Path) -> str:
    """The report for a terminal, worst things last, where they are seen."""
    lines = [f"{report.name}  in {folder}", *_lines(report.findings)]
    if report.usable:
        return "\n".join([*lines, f"  used     {report.used}"])
    return "\n".join([*lines, f"  get it   {report.where}", f"{report.name} cannot be used as it is"])


def _lines(findings: Iterable[Finding]) -> list[str]:
    order = ("ok", "note", "missing", "broken")
    ordered = sorted(findings, key=lambda finding: order.index(finding.state))
    return [f"  {MARKS[finding.state]}  {finding.text}" for finding in ordered]


def _skip_broken(name: str, folder: Path) -> None:
    from bench.data import manifest

    source = datasets.source(name)
    dataset = (source.files or source.read)(folder)
    left_out = manifest.skip_broken(dataset, folder, _say)
    _say(f"{left_out} unreadable images are left out of {name} from now on")


def _say(line: str) -> None:
    print(line, file=sys.stderr)
