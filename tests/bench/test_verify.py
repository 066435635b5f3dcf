"""`verify` passes what is right by a road of its own, and says what it has checked and what it left out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import noise
from bench import cli
from bench.data import datasets
from bench.data.noisy import split_of
from bench.fingerprint import ROOT
from bench.sweep.planning.grid import Suite
from bench.sweep.planning.selection import data_dir_of
from bench.sweep.records.store import Store
from tests.bench.tampering import absent, alike, reseal


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
    assert out.splitlines()[-1] == "nothing was verified: no run of these is finished"
    code, _, err = say("verify", *suite, "--results", tmp_path / "none")
    assert (code, "there is no folder" in err, (tmp_path / "none").exists()) == (2, True, False)
    code, _, err = say("verify", *suite, "--results", tmp_path / "empty", "--rerun", "-1")
    assert (code, err.count("\n")) == (2, 1)


def test_everything_is_verified_as_a_suite_is(trained, suite, say, verify):
    say("table", "--everything", "--results", trained)
    code, out, err = say("verify", "--everything", "--results", trained, "--json")
    assert (code, err) == (0, "")
    own, whole = verify()[1]["checked"], json.loads(out)["checked"]
    assert whole == own | {"manifests": 1 + own["manifests"], "written tables": 4 + own["written tables"]}
    code, out, err = say("verify", *suite, "--everything", "--results", trained)
    assert (code, out) == (2, "")
    assert "leave out --methods, --dataset, --noise, --seeds" in err


def test_everything_of_other_data_and_methods_is_checked_as_far_as_they_are_known(trained, runs, say):
    def elsewhere(config):
        config["dataset"] |= {"name": "mine.npz", "digest": "e" * 64}
        config["method"] = {"name": "mine.Own", "params": {"drop": 0.3}}

    other = Store(trained).run(alike(trained, runs[0].run_id, elsewhere))
    own = other.result().payload
    labels, _ = noise.from_bytes((trained / "noise" / f"{own['noise_id']}.npz").read_bytes())
    split = split_of(labels, own["config"]["dataset"], own["config"]["noise"]["seed"])  # another one for other data
    wrong = int((labels.given != labels.clean)[split.train_index].sum())
    reseal(trained, other, lambda payload, _: payload["totals"].update(train_wrong=wrong))
    code, out, _ = say("verify", "--everything", "--results", trained, "--json", "--rerun", "1")
    report = json.loads(out)
    assert (code, report["violations"], report["checked"]["records"]) == (0, [], 9)
    assert report["checked"]["label sets drawn again"] == 4
    assert report["checked"]["test accuracies from predictions"] == 16  # those of digits
    (gap,) = report["skipped"]
    assert gap.startswith("predictions against test labels, and labels drawn again: ")
    assert "mine.npz" in gap
    assert "1 runs are of methods from elsewhere, known by name alone: not repeated" in report["notes"]
    assert report["checked"]["runs trained again, equal byte for byte"] == 1


def test_where_several_data_sets_lie_is_not_taken_from_the_name_of_one(trained):
    asked = cli.parser().parse_args(["verify", "--everything", "--results", str(trained)])
    several = Suite("everything", "cifar10, mine.npz", (), ())
    assert data_dir_of(asked, several) is None  # each is looked for where it is without an option
    own = cli.parser().parse_args(["verify", "--results", str(trained)])
    assert data_dir_of(own, Suite("own", "some/mine.npz", (), ())) is not None


def test_everything_names_a_config_that_is_none(trained, runs, say):
    path = trained / "runs" / runs[0].run_id / "config.json"
    path.write_bytes(b"{}")
    code, out, _ = say("verify", "--everything", "--results", trained, "--json")
    report = json.loads(out)
    (reason,) = (wrong["reason"] for wrong in report["violations"] if wrong["file"] == str(path))
    assert (code, report["notes"]) == (3, [])  # it is no run of another suite
    assert str(path) not in reason
    for other in trained.glob("runs/*/config.json"):
        other.write_bytes(b"{}")
    for verb in ("verify", "table", "plot", "report", "export"):
        more = ["--out", trained.parent / "a.zip"] if verb == "export" else []
        code, out, err = say(verb, "--everything", "--results", trained, *more)
        assert (code, out, err.count("\n")) == (3, "", 1)
        assert "none of its 8 runs can be read; the first: " in err


def test_everything_holds_the_tables_of_each_suite_against_the_records(trained, suite, say, tmp_path):
    (path,) = trained.glob("tables/digits-*/accuracy.md")
    right = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"\d\d\.\d\d ±", "99.99 ±", right, count=1), encoding="utf-8")
    code, out, _ = say("verify", "--everything", "--results", trained)
    assert code == 3
    assert f"WRONG {path}: stale or changed: it says 99.99" in out
    path.write_text(right, encoding="utf-8")
    (stored,) = trained.glob("suites/digits-*/*.json")
    shutil.copy(stored, stored.with_name(f"{'0' * 12}.json"))
    code, out, _ = say("verify", "--everything", "--results", trained)
    assert code == 0
    assert f"not checked: tables of suite {path.parent.name}: suite '{path.parent.name}' was run in 2 versions" in out


def test_a_table_of_everything_is_right_wherever_its_folder_lies(trained, say, monkeypatch, tmp_path):
    monkeypatch.chdir(trained.parent)
    assert say("table", "--everything", "--results", trained.name)[0] == 0
    shutil.copytree(trained, tmp_path / "elsewhere")
    code, out, _ = say("verify", "--everything", "--results", tmp_path / "elsewhere")
    assert (code, out.splitlines()[-1]) == (0, "all of it is right")


def test_where_the_data_are_not_there_the_rest_is_checked_and_the_gap_is_said(trained, verify, monkeypatch):
    monkeypatch.setattr(datasets, "load", absent)
    code, report = verify()
    assert (code, report["violations"]) == (0, [])
    assert report["skipped"] == ["predictions against test labels, and labels drawn again: digits: gone"]
    assert "label sets drawn again" not in report["checked"]
    assert report["checked"]["label sets"] == 4
