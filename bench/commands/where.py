"""Where the runs of a command go: to this machine, or to a Ray or Dask cluster; and what they are told there."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import devices, hardware
from bench.data import datasets
from bench.devices import Slot
from bench.sweep import backends
from bench.sweep.planning import timings
from bench.sweep.planning.grid import Planned
from bench.sweep.records.origin import origin
from bench.sweep.records.store import Store
from bench.sweep.run import tensorboard

if TYPE_CHECKING:
    from bench.sweep.backends.engine import Engine
    from bench.sweep.supervision.attempts import Outcome
    from bench.sweep.supervision.sweep import Sweep

LIMITS = ("strict_env", "tensorboard", "run_limit", "stall_limit", "storage_wait")
GPU_CHECKPOINT_SECONDS = 30.0  # writing a state may take as long as an epoch there; on the CPU it takes a hundredth
USERS = {"address": ("ray", "dask"), "jobs": ("ray", "dask", "slurm"), "slurm": ("slurm",), "wait": ("slurm",)}


@dataclass(frozen=True)
class Work:
    """The runs to do, and what is known of the others."""

    store: Store
    todo: Sequence[Planned]
    done: int  # runs of the suite that are done already
    stale: frozenset[str]  # run_ids that other code has finished
    data_dir: Path | None


def check(args: argparse.Namespace) -> None:
    """ValueError in one line for options that make no sense, or none together."""
    if args.checkpoint_every is not None and not 0 <= args.checkpoint_every < float("inf"):
        raise ValueError(f"--checkpoint-every must be a number of seconds, 0 or more, got {args.checkpoint_every}")
    for flag, seconds in (("--run-limit", args.run_limit), ("--stall-limit", args.stall_limit)):
        if seconds is not None and not 0 < seconds < float("inf"):
            raise ValueError(f"{flag} must be a number of seconds above 0, got {seconds:g}")
    if not 0 <= args.storage_wait < float("inf"):
        raise ValueError(f"--storage-wait must be a number of seconds, 0 or more, got {args.storage_wait:g}")
    for flag, users in USERS.items():
        if getattr(args, flag) not in (None, False, []) and args.backend not in users:
            raise ValueError(f"--{flag} is for --backend {' or '.join(users)}, and this is {args.backend}")
    if args.tensorboard:
        tensorboard.require()
    if args.jobs is not None and args.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {args.jobs}")
    if args.backend == "slurm" and args.shard is not None:
        raise ValueError("--backend slurm makes the shards itself: leave --shard out")
    if args.backend in backends.ENGINES:
        _check_cluster(args)


def _check_cluster(args: argparse.Namespace) -> None:
    name = args.backend
    if args.mps:
        raise ValueError(
            f"--mps is for this machine, and --backend {name} places runs on others: --per-device N shares"
        )
    if args.start == "fork":
        raise ValueError(f"--start fork is for this machine: on --backend {name} every run is exec'd")
    if args.devices not in ("auto", "cpu", "cuda"):
        raise ValueError(
            f"--backend {name} chooses the GPUs itself: --devices takes auto, cpu or cuda, got {args.devices!r}"
        )
    if args.per_device is not None and args.per_device < 1:
        raise ValueError(f"--per-device must be at least 1, got {args.per_device}")


def slots(args: argparse.Namespace, runs: Sequence[Planned]) -> list[Slot]:
    """The places that runs have here; for a cluster, which is not asked yet, as many as --jobs says, or one."""
    threads = max(run.config.train.threads for run in runs)
    if args.backend == "local":
        found = devices.slots(args.devices, args.per_device, threads)
        if args.mps and found[0].gpu is None:
            raise ValueError("--mps lets runs share a GPU, and the runs would go to the CPU")
        return found
    from bench.sweep.backends.on_slurm import AT_A_TIME
    from bench.sweep.backends.watching import Place

    usual = AT_A_TIME if args.backend == "slurm" else 1
    return [Place(None, number, args.backend) for number in range(args.jobs or usual)]


@contextmanager
def opened(args: argparse.Namespace, todo: Sequence[Planned]) -> Iterator[Engine | None]:
    """The engine of the cluster that is asked for, with room for at least one run; None: this machine."""
    if args.backend not in backends.ENGINES:
        yield None
        return
    from bench.sweep.backends.engine import ClusterLost, Need

    threads = max(run.config.train.threads for run in todo)
    need = Need(threads, {"auto": None, "cpu": False, "cuda": True}[args.devices], args.per_device or 1)
    with backends.opened(args.backend, args.address, need) as engine:
        try:
            room = engine.room()
        except ClusterLost as error:  # before there was a run to be lost
            raise ValueError(str(error)) from error
        if room < 1:
            raise ValueError(f"no node of the cluster has room for a run, which needs {engine.need}")
        yield engine


def here(args: argparse.Namespace, places: list[Slot], work: Work) -> tuple[Sweep, list[Outcome]]:
    """Do the runs on this machine."""
    from bench.sweep.supervision import mps, packing
    from bench.sweep.supervision.executor import execute
    from bench.sweep.supervision.progress import Progress
    from bench.sweep.supervision.sweep import Sweep

    on_gpu = places[0].gpu is not None
    start = args.start if args.start != "auto" else ("exec" if on_gpu else "fork")
    how, longest_first = _how(args, on_gpu), _ordered(work, on_gpu)
    shared: AbstractContextManager[dict[str, str]] = mps.daemon() if args.mps else nullcontext({})
    with shared as environment:
        if on_gpu and args.per_device is None and len(work.todo) > len(places):
            room = packing.plan(longest_first[0], places, environment, args.capture)
            places, how = room.slots, how | {"shares": room.shares, "gpus": room.gpus}
        how |= {"environment": environment, "claim_gpus": True}
        sweep = Sweep(work.store, places, work.data_dir, start, notes=origin(), rerun=work.stale, **how)
        with Progress(work.store, longest_first, work.done) as progress:
            return sweep, execute(sweep, longest_first, progress)


def on_cluster(args: argparse.Namespace, engine: Engine, work: Work) -> tuple[Sweep, list[Outcome]]:
    """Do the runs on a Ray or Dask cluster."""
    from bench.sweep.backends.launching import launched
    from bench.sweep.backends.watching import CLUSTER, Watch
    from bench.sweep.supervision.progress import Progress
    from bench.sweep.supervision.sweep import Sweep

    on_gpu = bool(engine.need.gpu)
    how, longest_first = _how(args, on_gpu), _ordered(work, on_gpu)
    # as this machine finds the data: nodes have other environments
    data_dir = (work.data_dir or datasets.data_folder()).resolve()
    sweep = Sweep(work.store, [CLUSTER], data_dir, "exec", notes=origin(), rerun=work.stale, **how)
    with (
        launched(sweep, longest_first, engine) as request,
        Progress(work.store, longest_first, work.done) as progress,
    ):
        return sweep, Watch(sweep, request, engine, progress, args.jobs).execute(longest_first)


def _how(args: argparse.Namespace, on_gpu: bool) -> dict[str, Any]:
    often = args.checkpoint_every if args.checkpoint_every is not None else (GPU_CHECKPOINT_SECONDS if on_gpu else 0.0)
    how: dict[str, Any] = {"per_sample": args.per_sample, "capture": args.capture, "checkpoint_seconds": often}
    return how | {name: getattr(args, name) for name in LIMITS}


def _ordered(work: Work, on_gpu: bool) -> list[Planned]:
    """The runs, those first that take longest."""
    return timings.read(work.store, work.todo, "cuda" if on_gpu else "cpu").longest_first(work.todo)


def check_hardware(args: argparse.Namespace, todo: Sequence[Planned], places: Sequence[Slot]) -> None:
    """ValueError for runs that this machine cannot compute; the nodes of a cluster are asked themselves."""
    if args.backend == "local":
        hardware.check((run.config.train for run in todo), places)
