"""What a row costs: epochs, passes over the training set, hours of a device, and their ratio to the baseline.

Passes are counted, and the same wherever a run is made. Hours are those of a clock: runs on different devices are not
averaged, and a run beside others on one device takes longer than alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bench.evidence.grouping import Column, Group, Grouping
from bench.evidence.records import Payload, Spent
from bench.evidence.statistics import mean

UNNAMED = "a device that the records do not name"
NAMED = 4  # of many devices


@dataclass(frozen=True)
class Cost:
    """One row: means over its runs that did not diverge, None where it is not known; ratios are means over columns."""

    epochs: float | None = None
    passes: float | None = None
    hours: float | None = None
    device: str = ""
    passes_ratio: float | None = None
    hours_ratio: float | None = None


@dataclass(frozen=True)
class Costs:
    """The cost of every row by its label, and what must be said beside the hours."""

    rows: dict[str, Cost]
    notes: tuple[str, ...]


def passes(run: Payload) -> float | None:
    """Return how often the images of the training set went forward through a network, scoring included."""
    train = run["totals"].get("train")
    return run["forward_samples"] / train if train else None


def of(grouping: Grouping, spent: Mapping[str, Spent], baseline: str | None = None) -> Costs:
    """Return what each row costs; `spent` is by run_id, `baseline` the label of a row.

    A ratio is the mean over the columns in which both rows have a cost, of hours only where both were made on one
    device.
    """
    base = next((row for row in grouping.groups if row.label == baseline), None)
    rows = {row.label: _cost(row, grouping.columns, spent, base) for row in grouping.groups}
    runs = [run for row in grouping.groups for column in grouping.columns for run in row.runs(column)]
    return Costs(rows, tuple(_notes(grouping, runs, spent, rows, baseline if base else None)))


def time_text(hours: float) -> str:
    """Return a time in the unit that suits it."""
    if (seconds := round(3600 * hours, 1)) < 60:
        return f"{seconds} s" if seconds else "under .1 s"
    minutes = round(60 * hours, 1)
    return f"{minutes} min" if minutes < 60 else f"{hours:,.1f} h"


def times_text(ratio: float) -> str:
    """Return a ratio with as many digits as one reads."""
    return f"{ratio:.2f}x" if ratio < 1 else f"{ratio:.1f}x" if ratio < 100 else f"{ratio:,.0f}x"


def hours_of(spent: Mapping[str, Spent]) -> tuple[dict[str, float], str]:
    """Return the hours by run_id and what they are hours of; nothing where devices differ or a run does not tell."""
    devices = {one.device for one in spent.values()}
    if len(devices) != 1 or any(one.seconds is None for one in spent.values()):
        return {}, ""
    shared = [said for said in (_gpu(spent.values()), _cpu(spent.values())) if said]
    return {run_id: (one.seconds or 0.0) / 3600 for run_id, one in spent.items()}, "; ".join(
        [devices.pop() or UNNAMED, *shared]
    )


def _cost(row: Group, columns: Sequence[Column], spent: Mapping[str, Spent], base: Group | None) -> Cost:
    runs = [run for column in columns for run in kept(row, column)]
    if not runs:
        return Cost()
    hours, device = _hours(runs, spent)
    return Cost(
        epochs=mean([run["config"]["train"]["epochs"] for run in runs]),
        passes=_passes(runs),
        hours=hours,
        device=device,
        passes_ratio=_ratio([(_passes(kept(row, c)), _passes(kept(base, c))) for c in columns]) if base else None,
        hours_ratio=_ratio([_both(kept(row, c), kept(base, c), spent) for c in columns]) if base else None,
    )


def kept(row: Group, column: Column) -> list[Payload]:
    """The runs whose cost is that of the whole recipe."""
    return [run for run in row.runs(column) if not run["diverged"]]


def _passes(runs: Sequence[Payload]) -> float | None:
    known = [value for run in runs if (value := passes(run)) is not None]
    return mean(known) if len(known) == len(runs) else None


def _hours(runs: Sequence[Payload], spent: Mapping[str, Spent]) -> tuple[float | None, str]:
    """Mean hours of the runs that tell theirs, and their device; None where there are several devices."""
    told = [one for run in runs if (one := spent.get(run["run_id"])) is not None and one.seconds is not None]
    devices = {one.device for one in told}
    if len(devices) != 1:
        return None, ""
    found = mean([(one.seconds or 0.0) / 3600 for one in told])
    return found, devices.pop() or UNNAMED


def _both(own: Sequence[Payload], base: Sequence[Payload], spent: Mapping[str, Spent]) -> tuple[float | None, ...]:
    (hours, device), (others, other) = _hours(own, spent), _hours(base, spent)
    return (hours, others) if device == other else (None, None)


def _ratio(pairs: Iterable[tuple[float | None, ...]]) -> float | None:
    return mean([cost / base for cost, base in pairs if cost is not None and base])


def _notes(
    grouping: Grouping,
    runs: Sequence[Payload],
    spent: Mapping[str, Spent],
    rows: Mapping[str, Cost],
    baseline: str | None,
) -> list[str]:
    """Whose time this is, what is not in them, and what made it longer."""
    notes = ["passes: how often the images of the training set went forward through a network, scoring included"]
    if baseline is not None:
        notes.append(f"ratios are to {baseline}: the mean over the columns of the ratio within each")
    whole = [run for run in runs if not run["diverged"]]
    if len(whole) < len(runs):
        notes.append(f"diverged runs are left out of every cost: {len(runs) - len(whole)} of {len(runs)}")
    told = {run["run_id"]: spent[run["run_id"]] for run in whole if run["run_id"] in spent}
    timed = [one for one in told.values() if one.seconds is not None]
    if len(timed) < len(whole):
        notes.append(
            f"the time is known of {len(timed)} of {len(whole)} runs; the others went on from a checkpoint, "
            "and their records tell the last part's alone, or none"
        )
    counts: dict[str, int] = {}
    for one in timed:
        counts[one.device or UNNAMED] = counts.get(one.device or UNNAMED, 0) + 1
    if len(counts) == 1:
        notes.append(f"time: of one run's process on {next(iter(counts))}")
    elif counts:
        most = sorted(counts, key=lambda name: -counts[name])
        some = "; ".join(f"{counts[name]} on {name}" for name in most[:NAMED])
        beyond = len(most) - NAMED
        more = f"; and {beyond} more device{'' if beyond == 1 else 's'}" if beyond > 0 else ""
        split = [row.label for row in grouping.groups if rows[row.label].passes and rows[row.label].hours is None]
        dashes = f": no time for {', '.join(split)}" if split else ", nor are rows of different devices"
        notes.append(f"runs were timed on {len(counts)} devices ({some}{more}), which are not averaged{dashes}")
    return notes + [f"{said}: they took longer than alone" for said in (_gpu(timed), _cpu(timed)) if said]


def _gpu(timed: Iterable[Spent]) -> str:
    """How many runs shared a GPU, as they found it when they began."""
    shared = [one.sharing for one in timed if one.sharing is not None and one.sharing > 1]
    return f"{len(shared)} runs shared their GPU as they began, up to {max(shared)} at a time" if shared else ""


def _cpu(timed: Iterable[Spent]) -> str:
    """How many runs at least were under way on one machine at a time, by when they began and what they took.

    Times of starting are whole seconds, so a run that began at t and took s was surely under way from t + 1 to t + s.
    """
    hosts: dict[str, list[tuple[float, int]]] = {}
    for one in timed:
        if one.sharing is None and one.host and one.started and one.seconds is not None and one.seconds >= 1:
            try:
                start = datetime.fromisoformat(one.started).timestamp()
            except ValueError:  # of another program's making
                continue
            hosts.setdefault(one.host, []).extend([(start, 1), (start + one.seconds - 1, -1)])
    most = 0
    for events in hosts.values():
        running = 0
        for _, change in sorted(events):
            running += change
            most = max(most, running)
    return f"at least {most} runs at a time on one machine" if most > 1 else ""
