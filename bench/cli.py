"""The command line: what may be typed, and how errors end.  What a verb does stands in bench/commands/."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

VERBS = ("run", "status", "table", "plot", "list", "show", "noise", "doctor", "verify", "merge", "clean")
BACKENDS = ("local", "ray", "dask", "slurm")
LISTED = ("methods", "noise", "datasets", "networks", "suites")

EPILOG = """exit codes: 0 all planned runs are done; 1 some failed; 2 bad usage, nothing was started;
3 a stored result is damaged; 75 interrupted: the same command goes on; 130 interrupted twice."""


class Parser(argparse.ArgumentParser):
    """argparse with exact option names, a suggestion for misspelt ones, and one line for an error."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter, **kwargs})

    def error(self, message: str) -> NoReturn:
        words = message.partition("unrecognized arguments: ")[2].split()
        options = [option for action in self._actions for option in action.option_strings]
        near = difflib.get_close_matches(words[0].partition("=")[0], options, 1) if words else []
        hint = f"; did you mean {near[0]}?" if near else ""
        self.exit(2, f"{self.prog}: {message}{hint}\n")


def parser() -> Parser:
    """The parser of all verbs."""
    top = Parser(prog="run_bench.py", description="Benchmark of learning with noisy labels.", epilog=EPILOG)
    verbs = top.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
    run = verbs.add_parser(
        "run", help="do the runs of a suite that are not done, then print its table (the default)", epilog=EPILOG
    )
    _selection(run)
    _running(run)
    status = verbs.add_parser("status", help="how far the runs of a suite are")
    _selection(status)
    status.add_argument("--json", action="store_true", help="one JSON document on standard output")
    table = verbs.add_parser("table", help="the accuracy table of a suite, from finished runs")
    _selection(table)
    _tabling(table)
    table.add_argument("--format", choices=("text", "csv", "md", "tex", "json"), default="text", help="default: text")
    table.add_argument(
        "--allow-incomplete", action="store_true", help="print the table although a stored result is damaged"
    )
    plot = verbs.add_parser("plot", help="draw the plots of a suite from finished runs")
    _selection(plot)
    plot.add_argument("--out", type=Path, metavar="DIR", help="folder for PNG and SVG (default: beside the table)")
    listing = verbs.add_parser("list", help="what can be named: " + ", ".join(LISTED))
    listing.add_argument("what", choices=LISTED, metavar="|".join(LISTED))
    listing.add_argument("--json", action="store_true", help="one JSON document on standard output")
    listing.add_argument("--markdown", action="store_true", help="of noise and methods: as tables for a page")
    listing.add_argument("--card", metavar="NAME", help="of methods: all about one of them")
    show = verbs.add_parser("show", help="all about one run")
    show.add_argument("run_id", metavar="RUN_ID", help="or the first letters of one")
    show.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    show.add_argument("--json", action="store_true", help="the stored record as it is")
    _noise(verbs.add_parser("noise", help="which labels a noise spec makes: show, export or compare them"))
    doctor = verbs.add_parser(
        "doctor", help="of a dataset: what is there and what is missing; without one: this machine and the results"
    )
    doctor.add_argument(
        "dataset", nargs="?", metavar="DATASET", help="see `list datasets`; or your own folder or .npz file"
    )
    doctor.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    doctor.add_argument(
        "--sweep", action="store_true", help="remove what killed writers left half-written in the results folder"
    )
    _data_dir(doctor)
    doctor.add_argument(
        "--decode",
        action="store_true",
        help="decode all image files once, in parallel, into a memory-mapped cache in the data folder",
    )
    doctor.add_argument(
        "--skip-broken",
        action="store_true",
        help="decode every image file, and leave those out of the dataset from now on that cannot be read",
    )
    doctor.add_argument("--json", action="store_true", help="one JSON document on standard output")
    _keeping(verbs)
    return top


