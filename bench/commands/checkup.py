"""What `doctor` says of this machine: hardware, packages, data and a results folder. Nothing here imports torch."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from bench import hardware
from bench.data import datasets
from bench.data.report import Finding
from bench.devices import query
from bench.fingerprint import ROOT
from bench.printable import printable
from bench.sweep.records.store import State
from bench.sweep.upkeep import health
from bench.sweep.upkeep.health import Health

EXTRAS = {"ray": "ray", "dask": "distributed", "tensorboard": "tensorboard"}  # extra -> package
GB = 1e9
NAMED = 5  # of many things of a kind, for a person; --json has all


@dataclass
class Section:
    """One part of the report: findings for a person, and the same as plain data."""

    title: str
    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def say(self, state: Any, text: str) -> None:
        """Add a finding: ok, note, missing or broken."""
        self.findings.append(Finding(state, printable(text)))


def sections(results: Path, data_dir: Path | None) -> tuple[list[Section], Health]:
    """The whole report, and what it found of the results folder."""
    found = health.examine(results)
    return [machine(), packages(), data(data_dir), of_results(results, found)], found


def machine() -> Section:
    """The hardware, and what torch can use of it."""
    part = Section("machine")
    cpu, cores = hardware.processor(), len(os.sched_getaffinity(0))
    flags = ", ".join(sorted(cpu.flags)) or "none of the instruction sets that matter"
    part.say("ok", f"{cpu.name}, {cores} cores ({flags})")
    memory = _memory()
    if memory is not None:
        part.say("ok", f"{memory['total'] / GB:.1f} GB of memory, {memory['free'] / GB:.1f} GB free{_limit(memory)}")
    cuda = torch_cuda()
    gpus = [_gpu(row) for row in query("index,name,memory.total,memory.free,driver_version,compute_cap")]
    gpus = [gpu for gpu in gpus if gpu]
    for gpu in gpus:
        part.say(
            "ok", "cuda:{index}  {name}, {memory} MiB, {free} free, driver {driver}, capability {cc}".format(**gpu)
        )
    if not gpus:
        part.say("note", "no GPU that nvidia-smi tells of: runs go to the CPU")
    elif cuda is None:
        part.say("note", "torch is not built for CUDA, so GPUs stay unused: install a build from pytorch.org")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        part.say("note", f"CUDA_VISIBLE_DEVICES={visible!r} hides all other GPUs")
    part.facts = {"cpu": cpu.name, "flags": sorted(cpu.flags), "cores": cores, "memory": memory, "gpus": gpus}
    part.facts |= {"cuda_of_torch": cuda, "cuda_visible_devices": visible}
    return part


def packages() -> Section:
    """Versions against those that everything was tested with, and what is there of the extras."""
    part = Section("packages")
    pinned, wanted = constraints(), _required()
    installed = {name: _version(name) for name in wanted}
    absent = sorted(name for name, version in installed.items() if version is None)
    other = {n: v for n, v in installed.items() if v and n in pinned and v.partition("+")[0] != pinned[n]}
    same = len(installed) - len(absent) - len(other)
    build = f" (CUDA {cuda})" if (cuda := torch_cuda()) else " (CPU only)"
    python = ".".join(map(str, sys.version_info[:3]))
    part.say("ok", f"Python {python}, torch {installed.get('torch')}{build if installed.get('torch') else ''}")
    if pinned:
        part.say("ok", f"{same} packages as in constraints.txt")
    for name, version in other.items():
        part.say("note", f"{name} {version}, tested with {pinned[name]}")
    for name in absent:
        part.say("missing", f"{name}: pip install -e . -c constraints.txt")
    extras = {extra: _version(package) for extra, package in EXTRAS.items()}
    for extra, there in extras.items():
        text = f"{extra} {there}" if there else f'no {extra}: pip install -e ".[{extra}]" -c constraints.txt'
        part.say("ok" if there else "note", text)
    tools = {name: shutil.which(name) for name in ("sbatch", "git")}
    for name, why in (
        ("sbatch", "--backend slurm is for machines of a Slurm cluster"),
        ("git", "records do not name the commit"),
    ):
        part.say("ok" if tools[name] else "note", f"{name} is there" if tools[name] else f"no {name}: {why}")
    part.facts = {"installed": installed, "pinned": {name: pinned.get(name) for name in wanted}, "extras": extras}
    part.facts |= {"tools": tools, "python": python}
    return part


def data(data_dir: Path | None) -> Section:
    """Which data sets lie in the data folder; `doctor DATASET` looks at one closely."""
    part = Section("data")
    folder = datasets.data_folder(data_dir)
    here, broken = [], {}
    for name in datasets.available():
        try:
            info = datasets.info(name, data_dir)
            if all((folder / file).exists() for file in info.files):
                here.append(name)
        except datasets.MissingDataError:
            continue
        except ValueError as error:
            broken[name] = str(error)
    part.say("ok" if folder.is_dir() else "note", f"{folder}" + ("" if folder.is_dir() else ": not there yet"))
    part.say("ok", f"there: {', '.join(here)}")
    for name, reason in broken.items():
        part.say("note", f"{name}: {reason}")
    part.facts = {"folder": str(folder), "there": here, "broken": broken}
    return part


def of_results(root: Path, found: Health) -> Section:
    """How the results folder is."""
    part = Section("results")
    part.facts = {"folder": str(root), **vars(found), "states": dict(found.states)}
    if found.links_in_place:
        part.say("broken", f"{root}: links are not followed, and these are: {', '.join(found.links_in_place)}")
        return part
    what = f"{root}" if found.there else f"{root}: not there yet"
    part.say("ok" if found.writable else "broken", what if found.writable else f"{what}: cannot be written")
    roomy = found.room >= health.LEAST_ROOM
    part.say("ok" if roomy else "broken", f"{found.room / GB:.1f} GB free" + ("" if roomy else ", too little to begin"))
    if not found.there:
        return part
    _say_ground(part, found)
    total = found.states.total()
    counts = ", ".join(f"{found.states[state]} {state.lower()}" for state in State if found.states[state])
    part.say("ok", f"{total} runs: {counts}" if total else "no runs yet")
    for one in found.corrupt[:NAMED]:
        part.say("broken", f"{one['path']}: {one['reason']} (`run` sets it aside and trains the run again)")
    _more(part, "broken", found.corrupt, "damaged results")
    for path in found.conflicts[:NAMED]:
        part.say("broken", f"{path}: a second finisher found other numbers than result.json")
    _more(part, "broken", found.conflicts, "conflicts")
    for one in found.held[:NAMED]:
        hint = "" if one["by"] == "kernel" else ", as its last attempt says"
        part.say("ok", f"{one['run']} is held by process {one['pid']} on {one['host']}{hint}")
    _more(part, "ok", found.held, "runs that are held")
    _say_leftovers(part, found)
    return part


def _say_ground(part: Section, found: Health) -> None:
    if found.locks is False:
        text = "locks do not keep other processes off here: give machines parts of their own with --shard"
        part.say("note", text)
    if found.links is False:
        part.say("note", "no hard links here: of two finishers at one instant the second may replace the first")
    if found.locks and found.links:
        part.say("ok", "locks and links work, tried with two processes of this machine")


def _say_leftovers(part: Section, found: Health) -> None:
    if found.quarantined:
        part.say("note", f"{found.quarantined} damaged or outdated files are set aside (`clean --quarantine`)")
    if found.stray:
        shown = ", ".join(found.stray[:2]) + (" ..." if len(found.stray) > 2 else "")
        whose = "of killed processes, or of those at work" if found.held else "by killed processes (`doctor --sweep`)"
        part.say("note", f"{len(found.stray)} files half-written {whose}: {shown}")
    if found.removals:
        part.say("note", f"{len(found.removals)} runs were being removed when `clean` was killed: it goes on")
    if found.launches and not found.held:
        part.say("note", f"launches that were killed left word: {_some(found.launches, 'launches/')}")
    if found.unknown:
        part.say("note", f"not ours, and ignored: {_some(found.unknown)}")


def _some(names: Sequence[str], before: str = "") -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(before + name for name in names[:NAMED]) + more


def _more(part: Section, state: str, found: Sequence[object], what: str) -> None:
    if len(found) > NAMED:
        part.say(state, f"and {len(found) - NAMED} more {what}")


def torch_cuda() -> str | None:
    """The CUDA that torch is built for, read off its version file; None for a CPU build, or where torch is not."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^cuda\b[^=]*=\s*'([\d.]+)'", text, re.MULTILINE)
    return found[1] if found else None


