"""What would stop every run is found out before the first one starts."""

import subprocess

import pytest

from bench.commands import preflight
from bench.sweep.grid import Suite, expand
from bench.sweep.store import Store


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
    asked = []

    def run(command, **more):
        asked.append(command[-1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(preflight.subprocess, "run", run)
    return asked


def test_a_method_that_must_know_the_transition_is_refused_where_nobody_does(own, tmp_path, constructed):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        check(tmp_path, "ce", own, noise=("symmetric:0.5", "instance:0.4"))
    text = "method 'own.Own' must be told the transition matrix, and noise 'instance:0.4' has none"
    assert str(error.value) == text


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
