"""Which runs may be averaged: rows of one method and one setting of everything else, columns of one noise.

Whatever a run's configuration holds besides method, noise and seeds is part of its comparability key. Where runs of one
method and column differ in it, the method gets several rows, each labelled with the keys that differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from bench.evidence.records import Payload, distinct, noise_text

Column = tuple[str, str]  # dataset, noise

PARAMS = "method.params."
FROM_PAYLOAD = ("schema", "code", "method_code", "dataset_digest", "device_kind")  # unknown before a run has finished
SHORTENED = (
    "dataset.digest",
    "dataset_digest",
    "code",
    "method_code",
)  # hexadecimal, shown by its first eight characters
UNSET = "unset"  # no JSON text: differs from every value


@dataclass
class Entry:
    """One run, finished or only planned (`payload` is None)."""

    run_id: str
    config: Mapping[str, Any]
    payload: Payload | None
    column: Column
    key: dict[str, str]

    @property
    def method(self) -> str:
        return str(self.config["method"]["name"])

    @property
    def seeds(self) -> tuple[int, int]:
        return self.config["seed"], self.config["noise"]["seed"]


@dataclass
class Group:
    """One row: runs of one method that differ in noise and seeds alone."""

    label: str
    method: str
    entries: list[Entry] = field(default_factory=list)

    def runs(self, column: Column) -> list[Payload]:
        """Return the finished runs of a column, ordered by seed."""
        found = sorted((e for e in self.entries if e.column == column and e.payload), key=lambda e: e.seeds)
        return [e.payload for e in found if e.payload]

    def planned(self, column: Column) -> int:
        return sum(entry.column == column for entry in self.entries)


@dataclass
class Grouping:
    groups: list[Group]
    columns: list[Column]
    notes: list[str]

    def column_label(self, column: Column) -> str:
        """Return the noise, with the data set before it if the table has several."""
        return " · ".join(column) if len({dataset for dataset, _ in self.columns}) > 1 else column[1]


def group(
    results: Iterable[Payload],
    *,
    methods: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    expected: Mapping[str, Mapping[str, Any]] | None = None,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
) -> Grouping:
    """Sort runs into rows and columns.

    `methods` and `columns` (noise labels) only order what is there: whatever they leave out follows, and a method
    without any run has an empty row. `expected` maps the run_id of every planned run to its configuration. `defaults`
    maps a method to its default hyper-parameters: other values are shown in the row's label.
    """
    finished = {payload["run_id"]: payload for payload in distinct(results)}
    configs = {**(expected or {}), **{run_id: payload["config"] for run_id, payload in finished.items()}}
    place = {run_id: i for i, run_id in enumerate(expected or {})}
    entries = [_entry(run_id, config, finished.get(run_id)) for run_id, config in configs.items()]
    entries.sort(key=lambda entry: (place.get(entry.run_id, len(place)), _nature(entry)))
    planned = [entry.method for entry in entries if entry.run_id in place]
    order = dict.fromkeys([*(methods or []), *planned, *sorted(entry.method for entry in entries)])
    groups, notes = [], []
    for method in order:
        own = [entry for entry in entries if entry.method == method]
        rows, said = _rows(method, own, (defaults or {}).get(method, {}))
        groups += rows
        notes += said
    wanted = list(columns or [])
    found = dict.fromkeys(entry.column for entry in entries)
    ordered = sorted(found, key=lambda column: wanted.index(column[1]) if column[1] in wanted else len(wanted))
    _refuse_mixed_noise(groups)
    notes += _differences_between(groups) + _unequal_noise(groups)
    return Grouping(groups, ordered, notes)


def _entry(run_id: str, config: Mapping[str, Any], payload: Payload | None) -> Entry:
    rest = {name: value for name, value in config.items() if name not in ("seed", "noise")}
    rest = {**rest, "dataset": {k: v for k, v in config["dataset"].items() if k != "name"}}
    if payload:
        rest |= {name: payload[name] for name in FROM_PAYLOAD}
    column = (str(config["dataset"]["name"]), noise_text(config["noise"]))
    return Entry(run_id, config, payload, column, dict(_flat(rest)))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, _exact(value) if isinstance(value, list) else _exact_word(type(value).__name__, value)


def _exact(value: object) -> str:
    """Return JSON: the number 1 and the word "1" are different settings."""
    return json.dumps(value, sort_keys=True)


@cache
def _exact_word(kind: str, value: Any) -> str:
    """The same of what may be a key: thousands of runs share their settings, and 1, 1.0 and True are not equal here."""
    return _exact(value)


def _nature(entry: Entry) -> tuple[str, str, float, str, tuple[int, int], str]:
    noise = entry.config["noise"]
    return entry.column[0], noise["family"], noise.get("rate") or 0.0, entry.column[1], entry.seeds, entry.run_id


def _varying(entries: list[Entry]) -> list[str]:
    """Return the keys in which runs of one method and column differ."""
    names: dict[str, None] = {}
    for column in {entry.column for entry in entries}:
        keys = [entry.key for entry in entries if entry.column == column]
        for name in dict.fromkeys(name for key in keys for name in key):
            unknown = name in FROM_PAYLOAD  # a planned run has no such value yet: that is no difference
            if len({key.get(name) for key in keys if not unknown or name in key}) > 1:
                names[name] = None
    names = {name: None for name in sorted(names)}
    if "dataset.digest" in names:
        names.pop("dataset_digest", None)  # one fact, recorded twice
    return list(names)


def _rows(method: str, entries: list[Entry], defaults: Mapping[str, Any]) -> tuple[list[Group], list[str]]:
    if not entries:
        return [Group(method, method)], []
    varying = _varying(entries)
    rows: dict[tuple[str, ...], list[Entry]] = {}
    late = []
    for entry in entries:
        if entry.payload is None and any(name in FROM_PAYLOAD for name in varying):
            late.append(entry)
        else:
            rows.setdefault(tuple(entry.key.get(name, UNSET) for name in varying), []).append(entry)
    for entry in late:  # a planned run joins the first row that it may belong to
        known = {i: entry.key.get(name, UNSET) for i, name in enumerate(varying) if name not in FROM_PAYLOAD}
        fits = next((k for k in sorted(rows, key=_natural) if all(k[i] == value for i, value in known.items())), None)
        rows.setdefault(fits or tuple(entry.key.get(name, UNSET) for name in varying), []).append(entry)
    unusual = {PARAMS + name: _exact(value) for name, value in defaults.items()}
    groups = []
    for values in sorted(rows, key=_natural):
        own = rows[values]
        shown = dict(zip(varying, values, strict=True))
        for name in sorted(unusual):
            used = {entry.key.get(name, UNSET) for entry in own}
            if len(used) == 1 and not _same(value := used.pop(), unusual[name]):
                shown.setdefault(name, value)
        settings = ", ".join(f"{short(name)}={short_value(name, value)}" for name, value in shown.items())
        groups.append(Group(f"{method} [{settings}]" if settings else method, method, own))
    notes = []
    if len(groups) > 1:
        keys = ", ".join(short(name) for name in varying)
        notes.append(f"{method} has {len(groups)} rows, which are not averaged, because its runs differ in: {keys}")
    return groups, notes + [note for row in groups for note in _tuned_by_column(row)]


def _same(value: str, default: str) -> bool:
    """Compare a setting with a default, which may be written 1 where the setting was cast to 1.0."""
    return value == default or (value != UNSET and bool(json.loads(value) == json.loads(default)))


def _tuned_by_column(row: Group) -> list[str]:
    names = sorted({name for entry in row.entries for name in entry.key if name.startswith(PARAMS)})
    notes = []
    for name in names:
        used: dict[str, list[str]] = {}
        for entry in row.entries:
            labels = used.setdefault(entry.key.get(name, UNSET), [])
            if (label := " · ".join(entry.column)) not in labels:
                labels.append(label)
        if len(used) > 1:
            values = "; ".join(f"{short_value(name, v)} for {', '.join(labels)}" for v, labels in used.items())
            notes.append(f"{row.label}: {short(name)} is set per column: {values}")
    return notes


def _natural(values: tuple[str, ...]) -> list[tuple[int, float, str]]:
    """Order 5 before 50 and numbers before words."""
    ordered = []
    for value in values:
        try:
            ordered.append((0, float(value), value))
        except ValueError:  # a word, not a number
            ordered.append((1, 0.0, value))
    return ordered


def short(name: str) -> str:
    """Return a key without the section it stands in."""
    for prefix in (PARAMS, "train.", "dataset.", "method."):
        name = name.removeprefix(prefix)
    return name


def short_value(name: str, value: str) -> str:
    """Return a key's value for readers."""
    value = value.strip('"')
    return value[:8] if name in SHORTENED else value