def constraints(path: Path = ROOT / "constraints.txt") -> dict[str, str]:
    """Package -> the version that everything was tested with; nothing where the file is not."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:  # installed without its checkout
        return {}
    return {
        _plain(name): version.strip() for name, equals, version in (line.partition("==") for line in lines) if equals
    }


def _required() -> list[str]:
    """Names of the packages without which nothing works."""
    try:
        listed: Iterable[str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
            "dependencies"
        ]
    except OSError:
        listed = [line for line in metadata.requires("lnbench") or [] if "extra ==" not in line]
    return [_plain(re.split(r"[^A-Za-z0-9._-]", line)[0]) for line in listed]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _gpu(row: Sequence[str]) -> dict[str, str]:
    names = ("index", "name", "memory", "free", "driver", "cc")
    return dict(zip(names, row, strict=True)) if len(row) == len(names) else {}


def _memory() -> dict[str, int] | None:
    """Bytes of memory: all, free, and what the processes of this container may have, if that is less."""
    found = {}
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            name, _, rest = line.partition(":")
            found[name] = int(rest.split()[0]) * 1024
        memory = {"total": found["MemTotal"], "free": found["MemAvailable"]}
    except (OSError, KeyError, ValueError, IndexError):  # not Linux
        return None
    for limit in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        try:
            allowed = int(limit.read_text(encoding="ascii"))
        except (OSError, ValueError):  # another version of cgroups, or "max"
            continue
        if allowed < memory["total"]:
            memory["limit"] = allowed
    return memory


def _limit(memory: Mapping[str, int]) -> str:
    return f", of which this container may have {memory['limit'] / GB:.1f} GB" if "limit" in memory else ""
