"""`verify --rerun` trains some of the runs again, and tells where they come out otherwise."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

from bench.fingerprint import ROOT
from bench.sweep.planning.grid import Planned
from bench.sweep.upkeep import repeating
from tests.bench.tampering import record, reseal


def test_the_choice_of_runs_depends_on_which_there_are_and_on_nothing_else():
    ids = [f"r{number:020x}" for number in range(40)]
    chosen = repeating.pick(ids, 5)
    assert chosen == repeating.pick(ids[::-1], 5)
    assert chosen != repeating.pick(ids[1:], 5)
    assert len(set(chosen)) == 5
    assert set(repeating.pick(ids, 99)) == set(ids)
    assert set(chosen) == set(repeating.pick(ids, 6)[:5])


def test_g2_trained_again_a_run_gives_the_same_bytes_and_a_lie_is_named(trained, verify, runs, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    honest, lied, other_code, elsewhere, older = runs[:5]

    def lie(payload: dict[str, Any], _: object) -> None:
        payload["history"][0]["loss"][0] += 1.0

    reseal(trained, lied, lie)
    reseal(trained, other_code, lambda payload, _: (lie(payload, _), payload.update(code="0" * 16)))
    reseal(trained, elsewhere, lambda p, v: (lie(p, v), v["attempts"][-1].update(device="Another CPU")))
    reseal(trained, older, lambda p, v: (lie(p, v), v["attempts"][-1]["cpu"].update(kernels="SSE")))
    for run in runs[5:]:
        shutil.rmtree(trained / "runs" / run.run_id)
    shutil.rmtree(trained / "tables")
    before = record(trained, lied)["payload"]["history"][0]["loss"][0]
    code, report = verify("--rerun", "9")
    assert code == 3
    assert report["checked"]["runs trained again, equal byte for byte"] == 1
    (violation,) = report["violations"]
    assert violation["file"] == str(trained / "runs" / lied.run_id / "result.json")
    assert violation["reason"].startswith(f"trained again it differs: history[0].loss[0] is {before} as stored")
    notes = {note.split()[0]: note for note in report["notes"]}
    assert notes[honest.run_id].endswith("trained again: equal")
    assert "it was made by other code, and it differs: history[0].loss[0] is" in notes[other_code.run_id]
    assert "it was made with device Another CPU, and here is" in notes[elsewhere.run_id]
    assert "it was made with instructions SSE, and here is" in notes[older.run_id]
    assert list(temporary.iterdir()) == []


def test_runs_of_a_device_that_is_not_here_are_said_and_not_trained(trained, verify, runs, monkeypatch):
    monkeypatch.setattr(repeating.devices, "visible_gpus", list)
    for run in runs:
        reseal(trained, run, lambda payload, _: payload.update(device_kind="cuda"))
    shutil.rmtree(trained / "tables")
    code, report = verify("--rerun", "2")
    assert (code, report["rerun"]["comparisons"]) == (0, [])
    assert report["notes"] == ["8 runs were made on a kind of device that is not here: not repeated"]


def test_f7_ctrl_c_while_runs_are_trained_again_leaves_nothing_and_ends_with_75(trained, suite, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, str(ROOT / "run_bench.py"), "verify", *suite, "--results", str(trained), "--rerun", "8"]
    process = subprocess.Popen(
        command, env={**os.environ, "TMPDIR": str(temporary)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(temporary.glob("lnbench-rerun-*/runs/*/attempts/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert list(temporary.glob("lnbench-rerun-*")) == []
    assert "Traceback" not in err


def test_a_run_that_cannot_be_trained_again_is_a_failure_and_no_violation(trained, verify, runs, monkeypatch):
    def failing(store: Any, todo: list[Planned], kind: str, data_dir: object) -> Any:
        return [repeating.Comparison(run.run_id, "", failure="out of memory") for run in todo], 0

    monkeypatch.setattr(repeating, "_train", failing)
    monkeypatch.setattr(repeating, "_compare", lambda store, again, run, outcome: outcome)
    code, report = verify("--rerun", "1")
    assert (code, report["violations"]) == (1, [])
    assert "failed: out of memory" in report["notes"][0]
