"""`table`: the accuracy table of a suite, from finished runs alone."""

import argparse
import shutil
import sys
import textwrap
from pathlib import Path

from bench.commands import derived
from bench.commands.select import baseline_of, planned
from bench.evidence.cells import Table
from bench.sweep.store import Store

INTEGRITY = 3


def main(args: argparse.Namespace) -> int:
    suite, runs = planned(args)
    store = Store(args.results)
    found = derived.gather(store, suite, runs)
    if found.alarms() and not args.allow_incomplete:
        print("\n".join(found.alarms()), file=sys.stderr)
        print("no table: `run` sets damaged results aside and trains these runs again", file=sys.stderr)
        return INTEGRITY
    print(rendered(store, found, args, args.format)[0], end="")
    return 0


def rendered(
    store: Store, found: derived.Evidence, args: argparse.Namespace, form: str = "text"
) -> tuple[str, list[Path]]:
    """The table in a format, published beside the records as well; text is followed by the noise of each column."""
    table = derived.table_of(found, args.rule, args.head, baseline_of(args, found.suite, found.runs))
    paths = _written(store, found, table) if found.payloads else []
    if form != "text":
        return derived.text_of(table, form), paths
    width = shutil.get_terminal_size((120, 24)).columns
    text = f"{found.suite.title or found.suite.name}\n\n"
    text += derived.text_of(table, "text", width, sys.stdout.isatty())
    lines = derived.noise_lines(store, found)
    if lines:
        text += "\nwrong labels of each column, the same for every method:\n"
        text += "".join(
            textwrap.fill(line, width, initial_indent="  ", subsequent_indent="    ") + "\n" for line in lines
        )
    return text, paths


def _written(store: Store, found: derived.Evidence, table: Table) -> list[Path]:
    try:
        return derived.write_table(store, found, table)
    except (OSError, ValueError) as error:  # somebody else's results, read-only or with a link: the table is readable
        print(f"not written beside the records: {error}", file=sys.stderr)
        return []
