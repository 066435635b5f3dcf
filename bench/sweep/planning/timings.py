"""What finished runs took, read off the beginning and the end of their records: for the order and the price of others.

Nothing is checked as a table checks it: a wrong figure here costs a guess and no number.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench.config import RunConfig
from bench.data.datasets import DatasetInfo
from bench.files import parse
from bench.sweep.job import SHARE
from bench.sweep.planning.grid import Planned
from bench.sweep.records.store import Store

ENOUGH = 3  # records of a kind of run, after which no more of it are sought
LOOKS = 200  # records read at most
FORWARDS = 3  # what training on a sample costs in forward passes; scoring it costs one
_PART = 1 << 16  # bytes of a record that are read at its beginning, and at its end


class Setup(NamedTuple):
    """What decides how long a network takes per sample."""

    dataset: str
    network: str
    batch_size: int
    precision: str
    channels_last: bool
    threads: int
    compiled: bool


class Kind(NamedTuple):
    """Runs that take equally long: they differ in labels, seed and hyper-parameters."""

    setup: Setup
    method: str
    epochs: int
    samples: tuple[int, int]  # trained on in an epoch, and scored after it


@dataclass(frozen=True)
class Timing:
    """A finished run: `seconds` of a device to itself, from the start of its process; `outside` of training."""

    kind: Kind
    networks: int
    seconds: float
    outside: float | None  # None in older records

    @property
    def rate(self) -> float:
        """Seconds per forward pass of one sample, were the method one plain pass over the data."""
        return (self.seconds - (self.outside or 0.0)) / size_of(self.kind, self.networks)


class Past:
    """What is known of the time of runs."""

    def __init__(self, timings: Iterable[Timing]) -> None:
        self.timings = list(timings)
        self.same: dict[Kind, list[float]] = defaultdict(list)
        self.by_method: dict[tuple[Setup, str], list[float]] = defaultdict(list)
        self.by_setup: dict[Setup, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for timing in self.timings:
            kind = timing.kind
            self.same[kind].append(timing.seconds)
            self.by_method[kind.setup, kind.method].append(timing.rate)
            self.by_setup[kind.setup][kind.method].append(timing.rate)

    @property
    def outside(self) -> float | None:
        """Seconds of a run that are not training: its process, data and record; None if no record tells."""
        told = [timing.outside for timing in self.timings if timing.outside is not None]
        return median(told) if told else None

    def longest_first(self, runs: Sequence[Planned]) -> list[Planned]:
        """The runs by what they are likely to take, longest first; equals stay in order."""
        rates = [timing.rate for timing in self.timings]
        anything = median(rates) if rates else 1.0
        guesses: dict[Kind, float] = {}
        for run in runs:
            kind = kind_of(run)
            if kind not in guesses:
                guesses[kind] = self._guess(kind, run.networks, anything)
        return sorted(runs, key=lambda run: -guesses[kind_of(run)])

    def _guess(self, kind: Kind, networks: int, anything: float) -> float:
        if same := self.same.get(kind):
            return median(same)
        others = [rate for rates in self.by_setup.get(kind.setup, {}).values() for rate in rates]
        rates = self.by_method.get((kind.setup, kind.method)) or others
        return size_of(kind, networks) * (median(rates) if rates else anything)


def read(store: Store, runs: Sequence[Planned], device_kind: str, name: str | None = None) -> Past:
    """What the results folder tells of runs like these, on the same kind of device ("cpu" or "cuda").

    With `name` only what devices of this name took counts, such as one of the several GPUs of a machine.
    Records of these runs come first, then the newest others, until every kind of run is known or enough were read.
    """
    wanted = {kind_of(run): 0 for run in runs}
    infos = {run.config.dataset.name: run.info for run in runs}
    found: list[Timing] = []
    for looks, path in enumerate(_records(store, runs)):
        if looks == LOOKS or all(count >= ENOUGH for count in wanted.values()):
            break
        timing = _timing(path, infos, device_kind, name)
        if timing is not None:
            found.append(timing)
            if timing.kind in wanted:
                wanted[timing.kind] += 1
    return Past(found)


def kind_of(run: Planned) -> Kind:
    """The kind of a planned run."""
    return _kind(run.config, run.info)


def size_of(kind: Kind, networks: int) -> float:
    """Forward passes of one sample that a run takes, if its method makes one plain pass over its data an epoch."""
    trained, scored = kind.samples
    return networks * kind.epochs * (FORWARDS * trained + scored)


def _kind(config: RunConfig, info: DatasetInfo) -> Kind:
    train = config.train
    numbers = train.batch_size, train.precision, train.channels_last, train.threads, train.compile
    return Kind(
        Setup(config.dataset.name, train.network, *numbers), config.method.name, train.epochs, samples_of(config, info)
    )


def samples_of(config: RunConfig, info: DatasetInfo) -> tuple[int, int]:
    """Training samples of an epoch, and samples scored after it."""
    data = config.dataset
    total = data.train_limit or info.train_size
    held_out = round(data.val * total)
    train = total - held_out - data.trusted
    held_out += info.val_size
    train = min(train, info.epoch_size or train)
    tested = min(data.test_limit or info.test_size, info.test_size)
    return train, tested + held_out + min(config.train.trace_samples, train)


def _records(store: Store, runs: Sequence[Planned]) -> Iterator[Path]:
    """Paths of result.json, these runs' own before all others; the list of the others is made only if it is needed."""
    own = {run.run_id for run in runs}
    paths = (store.runs / run.run_id / "result.json" for run in _spread(runs))
    yield from (path for path in paths if path.is_file())
    others = []
    for run_id in store.run_ids():
        path = store.runs / run_id / "result.json"
        try:
            if run_id not in own:
                others.append((path.stat().st_mtime, path))
        except OSError:  # not finished
            continue
    yield from (path for _, path in sorted(others, reverse=True))


