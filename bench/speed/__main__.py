"""`python -m bench.speed`: how fast the harness is, against the loop that published code runs.

  noise     drawing wrong labels
  input     batches and nothing else
  step      one training step on a batch that lies on the device
  epoch     an epoch of Co-teaching and of cross entropy, with evaluation and records
  start     --help, status, table; process start to first step
  sweep     runs an hour of a whole suite, two at a time against one    (long)
  profile   where the time of a step and of an epoch goes
  accuracy  plain and fast ways find the same accuracy                  (long)

What is not right is not timed: each level checks first, and a failed check is one line and exit code 1.
"""

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from bench.files import make_folder
from bench.fingerprint import ROOT
from bench.speed.options import CheckFailed, Options, Report
from bench.speed.side import SideLost

# level -> its module
LEVELS = {
    **{name: name for name in ("noise", "input", "step", "epoch", "start", "sweep", "accuracy")},
    "profile": "profiles",
}
SHORT = ("input", "step", "epoch", "start", "noise")  # without --level
FOLDER = ROOT / "results" / "speed"


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one line."""

    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    """What may be asked for."""
    made = Parser(
        prog="python -m bench.speed",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--level",
        action="append",
        choices=(*sorted(LEVELS), "all"),
        metavar="LEVEL",
        help=f"one of the above or all; may be given several times (default: {', '.join(SHORT)})",
    )
    made.add_argument("--profile", action="store_true", help="the same as --level profile")
    made.add_argument("--rounds", type=int, default=None, metavar="N", help="after the warm-up (default: 5; quick: 1)")
    made.add_argument("--quick", action="store_true", help="everything tiny and one round: does it work?")
    made.add_argument(
        "--json",
        nargs="?",
        const=FOLDER,
        type=Path,
        metavar="FILE",
        help="write everything measured; without FILE to results/speed/<time>-<level>.json",
    )
    made.add_argument("--device", default="auto", metavar="D", help="auto (a GPU, else the CPU), cpu or cuda:N")
    made.add_argument("--all", action="store_true", help="variants too that no run takes here, such as bf16")
    made.add_argument(
        "--precision",
        choices=("float32", "tf32", "bf16"),
        help="of ours in step, epoch and profile; bf16 is slow on a CPU without AMX",
    )
    made.add_argument("--network", nargs="+", metavar="N", help="in step, epoch, profile and accuracy")
    made.add_argument("--samples", type=int, metavar="N", help="images of a round: input, epoch, profile, accuracy")
    made.add_argument("--suite", metavar="S", help="of sweep (default: quickstart) and accuracy (all_methods)")
    made.add_argument("--methods", nargs="+", metavar="M", help="of the suite: sweep and accuracy")
    made.add_argument("--seeds", metavar="N", help="such as 0-4: sweep and accuracy")
    made.add_argument("--epochs", type=int, metavar="E", help="of every run: sweep and accuracy")
    made.add_argument("--dataset", default="digits", metavar="D", help="of accuracy: digits, or such as cifar10")
    made.add_argument("--data-dir", type=Path, metavar="DIR", help="where that is (default: $LNBENCH_DATA)")
    made.add_argument("--results", type=Path, metavar="DIR", help="of a finished quick start, for start")
    return made


def options_of(words: argparse.Namespace) -> Options:
    """The options that were asked for; ValueError for what can't be."""
    for name in ("rounds", "samples", "epochs"):
        value = getattr(words, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")
    if words.samples is not None and words.samples < 16:
        raise ValueError(f"--samples must be at least 16, got {words.samples}")
    return Options(
        rounds=words.rounds or (1 if words.quick else 5),
        quick=words.quick,
        every=words.all,
        device=_device(words.device),
        precision=words.precision,
        networks=tuple(words.network) if words.network else None,
        samples=words.samples,
        suite=words.suite,
        methods=tuple(words.methods) if words.methods else None,
        seeds=words.seeds,
        epochs=words.epochs,
        dataset=words.dataset,
        data_dir=words.data_dir.expanduser().resolve() if words.data_dir else None,
        results=words.results,
    )


def _device(asked: str) -> str:
    import torch

    if asked == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if asked == "cpu":
        return asked
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked not in [f"cuda:{number}" for number in range(count)]:
        have = ", ".join(f"cuda:{number}" for number in range(count)) or "no GPU"
        raise ValueError(f"--device takes auto, cpu or cuda:N; got {asked!r}, this machine has {have}")
    return asked


def main(argv: list[str]) -> int:
    """Measure the levels asked for, print them as they come, write them down if asked; return the exit code."""
    words = parser().parse_args(argv)
    try:
        options = options_of(words)
        levels = _levels(words)
        _check_names(options)
        return _measure(levels, options, words.json)
    except (CheckFailed, SideLost) as error:
        print(f"python -m bench.speed: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"python -m bench.speed: {error}", file=sys.stderr)
        return 2


def _levels(words: argparse.Namespace) -> list[str]:
    asked = [*(words.level or []), *(["profile"] if words.profile else [])] or list(SHORT)
    return list(dict.fromkeys(LEVELS if "all" in asked else asked))


def _check_names(options: Options) -> None:
    from bench.names import unknown
    from bench.training.catalog import NETWORKS

    for network in options.networks or ():
        if network not in NETWORKS:
            raise unknown("network", network, NETWORKS)


def _measure(levels: list[str], options: Options, target: Path | None) -> int:
    from bench.speed import machine

    facts = machine.describe(options.device)
    print(machine.header(facts), flush=True)
    told: dict[str, Any] = {}
    for level in levels:
        before, started = machine.load(), time.perf_counter()
        report: Report = importlib.import_module(f"bench.speed.{LEVELS[level]}").measure(options)
        print("\n".join(report.lines), flush=True)
        took = {"load_before": before, "load_after": machine.load(), "seconds": time.perf_counter() - started}
        told[level] = {**report.data, **took, "rounds": options.rounds, "quick": options.quick}
        if target == FOLDER:
            stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{level}"
            _write(FOLDER / f"{stem}.json", {"machine": facts, "levels": {level: told[level]}})
            if report.markdown:
                _put(FOLDER / f"{stem}.md", report.markdown)
        elif report.markdown and target is not None:
            _put(target.with_name(f"{target.stem}-{level}.md"), report.markdown)
    if target is not None and target != FOLDER:
        _write(target, {"machine": facts, "levels": told})
    return 0


def _write(path: Path, found: dict[str, Any]) -> None:
    _put(path, json.dumps(found, indent=1) + "\n")


def _put(path: Path, text: str) -> None:
    make_folder(path.parent)
    path.write_text(text, encoding="utf-8")
    print(f"written: {path}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
