"""What a results folder holds of planned runs: valid results, and why the other runs have none."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.noisy import spec_of
from bench.fingerprint import harness_code, method_code
from bench.sweep.planning.grid import Planned, Suite
from bench.sweep.records.reading import Facts, Payloads, Results, without_collector
from bench.sweep.records.store import Corrupt, State, Store
from methods import registry

if TYPE_CHECKING:
    from bench.evidence.records import Spent
    from methods.fields import MethodInfo


@dataclass
class Evidence:
    """Valid results of planned runs, and why the others have none."""

    suite: Suite
    runs: list[Planned]
    payloads: Payloads = field(default_factory=Payloads)
    facts: dict[str, Facts] = field(default_factory=dict)  # run_id -> what its result says, of those with a payload
    failed: dict[str, str] = field(default_factory=dict)
    corrupt: dict[str, str] = field(default_factory=dict)
    conflicts: list[Path] = field(default_factory=list)
    stale: set[str] = field(default_factory=set)  # finished by other code than today's
    infos: dict[str, MethodInfo] = field(default_factory=dict)  # of each method whose code is named, by its name

    def alarms(self) -> list[str]:
        """What no table may pass over: results that are damaged, and runs that came out in two ways."""
        two_ways = [f"{path}: a second finisher found other numbers than result.json" for path in self.conflicts]
        return [*self.corrupt.values(), *two_ways]

    @property
    def digests(self) -> dict[str, str]:
        """run_id -> digest of its payload."""
        return {run_id: facts.payload for run_id, facts in self.facts.items()}

    @property
    def spent(self) -> dict[str, Spent]:
        """run_id -> the time that it took, of those with a payload."""
        return {run_id: facts.spent for run_id, facts in self.facts.items()}

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(run.config.method.name for run in self.runs))

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(self._labels.values()))

    @property
    def column_of(self) -> dict[str, str]:
        """run_id -> the label of the run's column, with the data set before it if the table has several."""
        labels, several = self._labels, len({run.config.dataset.name for run in self.runs}) > 1
        return {
            run.run_id: f"{run.config.dataset.name} · {labels[run.noise]}" if several else labels[run.noise]
            for run in self.runs
        }

    @property
    def _labels(self) -> dict[str, str]:
        """Noise as the suite writes it -> the label of its column."""
        runs = {run.noise: run for run in self.runs}
        return {text: spec_of(run.config.noise).label for text, run in runs.items()}


def gather(store: Store, suite: Suite, runs: list[Planned]) -> Evidence:
    """Read every planned run's result: the only road from a run to a number."""
    results = Results(store, [run.run_id for run in runs])
    found = Evidence(suite, runs, results.payloads, results.facts)
    specs = {run.config.method.name: run.spec for run in runs}
    found.infos = {name: info for name, spec in specs.items() if (info := described(spec)) is not None}
    harness = functools.cache(harness_code)  # not asked for before there is a result
    today = functools.cache(lambda name: (harness(), method_code(found.infos[name].file)))
    with without_collector():
        results.look_ahead()
        for run in runs:
            folder = store.run(run.run_id)
            found.conflicts += folder.conflicts()
            try:
                facts = results.read(folder)
            except Corrupt as error:
                found.corrupt[run.run_id] = str(error)
                continue
            if facts is not None:
                if run.config.method.name in found.infos and facts.code != today(run.config.method.name):
                    found.stale.add(run.run_id)
            elif folder.state() is State.FAILED:
                found.failed[run.run_id] = str((folder.last_failure() or {}).get("message", "failed"))
    results.remember()
    return found


@functools.cache
def described(spec: str) -> MethodInfo | None:
    """What is known of a method, by its name or by "file.py:Class"; None of a class from elsewhere named by its record.

    Such a name, as "mine.Class", does not say where the file is; nobody else's code is looked for.
    """
    return registry.describe(spec) if ":" in spec or spec in registry.available() else None
