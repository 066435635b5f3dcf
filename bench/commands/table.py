"""`table`: the accuracy table of a suite, from finished runs alone."""

import argparse
import shutil
import sys
import textwrap

from bench.commands import derived
from bench.commands.select import baseline_of, planned
from bench.sweep.store import Store

INTEGRITY = 3


def main(args: argparse.Namespace) -> int:
    suite, runs = planned(args)
    store = Store(args.results)
    found = derived.gather(store, suite, runs)
    if found.corrupt and not args.allow_incomplete:
        for run_id, why in found.corrupt.items():
            print(f"damaged result of {run_id}: {why}", file=sys.stderr)
        print("no table: `run` sets damaged results aside and trains these runs again", file=sys.stderr)
        return INTEGRITY
    print(rendered(store, found, args, args.format), end="")
    return 0


def rendered(store: Store, found: derived.Evidence, args: argparse.Namespace, form: str = "text") -> str:
    """The table in a format, published beside the records as well; text is followed by the noise of each column."""
    from bench.evidence import writers

    table = derived.table_of(found, args.rule, args.head, baseline_of(args, found.suite, found.runs))
    if found.payloads:
        derived.write_table(store, found, table)
    if form != "text":
        return {"csv": writers.to_csv, "md": writers.to_markdown, "tex": writers.to_latex, "json": writers.to_json}[
            form
        ](table)
    width = shutil.get_terminal_size((120, 24)).columns
    text = f"{found.suite.title or found.suite.name}\n\n"
    text += writers.to_text(table, width=width, colour=sys.stdout.isatty())
    lines = derived.noise_lines(store, found)
    if lines:
        text += "\nwrong labels of each column, the same for every method:\n"
        text += "".join(
            textwrap.fill(line, width, initial_indent="  ", subsequent_indent="    ") + "\n" for line in lines
        )
    return text
