"""`clean`: throw away what is no result, or a whole suite, after showing it and asking."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from contextlib import suppress

from bench.exit_codes import DONE, INCOMPLETE, INTERRUPTED
from bench.files import canonical, sha256
from bench.printable import printable
from bench.sweep.planning import grid
from bench.sweep.planning.grid import Suite
from bench.sweep.records.store import State, Store
from bench.sweep.upkeep import cleaning
from bench.sweep.upkeep.cleaning import Plan, Target

SHOWN = 3  # names of a kind
EVERY = frozenset(State)
PARTS = {"quarantine": "files that were set aside", "samples": "per-sample tables"}


def main(args: argparse.Namespace) -> int:
    """Show what would go, ask, remove; 1 if something had to be left."""
    states = {state for state in (State.FAILED, State.INTERRUPTED) if getattr(args, state.lower())}
    parts = [part for part in ("quarantine", "samples") if getattr(args, part)]
    if not (states or parts or args.suite):
        raise ValueError("say what to remove: --failed, --interrupted, --quarantine, --samples or --suite SUITE")
    store = Store(args.results)
    if not store.root.is_dir():
        raise ValueError(f"there is no folder {store.root}")
    plan = _of_suite(store, args.suite, states, parts) if args.suite else cleaning.find(store, states, parts)
    print(_text(plan, store))
    if not plan or args.dry_run:
        return INCOMPLETE if plan.held else DONE
    if not args.yes and not _asked(plan):
        print("nothing was removed")
        return DONE
    try:
        done = cleaning.remove_all(plan)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return INTERRUPTED
    print(f"removed {done.runs} runs and {done.files} files")
    for line in done.left:
        print(printable(line), file=sys.stderr)
    return INCOMPLETE if done.left or plan.held else DONE


def _of_suite(store: Store, name: str, states: Collection[State], parts: Collection[str]) -> Plan:
    """Every run of a suite with its tables, or of its runs only what else was asked for."""
    suite = grid.load(name, store.root)
    own = _ids(store, suite)
    if states or parts:
        return cleaning.find(store, states, parts, own)
    plan = cleaning.find(store, EVERY, (), own)
    version = f"{sha256(canonical(suite.to_dict()))[:12]}.json"
    plan.derived = cleaning.derived_of(store, suite.name, version)
    going = {target.run.run_id for target in plan.targets}
    for path in sorted(store.suites.glob("*/*.json")):
        if (path.parent.name, path.name) != (suite.name, version):
            with suppress(ValueError):  # it cannot be planned here: its methods or its data are gone
                if shared := len(going & _ids(store, grid.read_stored(path, path.parent.name))):
                    print(f"{shared} of these runs are in the table of suite {path.parent.name}, too")
    return plan


def _ids(store: Store, suite: Suite) -> set[str]:
    begun = store.chosen(suite.name, suite.to_dict()) or {}
    return {run.run_id for run in grid.settle(grid.plan(suite), lambda: begun.get("precision", "float32"))}


def _text(plan: Plan, store: Store) -> str:
    kinds: dict[str, list[Target]] = {}
    for target in plan.targets:
        kinds.setdefault(f"{target.kind} runs" if target.whole else PARTS[target.kind], []).append(target)
    lines = []
    for kind, targets in kinds.items():
        count = len(targets) if targets[0].whole else sum(len(target.names) for target in targets)
        names = [target.run.run_id for target in targets[:SHOWN]]
        more = f" and {len(targets) - SHOWN} more" if len(targets) > SHOWN else ""
        size = sum(target.size for target in targets)
        lines.append(f"  {count:7,}  {kind}, {_bytes(size)}: {', '.join(names)}{more}")
    results = sum(name.startswith("quarantine/result.json.") for t in plan.targets if not t.whole for name in t.names)
    if results:
        lines.append(f"           {results} of these are results, damaged or made by other code")
    if plan.derived:
        lines.append(f"  {len(plan.derived):7,}  files of the suite beside its runs: record, tables, plots")
    if plan.leftovers:
        lines.append(f"  {len(plan.leftovers):7,}  runs whose removal was cut short")
    if plan.held:
        lines.append(f"  {plan.held:7,}  runs more are held by a living process and stay")
    return "\n".join([f"to be removed from {store.root}:", *(lines or ["  nothing"])])


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _asked(plan: Plan) -> bool:
    """Whether somebody at a terminal agrees; ValueError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise ValueError("nobody can be asked here: nothing was removed; give --yes")
    runs = sum(target.whole for target in plan.targets)
    loose = sum(len(target.names) for target in plan.targets if not target.whole) + len(plan.derived)
    what = " and ".join(part for part in (f"{runs} runs" * bool(runs), f"{loose} files" * bool(loose)) if part)
    finished = f", {plan.finished} of them FINISHED," if plan.finished else ""
    try:
        answer = input(f"remove {what or 'these'}{finished} for good? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")
