"""`verify`: every digest and every cell of a suite, or of a whole folder, by another road than the one it came by."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict

from bench.arguments import parser
from bench.evidence.recount import Run
from bench.exit_codes import DAMAGED, DONE, INCOMPLETE, INTERRUPTED
from bench.files import NAME_PATTERN
from bench.findings import everything
from bench.findings.everything import Selected
from bench.findings.gathering import gather
from bench.findings.recounted import Recount
from bench.printable import printable
from bench.sweep.planning.selection import data_dir_of, planned, usual_baseline
from bench.sweep.records.store import Store
from bench.sweep.upkeep.finished import names_of
from bench.sweep.upkeep.repeating import Repeated, repeat
from bench.sweep.upkeep.verifying import Report, Verifier


def main(args: argparse.Namespace) -> int:
    """Check and print; 3 if anything is wrong, 1 if there was nothing to check or a run could not be repeated."""
    if args.rerun < 0:
        raise ValueError(f"--rerun takes a number of runs, 0 or more, got {args.rerun}")
    try:
        return _verify(args)
    except KeyboardInterrupt:  # while a run is trained again, the sweep itself ends it in order
        print("interrupted; nothing was changed", file=sys.stderr)
        return INTERRUPTED


def _verify(args: argparse.Namespace) -> int:
    store, report = Store(args.results), Report()
    if not store.root.is_dir():
        raise ValueError(f"there is no folder {store.root}")
    chosen = everything.selected(args, store)
    suite, runs, data_dir = chosen.suite, chosen.runs, data_dir_of(args, chosen.suite)
    for run_id, reason in chosen.corrupt.items():
        path = store.runs / run_id / "config.json"
        report.wrong(path, reason.removeprefix(f"{path}: "))
    records = Verifier(store, runs, data_dir, report, told=chosen.corrupt).run()
    if records:
        _recount(store, chosen, records, report)
    if records and args.everything:
        _recount_suites(args, store, records, report)
    repeated = Repeated()
    if args.rerun and records:
        repeated = repeat(store, runs, records, data_dir, args.rerun)
        repeated.tell(report, store)
    code = repeated.code or (DAMAGED if report.violations else INCOMPLETE if repeated.failed or not records else DONE)
    if args.json:
        known = {"suite": suite.name, "runs": len(runs), "finished": len(records), **asdict(report)}
        print(json.dumps({**known, "rerun": asdict(repeated), "code": code}, indent=1))
    else:
        print(printable(_text(f"{suite.name}: {len(records)} of {len(runs)} runs finished under {store.root}", report)))
    return code


def _recount(store: Store, chosen: Selected, records: Mapping[str, Run], report: Report) -> None:
    try:
        found = everything.gathered(store, chosen)
    except ValueError as error:
        report.wrong(store.runs, f"no table can be made: {error}")
        return
    Recount(store, found, records, usual_baseline(chosen.suite, chosen.runs), report).check()


def _recount_suites(args: argparse.Namespace, store: Store, records: Mapping[str, Run], report: Report) -> None:
    """Hold what was written of each suite of the folder against the records; every cell of it is counted already."""
    for name in names_of(store.tables):
        if name == everything.NAME or not NAME_PATTERN.match(name) or not (store.suites / name).is_dir():
            continue
        words = ["verify", name, "--results", str(store.root)]
        words += ["--data-dir", str(args.data_dir)] if args.data_dir else []
        try:
            suite, runs = planned(parser().parse_args(words))
            found = gather(store, suite, runs)
        except ValueError as error:  # its data are not here, it was run in two versions, it names code
            report.skipped.append(f"tables of suite {name}: {error} (`verify {name}` looks at it alone)")
            continue
        own = {run.run_id: records[run.run_id] for run in runs if run.run_id in records}
        Recount(store, found, own, usual_baseline(suite, runs), report).check_written()


def _text(title: str, report: Report) -> str:
    lines = [title, *(f"  {count:7,}  {kind}" for kind, count in report.checked.items())]
    lines += [f"  not checked: {reason}" for reason in report.skipped]
    lines += [f"  note: {note}" for note in report.notes]
    lines += [f"WRONG {violation.file}: {violation.reason}" for violation in report.violations]
    if not report.checked and not report.violations:
        return "\n".join([*lines, "nothing was verified: no run of these is finished"])
    count = len(report.violations)
    return "\n".join([*lines, f"{count} violations" if count > 1 else "1 violation" if count else "all of it is right"])
