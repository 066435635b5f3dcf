"""`run`: do what is not done, then print the table."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import hardware
from bench.commands import derived, preflight, table
from bench.commands.select import baseline_of, begin, data_dir_of, planned
from bench.fingerprint import ROOT
from bench.sweep import devices, timings
from bench.sweep.grid import Planned
from bench.sweep.job import Exit
from bench.sweep.sample_files import untabled
from bench.sweep.store import State, Store

if TYPE_CHECKING:
    from bench.sweep.executor import Outcome, Sweep

FINISHED = (State.DONE, State.DIVERGED)
GPU_CHECKPOINT_SECONDS = 30.0  # writing a state may take as long as an epoch there; on the CPU it takes a hundredth


def main(args: argparse.Namespace) -> int:
    suite, runs = planned(args)
    baseline_of(args, suite, runs)
    store = Store(args.results)
    slots = devices.slots(args.devices, args.per_device, max(run.config.train.threads for run in runs))
    states = {run.run_id: store.run(run.run_id).state(quick=True) for run in runs}
    found = derived.gather(store, suite, runs)
    stale = found.stale
    todo = [
        run for run in runs if _is_open(states[run.run_id], args) or (args.stale == "rerun" and run.run_id in stale)
    ]
    hardware.check((run.config.train for run in todo), slots)
    _check(args, slots)
    if args.dry_run:
        from bench.commands import dry_run  # which imports all that starts runs

        preflight.check_methods(todo)
        dry_run.describe(store, suite, runs, todo, states, slots, grows=args.per_device is None)
        _note_untabled(store, found, args, {run.run_id for run in todo})
        return 0
    sweep: Sweep | None = None
    outcomes: list[Outcome] = []
    if todo:
        preflight.check(store, todo, data_dir_of(args, suite), args.download)
        begin(args, store, suite, runs)
        done = sum(state in FINISHED for state in states.values()) - sum(run.run_id in stale for run in todo)
        sweep, outcomes = _execute(store, todo, done, slots, stale, args, data_dir_of(args, suite))
        if sweep.reason == "signal" and any(outcome.state not in FINISHED for outcome in outcomes):
            _note(f"{sweep.halted}; the same command goes on where it stopped")
            return 128 + sweep.signal_number if sweep.signals > 1 else Exit.INTERRUPTED
        found = derived.gather(store, suite, runs)
    return _report(store, found, outcomes, sweep, args)


def _check(args: argparse.Namespace, slots: Sequence[devices.Slot]) -> None:
    if args.mps and slots[0].gpu is None:
        raise ValueError("--mps lets runs share a GPU, and the runs would go to the CPU")
    if args.checkpoint_every is not None and not 0 <= args.checkpoint_every < float("inf"):
        raise ValueError(f"--checkpoint-every must be a number of seconds, 0 or more, got {args.checkpoint_every}")


def _is_open(state: State, args: argparse.Namespace) -> bool:
    return state not in FINISHED and not (args.no_retry_failed and state is State.FAILED)


def _execute(
    store: Store,
    todo: Sequence[Planned],
    done: int,
    slots: list[devices.Slot],
    stale: set[str],
    args: argparse.Namespace,
    data_dir: Path | None,
) -> tuple[Sweep, list[Outcome]]:
    from bench.sweep import mps, packing
    from bench.sweep.executor import Sweep, execute
    from bench.sweep.progress import Progress

    on_gpu = slots[0].gpu is not None
    start = args.start if args.start != "auto" else ("exec" if on_gpu else "fork")
    often = args.checkpoint_every if args.checkpoint_every is not None else (GPU_CHECKPOINT_SECONDS if on_gpu else 0.0)
    how: dict[str, Any] = {"per_sample": args.per_sample, "capture": args.capture, "checkpoint_seconds": often}
    longest_first = timings.read(store, todo, "cuda" if on_gpu else "cpu").longest_first(todo)
    shared: AbstractContextManager[dict[str, str]] = mps.daemon() if args.mps else nullcontext({})
    with shared as environment:
        if on_gpu and args.per_device is None and len(todo) > len(slots):
            room = packing.plan(longest_first[0], slots, environment, args.capture)
            slots, how = room.slots, how | {"shares": room.shares, "gpus": room.gpus}
        how["environment"] = environment
        sweep = Sweep(store, slots, data_dir, start, notes=_commit(), rerun=frozenset(stale), **how)
        with Progress(store, longest_first, done) as progress:
            return sweep, execute(sweep, longest_first, progress)


def _commit() -> dict[str, Any]:
    """The commit of this checkout, for the provenance; nothing where there is no git."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
        dirty = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:  # git is not installed
        return {}
    return {"commit": head.stdout.strip(), "dirty": bool(dirty.stdout.strip())} if head.returncode == 0 else {}


def _report(
    store: Store,
    found: derived.Evidence,
    outcomes: Sequence[Outcome],
    sweep: Sweep | None,
    args: argparse.Namespace,
) -> int:
    # what could not be written into a run's folder, its supervisor still knows
    found.failed |= {o.run_id: o.message for o in outcomes if o.state is State.FAILED and o.run_id not in found.failed}
    if found.payloads:
        text, paths = table.rendered(store, found, args)
        print(text)
        paths += derived.write_plots(found, store.tables / found.suite.name)
        print("written:\n" + "\n".join(f"  {path}" for path in paths))
    _note_untabled(store, found, args)
    for run in found.runs:
        if run.run_id in found.failed:
            _explain(store, run, found.failed[run.run_id])
    return _exit_code(found, sweep)


def _note_untabled(store: Store, found: derived.Evidence, args: argparse.Namespace, todo: Collection[str] = ()) -> None:
    """Say which finished runs lack the tables that were asked for: none is trained again for them."""
    if args.per_sample is not None:
        finished = [(p["run_id"], len(p["history"])) for p in found.payloads if p["run_id"] not in todo]
        if text := untabled(store.runs, args.per_sample, finished):
            _note(text)


def _exit_code(found: derived.Evidence, sweep: Sweep | None) -> int:
    if found.alarms():
        print("\n".join(found.alarms()), file=sys.stderr)
        return table.INTEGRITY
    if len(found.payloads) == len(found.runs):
        return 0
    if sweep is not None and sweep.reason == "storage":
        _note(f"{sweep.halted}; the same command goes on where it stopped")
        return Exit.INTERRUPTED
    if sweep is not None and sweep.halted:
        _note(sweep.halted)
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
