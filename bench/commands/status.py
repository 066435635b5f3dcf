"""`status`: how far a suite is, from the run folders alone."""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.exit_codes import DONE
from bench.printable import printable
from bench.sweep.planning.grid import Planned
from bench.sweep.planning.selection import planned
from bench.sweep.records.store import Corrupt, State, Store
from bench.sweep.run.heartbeat import epochs_of

LISTED = 20  # runs, or kinds of failure, that are named for a person

Row = dict[str, Any]


def main(args: argparse.Namespace) -> int:
    suite, runs = planned(args)
    store = Store(args.results)
    rows = [row(store, run) for run in runs]
    counts = Counter(entry["state"] for entry in rows)
    if args.json:
        by_method = {method: _counts(own) for method, own in _by(rows, "method").items()}
        document = {"suite": suite.name, "counts": counts, "methods": by_method, "failures": failures(rows)}
        print(json.dumps(document | {"runs": rows}, indent=1))
        return DONE
    print(f"{suite.title or suite.name}: {len(runs):,} runs under {args.results}")
    print("  " + ", ".join(f"{counts[state]} {state.lower()}" for state in State if counts[state]))
    for line in [*_by_method(rows), *_running(rows), *_waiting(rows, State.INTERRUPTED), *_failed(rows)]:
        print(line)
    return DONE


def row(store: Store, run: Planned) -> Row:
    """One run in plain types; `slot`, `host` and `launch` are those of its last attempt, null where none tells."""
    folder = store.run(run.run_id)
    state = folder.state(quick=True)
    known: Row = {"message": "", "failure": None, "slot": None, "host": None, "launch": None, "attempts": None}
    done = run.config.train.epochs if state is State.DONE else 0
    if state in (State.RUNNING, State.INTERRUPTED, State.FAILED, State.CORRUPT):
        done = epochs_of(folder) if state is State.RUNNING else folder.epochs_done()
        attempts = folder.attempts()
        known["attempts"] = len(attempts)
        known |= {name: attempts[-1][0].get(name) for name in ("slot", "host", "launch")} if attempts else {}
    if state is State.FAILED and (failure := folder.last_failure()):
        known |= {"message": str(failure.get("message", "")), "failure": failure.get("class")}
    if state is State.CORRUPT:
        known["message"] = _damage(store, run.run_id)
    return {
        "run_id": run.run_id,
        "state": str(state),
        "what": f"{run.config.method.name} {run.noise} seed {run.config.seed}",
        "method": run.config.method.name,
        "noise": run.noise,
        "seed": run.config.seed,
        "epochs_done": done,  # 0 of a run that diverged
        "epochs": run.config.train.epochs,
        **known,
    }


def _damage(store: Store, run_id: str) -> str:
    try:
        store.run(run_id).result()
    except Corrupt as error:
        return error.reason
    return ""  # mended since


def failures(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Failures by what they say, the most frequent first: a hundred equal ones are one entry with an example."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for entry in rows:
        if entry["state"] in (State.FAILED, State.CORRUPT):
            groups[entry["state"], entry["message"]].append(entry)
    found = [
        {"state": state, "message": message, "count": len(own), "example": own[0]["run_id"], "what": own[0]["what"]}
        for (state, message), own in groups.items()
    ]
    return sorted(found, key=lambda group: -group["count"])


def _by(rows: Iterable[Row], name: str) -> Mapping[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for entry in rows:
        groups[entry[name]].append(entry)
    return groups


def _counts(rows: Iterable[Row]) -> Counter[str]:
    return Counter(entry["state"] for entry in rows)


def _by_method(rows: Sequence[Row]) -> list[str]:
    """A line for each method, but not where all is said in one."""
    methods = _by(rows, "method")
    total = _counts(rows)
    states = [state for state in State if total[state]]
    if len(methods) < 2 or len(states) < 2:
        return []
    width = max(len("method"), *map(len, methods))
    lines = [f"  {'method':{width}s}" + "".join(f"{state.lower():>13s}" for state in states)]
    for method, own in methods.items():
        counts = _counts(own)
        lines.append(f"  {method:{width}s}" + "".join(f"{counts[state] or '-':>13}" for state in states))
    return lines


def _running(rows: Iterable[Row]) -> list[str]:
    """The runs that are going on, the furthest from their end last."""
    running = sorted(_by(rows, "state")[State.RUNNING], key=lambda entry: -entry["epochs_done"] / entry["epochs"])
    lines = []
    for entry in running[:LISTED]:
        where = " on ".join(str(entry[name]) for name in ("slot", "host") if entry[name])
        lines.append(f"  running      {_name(entry)}  epoch {entry['epochs_done']}/{entry['epochs']}  {where}")
    return [*map(_clean, lines), *_more(running)]


def _waiting(rows: Iterable[Row], state: State) -> list[str]:
    waiting = _by(rows, "state")[state]
    lines = [
        f"  {state.lower():11s}  {_name(entry)}  epoch {entry['epochs_done']}/{entry['epochs']}"
        for entry in waiting[:LISTED]
    ]
    return [*lines, *_more(waiting)]


def _failed(rows: Iterable[Row]) -> list[str]:
    groups = failures(rows)
    lines = []
    for group in groups[:LISTED]:
        count = f"{group['count']} x " if group["count"] > 1 else ""
        example = "such as " if count else ""
        message = group["message"] or "it left no message"
        lines.append(f"  {group['state'].lower():11s}  {count}{message}  ({example}{group['example']} {group['what']})")
    return [*map(_clean, lines), *_more(groups, "kinds of failure")]


def _name(entry: Row) -> str:
    return f"{entry['run_id']}  {entry['what']}"


def _clean(line: str) -> str:
    return " ".join(printable(line).split("\n")).rstrip()


def _more(found: Sequence[object], what: str = "runs") -> list[str]:
    return [f"  and {len(found) - LISTED} more {what}; --json names all"] if len(found) > LISTED else []
