"""The search for clean labels follows whatever a method may hide them in."""

import pytest

from bench.contract import CHECKS, Violation, world
from tests.bench.contract.broken import HEAD, LOSSES

BEFORE = """
from collections import deque
from functools import partial


class Slotted:
    __slots__ = ("kept",)

    def __init__(self, kept):
        self.kept = kept

    def read(self):
        return self.kept


def closed(kept):
    return lambda: kept
"""
HIDDEN = {
    "partial(print, runner)": "self.kept.args[0].data",
    "partial(print, runner=runner)": "self.kept.keywords['runner'].data",
    "deque([runner])": "self.kept[0].data",
    "closed(runner)": "self.kept.kept.data",
    "lambda own=runner: own": "self.kept.__defaults__[0].data",
    "Slotted(runner)": "self.kept.kept.data",
    "Slotted(runner).read": "self.kept.__self__.kept.data",
    "runner.epoch": "self.kept.__self__.data",
    "runner.data.clean['train'][3:]": "self.kept",
    "[runner.data.test_labels.numpy()]": "self.kept[0]",
}


@pytest.mark.parametrize("kept", HIDDEN)
def test_clean_labels_are_found_wherever_they_are_hidden(kept, tmp_path):
    path = tmp_path / "hides.py"
    body = f"""
    def on_phase(self, clock):
        runner = sys._getframe(1).f_locals["self"]
        self.kept = {kept}
"""
    path.write_text(HEAD.format(before=BEFORE, base="LossMethod") + LOSSES + body)
    with pytest.raises(Violation) as raised:
        CHECKS["references"](f"{path}:Mine")
    assert raised.value.found == f"after an epoch {HIDDEN[kept]} leads to clean labels"


def test_a_copy_of_the_clean_labels_in_an_array_is_found_before_training(tmp_path):
    path = tmp_path / "copies.py"
    body = """
    def setup(self, task):
        super().setup(task)
        frame = sys._getframe()
        while "data" not in frame.f_locals:
            frame = frame.f_back
        self.kept = {"y": frame.f_locals["data"].clean["train"].numpy().astype("int16")}
"""
    path.write_text(HEAD.format(before="", base="LossMethod") + LOSSES + body)
    with pytest.raises(Violation, match=r"self\.kept\['y'\] holds clean labels; keep nothing of the runner"):
        CHECKS["references"](f"{path}:Mine")


def test_a_record_that_other_clean_labels_leave_as_it_is_is_a_violation_also_without_asserts(tmp_path, monkeypatch):
    path = tmp_path / "blind.py"
    path.write_text(HEAD.format(before="", base="LossMethod") + LOSSES)
    monkeypatch.setattr(world, "bits", lambda finished: {"payload": b""})
    with pytest.raises(Violation, match="with clean labels reversed the record is as it was"):
        CHECKS["clean-labels"](f"{path}:Mine", "reversed")
