"""`run --backend slurm`: submit an array that does the runs, and wait for it if asked to."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from bench.arguments.words import words
from bench.commands.begin import begin
from bench.exit_codes import DONE, INCOMPLETE, INTERRUPTED
from bench.files import canonical, sha256
from bench.printable import printable
from bench.sweep.backends import on_slurm
from bench.sweep.backends.on_slurm import Array, Layout
from bench.sweep.planning.grid import Planned, Suite
from bench.sweep.planning.selection import data_dir_of
from bench.sweep.records.store import FINISHED, State, Store
from bench.sweep.upkeep import preflight

# what this command alone is about, or has been done before an element starts
HERE = {"backend", "address", "jobs", "slurm", "wait", "shard", "dry_run", "download"}
LOOK_SECONDS = 5.0  # between two looks at the folders
ARRIVAL_SECONDS = 30.0  # for what the last element has written to be seen here: file systems on a network take time
ASK_SECONDS = 30.0  # between two questions to Slurm, which has others to answer


def text(args: argparse.Namespace, store: Store, suite: Suite, todo: Sequence[Planned], launch: str = "LAUNCH") -> str:
    """The script that would be submitted."""
    elements = words(args, "run", HERE)
    if not any(word.startswith("--results=") for word in elements):
        elements.append(f"--results={args.results.resolve()}")
    return on_slurm.script(suite.name, Layout.of(todo, args.jobs), args.slurm, elements, _folder(store, launch))


def _folder(store: Store, launch: str) -> Path:
    return store.root.resolve() / "slurm" / launch


def main(
    args: argparse.Namespace, store: Store, suite: Suite, runs: Sequence[Planned], todo: Sequence[Planned]
) -> int | None:
    """Submit what is to do, unless it is under way; return the exit code, None if the array was waited for."""
    on_slurm.require()
    digest, launch = sha256(canonical(suite.to_dict()))[:12], uuid.uuid4().hex[:12]
    array = on_slurm.under_way(store, digest)
    if array is None:
        script, layout = text(args, store, suite, todo, launch), Layout.of(todo, args.jobs)
        on_slurm.try_out(script)
        preflight.check(store, todo, data_dir_of(args, suite), args.download, layout.at_a_time)
        begin(args, store, suite, runs)
        array = on_slurm.submit(_folder(store, launch), script, digest)
        most = min(layout.at_a_time, len(layout.elements))
        print(f"submitted array {array.job}: {len(todo)} runs in {len(layout.elements)} elements, {most} at a time")
    elif args.wait:
        print(f"array {array.job} does this suite already: nothing was submitted")
    else:
        raise ValueError(
            f"array {array.job} does this suite already; --wait waits for it, `scancel {array.job}` ends it"
        )
    _explain(args, array)
    if not args.wait:
        return DONE
    try:
        left = _await(store, todo, array)
    except KeyboardInterrupt:
        print(f"array {array.job} goes on; `scancel {array.job}` ends it", file=sys.stderr)
        return INTERRUPTED
    if left:
        print(
            f"array {array.job} has ended with {len(left)} of {len(todo)} runs open: {_last_word(array)}",
            file=sys.stderr,
        )
        if not any(store.run(run.run_id).attempts() for run in left):
            return INCOMPLETE  # no element has come as far as a run: the same command would fare no better
    return None


def _last_word(array: Array) -> str:
    """The last line of the newest log, and where the logs are."""
    for log in sorted(array.folder.glob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True):
        lines = [
            line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
        if lines:
            return f"{printable(lines[-1])} ({log})"
    return f"there is nothing in the logs of {array.folder}"


def _explain(args: argparse.Namespace, array: Array) -> None:
    for title, verb in (("follow", "status"), ("table", "table")):
        print(f"  {title}: python run_bench.py {shlex.join(words(args, verb))}")
    print(f"  end: scancel {array.job}\n  logs: {array.folder}")


def _await(store: Store, todo: Sequence[Planned], array: Array) -> list[Planned]:
    """Wait until the runs are done, or Slurm has nothing of the array left; return those that are not."""
    from bench.sweep.backends.watching import Place
    from bench.sweep.supervision.attempts import Outcome
    from bench.sweep.supervision.progress import Progress

    place = Place(None, 0, f"array {array.job}")
    left, begun, asked = {run.run_id: run for run in todo}, set(), time.monotonic()
    gone: float | None = None  # since when Slurm has nothing left
    with Progress(store, todo, 0) as progress:
        while left:
            if gone is None and time.monotonic() - asked > ASK_SECONDS:
                asked = time.monotonic()
                gone = None if on_slurm.alive(array.job) else asked
            for run_id, run in list(left.items()):
                state = store.run(run_id).state(quick=True)
                if state is State.RUNNING and run_id not in begun:
                    begun.add(run_id)
                    progress.started(run, place)
                elif state in FINISHED:
                    del left[run_id]
                    progress.ended(run, Outcome(run_id, state))
            if gone is not None and time.monotonic() - gone > ARRIVAL_SECONDS:
                break
            if left:
                time.sleep(LOOK_SECONDS)
    return list(left.values())
