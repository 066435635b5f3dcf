"""The benchmark of the harness works, and refuses to time what is not right; its times are nobody's test."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from bench.fingerprint import ROOT
from bench.speed import noise as level
from bench.speed.pairs import Pair, in_turns


def test_the_quick_form_prints_a_ratio_for_every_case(tmp_path):
    command = [sys.executable, "-m", "bench.speed", "--level", "noise", "--quick", "--json", str(tmp_path / "s.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"numpy {np.__version__}")
    pairs = json.loads((tmp_path / "s.json").read_text())
    assert [pair["name"] for pair in pairs] == [case.name for case in level.CASES]
    assert all(line.startswith(pair["name"]) for line, pair in zip(lines[1:], pairs, strict=True))
    assert all(pair["ratio"] > 0 and len(pair["ours"]) == 1 and pair["peak_mib"] >= 0 for pair in pairs)


def test_rounds_are_timed_in_turns():
    calls = []
    pair = in_turns("x", lambda: calls.append("ours"), lambda: calls.append("peer"), 3)
    assert calls == ["ours", *("ours", "peer"), *("peer", "ours"), *("ours", "peer")]
    assert (len(pair.ours), len(pair.peer)) == (3, 3)


def test_ratios_are_paired_and_the_median_is_told():
    pair = Pair("x", ours=(1.0, 2.0, 1.0), peer=(10.0, 10.0, 30.0), peak_mib=12.4)
    assert pair.ratios == [5.0, 10.0, 30.0]
    assert pair.line() == "x: 10.0x (5.0 to 30.0 in 3 rounds); ours 1.000 s, peer 10.000 s; peak 12 MiB"
    assert pair.to_dict()["ratio"] == 10.0


def test_other_labels_than_the_loop_makes_are_not_timed(monkeypatch):
    case = replace(level.CASES[-1], samples=50, pixels=12)
    honest = level.ptd_loop
    monkeypatch.setattr(level, "ptd_loop", lambda *a, **k: (honest(*a, **k) + 1) % 10)
    with pytest.raises(AssertionError, match="labels differ from the loop's"):
        level._measured(3, case, 1, True)
    monkeypatch.setattr(level, "multinomial_loop", lambda labels, transition, seed: labels)
    with pytest.raises(AssertionError, match="are no draws of one definition"):
        level._measured(0, replace(level.CASES[0], samples=5000), 1, True)


@pytest.mark.parametrize("argument", [["--rounds", "0"], ["--level", "nois"], ["--quik"]])
def test_wrong_arguments_end_with_2(argument):
    command = [sys.executable, "-m", "bench.speed", *argument]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert not done.stdout
