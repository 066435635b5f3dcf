"""`plot`: draw plots from finished runs alone."""

import argparse
import sys

from bench.exit_codes import DAMAGED, DONE
from bench.findings import everything, figures
from bench.printable import printable
from bench.sweep.planning.selection import data_dir_of
from bench.sweep.records.store import Store


def main(args: argparse.Namespace) -> int:
    if args.kind and "list" in args.kind:
        print(figures.listed())
        return DONE
    kinds = figures.check(args.kind) if args.kind else None
    store = Store(args.results)
    found = everything.asked(args, store)
    suite = found.suite
    if found.alarms():
        print(printable("\n".join(found.alarms())), file=sys.stderr)
    if not found.payloads and found.alarms():
        print("no plots: `run` sets damaged results aside and trains these runs again", file=sys.stderr)
        return DAMAGED
    if not found.payloads:
        raise ValueError(f"no run of {suite.name!r} is done under {args.results}: nothing to draw")
    folder = args.out.resolve() if args.out and args.out.is_symlink() else args.out  # one's own link may be followed
    ground = figures.Ground(found, store, data_dir_of(args, suite))
    written = figures.write(ground, folder or store.tables / suite.name, kinds, tuple(dict.fromkeys(args.format)))
    for path in written.paths:
        print(path)
    for kind, reason in written.skipped.items():
        print(f"not drawn: {kind}: {reason}", file=sys.stderr)
    return DAMAGED if found.alarms() else DONE
