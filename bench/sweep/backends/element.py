"""An element of a Slurm array: `python -m bench.sweep.backends.element FOLDER PARTS run ...` does its shard of a suite.

Slurm warns it before its time is up. It ends its runs in order then, and has Slurm queue it again, as long as that gets
the runs on. What somebody has cancelled stays so, and what Slurm queues again by itself is left to it.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from bench import devices
from bench.arguments import parser
from bench.commands import run
from bench.exit_codes import INTERRUPTED, REFUSED
from bench.files import publish
from bench.sweep.planning import shard
from bench.sweep.planning.grid import Planned
from bench.sweep.planning.selection import planned
from bench.sweep.records.store import FINISHED, Store

FRUITLESS = 3  # times in a row that an element has brought no run one epoch further: then it is not queued again
SIGNALS = (signal.SIGUSR2, signal.SIGTERM)


def main(argv: Sequence[str]) -> int:
    """Do the shard that Slurm's environment names; return the exit code of the command."""
    folder, parts, *words = argv
    task = os.environ["SLURM_ARRAY_TASK_ID"]
    args, mine, gained = parser().parse_args([*words, f"--shard={task}/{parts}"]), list[Planned](), 0
    try:
        for number in SIGNALS:  # until the sweep has handlers of its own
            signal.signal(number, _interrupt)
        runs = planned(args)[1]
        mine = shard.parse(args.shard).of(runs)
        args.per_device = _per_device(args, runs)
        gained -= _standing(args, mine)
        code = run.main(args, tabled=False)
    except ValueError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code != INTERRUPTED and code < 128:
        return code
    for number in SIGNALS:  # Slurm sends them again as it takes the element back
        signal.signal(number, signal.SIG_IGN)
    gained += _standing(args, mine)
    if leads_on(Path(folder) / f"idle-{task}", gained > 0):
        requeue(os.environ["SLURM_JOB_ID"])
    return INTERRUPTED


def _interrupt(number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _per_device(args: argparse.Namespace, runs: Sequence[Planned]) -> int | None:
    """What was asked for; else as many runs on the CPU as the job has cores: not every Slurm binds its jobs to them."""
    cores, threads = os.environ.get("SLURM_CPUS_ON_NODE", ""), max(one.config.train.threads for one in runs)
    if args.per_device is None and cores.isdecimal() and devices.slots(args.devices, None, threads)[0].gpu is None:
        return max(1, int(cores) // threads)
    asked: int | None = args.per_device
    return asked


def _standing(args: argparse.Namespace, runs: Sequence[Planned]) -> int:
    """Epochs that runs have behind them."""
    store, standing = Store(args.results), 0
    for one in runs:
        folder = store.run(one.run_id)
        done = folder.state(quick=True) in FINISHED
        standing += one.config.train.epochs if done else folder.epochs_done()
    return standing


def leads_on(count: Path, gained: bool) -> bool:
    """Whether it is worth while to go on; `count` is a file with the number of times in a row without gain."""
    idle = 0
    if not gained:
        with suppress(OSError, ValueError):  # the first time
            idle = int(count.read_text(encoding="utf-8"))
        idle += 1
    with suppress(OSError):  # at worst one more time
        publish(count, str(idle).encode(), replace=True)
    if idle >= FRUITLESS:
        print(f"not queued again: {idle} times in a row it brought no run one epoch further", file=sys.stderr)
    return idle < FRUITLESS


def requeue(job: str) -> None:
    """Have Slurm queue this element again, unless it was cancelled or Slurm does so itself."""
    shown = subprocess.run(["scontrol", "show", "job", "-o", job], capture_output=True, text=True, check=False)
    state = re.search(r"\bJobState=(\w+)", shown.stdout)
    if state is None or state[1] != "RUNNING":
        return
    asked = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    print(f"not queued again: {asked.stderr.strip()}" if asked.returncode else "queued again", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
