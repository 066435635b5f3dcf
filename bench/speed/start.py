"""Level `start`: seconds until the harness says or does something.

Whole processes of `--help`, `status` and `table` on a finished quick start, and from a supervisor's request to the
first training step of a run that the fork server starts, from the second run of a sweep on.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.speed.options import CheckFailed, Options, Report
from bench.speed.pairs import Cost, in_turns, measured
from bench.speed.sweep import TINY, command, run
from bench.sweep.job import Job
from bench.sweep.planning import grid
from bench.sweep.planning.grid import Planned
from bench.sweep.run.forkserver import ForkServer
from bench.sweep.supervision.sweep import PRELOADED

BARS = {"--help": 0.3, "status": 0.6, "table": 0.8, "first step": 0.5}  # seconds
TARGET = "bench.speed.first_step:main"
EPOCHS = "3"  # of the quick start whose results are looked at: as many runs, trained briefly


def measure(options: Options) -> Report:
    """Time the commands and the first steps; the bare interpreter's start is told beside them."""
    with ExitStack() as stack:
        folder = options.results or stack.enter_context(_finished(options))
        asked = TINY if options.quick and options.results is None else ["quickstart"]
        if options.results is None and not options.quick:
            asked = [*asked, "--epochs", EPOCHS]
        words = {
            "--help": ["--help"],
            "status": ["status", *asked, "--results", str(folder)],
            "table": ["table", *asked, "--results", str(folder)],
        }
        _check(words, folder)
        sides: dict[str, Callable[[], Cost]] = {name: _timed(more) for name, more in words.items()}
        sides["python -c pass"] = _bare
        costs = in_turns(sides, options.rounds, warm_ups=0 if options.quick else 1)
    walls = {name: [cost.wall for cost in taken] for name, taken in costs.items()}
    walls["first step"] = first_steps(options.rounds, options)
    bars = {} if options.quick else BARS
    lines = [_line(name, taken, bars.get(name)) for name, taken in walls.items()]
    return Report(tuple(lines), {"times": walls, "medians": {name: median(w) for name, w in walls.items()}})


def _line(name: str, seconds: list[float], bar: float | None) -> str:
    told = "" if bar is None else f"; bar {bar:g} s"
    low, high = min(seconds), max(seconds)
    return f"start, {name}: {median(seconds):.3f} s ({low:.3f} to {high:.3f} in {len(seconds)} rounds){told}"


@contextmanager
def _finished(options: Options) -> Iterator[Path]:
    """A results folder of a finished quick start, or of a tiny suite."""
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        results = Path(folder) / "results"
        run(TINY if options.quick else ["quickstart", "--epochs", EPOCHS], results, options)
        yield results


def _check(words: dict[str, list[str]], folder: Path) -> None:
    said = command(words["status"])
    if "done" not in said:
        raise CheckFailed(f"start: status tells of no finished run under {folder}")
    if "±" not in command(words["table"]):
        raise CheckFailed("start: table prints no number")


def _timed(words: list[str]) -> Callable[[], Cost]:
    return lambda: measured(lambda: command(words))


def _bare() -> Cost:
    return measured(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))


def first_steps(rounds: int, options: Options) -> list[float]:
    """Seconds from a supervisor's request to the first step of a run, for `rounds` runs after the first of a sweep."""
    planned = _column(rounds + 1)
    server, seconds = ForkServer(target=TARGET, preload=PRELOADED), []
    environment = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        try:
            server.start()  # it is there from the first run of a sweep on
            for number, chosen in enumerate(planned):
                stamp = Path(folder) / f"{number}.txt"
                job = Job(chosen.config.to_dict(), chosen.spec, f"{folder}/results", None, "cpu")
                started = time.monotonic()  # one clock for all processes of a machine
                server.spawn([str(stamp), *job.to_argv()], environment, Path(folder) / "log.txt").wait()
                if not stamp.is_file():
                    raise CheckFailed(f"start: the run did not begin: {_last_line(Path(folder) / 'log.txt')}")
                seconds.append(float(stamp.read_text(encoding="ascii")) - started)
        finally:
            server.close()
    return seconds[1:]


def _column(count: int) -> list[Planned]:
    """So many runs of the quick start's first kind of noise, by all of its methods in turn, as a sweep begins them."""
    suite = grid.load(grid.DEFAULT)
    runs = grid.expand(grid.custom(suite, noise=suite.noise[:1]))
    return [runs[number % len(runs)] for number in range(count)]


def _last_line(log: Path) -> str:
    lines: list[Any] = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return str(lines[-1]) if lines else "it said nothing"
