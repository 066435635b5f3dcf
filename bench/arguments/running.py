"""Options of `run`: how, where and how long; none of them changes a number."""

from __future__ import annotations

import argparse

Group = argparse._ArgumentGroup
BACKENDS = ("local", "ray", "dask", "slurm")


def running(run: argparse.ArgumentParser) -> None:
    """Add all of them."""
    _how(run.add_argument_group("how to run them (changes no number)"))
    _limits(run.add_argument_group("when to give up"))
    _where(run.add_argument_group("where to run them (changes no number)"))


def _how(how: Group) -> None:
    how.add_argument("--download", action="store_true", help="fetch a missing dataset into that folder")
    how.add_argument(
        "--devices",
        default="auto",
        metavar="D",
        help="auto (every GPU, else the CPU), cpu, or cuda:0,1; what a suite is begun on decides its precision, where "
        "that is auto, for good",
    )
    how.add_argument(
        "--per-device",
        type=_per_device,
        metavar="N",
        help="runs at a time on each device, or auto (the default): on the CPU one a core; on a GPU first 1, then as "
        "many as fit its memory and as a measurement of half a minute, made once, finds worthwhile, at most 8",
    )
    how.add_argument(
        "--mps",
        action="store_true",
        help="let the runs on a GPU share it by NVIDIA's Multi-Process Service, which is started and ended with the "
        "sweep (needs nvidia-cuda-mps-control)",
    )
    how.add_argument(
        "--checkpoint-every",
        type=float,
        metavar="SECONDS",
        help="at least so long between two checkpoints of a run; 0: after every epoch (default: 30 on a GPU, 0 on the "
        "CPU); a run that is asked to stop keeps every finished epoch, one that is killed loses at most so much",
    )
    how.add_argument(
        "--start",
        choices=("auto", "fork", "exec"),
        default="auto",
        help="how a run's process starts (auto: fork on the CPU, exec on a GPU)",
    )
    how.add_argument(
        "--dry-run",
        action="store_true",
        help="print the runs, what is done already and the expected cost; start nothing",
    )
    how.add_argument(
        "--stale",
        choices=("keep", "rerun"),
        default="keep",
        help="finished runs made by other code: keep them (default), or train them again",
    )
    how.add_argument(
        "--per-sample",
        choices=("last", "every"),
        help="write a table of all training samples into the run's folder, after the last epoch or after each: loss, "
        "confidence, prediction, whether selected, new label (.npz; .parquet where pyarrow is installed)",
    )
    how.add_argument(
        "--capture",
        choices=("off", "auto"),
        default="off",
        help="auto: on a GPU record the training step once in a pass and replay it, where a check finds the same bits "
        "and less time; off by default, because it has been tested on CPUs alone and has never yet run on a GPU",
    )
    how.add_argument("--no-retry-failed", action="store_true", help="leave runs alone that failed in an earlier launch")
    how.add_argument(
        "--strict-env",
        action="store_true",
        help="set a checkpoint aside that another version of Python, torch, numpy or CUDA has made (default: go on "
        "from it; the record tells)",
    )
    how.add_argument("--tensorboard", action="store_true", help="write scalars for TensorBoard beside the records")


def _limits(limits: Group) -> None:
    limits.add_argument("--run-limit", type=float, metavar="SECONDS", help="of one attempt at a run (default: none)")
    limits.add_argument(
        "--stall-limit",
        type=float,
        metavar="SECONDS",
        help="without a finished epoch, after which a run counts as hanging (default: 600 without a batch or an epoch, "
        "or 20 of its epochs if that is more)",
    )
    limits.add_argument(
        "--storage-wait",
        type=float,
        default=3600.0,
        metavar="SECONDS",
        help="how long a sweep waits for a full or failing disk before it ends with 75 (default: 3600)",
    )


def _where(where: Group) -> None:
    where.add_argument(
        "--backend",
        choices=BACKENDS,
        default="local",
        help="local (this machine, the default), ray, dask, or slurm, which submits an array and returns; all nodes "
        "must share the results folder",
    )
    where.add_argument(
        "--address",
        metavar="A",
        help="of a Ray or Dask cluster that runs, or Dask's scheduler file (default: one is started on this machine)",
    )
    where.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="ray, dask: runs at a time at most (default: as many as the cluster holds); slurm: elements of the "
        "array that run at a time (default: 16), of four times as many",
    )
    where.add_argument(
        "--slurm",
        nargs="+",
        default=[],
        metavar="OPTION=VALUE",
        help="options of sbatch, such as partition=gpu gres=gpu:1 time=4:00:00 cpus-per-task=4",
    )
    where.add_argument("--wait", action="store_true", help="slurm: wait for the array, then print the table")
    where.add_argument(
        "--shard",
        metavar="I/N",
        help="do part I, from 0, of N parts of the runs: for machines that share nothing; see `merge`",
    )


def _per_device(text: str) -> int | None:
    """A number of runs, None for auto."""
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes a number of runs or auto, got {text!r}") from None
