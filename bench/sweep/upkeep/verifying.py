"""What lies in a results folder, held against what it claims to be: records, predictions, labels, per-sample tables.

Nothing is believed because the harness wrote it: records are opened by `bench.evidence.recount`, digests are counted
here. What cannot be checked, because data are not there, is said with the reason; a run that is not finished is none.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

import noise
from bench.config import RunConfig
from bench.data import datasets
from bench.data.noisy import draw, spec_of, split_of, stored_name
from bench.evidence import recount
from bench.evidence.recount import Run, digest
from bench.files import read_regular
from bench.fingerprint import harness_code
from bench.names import few
from bench.sweep.records.sample_files import NAME_PATTERN
from bench.sweep.records.store import RUN_PATTERN, RunFolder, Store

NAMED = 3  # strangers that are named
NOISE_ID = re.compile(r"n[0-9a-f]{16}")
DIGEST = re.compile(r"[0-9a-f]{64}")


class Known(Protocol):
    """A run whose configuration is known, be it planned here or told by somebody."""

    @property
    def run_id(self) -> str: ...
    @property
    def config(self) -> RunConfig: ...


@dataclass(frozen=True)
class Violation:
    """A file, or a cell of a table, that is not what it claims to be."""

    file: str
    reason: str


@dataclass
class Report:
    """What was checked (by kind, with counts), what could not be and why, what else is worth a line, what is wrong."""

    checked: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)

    def count(self, kind: str, number: int = 1) -> None:
        """Note that so many of a kind were checked."""
        self.checked[kind] = self.checked.get(kind, 0) + number

    def wrong(self, file: Path | str, reason: object) -> None:
        """Note a violation, in one line."""
        self.violations.append(Violation(str(file), " ".join(str(reason).split())))


class Verifier:
    """Checks the files of planned runs and of the labels they met; `found` holds the valid records by run_id."""

    def __init__(
        self,
        store: Store,
        runs: Sequence[Known],
        data_dir: Path | None,
        report: Report,
        *,
        strange: bool = False,
        told: Collection[str] = (),
    ) -> None:
        """With `strange`, what records say of their code excuses nothing: whoever makes labels up can write it too.

        Of the runs `told`, by their ids, the report says already what is wrong with them.
        """
        self.store, self.runs, self.data_dir, self.report = store, runs, data_dir, report
        self.strange, self.told = strange, told
        self.found: dict[str, Run] = {}
        self._loaded: dict[tuple[str, str], datasets.Dataset | None] = {}  # by name and digest

    def run(self) -> dict[str, Run]:
        """Check everything; return the valid records."""
        self._strangers()
        for run in self.runs:
            self._open(run.run_id)
        done = [run for run in self.runs if run.run_id in self.found]
        for line in recount.unequal_labels(self.found.values()):
            self.report.wrong(self.store.noise, line)
        met = self._labels(done)
        for run in done:
            folder, found = self.store.run(run.run_id), self.found[run.run_id]
            self._predictions(folder, found, self._test_labels(run.config, met.get(run.run_id)))
            self._samples(folder, found)
        return self.found

    def _strangers(self) -> None:
        """Count what is under runs/ beside the suite: it has no part in any number."""
        try:
            with os.scandir(self.store.runs) as entries:
                folders = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
        except (FileNotFoundError, NotADirectoryError):
            return
        beside = sorted(folders.keys() - {run.run_id for run in self.runs} - set(self.told))
        others = [name for name in beside if folders[name] and RUN_PATTERN.fullmatch(name)]
        unknown = [name for name in beside if name not in set(others)]
        if others:
            self.report.notes.append(f"runs of other suites beside these, not looked at: {len(others)}")
        if unknown:
            self.report.notes.append(f"entries of runs/ that are no runs: {len(unknown)} ({few(unknown, NAMED)})")

    def _open(self, run_id: str) -> None:
        path = self.store.runs / run_id / "result.json"
        try:
            folder = self.store.run(run_id)
            for conflict in folder.conflicts():
                self.report.wrong(conflict, "a second finisher of the run found other numbers than result.json")
            self._config(folder)
            self.found[run_id] = recount.brief(recount.opened(read_regular(path), run_id))
            self.report.count("records")
        except (FileNotFoundError, NotADirectoryError):  # not finished
            return
        except ValueError as error:  # a link in the folder's place, too
            self.report.wrong(path, error)

    def _config(self, folder: RunFolder) -> None:
        path = folder.path / "config.json"
        try:
            named = f"r{digest(read_regular(path))[:20]}"
            if named != folder.run_id:
                self.report.wrong(path, f"its digest names run {named}")
        except FileNotFoundError:  # before a run has begun
            if (folder.path / "result.json").exists():
                self.report.wrong(path, "is missing beside a result")
        except ValueError as error:
            self.report.wrong(path, error)

    def _dataset(self, config: RunConfig) -> datasets.Dataset | None:
        """The data set that a run was planned on; None, and the reason told once, where it cannot be had."""
        wanted = config.dataset.name, config.dataset.digest
        if wanted not in self._loaded:
            self._loaded[wanted] = self._load(config)
        return self._loaded[wanted]

    def _load(self, config: RunConfig) -> datasets.Dataset | None:
        wanted = config.dataset
        try:
            found = datasets.load(wanted.name, self.data_dir)
            if found.info.digest == wanted.digest:
                return found
            reason = f"{wanted.name} has other content than the runs were planned on"
        except (ValueError, OSError) as error:
            reason = str(error)
        self.report.skipped.append(f"predictions against test labels, and labels drawn again: {reason}")
        return None

    def _labels(self, done: Sequence[Known]) -> dict[str, noise.Corruption]:
        """Check each label set that runs met, and what their records say of it; return the labels by run_id."""
        stored: dict[str, noise.Corruption | None] = {}
        redrawn: set[bytes] = set()
        counted: dict[bytes, dict[str, int]] = {}
        met = {}
        for run in done:
            facts = self.found[run.run_id].facts
            name = stored_name(facts["noise_id"], facts["totals"]["train_wrong"] is not None)
            if name not in stored:
                stored[name] = self._read_labels(name, facts["noise_id"])
            labels = stored[name]
            if labels is None:
                continue
            met[run.run_id] = labels
            setting = recount.spelt([name, facts["config"]["dataset"], run.config.noise.seed])
            if setting not in counted:
                counted[setting] = _count(labels, facts["config"]["dataset"], run.config.noise.seed)
            for part, count in counted[setting].items():
                if facts["totals"][part] != count:
                    path = self.store.runs / run.run_id / "result.json"
                    self.report.wrong(path, f"tells of {facts['totals'][part]} ({part}), its stored labels of {count}")
            recipe = recount.spelt([name, facts["config"]["noise"], facts["config"]["dataset"]["digest"]])
            if recipe not in redrawn and (dataset := self._dataset(run.config)) is not None:
                redrawn.add(recipe)
                self._redraw(dataset, name, run.config, facts["code"], labels)
        return met

    def _read_labels(self, name: str, noise_id: str) -> noise.Corruption | None:
        path = self.store.noise / f"{name}.npz"
        if not NOISE_ID.fullmatch(noise_id):
            self.report.wrong(self.store.runs, f"{noise_id!r} is no name of labels, and result.json has it")
            return None
        try:
            data = read_regular(path)
            labels, _ = noise.from_bytes(data)
            if (named := _labels_id(data)) != noise_id:
                raise ValueError(f"its labels are {named}")
        except FileNotFoundError:
            self.report.wrong(path, "is missing: the labels that finished runs met")
            return None
        except ValueError as error:
            self.report.wrong(path, error)
            return None
        self.report.count("label sets")
        return labels

    def _redraw(
        self, dataset: datasets.Dataset, name: str, config: RunConfig, code: str, labels: noise.Corruption
    ) -> None:
        spec, seed = spec_of(config.noise), config.noise.seed
        try:
            again = draw(dataset, spec, seed, self.data_dir, self.store.noise / "files")
        except (ValueError, OSError) as error:  # files that the family needs are not there
            self.report.skipped.append(f"{spec.label}, noise seed {seed}, drawn again: {error}")
            return
        if again.noise_id == labels.noise_id and _same(labels.clean, again.clean):
            self.report.count("label sets drawn again")
            return
        what = f"{spec.label}, noise seed {seed}, gives other labels when drawn again"
        if self.strange or code == harness_code():
            self.report.wrong(self.store.noise / f"{name}.npz", what)
        else:
            self.report.notes.append(f"{what}; the runs were made by other code than today's")

    def _test_labels(self, config: RunConfig, labels: noise.Corruption | None) -> NDArray[np.int64] | None:
        if labels is None or (dataset := self._dataset(config)) is None:
            return None
        test = dataset.test_labels
        if labels.known_classes is not None:
            test = test[test < labels.known_classes]
        return test[: config.dataset.test_limit]

    def _predictions(self, folder: RunFolder, found: Run, test: NDArray[np.int64] | None) -> None:
        named = found.facts.get("predictions_sha256")
        if named is None:
            return
        path = folder.path / f"predictions-{str(named)[:16]}.npy"
        try:
            if not DIGEST.fullmatch(str(named)):
                raise ValueError(f"{named!r} is no digest, and result.json has it")
            data = read_regular(path)
            if digest(data) != named:
                raise ValueError("its digest is not the one in result.json")
            self.report.count("prediction files")
            if test is not None:
                self.report.count("test accuracies from predictions", _score(data, test, found))
        except FileNotFoundError:
            self.report.wrong(path, "is missing: result.json names it")
        except ValueError as error:
            self.report.wrong(path, error)

    def _samples(self, folder: RunFolder, found: Run) -> None:
        told = found.provenance.get("samples_sha256") or {}
        if not isinstance(told, dict):
            self.report.wrong(folder.path / "result.json", "what it tells of per-sample tables is no table")
            return
        for name, expected in sorted(told.items()):
            path = folder.path / "samples" / name
            try:
                if not NAME_PATTERN.fullmatch(name):
                    raise ValueError("is no name of a per-sample table, and result.json holds it")
                if digest(read_regular(path)) != expected:
                    raise ValueError("its digest is not the one in result.json")
                self.report.count("per-sample tables")
            except FileNotFoundError:  # `clean --samples` takes them
                self.report.count("per-sample tables that are gone")
            except ValueError as error:
                self.report.wrong(path, error)


def _labels_id(data: bytes) -> str:
    """The name of the labels in an .npz, by its definition."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        parts = [arrays["given"].astype("<i8").tobytes()]
        if arrays["is_ood"].any():
            parts += [arrays["is_ood"].astype("u1").tobytes(), arrays["source_index"].astype("<i8").tobytes()]
    return f"n{hashlib.sha256(b''.join(parts)).hexdigest()[:16]}"


def _count(labels: noise.Corruption, dataset: dict[str, object], noise_seed: int) -> dict[str, int]:
    """How many samples are trained on and held out, and how many labels of the former are wrong where that is known."""
    parts = split_of(labels, dataset, noise_seed)
    counts = {"train": len(parts.train_index), "val": len(parts.val_index)}
    return counts if labels.clean is None else {**counts, "train_wrong": int(labels.wrong[parts.train_index].sum())}


def _same(stored: NDArray[np.int64] | None, again: NDArray[np.int64] | None) -> bool:
    return stored is again if stored is None or again is None else np.array_equal(stored, again)


def _score(data: bytes, test: NDArray[np.int64], found: Run) -> int:
    """Hold the last epoch's counts against predictions; return how many heads that were. ValueError if one differs."""
    predicted = np.load(io.BytesIO(data), allow_pickle=False)
    heads = found.facts["heads"]
    if predicted.shape != (len(heads), len(test)):
        raise ValueError(f"it has the shape {predicted.shape}, not {(len(heads), len(test))}")
    for head, row in zip(heads, predicted, strict=True):
        if (right := int((row == test).sum())) != found.last[head]:
            raise ValueError(f"{head} gets {right} test labels right, and {found.last[head]} by result.json")
    return len(heads)
