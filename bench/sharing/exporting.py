"""What an export holds: finished runs that were found sound, with what they rest on."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import noise
from bench.data.noisy import stored_name
from bench.evidence import records
from bench.evidence.records import Summary
from bench.files import canonical, parse, read_regular, sha256
from bench.fingerprint import ROOT, harness_code, method_code
from bench.sharing import protocol
from bench.sharing.submission import MANIFEST, NAMES, RAW, Given, Harness, Listed, Submission, check_words, is_link
from bench.sharing.submission import Suite as Asked
from bench.sweep.planning.grid import Planned, Suite
from bench.sweep.records.store import Corrupt, Store
from bench.sweep.upkeep.finished import DIGEST, Finished, inspect
from methods import registry

if TYPE_CHECKING:
    import pandas as pd

FOLDER = re.compile(r"(?:^|=)(?:~?/|\.\./)")  # a word of a command that names a place
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # with which a spreadsheet begins to compute


@dataclass
class Export:
    """The finished runs of a suite; `alarms` say why nothing may be exported."""

    store: Store
    suite: Suite
    runs: Sequence[Planned]
    rule: str = "last"
    whole: bool = False  # the suite is a folder's all
    finished: dict[str, Finished] = field(default_factory=dict)  # without the bytes of their records
    records: dict[str, str] = field(default_factory=dict)  # run_id -> sha256 of its result.json
    summaries: list[Summary] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)  # runs by state
    alarms: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)  # words of recorded commands and suites that name a folder
    sources: dict[str, bytes] = field(default_factory=dict)  # code of own methods, where it is asked for

    def look(self) -> None:
        """Verify every finished run and the labels it met; count the others."""
        labels: dict[str, str] = {}
        for run in self.runs:
            folder = self.store.run(run.run_id)
            two_ways = [
                f"{path}: a second finisher found other numbers than result.json" for path in folder.conflicts()
            ]
            self.alarms += two_ways
            try:
                found = inspect(folder)
                if found is None:
                    self.left_out[folder.state()] += 1
                    continue
                if folder.config() is None:
                    raise Corrupt(folder.path / "config.json", "is missing beside a result")
            except Corrupt as error:
                self.alarms.append(str(error))
                continue
            self._take(found, labels)
        for name, noise_id in labels.items():
            self._check_labels(self.store.noise / f"{name}.npz", noise_id)
        for place, data in self._suites():
            if "/chosen/" not in place and not sha256(data).startswith(Path(place).stem):
                self.alarms.append(f"{self.store.root / place}: its digest is {sha256(data)[:12]}")

        asked = [] if self.whole else [*self.suite.methods, self.suite.dataset]
        self.places += [word for word in asked if FOLDER.search(word)]

    def _take(self, found: Finished, labels: dict[str, str]) -> None:
        payload = found.result.payload
        self.summaries.append(records.summary(payload))
        truth = payload["totals"].get("train_wrong") is not None
        labels[stored_name(str(payload["noise_id"]), truth)] = str(payload["noise_id"])
        attempts = found.result.provenance.get("attempts")
        for attempt in attempts if isinstance(attempts, list) else []:
            words = attempt.get("command") if isinstance(attempt, dict) else None
            self.places += [str(word) for word in words or [] if FOLDER.search(str(word))]
        run_id, lean = found.folder.run_id, replace(found.result, payload={}, provenance={})
        self.records[run_id] = sha256(found.data)
        self.finished[run_id] = replace(found, data=b"", result=lean)

    def _check_labels(self, path: Path, noise_id: str) -> None:
        try:
            noise.from_bytes(read_regular(path), noise_id)
        except (FileNotFoundError, NotADirectoryError):
            self.alarms.append(f"{path}: is missing: the labels that finished runs met")
        except ValueError as error:
            self.alarms.append(str(error) if str(error).startswith(str(path)) else f"{path}: {error}")

    @property
    def own(self) -> dict[str, Path | None]:
        """Methods that are not the harness's, with their file where that is known."""
        found: dict[str, Path | None] = {}
        for run in self.runs:
            name = run.config.method.name
            if name not in registry.available() and name not in found:
                found[name] = registry.describe(run.spec).file if ":" in run.spec else None
        return found

    def enclose(self) -> None:
        """Take in the source of own methods; ValueError if it is not the code that their runs name."""
        codes = {summary["config"]["method"]["name"]: summary["method_code"] for summary in self.summaries}
        for name, path in self.own.items():
            if path is None:
                raise ValueError(f"--with-code: where the source of {name} lies is not known: name it by --methods")
            if name in codes and method_code(path) != codes[name]:
                raise ValueError(f"--with-code: {path.name} is no longer the code that the runs of {name} were made by")
            place, data = f"code/{path.name}", path.read_bytes()
            if self.sources.setdefault(place, data) != data:
                raise ValueError(f"--with-code: two own methods come from different files called {path.name}")

    def files(self, name: str = "", by: str = "", link: str = "") -> Iterator[tuple[str, bytes]]:
        """Every file of the archive by its name, in order, each held against what was verified; the list comes last."""
        listed: dict[str, Listed] = {}
        for place, data in self._contents():
            listed[place] = Listed(len(data), sha256(data))
            yield place, data
        yield MANIFEST, self.submission(listed, name, by, link).to_bytes()

    def submission(self, listed: Mapping[str, Listed], name: str, by: str, link: str) -> Submission:
        """What submission.json says."""
        code: dict[str, set[str]] = {}
        for summary in self.summaries:
            code.setdefault(summary["config"]["method"]["name"], set()).add(summary["method_code"])
        planned = Counter(run.config.method.name for run in self.runs)
        done = Counter(summary["config"]["method"]["name"] for summary in self.summaries)
        given = {method: Given(n, done[method], tuple(sorted(code.get(method, ())))) for method, n in planned.items()}
        definition = self.suite.to_dict()
        asked = Asked(self.suite.name, sha256(canonical(definition)), definition)
        protocols = protocol.of((run.config.to_dict() for run in self.runs), self.rule)
        return Submission(
            harness=Harness(_version(), harness_code()),
            protocols=tuple(protocols),
            methods=given,
            files=dict(listed),
            name=name,
            by=by,
            link=link,
            suite=None if self.whole else asked,
            left_out={str(state): n for state, n in sorted(self.left_out.items())},
        )

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        yield from sorted(self.sources.items())
        yield from self._noise()
        yield RAW, raw(self.summaries)
        for run_id, found in sorted(self.finished.items()):
            folder, record = found.folder, found.folder.result_bytes()
            if record is None or sha256(record) != self.records[run_id]:
                raise ValueError(f"{folder.path}: was changed while it was exported")
            yield f"runs/{run_id}/config.json", read_regular(folder.path / "config.json")
            for name, digest in sorted(found.digests.items()):
                if not name.startswith("samples/"):
                    data = read_regular(folder.path / name)
                    if sha256(data) != digest:
                        raise ValueError(f"{folder.path / name}: was changed while it was exported")
                    yield f"runs/{run_id}/{name}", data
            yield f"runs/{run_id}/result.json", record
        yield from self._suites()

    def _noise(self) -> Iterator[tuple[str, bytes]]:
        """Labels with their cards, and the files that they were read from."""
        names = {stored_name(s["noise_id"], s["totals"].get("train_wrong") is not None) for s in self.summaries}
        named = {str(s["config"]["noise"]["options"].get("sha256", "")) for s in self.summaries}
        for place in sorted(f"files/{digest}" for digest in named if DIGEST.fullmatch(digest)):
            if (data := _there(self.store.noise / place)) is not None and sha256(data) == Path(place).name:
                yield f"noise/{place}", data
        for name in sorted(names):
            card = _there(self.store.noise / f"{name}.json")
            if card is not None and isinstance(parse(card), dict):
                yield f"noise/{name}.json", card
            yield f"noise/{name}.npz", read_regular(self.store.noise / f"{name}.npz")

    def _suites(self) -> Iterator[tuple[str, bytes]]:
        """The suite as it is stored when it is begun, with what was chosen for it; or all that are stored."""
        if self.whole:
            for path in sorted(self.store.suites.glob("*/**/*.json")):
                place = str(path.relative_to(self.store.root))
                if NAMES.fullmatch(place):
                    yield place, read_regular(path)
            return
        data = canonical(self.suite.to_dict())
        folder, name = f"suites/{self.suite.name}", f"{sha256(data)[:12]}.json"
        chosen = self.store.chosen(self.suite.name, self.suite.to_dict())
        if chosen is None:  # flags have cut it out of the one that was begun
            precisions = [str(run.config.train.precision) for run in self.runs if run.auto]
            chosen = {"precision": precisions[0]} if precisions else {}
        yield f"{folder}/{name}", data
        if chosen:
            yield f"{folder}/chosen/{name}", canonical(chosen)


def check_about(name: str | None, by: str | None, link: str | None) -> tuple[str, str, str]:
    """Who submits what, as one line each; ValueError for what is none, and for a link that no page would follow."""
    told = tuple(check_words(f"--{kind}", text or "") for kind, text in (("name", name), ("by", by), ("link", link)))
    if told[2] and not is_link(told[2]):
        raise ValueError(f"--link must be an address that begins with http:// or https://, got {told[2]!r}")
    return told[0], told[1], told[2]


def raw(summaries: Iterable[Summary]) -> bytes:
    """The data behind every table, one line for each run, rule and head; accuracies in [0, 1], unrounded."""
    table: pd.DataFrame = records.frame(summaries)
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    write(table.columns)
    for row in table.itertuples(index=False):
        write([_plain(value) for value in row])
    return out.getvalue().encode()


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return "'" + value if value.startswith(FORMULAS) else value
    return "" if value != value else value  # NaN: the rule does not apply


def _there(path: Path) -> bytes | None:
    try:
        return read_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _version() -> str:
    """The version of the harness: that of this checkout, or the installed one."""
    try:
        import tomllib

        return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
    except (OSError, ValueError, KeyError):
        return metadata.version("lnbench")
