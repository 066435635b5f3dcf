"""What would stop every run is found out before the first one starts."""

import errno
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.sweep.planning.grid import Suite, expand
from bench.sweep.records.store import Store
from bench.sweep.upkeep import ground, preflight


def check(tmp_path, *methods, noise=("symmetric:0.5",), **more):
    suite = Suite("x", "digits", tuple(noise), methods, (0, 1), train_limit=200, **more)
    preflight.check(Store(tmp_path / "results"), expand(suite), None, download=False)


OWN = """
from dataclasses import dataclass
from typing import ClassVar

from methods import LossMethod, Needs


@dataclass(eq=False)
class Own(LossMethod):
    needs: ClassVar[Needs] = Needs(transition=True)
    share: float = 0.5  # of it

    def __post_init__(self):
        super().__post_init__()
        if self.share > 1:
            raise ValueError(f"share must be at most 1, got {self.share}")

    def losses(self, logits, batch, clock):
        return None
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN, encoding="utf-8")
    return f"{path}:Own"


@pytest.fixture
def constructed(monkeypatch):
    """What is handed to another process to be constructed; nothing is."""
    asked, really = [], subprocess.run

    def run(command, **more):
        if preflight.CONSTRUCT not in command:
            return really(command, **more)
        asked.append(command[-1])
        return subprocess.CompletedProcess(command, 0, "\nconstructed\n", "")

    monkeypatch.setattr(preflight.subprocess, "run", run)
    return asked


def test_a_method_that_must_know_the_transition_is_refused_where_nobody_does(own, tmp_path, constructed):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        check(tmp_path, "ce", own, noise=("symmetric:0.5", "instance:0.4"))
    text = "method 'own.Own' must be told the transition matrix, and noise 'instance:0.4' has none"
    assert str(error.value) == text
    assert not (tmp_path / "results").exists()


def test_noise_with_a_transition_will_do_and_methods_that_need_none_are_never_refused(own, tmp_path, constructed):
    check(tmp_path, own, noise=("symmetric:0.5", "pairflip:0.4"))
    check(tmp_path, "ce", noise=("instance:0.4",))


def test_the_wrong_labels_of_every_column_lie_ready_afterwards(tmp_path, constructed):
    check(tmp_path, "ce", "dml", noise=("symmetric:0.5", "pairflip:0.4"))
    assert len([path for path in (tmp_path / "results").rglob("*") if path.is_file()]) >= 4
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("*") if path.is_file()}
    check(tmp_path, "ce", noise=("symmetric:0.5",))
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_built_in_method_at_its_defaults_needs_no_trial(tmp_path, constructed):
    check(tmp_path, "ce", "dml")
    assert not constructed
    check(tmp_path, "ce", "dml", params={"dml": {"weight": 2.0}})
    (asked,) = constructed
    assert "dml" in asked
    assert '"ce"' not in asked


def test_a_value_that_a_method_refuses_is_told_in_its_words_before_anything_is_written(own, tmp_path):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        check(tmp_path, own, params={"own.Own": {"share": 2.0}})
    assert str(error.value) == "a method cannot be used: own.Own: share must be at most 1, got 2.0"
    assert not (tmp_path / "results").exists()


@pytest.fixture
def disk(monkeypatch):
    """A disk with so many bytes free."""

    def make(free):
        monkeypatch.setattr(ground.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))

    return make


def test_f24_a_disk_without_room_for_the_checkpoints_is_refused_before_anything_is_made(disk, tmp_path, constructed):
    disk(100 * 2**20)
    folder = tmp_path / "new" / "results"
    suite = Suite("x", "digits", ("symmetric:0.5",), ("ce",), tuple(range(9)), train_limit=200)
    runs = expand(replace(suite, train={"network": "resnet34"}))
    for live, said in ((8, "8 at a time"), (50, "9 at a time")):
        with pytest.raises(ValueError, match=said) as error:
            preflight.check(Store(folder), runs, None, download=False, live=live)
        text = str(error.value)
        needed = 64 + 3.2 * min(live, 9) * 3 * 4e6 * 21.34 / 2**20
        assert text.startswith(f"{folder} has 100 MB free, and the runs may need {needed:,.0f} MB for their checkpoint")
        assert text.endswith("; free some, or set --per-device or --results")
    assert list(tmp_path.iterdir()) == []
    small = expand(suite)
    preflight.check(Store(folder), small, None, download=False, live=1)
    assert folder.is_dir()


@pytest.mark.parametrize("step", ["publish", "flock"])
def test_f25_a_folder_that_cannot_be_written_is_refused_in_one_line_and_not_left_behind(
    step, tmp_path, monkeypatch, constructed
):
    (tmp_path / "there").mkdir()

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(*((preflight, "publish", refuse) if step == "publish" else (ground.os, "open", refuse)))
    suite = Suite("x", "digits", ("symmetric:0.5",), ("ce",), (0,), train_limit=200)
    for folder in (tmp_path / "new" / "results", tmp_path / "there"):
        with pytest.raises(ValueError, match="Read-only") as error:
            preflight.check(Store(folder), expand(suite), None, download=False)
        assert str(error.value) == f"cannot write results to {folder}: Read-only file system"
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_file_system_without_locks_or_links_gets_a_warning_and_is_used(tmp_path, monkeypatch, constructed, capsys):
    monkeypatch.setattr(ground, "locks_hold", lambda folder: False)
    check(tmp_path, "ce")
    root = tmp_path / "results"
    assert capsys.readouterr().err == (
        f"warning: {root} is on a file system without locks: two launches there may train the same runs; "
        "give each machine its part with --shard I/N\n"
    )
    monkeypatch.setattr(ground, "links_hold", lambda folder: False)
    check(tmp_path, "ce")
    assert f"{root} is on a file system without locks and hard links: two" in capsys.readouterr().err
    monkeypatch.undo()
    check(tmp_path, "ce")
    assert capsys.readouterr().err == ""
    assert not list(root.glob("probe*"))
