"""`verify` passes what is right by a road of its own, and says what it has checked and what it left out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from bench.data import datasets
from bench.fingerprint import ROOT
from tests.bench.tampering import absent


def test_a_sound_suite_passes_and_says_what_was_checked(trained, suite, say):
    code, out, err = say("verify", *suite, "--results", trained)
    assert (code, err) == (0, "")
    lines = [line.split(maxsplit=1) for line in out.splitlines()[1:-1]]
    assert {kind: int(count) for count, kind in lines} == {
        "records": 8,
        "label sets": 4,
        "label sets drawn again": 4,
        "prediction files": 8,
        "test accuracies from predictions": 16,
        "per-sample tables": 8,
        "tables": 36,
        "cells": 264,
        "marks": 248,  # of every cell but the 16 of oracle gaps
        "ranks": 62,
        "costs": 6,  # two rows by epochs, passes and their ratio
        "manifests": 2,
        "written tables": 4,
    }
    assert out.splitlines()[0] == f"digits-{out[7:13]}: 8 of 8 runs finished under {trained}"
    assert out.splitlines()[-1] == "all of it is right"


def test_f21_verify_needs_no_torch(trained, suite):
    code = "import sys; sys.modules['torch'] = sys.modules['torchvision'] = None; from bench.cli import main; "
    command = [sys.executable, "-c", code + "sys.exit(main(sys.argv[1:]))", "verify", *suite, "--results", str(trained)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_not_finished_is_no_violation_and_what_is_thrown_away_is_counted(trained, verify, runs):
    shutil.rmtree(trained / "runs" / runs[0].run_id)
    shutil.rmtree(trained / "tables")
    for path in (trained / "runs").glob("*/samples/*"):
        path.unlink()
    code, report = verify()
    assert (code, report["finished"], report["violations"]) == (0, 7, [])
    assert report["checked"]["per-sample tables that are gone"] == 7


def test_f37_g20_strangers_are_counted_and_not_believed(trained, verify, runs):
    stranger = trained / "runs" / "r0123456789abcdef0123"
    shutil.copytree(trained / "runs" / runs[0].run_id, stranger)
    (trained / "runs" / "notes").mkdir()
    (trained / "runs" / "r9999999999abcdef0123").symlink_to(stranger)
    code, report = verify()
    assert (code, report["finished"], report["checked"]["records"]) == (0, 8, 8)
    assert report["notes"] == [
        "runs of other suites beside these, not looked at: 1",
        "entries of runs/ that are no runs: 2 (notes, r9999999999abcdef0123)",
    ]


def test_nothing_to_verify_is_not_success(tmp_path, suite, say):
    (tmp_path / "empty").mkdir()
    code, out, _ = say("verify", *suite, "--results", tmp_path / "empty")
    assert code == 1
    assert out.splitlines()[-1] == "nothing was verified: no run of this suite is finished"
    code, _, err = say("verify", *suite, "--results", tmp_path / "none")
    assert (code, "there is no folder" in err, (tmp_path / "none").exists()) == (2, True, False)
    code, _, err = say("verify", *suite, "--results", tmp_path / "empty", "--rerun", "-1")
    assert (code, err.count("\n")) == (2, 1)


def test_where_the_data_are_not_there_the_rest_is_checked_and_the_gap_is_said(trained, verify, monkeypatch):
    monkeypatch.setattr(datasets, "load", absent)
    code, report = verify()
    assert (code, report["violations"]) == (0, [])
    assert report["skipped"] == ["predictions against test labels, and labels drawn again: digits: gone"]
    assert "label sets drawn again" not in report["checked"]
    assert report["checked"]["label sets"] == 4
