"""`status`: how far a suite is, from the run folders alone."""

import argparse
import json
from collections import Counter
from typing import Any

from bench.commands.select import planned
from bench.sweep.grid import Planned
from bench.sweep.store import State, Store


def main(args: argparse.Namespace) -> int:
    suite, runs = planned(args)
    store = Store(args.results)
    rows = [row(store, run) for run in runs]
    counts = Counter(entry["state"] for entry in rows)
    if args.json:
        print(json.dumps({"suite": suite.name, "counts": counts, "runs": rows}, indent=1))
        return 0
    print(f"{suite.title or suite.name}: {len(runs)} runs under {args.results}")
    print("  " + ", ".join(f"{counts[state]} {state.lower()}" for state in State if counts[state]))
    for entry in rows:
        if entry["state"] in (State.RUNNING, State.INTERRUPTED, State.FAILED, State.CORRUPT):
            where = f"epoch {entry['epochs_done']}/{entry['epochs']}" if entry["epochs_done"] else ""
            print(
                f"  {entry['run_id']}  {entry['state'].lower():11s} {entry['what']}  {where}{entry['message']}".rstrip()
            )
    return 0


def row(store: Store, run: Planned) -> dict[str, Any]:
    """One run in plain types."""
    folder = store.run(run.run_id)
    state = folder.state(quick=True)
    failure = folder.last_failure() if state is State.FAILED else None
    return {
        "run_id": run.run_id,
        "state": str(state),
        "what": f"{run.config.method.name} {run.noise} seed {run.config.seed}",
        "epochs_done": folder.epochs_done(),
        "epochs": run.config.train.epochs,
        "message": str(failure.get("message", "")) if failure else "",
    }
