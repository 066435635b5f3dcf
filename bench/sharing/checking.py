"""One submission, believed in nothing: its files, its records by two roads, its labels, predictions and protocol."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bench import cache
from bench import config as cfg
from bench.data import places
from bench.evidence import records, recount
from bench.evidence.records import HEADLINE, RULES, Summary
from bench.files import canonical, check_name, read_regular, sha256
from bench.fingerprint import method_code, sources
from bench.sharing import archive, beside, claims, protocol
from bench.sharing.protocol import Protocol
from bench.sharing.submission import RAW, Submission
from bench.sharing.told import Told, check_shape, gaps, told_by
from bench.sweep.records.store import Corrupt, Store
from bench.sweep.upkeep.finished import inspect
from bench.sweep.upkeep.verifying import Report, Verifier
from methods import registry

NEAR = 1e-9  # by which two routes to a share may differ in their arithmetic
SHOWN = 8  # reasons that are told
LONGEST = 300  # characters of one
REMEMBERED = "submissions"
OURS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENOMEM)  # the trouble of this machine


@dataclass
class Checked:
    """A submission and what is to be said of it; `place` is where it lies in the folder."""

    place: str
    name: str = ""
    by: str = ""
    link: str = ""
    version: str = ""
    faults: list[str] = field(default_factory=list)  # any: it is refused
    unchecked: list[str] = field(default_factory=list)  # any: nobody can say here whether it holds
    gaps: list[str] = field(default_factory=list)  # any: it is incomplete
    notes: list[str] = field(default_factory=list)
    runs: list[Told] = field(default_factory=list)
    protocols: list[Protocol] = field(default_factory=list)
    enclosed: dict[str, str] = field(default_factory=dict)  # method of one's own -> what is known of its source

    @property
    def verdict(self) -> str:
        if self.faults:
            return "refused"
        return "unchecked" if self.unchecked else "incomplete" if self.gaps else "accepted"

    @property
    def reasons(self) -> list[str]:
        """Why it is not accepted, what weighs most first."""
        return [*self.faults, *(f"not checked: {reason}" for reason in self.unchecked), *self.gaps]

    @property
    def title(self) -> str:
        return self.name or Path(self.place).stem


def check(path: Path, place: str, asked: Sequence[Protocol] | None, data_dir: Path | None) -> Checked:
    """Check the archive or folder at `path` against the protocols of a suite, or against its own where none is asked.

    Whatever a stranger has written ends in a line of `faults`. An archive that was checked to the end is remembered.
    """
    found = Checked(place)
    try:
        known = _memory(path, asked)
        if known and (recalled := _recalled(known, place)) is not None:
            return recalled
        with archive.opened(path) as (folder, submission):
            complete = _Check(found, folder, submission, asked, data_dir).run()
    except OSError as error:
        if error.errno in OURS:
            raise
        found.faults.append(f"{error.filename or path}: {error.strerror or error}")
    except archive.Unsound as error:
        found.faults.append(str(error))
    except Exception as error:  # what strangers have written must not end the check of the others
        found.faults.append(f"it cannot be read: {type(error).__name__}: {error}")
    else:
        if known and complete:
            cache.keep(REMEMBERED, known, asdict(found))
    _shorten(found)
    return found


def _memory(path: Path, asked: Sequence[Protocol] | None) -> str:
    """The name under which a check is remembered: by the archive's bytes, what was asked, and all code."""
    if path.is_dir():
        return ""
    keys = None if asked is None else [one.key for one in asked]
    with archive.regular(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return sha256(canonical([digest, keys, sources(), sys.version]))[:32]


def _recalled(name: str, place: str) -> Checked | None:
    try:
        known = cache.recall(REMEMBERED, name)
        runs = [Told(**told) for told in known["runs"]]
        protocols = [cfg.typed(Protocol, one, "protocol") for one in known["protocols"]]
        return Checked(**{**known, "place": place, "runs": runs, "protocols": protocols})
    except (ValueError, TypeError, KeyError):  # nothing, or something of another form
        return None


def _shorten(found: Checked) -> None:
    """Tell each reason in one line of bounded length, and not hundreds of them."""
    for reasons in (found.faults, found.unchecked, found.gaps, found.notes):
        lines = [" ".join(reason.split()) for reason in dict.fromkeys(reasons)]
        lines = [line if len(line) <= LONGEST else f"{line[:LONGEST]}..." for line in lines]
        more = [f"and {len(lines) - SHOWN} more of the kind"] if len(lines) > SHOWN else []
        reasons[:] = [*lines[:SHOWN], *more]


class Run(NamedTuple):
    """A run that is told of."""

    run_id: str
    config: cfg.RunConfig


class _Check:
    """The check of one submission whose files are those that it lists."""

    def __init__(
        self,
        found: Checked,
        folder: Path,
        submission: Submission,
        asked: Sequence[Protocol] | None,
        data_dir: Path | None,
    ) -> None:
        self.found, self.store, self.submission, self.data_dir = found, Store(folder), submission, data_dir
        self.asked = asked
        found.name, found.by, found.link = submission.name, submission.by, submission.link
        found.version = submission.harness.version
        found.protocols = list(submission.protocols if asked is None else asked)
        self.beside = 0  # runs that the suite does not ask for

    def run(self) -> bool:
        """Check everything; say whether nothing was left unchecked for want of data."""
        self.found.faults += beside.faults(self.store.root, self.submission)
        runs = self._records()
        self.found.unchecked += self._second_road(runs)
        if not self.found.faults:
            self._raw()
            given = self.submission.methods if self.asked is None else {}
            self.found.gaps += gaps(self.found.protocols, self.found.runs, given)
            self._code()
        if self.beside:
            self.found.notes.append(f"{self.beside} runs beside the suite, not looked at")
        if left := self.submission.left_out:
            told = ", ".join(f"{n} {state}" for state, n in left.items())
            self.found.notes.append(f"not finished where it was exported: {told}")
        return not self.found.unchecked

    def _wrong(self, reason: object) -> None:
        self.found.faults.append(str(reason).replace(f"{self.store.root}/", ""))

    def _records(self) -> list[Run]:
        """Open every record by the harness's own rules; return the runs that a protocol asks for."""
        runs, strays = [], Counter[str]()
        for run_id in self.store.run_ids():
            try:
                finished = inspect(self.store.run(run_id))
                if finished is None:
                    raise ValueError("it holds no result.json")
                check_shape(finished.result.payload)
                check_name("method", str(finished.result.payload["config"]["method"]["name"]))
                run = Run(run_id, cfg.RunConfig.from_dict(finished.result.payload["config"]))
                places.check(run.config)
            except ValueError as error:
                self._wrong(error if isinstance(error, Corrupt) else f"runs/{run_id}: {error}")
                continue
            config = finished.result.payload["config"]
            if (key := self._place(config, strays)) is not None:
                self.found.runs.append(told_by(finished, key))
                runs.append(run)
        for reason, n in strays.items():
            self._wrong(f"{n} {'run keeps' if n == 1 else 'runs keep'} another protocol: {reason}")
        if not runs and not self.found.faults:
            self._wrong("none of its runs is one of the suite")
        return runs

    def _place(self, config: Mapping[str, Any], strays: Counter[str]) -> str | None:
        """The key of the protocol that a run belongs to; None for one that nobody asks for, or that keeps none."""
        setting, cell = protocol.setting_of(config), protocol.cell_of(config)
        same = [one for one in self.found.protocols if one.setting == setting]
        if fits := [one for one in same if cell in one.cells]:
            return fits[0].key
        noise = {spec for one in self.found.protocols for spec, _ in one.cells}
        if self.asked is not None and (same or cell[0] not in noise):  # further noise or seeds
            self.beside += 1
            return None
        what = "noise or seeds that it does not name" if same else protocol.differences(setting, self.found.protocols)
        strays[what] += 1
        return None

    def _second_road(self, runs: Sequence[Run]) -> list[str]:
        """Open, count and draw again by code of its own what the records say; return what could not be checked."""
        skipped: list[str] = []
        for some in _by_data(runs):
            report = Report()
            folder = places.folder_of(some[0].config, self.data_dir, self.store.root)
            again = Verifier(self.store, some, folder, report, strange=True).run()
            for violation in report.violations:
                self._wrong(f"{violation.file}: {violation.reason}")
            skipped += [reason.replace(f"{self.store.root}/", "") for reason in report.skipped]
            self.found.notes += [note for note in report.notes if not note.startswith("runs of other suites")]
            for told in self.found.runs:
                if told.run_id in again:
                    self._same_number(told, again[told.run_id])
        return skipped

    def _same_number(self, told: Told, again: recount.Run) -> None:
        summary = Summary(told.summary)
        if summary.get("predictions_sha256") is None:
            self._wrong(f"runs/{told.run_id} has no predictions: its number cannot be counted again")
        for rule in RULES:
            ours, theirs = records.accuracy(summary, rule), again.scores[(rule, HEADLINE)]
            if (ours is None) != (theirs is None) or abs((ours or 0) - float(theirs or 0)) > NEAR:
                self._wrong(f"runs/{told.run_id}: {rule} is {ours}, and {theirs} counted again")

    def _raw(self) -> None:
        """Hold runs.csv, which people will read first, against the records."""
        said: dict[tuple[str, str, str], str] = {}
        text = read_regular(self.store.root / RAW).decode("utf-8")
        for row in csv.DictReader(io.StringIO(text, newline="")):
            said[(row["run_id"], row["rule"], row["head"])] = row["accuracy"]
        for told in self.found.runs:
            summary = Summary(told.summary)
            for rule in RULES:
                for head in (HEADLINE, *summary["heads"]):
                    value, cell = records.accuracy(summary, rule, head), said.get((told.run_id, rule, head))
                    if not (cell == "" if value is None else cell and abs(float(cell) - value) <= NEAR):
                        self._wrong(f"{RAW}: {told.run_id}, {rule}, {head} is {cell}, the record says {value}")
                        return

    def _code(self) -> None:
        """Hold what records say of their methods against the source; say what is known of that of others' methods."""
        rows: dict[str, list[Told]] = {}
        for told in self.found.runs:
            rows.setdefault(told.method, []).append(told)
        for name, runs in rows.items():
            self.found.faults += claims.unequal(runs)
            if name in registry.available():
                code, said = claims.of_ours(name)
                ours = [told for told in runs if told.summary["method_code"] == code]
                self.found.faults += claims.faults(ours, said)
                unknown = len(ours) < len(runs)
            else:
                unknown = self._enclosed(name, runs)
            if unknown:
                what = "networks, headline, paper and what it was told are as its records say"
                self.found.notes.append(f"{name} is not this harness's code: {what}")

    def _enclosed(self, name: str, runs: Sequence[Told]) -> bool:
        """Say what is known of the source of a method of one's own; return whether it tells nothing of the records."""
        path = self.store.root / "code" / f"{name.rpartition('.')[0]}.py"
        if not path.is_file():
            self.found.enclosed[name] = "source not enclosed"
            return True
        if {method_code(path)} != {told.summary["method_code"] for told in runs}:
            self.found.enclosed[name] = "source enclosed; that its runs were made by it cannot be shown here"
            return True
        self.found.enclosed[name] = "source enclosed, which its runs were made by"
        said = claims.of_enclosed(path, name)
        if said is not None:
            self.found.faults += claims.faults(runs, said)
        return said is None or said.headline is None


def _by_data(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs sorted by data set: a verifier reads one."""
    found: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        found.setdefault((run.config.dataset.name, run.config.dataset.digest), []).append(run)
    return list(found.values())