def _spread(runs: Sequence[Planned]) -> list[Planned]:
    """The first run of every kind, then the second, and so on."""
    seen: dict[Kind, int] = defaultdict(int)
    turns = []
    for number, run in enumerate(runs):
        kind = kind_of(run)
        turns.append((seen[kind], number))
        seen[kind] += 1
    return [runs[number] for _, number in sorted(turns)]


def _timing(path: Path, infos: dict[str, DatasetInfo], device_kind: str, name: str | None) -> Timing | None:
    """What a record tells; None where it is of other data or another device, diverged, resumed, or cannot be read."""
    try:
        payload, networks, provenance = _ends(path)
        config = RunConfig.from_dict(payload["config"])
        info = infos[config.dataset.name]
        if payload["device_kind"] != device_kind or config.dataset.digest != info.digest or payload["diverged"]:
            return None
        if provenance["epochs_this_attempt"] != config.train.epochs:
            return None
        if name is not None and provenance["attempts"][-1].get("device") != name:
            return None
        share = _share(path.parent, provenance["attempts"][-1])
        seconds = (float(provenance["seconds"]) + float(provenance.get("start_seconds", 0.0))) * share
        trained = provenance.get("training_seconds")
        outside = None if trained is None else seconds - float(trained) * share
        return Timing(_kind(config, info), networks, seconds, outside)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _share(folder: Path, attempt: dict[str, Any]) -> float:
    """Which part of its device's time a run had: as its supervisor told at the end, else by its neighbours at first."""
    try:
        told: Any = parse((folder / SHARE).read_bytes())
        if 0 < (share := float(told["share"])) <= 1:
            return share
    except (OSError, ValueError, KeyError, TypeError):  # on a CPU, of an older record, or the supervisor was killed
        pass
    return 1 / max(1, int(attempt.get("sharing", 1)))


def _ends(path: Path) -> tuple[dict[str, Any], int, dict[str, Any]]:
    """What stands before the history of a record, its number of networks, and its provenance; ValueError if torn."""
    with path.open("rb") as file:
        head = file.read(_PART)
        file.seek(max(0, os.fstat(file.fileno()).st_size - _PART))
        tail = file.read()
    start, end = head.find(b',"history":['), tail.rfind(b',"provenance":{')
    number = re.compile(rb'"num_networks":(\d+),').search(tail)
    if start < 0 or end < 0 or number is None:
        raise ValueError("this is no record")
    before: Any = parse(head[:start] + b"}}")
    after: Any = parse(b"{" + tail[end + 1 :])
    return before["payload"], int(number[1]), after["provenance"]