def _keeping(verbs: Any) -> None:
    """What keeps a results folder in order."""
    verify = verbs.add_parser(
        "verify", help="recompute every digest and every cell of a suite's tables independently", epilog=EPILOG
    )
    _selection(verify)
    verify.add_argument(
        "--rerun", type=int, default=0, metavar="K", help="train K finished runs again, too, and compare their payloads"
    )
    verify.add_argument("--json", action="store_true", help="one JSON document on standard output")
    merge = verbs.add_parser("merge", help="bring results of other folders, such as those of shards, into one")
    merge.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="results folders to read")
    merge.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    merge.add_argument("--dry-run", action="store_true", help="say what would be copied; copy nothing")
    clean = verbs.add_parser("clean", help="remove what is no result; asks first")
    clean.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    what = clean.add_argument_group("what to remove (at least one)")
    what.add_argument("--failed", action="store_true", help="runs that failed, with their logs and checkpoints")
    what.add_argument("--interrupted", action="store_true", help="unfinished runs: their checkpoints are lost")
    what.add_argument("--quarantine", action="store_true", help="damaged files that were set aside")
    what.add_argument("--samples", action="store_true", help="per-sample tables")
    what.add_argument(
        "--suite", metavar="SUITE", help="every run of this suite, finished or not; with the above, only of its runs"
    )
    clean.add_argument("--yes", action="store_true", help="do not ask")
    clean.add_argument("--dry-run", action="store_true", help="say what would be removed; remove nothing")


def _noise(verb: argparse.ArgumentParser) -> None:
    actions = verb.add_subparsers(dest="action", metavar="show|export|compare", required=True, parser_class=Parser)
    show = actions.add_parser("show", help="the noise card of a spec, or of stored labels by their noise_id")
    _spec(show)
    show.add_argument("--matrix", action="store_true", help="print the counted transition matrix too")
    show.add_argument("--heatmap", type=Path, metavar="FILE.png", help="draw that matrix")
    show.add_argument("--against", nargs="+", type=Path, metavar="FILE", help="overlap with labels of other files")
    show.add_argument("--json", action="store_true", help="the card as one JSON document")
    show.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    export = actions.add_parser("export", help="write the labels of a spec to a file")
    _spec(export)
    export.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="FILE.npz (everything), .npy (N,), .json (DivideMix's list) or .csv (label,label_noisy)",
    )
    export.add_argument("--force", action="store_true", help="write over a file that holds something else")
    compare = actions.add_parser("compare", help="hold two label files against each other")
    compare.add_argument("first", type=Path, metavar="A")
    compare.add_argument("second", type=Path, metavar="B")
    compare.add_argument("--clean", type=Path, metavar="FILE", help="true labels (default: those that A or B holds)")
    compare.add_argument("--dataset", metavar="D", help="or those of a dataset")
    _data_dir(compare)


def _spec(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("spec", metavar="SPEC", help="FAMILY:RATE, such as symmetric:0.5; see `list noise`")
    verb.add_argument("--dialect", metavar="D", help="whose draw order (default: native, ours)")
    verb.add_argument("--noise-seed", type=int, default=0, metavar="N", help="default: 0")
    verb.add_argument("--dataset", metavar="D", help="take its true labels and images")
    verb.add_argument("--labels", type=Path, metavar="FILE", help="or true labels from a file")
    verb.add_argument("--num-classes", type=int, metavar="C", help="with --labels (default: the largest label + 1)")
    verb.add_argument("--images", type=Path, metavar="FILE.npy", help="with --labels: one row an image")
    _data_dir(verb)


def _data_dir(verb: Any) -> None:
    verb.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="folder with the datasets, as torchvision lays them out (default: $LNBENCH_DATA, else a cache folder)",
    )


