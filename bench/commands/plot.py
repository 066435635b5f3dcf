"""`plot`: draw a suite's plots from finished runs alone."""

import argparse

from bench.commands import derived
from bench.commands.select import planned
from bench.sweep.store import Store


def main(args: argparse.Namespace) -> int:
    suite, runs = planned(args)
    store = Store(args.results)
    found = derived.gather(store, suite, runs)
    if not found.payloads:
        raise ValueError(f"no run of {suite.name!r} is done under {args.results}: nothing to draw")
    folder = args.out.resolve() if args.out and args.out.is_symlink() else args.out  # one's own link may be followed
    for path in derived.write_plots(found, folder or store.tables / suite.name):
        print(path)
    return 0
