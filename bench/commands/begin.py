"""The beginning of a suite: it is stored, with the precision that was chosen for it."""

import argparse
import sys
from collections.abc import Sequence

from bench import hardware
from bench.sweep.planning.grid import Planned, Suite
from bench.sweep.records.store import Store


def begin(args: argparse.Namespace, store: Store, suite: Suite, runs: Sequence[Planned]) -> None:
    """Store the suite, and the precision that was chosen for it; say so where this machine would choose another."""
    precision = next((run.config.train.precision for run in runs if run.auto), None)
    store.save_suite(suite.name, suite.to_dict(), {"precision": precision} if precision else None)
    if precision is None:
        return
    if args.backend != "local":
        nodes = "as chosen where the suite was begun; if the nodes are good for another, --set precision=P decides"
        print(f"precision {precision}, {nodes}", file=sys.stderr)
        return
    if args.shard is not None:
        every = f"give every shard --set precision={precision}, or their results cannot be merged"
        print(f"precision {precision}, chosen for this machine: {every}", file=sys.stderr)
    here = hardware.choose(args.devices)
    if here.precision != precision:
        effect = "and computes it slowly" if precision == "bf16" else f"and would choose {here.precision}"
        print(f"precision {precision} as when this suite was begun; {here.reason} {effect}", file=sys.stderr)