def _selection(verb: argparse.ArgumentParser) -> None:
    what = verb.add_argument_group("which runs")
    what.add_argument(
        "suite", nargs="?", metavar="SUITE", help="a name of `list suites`, or a .toml file (default: quickstart)"
    )
    what.add_argument("--dataset", metavar="D", help="instead of a suite: see `list datasets`")
    what.add_argument(
        "--noise", nargs="+", metavar="FAMILY:RATE", help="such as symmetric:0.5 or pairflip:0.45:flips=iid"
    )
    what.add_argument(
        "--methods", nargs="+", metavar="NAME", help="see `list methods`; path/to/file.py:Class for your own"
    )
    what.add_argument("--seeds", nargs="+", metavar="N", help="such as 0-4 or 0 1 2")
    what.add_argument(
        "--noise-seed", type=int, metavar="N", help="one set of wrong labels for all seeds (default: each seed its own)"
    )
    what.add_argument("--network", metavar="N", help="see `list networks`")
    what.add_argument(
        "--preset",
        metavar="P",
        help="uniform (one recipe for all, the default), or a preset of the methods, such as paper",
    )
    what.add_argument("--epochs", type=int, metavar="E")
    what.add_argument(
        "--val", type=float, metavar="SHARE", help="of the training set held out with its wrong labels (default: 0.1)"
    )
    what.add_argument(
        "--trusted",
        type=int,
        metavar="N",
        help="take N samples with true labels out of training, for methods that ask for them (marked in the table)",
    )
    what.add_argument("--train-limit", type=int, metavar="N", help="use N training samples only, to try things out")
    what.add_argument(
        "--test-limit", type=int, metavar="N", help="score the first N test samples only, to try things out"
    )
    what.add_argument(
        "--set",
        nargs="+",
        metavar="KEY=VALUE",
        default=[],
        help="such as epochs=5, optimizer.lr=0.01 or precision=auto (or float32, bf16, tf32); METHOD.FIELD=VALUE for a "
        "hyper-parameter",
    )
    what.add_argument(
        "--allow-plugin", action="store_true", help="let a suite file name methods by path: their code will be run"
    )
    _data_dir(what)
    verb.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")


def _tabling(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--rule",
        choices=("last", "last10", "noisy_val", "clean_val", "oracle"),
        default="last",
        help="which epoch counts (default: last)",
    )
    verb.add_argument(
        "--head",
        default="headline",
        metavar="H",
        help="headline (mean of the networks, the default), ensemble, net1, ...",
    )
    verb.add_argument("--baseline", metavar="NAME", help="method to compare with (default: the suite's, or its first)")


def _running(run: argparse.ArgumentParser) -> None:
    how = run.add_argument_group("how to run them (changes no number)")
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
    limits = run.add_argument_group("when to give up")
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
    where = run.add_argument_group("where to run them (changes no number)")
    where.add_argument(
        "--backend",
        choices=BACKENDS,
        default="local",
        help="local (this machine, the default), ray, dask or slurm; the results folder must be shared by all nodes",
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
        help="ray, dask: runs at a time at most (default: as many as the cluster holds); slurm: elements of the array "
        "(default: one a run, at most 16)",
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
    _tabling(run)


def _per_device(text: str) -> int | None:
    """A number of runs, None for auto."""
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes a number of runs or auto, got {text!r}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. A user's mistake is one line on standard error and 2."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0] not in VERBS and words[0] not in ("-h", "--help")):
        words.insert(0, "run")
    args, extra = parser().parse_known_args(words)
    if extra:
        _refuse(args.verb, extra)
    try:
        command = importlib.import_module(f"bench.commands.{args.verb}")
        code = int(command.main(args))
        sys.stdout.flush()  # here, where a reader that has left is caught
        return code
    except ValueError as error:
        print(f"run_bench.py {args.verb}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `... | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (PermissionError, FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        print(f"run_bench.py {args.verb}: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before or after the runs: the sweep itself ends them in order
        print("interrupted", file=sys.stderr)
        return 130


def _refuse(verb: str, extra: Sequence[str]) -> NoReturn:
    actions = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    chosen: Parser = actions.choices[verb]
    chosen.error(f"unrecognized arguments: {' '.join(extra)}")
