"""Archives of a small suite, really run once, and what a forger would make of them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench import cli
from bench.files import canonical, sha256
from bench.fingerprint import ROOT
from bench.sweep.records.result import run_id_of, seal
from tests.bench.conftest import WORDS

Files = dict[str, bytes]

MINE = '''
from dataclasses import dataclass

from methods import LossMethod, Step
from methods.losses import cross_entropy


@dataclass(eq=False)
class Mine(LossMethod):
    """The mean."""

    def losses(self, logits, batch, clock):
        loss = cross_entropy(logits.log_softmax(-1), batch.y).mean(-1)
        return Step(loss)
'''


def packed(files: Mapping[str, bytes], path: Path) -> Path:
    """A plain archive of these files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return path


def unpacked(path: Path) -> Files:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def told(files: Files) -> Any:
    """What submission.json says."""
    return json.loads(files["submission.json"])


def relisted(files: Files, **changes: Any) -> Files:
    """The files with a submission.json that lists them as they are now, and says what else is given."""
    said = told(files) | changes
    others = {name: data for name, data in files.items() if name != "submission.json"}
    said["files"] = {name: {"bytes": len(data), "sha256": sha256(data)} for name, data in others.items()}
    return {**others, "submission.json": canonical(said)}


def record(files: Files, number: int = 0) -> tuple[str, Any]:
    """The folder of a run, in the order of their names, and its record."""
    name = sorted(name for name in files if name.endswith("/result.json"))[number]
    return name.removesuffix("result.json"), json.loads(files[name])


def resealed(files: Files, place: str, payload: Any, provenance: Any) -> Files:
    """The files with another payload in a run's place, whose digests and names are right again."""
    kept = {name: data for name, data in files.items() if not name.startswith(place)}
    run_id = run_id_of(payload["config"])
    payload = payload | {"run_id": run_id}
    for name, data in files.items():
        if name.startswith(place):
            kept[f"runs/{run_id}/{name.removeprefix(place)}"] = data
    kept[f"runs/{run_id}/config.json"] = canonical(payload["config"])
    kept[f"runs/{run_id}/result.json"] = seal(payload, provenance)
    rows = kept["runs.csv"].decode().replace(place[5:-1], run_id)
    return {**kept, "runs.csv": rows.encode()}


@dataclass
class Board:
    """A folder of submissions, and what is said of it."""

    folder: Path
    say: Callable[..., tuple[int, str, str]]

    def put(self, files: Files | bytes, name: str = "one.zip") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(files, bytes):
            path.write_bytes(files)
            return path
        return packed(files, path)

    def check(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Exit code and document of `leaderboard --check --json`."""
        code, out, err = self.say("leaderboard", self.folder, "--check", "--json", *words)
        assert err == ""
        return code, json.loads(out)

    def refusal(self) -> str:
        """The reasons for which the only submission is refused."""
        code, said = self.check()
        assert code == 3
        assert [one["verdict"] for one in said["submissions"]] == ["refused"]
        assert said["protocols"] == []
        return "\n".join(said["submissions"][0]["reasons"])


@pytest.fixture(scope="session")
def archived(_trained: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("archive") / "one.zip"
    about = ["--name", "Ours", "--by", "A group", "--link", "https://example.org/paper"]
    assert cli.main(["export", *WORDS, "--results", str(_trained), "--out", str(path), *about]) == 0
    return path.read_bytes()


class Own(NamedTuple):
    """A method of one's own, run once."""

    path: Path
    results: Path

    @property
    def words(self) -> list[str]:
        one = ["--noise", "symmetric:0.5", "--seeds", "0", "--methods", f"{self.path}:Mine"]
        return [*WORDS, *one, "--results", str(self.results)]


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Own:
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(MINE)
    own = Own(folder / "mine.py", folder / "results")
    command = [sys.executable, str(ROOT / "run_bench.py"), "run", *own.words, "--shard", "0/1"]  # which draws nothing
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return own


@pytest.fixture
def files(archived: bytes) -> Files:
    """What the archive of the suite's eight runs holds."""
    with zipfile.ZipFile(io.BytesIO(archived)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def board(tmp_path: Path, say: Callable[..., tuple[int, str, str]]) -> Board:
    folder = tmp_path / "board"
    folder.mkdir()
    return Board(folder, say)
