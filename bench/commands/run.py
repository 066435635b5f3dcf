"""`run`: do what is not done, then print the table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from bench.commands import array, table, where
from bench.commands.begin import begin
from bench.devices import Slot
from bench.exit_codes import DAMAGED, DONE, INCOMPLETE, INTERRUPTED, ended_by
from bench.findings import figures
from bench.findings.gathering import Evidence, gather
from bench.sweep.planning import shard
from bench.sweep.planning.grid import Planned, Suite
from bench.sweep.planning.selection import baseline_of, data_dir_of, planned
from bench.sweep.records.sample_files import untabled
from bench.sweep.records.store import FINISHED, State, Store
from bench.sweep.upkeep import preflight

if TYPE_CHECKING:
    from bench.sweep.supervision.attempts import Outcome
    from bench.sweep.supervision.sweep import Sweep


def main(args: argparse.Namespace, tabled: bool = True) -> int:
    """Do the runs; return the exit code. Not `tabled`: whoever does a part leaves table and plots to others."""
    where.check(args)
    part = shard.parse(args.shard) if args.shard is not None else None
    suite, runs = planned(args)
    baseline_of(args, suite, runs)
    mine = part.of(runs) if part is not None else runs
    if part is not None:
        _note(f"shard {part}: {len(mine)} of {len(runs)} runs")
    store = Store(args.results)
    places = where.slots(args, runs)
    states = {run.run_id: store.run(run.run_id).state(quick=True) for run in mine}
    found = gather(store, suite, runs)
    todo = [
        run
        for run in mine
        if _is_open(states[run.run_id], args) or (args.stale == "rerun" and run.run_id in found.stale)
    ]
    where.check_hardware(args, todo, places)
    if args.dry_run:
        return _describe(args, store, suite, found, mine, todo, states, places)
    for run_id in (run_id for run_id, state in states.items() if state in FINISHED):
        store.run(run_id).tidy()
    sweep: Sweep | None = None
    outcomes: list[Outcome] = []
    if args.backend == "slurm":
        code = array.main(args, store, suite, runs, todo) if todo else None
        if code is not None:
            return code
        found = gather(store, suite, runs)
    elif todo:
        done = sum(state in FINISHED for state in states.values()) - sum(run.run_id in found.stale for run in todo)
        work = where.Work(store, todo, done, frozenset(found.stale), data_dir_of(args, suite))
        with where.opened(args, todo) as engine:
            at_a_time = len(places) if engine is None else args.jobs or engine.room()
            preflight.check(store, todo, work.data_dir, args.download, at_a_time)
            begin(args, store, suite, runs)
            sweep, outcomes = where.here(args, places, work) if engine is None else where.on_cluster(args, engine, work)
        if sweep.reason == "signal" and any(outcome.state not in FINISHED for outcome in outcomes):
            _note(f"{sweep.halted}; the same command goes on where it stopped")
            return ended_by(sweep.signal_number) if sweep.signals > 1 else INTERRUPTED
        found = gather(store, suite, runs)
    return _report(store, found, mine, outcomes, sweep, args, tabled)


def _is_open(state: State, args: argparse.Namespace) -> bool:
    return state not in FINISHED and not (args.no_retry_failed and state is State.FAILED)


def _describe(
    args: argparse.Namespace,
    store: Store,
    suite: Suite,
    found: Evidence,
    mine: Sequence[Planned],
    todo: Sequence[Planned],
    states: dict[str, State],
    places: Sequence[Slot],
) -> int:
    """Say what would be done; nothing is created."""
    from bench.commands import dry_run  # which imports all that starts runs

    preflight.check_methods(todo)
    dry_run.describe(store, suite, mine, todo, states, places, grows=args.per_device is None)
    if args.backend == "slurm" and todo:
        print(f"would be submitted:\n{array.text(args, store, suite, todo)}", end="")
    elif todo and args.backend != "local":
        cluster = f"the cluster at {args.address}" if args.address else "a cluster that is started here for it"
        print(f"would be placed by {args.backend} on {cluster}, which is not asked before")
    _note_untabled(store, found, args, {run.run_id for run in todo})
    return DONE


def _report(
    store: Store,
    found: Evidence,
    mine: Sequence[Planned],
    outcomes: Sequence[Outcome],
    sweep: Sweep | None,
    args: argparse.Namespace,
    tabled: bool,
) -> int:
    # what could not be written into a run's folder, its supervisor still knows
    found.failed |= {o.run_id: o.message for o in outcomes if o.state is State.FAILED and o.run_id not in found.failed}
    if tabled and found.payloads:
        text, paths = table.rendered(store, found, args)
        print(text)
        try:
            paths += figures.write_all(found, store.tables / found.suite.name)
        except OSError as error:  # somebody else's results, or a full disk: the table is there
            _note(f"no plots beside the records: {error.filename}: {error.strerror}")
        if paths:
            print("written:\n" + "\n".join(f"  {path}" for path in paths))
    _note_untabled(store, found, args)
    for run in mine:
        if run.run_id in found.failed:
            _explain(store, run, found.failed[run.run_id])
    return _exit_code(found, mine, sweep)


def _note_untabled(store: Store, found: Evidence, args: argparse.Namespace, todo: Collection[str] = ()) -> None:
    """Say which finished runs lack the tables that were asked for: none is trained again for them."""
    if args.per_sample is not None:
        finished = [(p["run_id"], len(p["history"])) for p in found.payloads if p["run_id"] not in todo]
        if text := untabled(store.runs, args.per_sample, finished):
            _note(text)


def _exit_code(found: Evidence, mine: Sequence[Planned], sweep: Sweep | None) -> int:
    if found.alarms():
        print("\n".join(found.alarms()), file=sys.stderr)
        return DAMAGED
    if all(run.run_id in found.facts for run in mine):
        return DONE
    if sweep is not None and sweep.reason == "storage":
        _note(f"{sweep.halted}; the same command goes on where it stopped")
        return INTERRUPTED
    if sweep is not None and sweep.halted:
        _note(sweep.halted)
    if any(run.run_id in found.failed for run in mine):
        return INCOMPLETE
    if sweep is not None and not sweep.halted:
        count = sum(run.run_id not in found.facts for run in mine)
        left = "1 run is" if count == 1 else f"{count} runs are"
        _note(f"{left} not done: something else than this sweep keeps stopping them; the same command goes on")
    return INTERRUPTED


def _explain(store: Store, run: Planned, message: str) -> None:
    from bench.sweep.supervision.progress import label

    failure = store.run(run.run_id).last_failure() or {}
    print(f"\nFAILED {run.run_id} {label(run)}: {message}", file=sys.stderr)
    if failure.get("traceback"):
        print("\n".join(f"  {line}" for line in str(failure["traceback"]).rstrip().splitlines()), file=sys.stderr)
    print(f"  log: {store.run(run.run_id).path / 'log.txt'}", file=sys.stderr)


def _note(text: str) -> None:
    print(text, file=sys.stderr)
