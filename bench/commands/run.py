"""`run`: do what is not done, then print the table."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.commands import derived, dry_run, preflight, table
from bench.commands.select import baseline_of, planned
from bench.fingerprint import ROOT, harness_code, method_code
from bench.sweep import devices
from bench.sweep.grid import Planned, Suite
from bench.sweep.job import Exit
from bench.sweep.store import State, Store

if TYPE_CHECKING:
    from bench.sweep.executor import Outcome

FINISHED = (State.DONE, State.DIVERGED)


def main(args: argparse.Namespace) -> int:
    suite, runs = planned(args)
    baseline_of(args, suite, runs)
    store = Store(args.results)
    slots = devices.slots(args.devices, args.per_device, max(run.config.train.threads for run in runs))
    states = {run.run_id: store.run(run.run_id).state() for run in runs}
    stale = _stale(store, runs, states)
    todo = [
        run for run in runs if _is_open(states[run.run_id], args) or (args.stale == "rerun" and run.run_id in stale)
    ]
    if args.dry_run:
        dry_run.describe(store, suite, runs, todo, states, slots)
        return 0
    if stale and args.stale == "keep":
        _note(f"{len(stale)} finished runs were made by other code and are kept (--stale rerun trains them again)")
    outcomes: list[Outcome] = []
    halted = ""
    if todo:
        preflight.check(store, todo, args.data_dir, args.download)
        for run in todo:
            if run.run_id in stale:
                store.run(run.run_id).quarantine(store.run(run.run_id).path / "result.json")
        store.save_suite(suite.name, suite.to_dict())
        outcomes, halted = _execute(store, todo, len(runs) - len(todo), slots, args)
    return _report(store, suite, runs, outcomes, halted, args)


def _is_open(state: State, args: argparse.Namespace) -> bool:
    return state not in FINISHED and not (args.no_retry_failed and state is State.FAILED)


def _stale(store: Store, runs: Sequence[Planned], states: dict[str, State]) -> set[str]:
    """Finished runs whose numbers were made by other code than today's."""
    from methods import registry

    today = {spec: (harness_code(), method_code(registry.describe(spec).file)) for spec in {run.spec for run in runs}}
    found = set()
    for run in runs:
        if states[run.run_id] in FINISHED:
            result = store.run(run.run_id).result()
            if result is not None and (result.payload["code"], result.payload.get("method_code")) != today[run.spec]:
                found.add(run.run_id)
    return found


def _execute(
    store: Store, todo: Sequence[Planned], done: int, slots: list[devices.Slot], args: argparse.Namespace
) -> tuple[list[Outcome], str]:
    from bench.sweep.executor import Sweep, execute
    from bench.sweep.progress import Progress

    start = args.start if args.start != "auto" else ("fork" if slots[0].gpu is None else "exec")
    data_dir = args.data_dir.expanduser().resolve() if args.data_dir else None
    sweep = Sweep(store, slots, data_dir, start, notes=_commit())
    longest_first = sorted(todo, key=lambda run: -run.networks * run.config.train.epochs)
    with Progress(store, longest_first, done) as progress:
        outcomes = execute(sweep, longest_first, progress)
    if sweep.signals > 1:
        return outcomes, "killed"
    return outcomes, sweep.halted


def _commit() -> dict[str, Any]:
    """The commit of this checkout, for the provenance; nothing where there is no git."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
        dirty = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:  # git is not installed
        return {}
    return {"commit": head.stdout.strip(), "dirty": bool(dirty.stdout.strip())} if head.returncode == 0 else {}


def _report(
    store: Store, suite: Suite, runs: list[Planned], outcomes: Sequence[Outcome], halted: str, args: argparse.Namespace
) -> int:
    found = derived.gather(store, suite, runs)
    if found.payloads:
        print(table.rendered(store, found, args))
        paths = [store.tables / suite.name / f"accuracy.{suffix}" for suffix in ("csv", "md", "tex")]
        paths = [path for path in paths if path.exists()] + derived.write_plots(found, store.tables / suite.name)
        print("written:\n" + "\n".join(f"  {path}" for path in paths))
    for run in runs:
        if run.run_id in found.failed:
            _explain(store, run, found.failed[run.run_id])
    if found.corrupt:
        print("\n".join(found.corrupt.values()), file=sys.stderr)
        return table.INTEGRITY
    if halted == "killed":
        return 130
    if halted and not halted.startswith("stopped: 3"):
        _note(f"{halted}; the same command goes on where it stopped")
        return Exit.INTERRUPTED
    if halted:
        _note(halted)
    if len(found.payloads) == len(runs):
        return 0
    return 1 if found.failed else Exit.INTERRUPTED  # a run that was stopped from outside has not failed


def _explain(store: Store, run: Planned, message: str) -> None:
    from bench.sweep.progress import label

    failure = store.run(run.run_id).last_failure() or {}
    print(f"\nFAILED {run.run_id} {label(run)}: {message}", file=sys.stderr)
    if failure.get("traceback"):
        print("\n".join(f"  {line}" for line in str(failure["traceback"]).rstrip().splitlines()), file=sys.stderr)
    print(f"  log: {store.run(run.run_id).path / 'log.txt'}", file=sys.stderr)


def _note(text: str) -> None:
    print(text, file=sys.stderr)
