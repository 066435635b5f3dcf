"""`table`: a table of a suite, or of all that a results folder holds, from finished runs alone."""

import argparse
import shutil
import sys
import textwrap
from pathlib import Path

from bench.evidence.cells import Table
from bench.exit_codes import DAMAGED, DONE, INCOMPLETE
from bench.findings import everything, stored_labels, tabulating
from bench.findings.gathering import Evidence
from bench.printable import printable
from bench.sweep.planning.selection import baseline_of, rule_of, usual_baseline
from bench.sweep.records.store import Store


def main(args: argparse.Namespace) -> int:
    _refuse_contradictions(args)
    store = Store(args.results)
    found = everything.asked(args, store)
    if found.alarms():
        print(printable("\n".join(found.alarms())), file=sys.stderr)
    if found.alarms() and not args.allow_incomplete:
        print("no table: `run` sets damaged results aside and trains these runs again", file=sys.stderr)
        return DAMAGED
    if args.require_complete and (lacking := _lacking(found)):
        print(f"no table: {lacking}", file=sys.stderr)
        return INCOMPLETE
    print(rendered(store, found, args, args.format)[0], end="")
    return DONE


def _refuse_contradictions(args: argparse.Namespace) -> None:
    if args.view == "rules" and args.rule is not None:
        raise ValueError(f"--view rules shows every selection rule; leave out --rule {args.rule}")
    if args.view == "heads" and args.head != "headline":
        raise ValueError(f"--view heads shows every head; leave out --head {args.head}")


def _lacking(found: Evidence) -> str:
    """How many runs are missing, and why; "" if none is."""
    planned = {run.run_id for run in found.runs} | found.corrupt.keys()
    missing = planned - found.facts.keys()
    kinds = {"failed": missing & found.failed.keys(), "damaged": missing & found.corrupt.keys()}
    kinds["not run"] = missing - found.failed.keys() - found.corrupt.keys()
    told = ", ".join(f"{len(ids)} {kind}" for kind, ids in kinds.items() if ids)
    return f"{len(missing)} of {len(planned)} planned runs are missing ({told})" if missing else ""


def rendered(store: Store, found: Evidence, args: argparse.Namespace, form: str = "text") -> tuple[str, list[Path]]:
    """The table in a format, published beside the records as well; text is followed by the noise of each column."""
    baseline = baseline_of(args, found.suite, found.runs)
    view = getattr(args, "view", "accuracy")  # `run` prints the table of accuracies
    table = tabulating.table_of(found, rule_of(args, found.suite), args.head, baseline, view)
    usual = baseline == usual_baseline(found.suite, found.runs)  # what lies beside the records tells of no other
    paths = _written(store, found, table) if found.payloads and usual else []
    if form != "text":
        return tabulating.text_of(table, form), paths
    width = shutil.get_terminal_size((120, 24)).columns
    text = f"{printable(table.title)}\n\n"
    text += tabulating.text_of(table, "text", width, sys.stdout.isatty())
    lines = stored_labels.lines(store, found)
    if lines:
        text += "\nwrong labels of each column, the same for every method:\n"
        text += "".join(
            textwrap.fill(line, width, initial_indent="  ", subsequent_indent="    ") + "\n" for line in lines
        )
    return text, paths


def _written(store: Store, found: Evidence, table: Table) -> list[Path]:
    try:
        return tabulating.write_table(store, found, table)
    except (OSError, ValueError) as error:  # somebody else's results, read-only or with a link: the table is readable
        why = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else error
        print(f"not written beside the records: {why}", file=sys.stderr)
        return []