def _refuse_mixed_noise(groups: list[Group]) -> None:
    for row in groups:
        seen: dict[tuple[Column, int], str] = {}
        for entry in row.entries:
            if entry.payload is None:
                continue
            noise_seed, noise_id = entry.config["noise"]["seed"], entry.payload["noise_id"]
            other = seen.setdefault((entry.column, noise_seed), noise_id)
            if other != noise_id:
                raise ValueError(
                    f"{row.label}, {entry.column[1]}, noise seed {noise_seed}: runs differ in noise_id "
                    f"({other}, {noise_id}), so their labels differ and they cannot be averaged"
                )


def _unequal_noise(groups: list[Group]) -> list[str]:
    seen: dict[tuple[Column, int], dict[str, list[str]]] = {}
    for row in groups:
        for entry in row.entries:
            if entry.payload:
                ids = seen.setdefault((entry.column, entry.config["noise"]["seed"]), {})
                labels = ids.setdefault(entry.payload["noise_id"], [])
                if row.label not in labels:
                    labels.append(row.label)
    return [
        f"{column[1]}, noise seed {noise_seed}: rows differ in noise_id and are not paired: "
        + "; ".join(f"{noise_id} ({', '.join(labels)})" for noise_id, labels in ids.items())
        for (column, noise_seed), ids in seen.items()
        if len(ids) > 1
    ]


def _differences_between(groups: list[Group]) -> list[str]:
    """Name what differs between the rows of one column, besides the method and its hyper-parameters."""
    notes: dict[str, str] = {}
    for column in dict.fromkeys(entry.column for row in groups for entry in row.entries):
        found: dict[str, dict[str, list[str]]] = {}
        for row in groups:
            for name, value in next((e.key for e in row.entries if e.column == column and e.payload), {}).items():
                if not name.startswith("method"):  # "method_code" too: two methods are never the same code
                    found.setdefault(name, {}).setdefault(value, []).append(row.method)
        if len(found.get("dataset.digest", {})) > 1:
            found.pop("dataset_digest", None)
        for name, values in found.items():
            if len(values) > 1 and name not in notes:
                said = "; ".join(f"{short_value(name, v)} ({', '.join(used)})" for v, used in values.items())
                notes[name] = f"rows differ in {short(name)}: {said}"
    return list(notes.values())
