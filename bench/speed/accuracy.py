"""Level `accuracy`: the fast ways find what the plain one finds.

On digits, every method of a suite through the real command line, with the same seeds plainly (float32, NCHW) and as a
run is by default. On another data set, cross entropy and Co-teaching on a part of it: the peer's loop, plain, and fast.

A difference is paired by seed. It is called within the spread where its mean is at most the sample standard deviation
over seeds of the plain runs; of 95 % intervals about true differences of 0, one in twenty leaves 0 out.
"""

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.evidence.records import accuracy, noise_text
from bench.evidence.statistics import mean, paired_t, sample_sd
from bench.files import parse
from bench.speed import accuracy_on_images
from bench.speed.options import Options, Report
from bench.speed.sweep import payloads, run, words

PLAIN = "plain"
PATHS = {  # by name, what is set
    PLAIN: ("channels_last=false", "precision=float32"),
    "fast": (),
    "bf16": ("precision=bf16",),
}
SUITE = "all_methods"
TINY = ["quickstart", "--seeds", "0-1", "--epochs", "2", "--train-limit", "100", "--test-limit", "100"]

Found = Mapping[str, Mapping[str, list[float]]]  # row -> path -> accuracy of each seed, in [0, 1], seeds in order


def measure(options: Options) -> Report:
    """Train the rows by all paths, and hold each path against the plain one."""
    if options.dataset == "digits":
        found, title = _of_suite(options), " ".join(_suite_words(options))
    else:
        found, title = accuracy_on_images.found(options), accuracy_on_images.title(options)
    rows = [_row(name, by_path, path) for name, by_path in found.items() for path in by_path if path != PLAIN]
    data = {"title": title, "accuracies": found, "rows": rows, **_summary(rows)}
    lines = [title, *(_line(row) for row in rows), _verdict(rows)]
    return Report(tuple(lines), data, _markdown(title, rows))


def _of_suite(options: Options) -> Found:
    """The accuracy after the last epoch of every method and noise, by path."""
    asked = _suite_words(options)
    found: dict[str, dict[str, list[float]]] = defaultdict(dict)
    for path, settings in _paths(options).items():
        with tempfile.TemporaryDirectory(prefix="speed-") as folder:
            results = Path(folder) / "results"
            run([*asked, *(["--set", *settings] if settings else [])], results, options)
            for name, numbers in _by_row(payloads(results).values()).items():
                found[name][path] = numbers
    return found


def _suite_words(options: Options) -> list[str]:
    if options.quick:
        return [*TINY, "--methods", *accuracy_on_images.SPECS, "--noise", accuracy_on_images.NOISE]
    asked = words(options)
    return asked if options.suite else [SUITE, *asked]


def _paths(options: Options) -> dict[str, tuple[str, ...]]:
    return {name: settings for name, settings in PATHS.items() if options.every or name != "bf16"}


def _by_row(found: Iterable[bytes]) -> dict[str, list[float]]:
    rows: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for data in found:
        payload: Any = parse(data)
        number = accuracy(payload)
        assert number is not None
        config = payload["config"]
        name = f"{config['method']['name']}, {noise_text(config['noise'])}"
        rows[name].append((config["seed"], number))
    return {name: [number for _, number in sorted(numbers)] for name, numbers in sorted(rows.items())}


def _row(name: str, by_path: Mapping[str, list[float]], path: str) -> dict[str, Any]:
    plain, other = by_path[PLAIN], by_path[path]
    test = paired_t(other, plain)
    spread, difference = sample_sd(plain), test.difference or 0.0
    return {
        "row": name,
        "path": path,
        "seeds": len(plain),
        "plain": {"mean": mean(plain), "sd": spread},
        "other": {"mean": mean(other), "sd": sample_sd(other)},
        "difference": difference,
        "interval": None if test.low is None else [test.low, test.high],
        "within_spread": None if spread is None else abs(difference) <= spread,
        "excludes_zero": test.low is not None and test.high is not None and not test.low <= 0 <= test.high,
    }


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "within_spread": sum(bool(row["within_spread"]) for row in rows),
        "excluding_zero": sum(row["excludes_zero"] for row in rows),
        "compared": len(rows),
    }


def _verdict(rows: list[dict[str, Any]]) -> str:
    told = _summary(rows)
    return (
        f"{told['within_spread']} of {told['compared']} differences within the spread over seeds of the plain runs; "
        f"{told['excluding_zero']} of {told['compared']} 95 % intervals leave 0 out, {0.05 * len(rows):.1f} expected"
    )


def _cells(row: dict[str, Any]) -> list[str]:
    """Percent, but for the difference and its interval: percentage points."""
    low_high = row["interval"]
    interval = "-" if low_high is None else f"{100 * low_high[0]:+.2f} to {100 * low_high[1]:+.2f}"
    within = {True: "yes", False: "no", None: "-"}[row["within_spread"]]
    return [
        row["row"],
        row["path"],
        _number(row["plain"]),
        _number(row["other"]),
        f"{100 * row['difference']:+.2f}",
        interval,
        within,
    ]


def _number(found: Mapping[str, float | None]) -> str:
    assert found["mean"] is not None
    sd = "" if found["sd"] is None else f" ± {100 * found['sd']:.2f}"
    return f"{100 * found['mean']:.2f}{sd}"


def _line(row: dict[str, Any]) -> str:
    name, path, plain, other, difference, interval, within = _cells(row)
    return f"{name}: plain {plain}, {path} {other}; difference {difference} ({interval}), within spread: {within}"


def _markdown(title: str, rows: list[dict[str, Any]]) -> str:
    head = ["method, noise", "path", "plain", "this path", "difference", "95 % interval", "within spread"]
    seeds = max((row["seeds"] for row in rows), default=0)
    lines = [f"{title}; test accuracy after the last epoch in %, mean ± sample sd over {seeds} seeds", ""]
    lines += [f"| {' | '.join(head)} |", "|---|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    return "\n".join([*lines, "", _verdict(rows)]) + "\n"
