"""Records may be anybody's: no name in them leads a command to code, or to a place on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.files import canonical
from bench.sweep.records.result import run_id_of, seal
from bench.sweep.records.store import Store

# its text alone does not tell how many networks it has, so whoever wants to know that imports it
PAYLOAD = """
from pathlib import Path
from typing import ClassVar

from methods import LossMethod

Path(__file__).with_name("was here").touch()


class Mine(LossMethod):
    num_networks: ClassVar[int] = int("1")
"""


def renamed(results: Path, change: Callable[[dict[str, Any]], None]) -> str:
    """Let one finished run of a folder have another configuration, in a record that is whole; return its id."""
    folder = Store(results).run(Store(results).run_ids()[0]).path
    record = json.loads((folder / "result.json").read_bytes())
    payload: dict[str, Any] = record["payload"]
    change(payload["config"])
    payload["run_id"] = run_id_of(payload["config"])
    (folder / "config.json").write_bytes(canonical(payload["config"]))
    (folder / "result.json").write_bytes(seal(payload, record["provenance"]))
    folder.rename(folder.with_name(payload["run_id"]))
    return str(payload["run_id"])


def method(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["method"].update(name=name, params={})


def of(section: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: config[section].update(changes)


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a method, beside which commands are given; importing it leaves a trace."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "pwn.py").write_text(PAYLOAD, encoding="utf-8")
    return tmp_path / "code" / "pwn.py"


def traces(code: Path) -> list[Path]:
    return list(code.parent.glob("was here"))


COMMANDS: Mapping[str, list[str]] = {
    "table": [],
    "plot": ["--kind", "cost"],
    "report": ["--out", "page.html"],
    "export": ["--out", "all.zip"],
}


@pytest.mark.parametrize("verb", COMMANDS)
def test_no_name_of_a_method_in_a_record_is_imported(verb, trained, code, say):
    run_id = renamed(trained, method(f"{code}:Mine"))
    done, out, err = say(verb, "--everything", "--results", trained, *COMMANDS[verb])
    assert done == 3  # of `plot`, too, which draws the others
    assert f"{run_id}/config.json: method name '{code}:Mine' must be" in out + err
    assert traces(code) == []
    if verb in ("table", "report"):
        assert say(verb, "--everything", "--results", trained, *COMMANDS[verb], "--allow-incomplete")[0] == 0
        assert traces(code) == []


def test_a_run_whose_method_is_a_place_is_not_merged(trained, code, say, tmp_path):
    run_id = renamed(trained, method("code/pwn.py:Mine"))
    done, out, err = say("merge", trained, "--results", tmp_path / "merged")
    assert done == 3
    assert f"{run_id}: method name 'code/pwn.py:Mine' must be" in out + err
    assert run_id not in Store(tmp_path / "merged").run_ids()
    assert traces(code) == []


@pytest.mark.parametrize(
    "change",
    [
        of("dataset", name="../../etc/"),
        of("dataset", name="/usr/"),
        of("noise", family="file", rate=None, map=None, flips="as given", options={"path": "/etc/passwd"}),
    ],
    ids=["a folder above", "a folder", "a file"],
)
def test_no_place_that_a_record_names_is_looked_at(change, trained, say, monkeypatch):
    renamed(trained, change)
    looked = []
    opened = Path.open

    def note(path: Path, *words: Any, **named: Any) -> Any:
        looked.append(str(path))
        return opened(path, *words, **named)

    monkeypatch.setattr(Path, "open", note)
    say("report", "--everything", "--results", trained, "--out", trained / "page.html", "--data-dir", trained)
    assert not [path for path in looked if path.startswith(("/etc", "/usr/"))]
