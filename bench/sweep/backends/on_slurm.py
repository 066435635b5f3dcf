"""Slurm: an array of jobs, each of which does a shard of the suite; the script is ours and stays beside its logs.

An element is `bench.sweep.backends.element`, which replaces the shell, so that Slurm's signals reach it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.files import canonical, make_folder, parse, publish, read_regular
from bench.fingerprint import ROOT
from bench.sweep.planning.grid import Planned
from bench.sweep.planning.shard import part
from bench.sweep.records.store import Store

AT_A_TIME = 16  # elements, unless --jobs says otherwise
PARTS = 4  # elements for each that runs at a time: shards are of unequal size, and whoever ends early takes another
MOST = 1000  # elements of an array: Slurm's own limit where nobody has changed it
# of an element that will not run any more, which Slurm goes on listing for some minutes
ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}
OURS = {
    "array",
    "output",
    "error",
    "open-mode",
    "parsable",
    "wait",
    "wrap",
    "test-only",
    "chdir",
    "signal",
    "requeue",
    "no-requeue",
}
PASSED_ON = ("LNBENCH_DATA", "LNBENCH_MIRROR", "XDG_CACHE_HOME")  # also where Slurm passes no environment on
JOB = re.compile(r"[0-9]+", re.ASCII)
NOTICE = "B:USR2@120"  # the signal before the time limit, and the seconds that an element has to end in order


@dataclass(frozen=True)
class Array:
    """An array that has been submitted."""

    job: str
    folder: Path


def options(words: Sequence[str]) -> dict[str, str | None]:
    """What `--slurm` says, each an option of sbatch; ValueError for what cannot be one."""
    found: dict[str, str | None] = {}
    for word in words:
        name, equals, value = word.lstrip("-").partition("=")
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name) or any(ord(letter) < 32 for letter in value):
            raise ValueError(f"--slurm takes options of sbatch such as partition=gpu or exclusive, got {word!r}")
        if any(own.startswith(name) for own in OURS):  # sbatch takes beginnings of names, too
            raise ValueError(f"--slurm {name} is not to be set: the array is written here; --jobs sets its size")
        found[name] = value if equals else None
    return found


@dataclass(frozen=True)
class Layout:
    """How the runs are cut into elements."""

    parts: int  # shards, of which only those become elements that have something to do
    elements: list[int]
    at_a_time: int

    @classmethod
    def of(cls, todo: Sequence[Planned], jobs: int | None) -> Layout:
        """That for some runs, `jobs` elements at a time."""
        at_a_time = min(jobs or AT_A_TIME, MOST)
        parts = min(PARTS * at_a_time, MOST)
        return cls(parts, sorted({part(run.run_id, parts) for run in todo}), at_a_time)


def script(name: str, layout: Layout, given: Sequence[str], words: Sequence[str], folder: Path) -> str:
    """The array's script, for a folder of its own: `given` by --slurm, `words` of the command for each element."""
    folder = folder.absolute()
    if any(ord(letter) < 32 for letter in str(folder)):
        raise ValueError(f"the results folder {str(folder)!r} has a name that no line of a script can hold")
    settings: dict[str, str | None] = {
        "job-name": f"lnbench-{name}",
        "array": f"{','.join(map(str, layout.elements))}%{layout.at_a_time}",
        "output": f"{str(folder).replace('%', '%%')}/%a.log",
        "open-mode": "append",  # an element that is queued again goes on in its log
        "requeue": None,
        "signal": NOTICE,
        **options(given),
    }
    asked = [f"--{key}" if value is None else f"--{key}={shlex.quote(value)}" for key, value in settings.items()]
    told = [f"{name}={shlex.quote(os.environ[name])}" for name in PASSED_ON if name in os.environ]
    element = [sys.executable, "-P", "-m", "bench.sweep.backends.element", str(folder), str(layout.parts), *words]
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {option}" for option in asked),
        f"cd {shlex.quote(os.getcwd())} || exit 1",
        *(f"export {assignment}" for assignment in told),
        f'export PYTHONPATH={shlex.quote(str(ROOT))}"${{PYTHONPATH:+:$PYTHONPATH}}"',
        f"exec {shlex.join(element)}  # in place of the shell: Slurm's signals must reach it",
    ]
    return "\n".join([*lines, ""])


def require() -> None:
    """ValueError in one line where there is no Slurm."""
    if shutil.which("sbatch") is None:
        raise ValueError(
            "--backend slurm needs sbatch, which is not here: give the command on a login node, or start "
            "`--shard I/N` by hand on each machine"
        )


def try_out(text: str) -> None:
    """ValueError in one line if Slurm would not take the script; nothing is submitted."""
    _call(["sbatch", "--test-only"], text)


def submit(folder: Path, text: str, digest: str) -> Array:
    """Submit a script, and keep it in its folder with what came of it; `digest` is that of the suite."""
    make_folder(folder)
    path = folder / "array.sh"
    publish(path, text.encode(), replace=True)
    said = _call(["sbatch", "--parsable", str(path)]).strip()
    job = said.partition(";")[0]  # "job;cluster" among several
    if not JOB.fullmatch(job):
        raise ValueError(f"sbatch answers {said!r}, which names no job")
    publish(folder / "job.json", canonical({"job": job, "digest": digest}), replace=True)
    return Array(job, folder)


def _call(command: list[str], text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if "error" in line.lower()]
        raise ValueError(f"{command[0]} refuses the array: {(lines or [done.stderr.strip() or 'without a word'])[0]}")
    return done.stdout


def under_way(store: Store, digest: str) -> Array | None:
    """An array that was submitted for the same suite and is still queued or running."""
    for path in sorted((store.root / "slurm").glob("*/job.json")):
        try:
            told: Any = parse(read_regular(path))
            job, of = str(told["job"]), told["digest"]
        except (OSError, ValueError, KeyError, TypeError):  # damaged: at worst runs wait for each other's locks
            continue
        if of == digest and JOB.fullmatch(job) and alive(job):
            return Array(job, path.parent)
    return None


def alive(job: str) -> bool:
    """Whether Slurm still has an element of an array to run; True where it does not answer."""
    asked = subprocess.run(
        ["squeue", "--noheader", "--jobs", job, "--format=%T"], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        return "invalid job id" not in asked.stderr.lower()  # forgotten since
    return bool(set(asked.stdout.split()) - ENDED)
