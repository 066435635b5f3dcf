"""Level `sweep`: runs per hour of a whole suite, process start to prompt, by how many runs share a device.

The real `run_bench.py` in a process of its own, with a fresh results folder each time. The peer here is the same
command with `--per-device 1`.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from bench.files import canonical
from bench.fingerprint import ROOT
from bench.speed.options import CheckFailed, Options, Report
from bench.speed.ours import CROSS_ENTROPY, NOISE, in_our_words
from bench.speed.pairs import Cost, in_turns, measured, paired
from bench.sweep.records.store import Store

BAR = 1.6  # two against one, on the CPU
TOGETHER = {"cpu": (2,), "cuda": (2, 4, 8)}
# two runs of a few batches: they warm the disk's cache, and show whether packed is alone
TINY = ["--dataset", "digits", "--noise", NOISE, "--methods", CROSS_ENTROPY, "--seeds", "0-1"]
TINY += ["--epochs", "2", "--train-limit", "64", "--test-limit", "32", "--set", "trace_samples=16"]

Payloads = dict[str, bytes]


def measure(options: Options) -> Report:
    """Compare 2 (on a GPU also 4 and 8) runs a device with 1, after a check on a tiny suite."""
    together = TOGETHER[options.kind]
    if not options.quick:  # whose rounds are as tiny, and checked before a figure too
        alone = _payloads(TINY, 1, options)
        _check_equal(alone, {n: _payloads(TINY, n, options) for n in together})
    asked = TINY if options.quick else words(options)
    found: dict[int, Payloads] = {}

    def work(n: int) -> Cost:
        with _results() as folder:
            cost = measured(lambda: run([*asked, "--per-device", str(n)], folder, options))
            found[n] = payloads(folder)
        return cost

    rounds = in_turns({str(n): partial(work, n) for n in (1, *together)}, options.rounds, warm_ups=0)
    _check_equal(found[1], {n: found[n] for n in together})
    runs = len(found[1])
    pairs = [
        paired(
            f"sweep, {runs} runs, {n} a device against 1",
            rounds[str(n)],
            rounds["1"],
            sides=(f"{n} at a time", "one"),
            bar=BAR if options.kind == "cpu" and asked == [] else None,  # of the whole quick start
            facts={
                "runs": runs,
                "runs_per_hour": [runs * 3600 / median(cost.wall for cost in rounds[key]) for key in (str(n), "1")],
            },
        )
        for n in together
    ]
    report = Report.of(pairs)
    hourly = [
        f"{pair.facts['runs_per_hour'][0]:,.0f} runs an hour, alone {pair.facts['runs_per_hour'][1]:,.0f}"
        for pair in pairs
    ]
    lines = tuple(f"{line}; {more}" for line, more in zip(report.lines, hourly, strict=True))
    return Report(lines, report.data)


def words(options: Options) -> list[str]:
    """The suite asked for, with what changes it."""
    asked = [options.suite] if options.suite else []
    asked += ["--methods", *options.methods] if options.methods else []
    asked += ["--seeds", options.seeds] if options.seeds else []
    asked += ["--epochs", str(options.epochs)] if options.epochs else []
    return asked + (["--data-dir", str(options.data_dir)] if options.data_dir else [])


def run(asked: Sequence[str], folder: Path, options: Options) -> str:
    """Do `run_bench.py run` in a process of its own; return what it printed, ValueError if it fails."""
    devices = ["--devices", in_our_words(options.device), "--results", str(folder)]
    return command(["run", *asked, *devices])


def command(asked: Sequence[str]) -> str:
    """The output of a command of run_bench.py, a whole process from start to prompt."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "run_bench.py"), *asked], capture_output=True, text=True, check=False, env=_plain()
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no word"]
        said = next((line for line in lines if line.startswith("FAILED")), lines[-1])
        raise ValueError(f"run_bench.py {asked[0]} ended with {done.returncode}: {said}")
    return done.stdout


def _plain() -> dict[str, str]:
    """Our environment without the thread counts that the benchmark set for itself."""
    return {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}


def payloads(folder: Path) -> Payloads:
    """What every run of a results folder found, as bytes, by run_id; CheckFailed if one found nothing."""
    store, found = Store(folder), {}
    for run_id in store.run_ids():
        result = store.run(run_id).result()
        if result is None:
            raise CheckFailed(f"sweep: run {run_id} has no result")
        found[run_id] = canonical(result.payload)
    return found


@contextlib.contextmanager
def _results() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        yield Path(folder) / "results"


def _payloads(asked: Sequence[str], n: int, options: Options) -> Payloads:
    with _results() as folder:
        run([*asked, "--per-device", str(n)], folder, options)
        return payloads(folder)


def _check_equal(alone: Payloads, packed: dict[int, Payloads]) -> None:
    for n, found in packed.items():
        differing = [run_id for run_id in alone.keys() | found.keys() if alone.get(run_id) != found.get(run_id)]
        if differing:
            raise CheckFailed(f"sweep: with {n} runs a device {len(differing)} runs found something else than alone")
