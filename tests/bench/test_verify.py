"""`verify` finds what is wrong in a results folder by a road of its own, names the file, and says what it left out."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import noise
from bench.data import datasets
from bench.data.datasets import MissingDataError
from bench.evidence import recount, tables
from bench.files import canonical
from bench.findings import tabulating
from bench.fingerprint import ROOT
from bench.sweep.planning.grid import Planned
from bench.sweep.records.result import open_result, seal
from bench.sweep.records.store import Store
from bench.sweep.upkeep import repeating
from bench.sweep.upkeep.verifying import Report, Verifier

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def verify(trained: Path, suite: list[str], say: Say) -> Callable[..., tuple[int, dict[str, Any]]]:
    """The exit code and the report of `verify --json` on the trained folder."""

    def command(*words: str) -> tuple[int, dict[str, Any]]:
        code, out, _ = say("verify", *suite, "--results", trained, "--json", *words)
        return code, json.loads(out)

    return command


def record(folder: Path, run: Planned) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "runs" / run.run_id / "result.json").read_bytes())
    return found


def reseal(folder: Path, run: Planned, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    """Change payload or provenance of a result, and seal it again as the harness does: only other checks can see it."""
    found = record(folder, run)
    change(found["payload"], found["provenance"])
    (folder / "runs" / run.run_id / "result.json").write_bytes(seal(found["payload"], found["provenance"]))


def flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def absent(*_: object) -> None:
    """In the place of `datasets.load`."""
    raise MissingDataError("digits: gone")


# --- what is right


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


# --- what is wrong with a record


Break = Callable[[Path, list[Planned]], Path]  # damages a folder; returns the file that must be named


def _edit(folder: Path, runs: list[Planned]) -> Path:
    path = folder / "runs" / runs[0].run_id / "result.json"
    data = path.read_bytes()
    right = str(record(folder, runs[0])["payload"]["history"][-1]["heads"]["net1"]["test"]).encode()
    path.write_bytes(data.replace(b'"test":' + right, b'"test":99', 1))
    return path


def _better(folder: Path, runs: list[Planned]) -> Path:
    def change(payload: dict[str, Any], _: object) -> None:
        payload["history"][-1]["heads"]["net1"]["test"] += 1

    reseal(folder, runs[0], change)
    return next((folder / "runs" / runs[0].run_id).glob("predictions-*"))


def _digest(folder: Path, runs: list[Planned]) -> Path:
    path = folder / "runs" / runs[0].run_id / "result.json"
    found = record(folder, runs[0]) | {"payload_sha256": "0" * 64}
    del found["sha256"]
    path.write_bytes(canonical({**found, "sha256": hashlib.sha256(canonical(found)).hexdigest()}))
    return path


def _fewer_wrong(folder: Path, runs: list[Planned]) -> Path:
    reseal(folder, runs[0], lambda payload, _: payload["totals"].update(train_wrong=1))
    return folder / "runs" / runs[0].run_id / "result.json"


def _other_labels(folder: Path, runs: list[Planned]) -> Path:
    other = record(folder, next(run for run in runs if run.config.noise.seed == 1))["payload"]["noise_id"]
    reseal(folder, runs[0], lambda payload, _: payload.update(noise_id=other))
    return folder / "noise"


def _elsewhere(folder: Path, runs: list[Planned]) -> Path:
    first, second = (folder / "runs" / run.run_id / "result.json" for run in runs[:2])
    shutil.copy(second, first)
    return first


def _config(folder: Path, runs: list[Planned]) -> Path:
    path = folder / "runs" / runs[0].run_id / "config.json"
    path.write_bytes(path.read_bytes().replace(b'"epochs":2', b'"epochs":3'))
    return path


def _no_config(folder: Path, runs: list[Planned]) -> Path:
    path = folder / "runs" / runs[0].run_id / "config.json"
    path.unlink()
    return path


def _predictions(folder: Path, runs: list[Planned]) -> Path:
    path = next((folder / "runs" / runs[0].run_id).glob("predictions-*"))
    flip(path)
    return path


def _no_predictions(folder: Path, runs: list[Planned]) -> Path:
    path = next((folder / "runs" / runs[0].run_id).glob("predictions-*"))
    path.unlink()
    return path


def _samples(folder: Path, runs: list[Planned]) -> Path:
    path = next((folder / "runs" / runs[0].run_id / "samples").iterdir())
    flip(path)
    return path


def _labels(folder: Path, runs: list[Planned]) -> Path:
    path = folder / "noise" / f"{record(folder, runs[0])['payload']['noise_id']}.npz"
    shutil.copy(next(other for other in path.parent.glob("*.npz") if other != path), path)
    return path


def _no_labels(folder: Path, runs: list[Planned]) -> Path:
    path = folder / "noise" / f"{record(folder, runs[0])['payload']['noise_id']}.npz"
    path.unlink()
    return path


def _conflict(folder: Path, runs: list[Planned]) -> Path:
    path = folder / "runs" / runs[0].run_id / "conflicts" / f"{'0' * 32}.json"
    path.parent.mkdir()
    shutil.copy(path.parents[1] / "result.json", path)
    return path


def _link(folder: Path, runs: list[Planned]) -> Path:
    path = folder / "runs" / runs[0].run_id
    path.rename(folder / "moved")
    path.symlink_to(folder / "moved")
    return path / "result.json"


def _traversal(folder: Path, runs: list[Planned]) -> Path:
    outside = folder.parent / "outside.npz"
    shutil.copy(next((folder / "runs" / runs[0].run_id / "samples").iterdir()), outside)
    told = {"../../../../outside.npz": hashlib.sha256(outside.read_bytes()).hexdigest()}
    reseal(folder, runs[0], lambda _, provenance: provenance.update(samples_sha256=told))
    return folder / "runs" / runs[0].run_id / "samples" / "../../../../outside.npz"


BREAKS = (
    _edit,
    _digest,
    _better,
    _fewer_wrong,
    _other_labels,
    _elsewhere,
    _config,
    _no_config,
    _predictions,
    _no_predictions,
)
BREAKS += (_samples, _labels, _no_labels, _conflict, _link, _traversal)


@pytest.mark.parametrize("damage", BREAKS, ids=lambda damage: damage.__name__)
def test_f29_g7_g8_whatever_is_damaged_is_named(damage, trained, runs):
    path, report = damage(trained, runs), Report()
    Verifier(Store(trained), runs, None, report).run()
    assert str(path) in {violation.file for violation in report.violations}


@pytest.mark.parametrize("damage", [_predictions, _labels, _samples], ids=lambda damage: damage.__name__)
def test_g7_a_digest_tells_without_the_data(damage, trained, runs, monkeypatch):
    monkeypatch.setattr(datasets, "load", absent)
    path, report = damage(trained, runs), Report()
    Verifier(Store(trained), runs, None, report).run()
    assert str(path) in {violation.file for violation in report.violations}


def test_a_violation_is_one_line_with_file_and_reason(trained, suite, say, runs):
    path = _better(trained, runs)
    right = record(trained, runs[0])["payload"]["history"][-1]["heads"]["net1"]["test"]
    code, out, _ = say("verify", *suite, "--results", trained)
    assert code == 3
    assert f"WRONG {path}: net1 gets {right - 1} test labels right, and {right} by result.json" in out.splitlines()
    assert out.splitlines()[-1].endswith("violations")  # the written tables are stale, too


def test_labels_that_their_spec_does_not_give_are_found_unless_other_code_drew_them(trained, verify, runs):
    mine = [run for run in runs if run.noise == "symmetric:0.5" and run.config.noise.seed == 0]
    old = record(trained, mine[0])["payload"]["noise_id"]
    labels, card = noise.from_bytes((trained / "noise" / f"{old}.npz").read_bytes())
    given = labels.given.copy()
    given[[0, 1]] = given[[1, 0]] if given[0] != given[1] else (given[0] + 1) % 10
    with np.load(trained / "noise" / f"{old}.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    card["noise_id"] = noise.noise_id(given)
    out = io.BytesIO()
    np.savez(out, **{**arrays, "given": given, "card": np.array(json.dumps(card))})
    path = trained / "noise" / f"{card['noise_id']}.npz"
    path.write_bytes(out.getvalue())
    for run in mine:
        reseal(trained, run, lambda payload, _: payload.update(noise_id=card["noise_id"]))
    _, report = verify()
    (found,) = [violation for violation in report["violations"] if violation["file"] == str(path)]
    assert found["reason"] == "symmetric 50%, noise seed 0, gives other labels when drawn again"
    for run in mine:
        reseal(trained, run, lambda payload, _: payload.update(code="0" * 16))
    _, report = verify()
    assert str(path) not in {violation["file"] for violation in report["violations"]}
    assert any("drawn again; the runs were made by other code" in note for note in report["notes"])


def believes(opener: Callable[[bytes, str], object], data: bytes, run_id: str) -> bool:
    try:
        opener(data, run_id)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("opener", [recount.opened, open_result])
def test_g6_every_single_byte_of_a_result_counts(opener, trained, runs):
    data = (trained / "runs" / runs[0].run_id / "result.json").read_bytes()
    opener(data, runs[0].run_id)
    step = max(1, len(data) // 1200)
    for at in range(0, len(data), step):
        for changed in (data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], data[:at]):
            assert not believes(opener, changed, runs[0].run_id)
    assert len(range(0, len(data), step)) > 500


def test_two_independent_checkers_believe_the_same_records(trained, runs):
    """Whatever is changed in a payload that is sealed again: store and verifier agree."""
    payload, draw = record(trained, runs[0])["payload"], random.Random(0)
    trust = {True: 0, False: 0}

    for _ in range(300):
        changed = json.loads(json.dumps(payload))
        epoch = draw.choice(changed["history"])
        counts = draw.choice(list(epoch["heads"].values()))
        name = draw.choice(list(counts))
        value = draw.choice([None, -1, 0, 1, 3, 50, 101, 1.0, True, "7"])
        match draw.randrange(6):
            case 0 | 1:
                counts[name] = value
            case 2:
                changed["totals"][draw.choice(["test", "val", "trace", "trace_wrong"])] = draw.choice([0, 5, 100])
            case 3:
                changed["history"] = changed["history"][: draw.randrange(3)]
                changed["diverged"] = draw.choice([True, False])
            case 4:
                changed[draw.choice(["schema", "run_id", "noise_id", "code", "headline"])] = draw.choice([1, 2, "x"])
                changed.pop(draw.choice(["needs", "scalars", "paper"]), None)
            case 5:
                epoch["epoch"] = draw.choice([0, 1, 2])
        data = seal(changed, {})
        found = {believes(opener, data, runs[0].run_id) for opener in (recount.opened, open_result)}
        assert len(found) == 1, changed
        trust[found.pop()] += 1
    assert min(trust.values()) > 40


# --- what is wrong with a table


def synthetic(run_id: str, seed: int, test: list[int], votes: list[int], **more: Any) -> recount.Run:
    """What a cell needs of a record: one head, ten test and four validation samples."""
    counts = [{"test": n, "val_noisy": v, "val_clean": None} for n, v in zip(test, votes, strict=True)]
    config = {"dataset": {"name": "d", "digest": "x"}, "noise": {"rate": 0.5, "seed": seed}, "seed": seed}
    told = {"schema": 1, "code": "c", "method_code": "m", "dataset_digest": "x", "device_kind": "cpu", "noise_id": "n"}
    heads = {"heads": ["net1"], "headline": ["net1"], "num_networks": 1, "totals": {"test": 10, "val": 4}}
    history = [{"heads": {"net1": count}} for count in counts]
    payload = {"run_id": run_id, "config": config, "history": history, **told, **heads, **more}
    return recount.brief(recount.Record(payload, {}, ""))


def test_a_cell_worked_out_by_hand():
    tests = {"a": [3, 1], "b": [5, 2], "c": [4, 3]}
    votes = {"a": [0, 4], "b": [4, 4], "c": [1, 0]}
    runs = [synthetic(name, seed, tests[name], votes[name]) for seed, name in enumerate(tests)]

    def cells(rule: str, head: str, runs: list[recount.Run] = runs) -> dict[str, recount.Number]:
        found = recount.cells(recount.together(runs), rule, head)
        return {"".join(sorted(ids)): number for ids, number in found.items()}

    assert cells("last", "headline") == {"abc": recount.Number(20.0, 10.0, 3)}
    assert cells("oracle", "net1") == {"abc": recount.Number(40.0, 10.0, 3)}
    assert cells("last10", "ensemble")["abc"].mean == 30.0  # an ensemble of one is its network
    assert cells("noisy_val", "net1") == {"abc": recount.Number(100 / 3, pytest.approx(20.816659995), 3)}
    assert cells("clean_val", "net1") == {"abc": recount.Number(None, None, 0)}
    assert cells("last", "net2") == {"abc": recount.Number(None, None, 0)}
    assert cells("last", "net1", runs[:1]) == {"a": recount.Number(10.0, None, 1)}
    long = synthetic("d", 0, [10, *range(10)], [0] * 11)
    assert cells("last10", "net1", [long])["d"].mean == 45.0
    assert set(cells("last", "net1", [*runs[:2], synthetic("c", 2, [4, 3], [1, 0], code="other")])) == {"ab", "c"}
    assert recount.unequal_labels([*runs, synthetic("d", 2, [0], [0], noise_id="o")]) == [
        "runs of one setting and noise seed met different labels: c n, d o"
    ]


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        ("sample_sd", lambda values: float(np.std(values)) if len(values) > 1 else None),
        ("mean", lambda values: float(np.mean(values)) + 1e-8 if len(values) else None),
        ("sample_sd", lambda values: float(np.std(values, ddof=1)) + 1e-8 if len(values) > 1 else None),
        ("accuracy", lambda run, rule, head: 0.5),
    ],
    ids=["population sd", "an eighth digit", "an eighth digit of the sd", "accuracy"],
)
def test_g30_a_table_that_is_computed_wrongly_is_found(place, wrong, verify, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where no right table is remembered
    monkeypatch.setattr(tables, place, wrong)
    code, report = verify()
    assert code == 3
    assert any(
        v["file"].startswith("table of digits-") and "counted again" in v["reason"] for v in report["violations"]
    )


def test_a_table_with_a_row_too_few_or_in_the_wrong_place_is_found(verify, monkeypatch):
    true = tabulating.table_of

    def shuffled(*words: Any) -> Any:
        table = true(*words)
        first, second = table.rows
        rows = (replace(first, cells=second.cells), replace(second, cells=first.cells))
        return replace(table, rows=rows if table.head == "headline" else (first,))

    monkeypatch.setattr(tabulating, "table_of", shuffled)
    code, report = verify()
    reasons = [violation["reason"] for violation in report["violations"]]
    assert code == 3
    assert any("stands in another row or column than its runs" in reason for reason in reasons)
    assert any("has no cell of the runs" in reason for reason in reasons)


def test_f82_a_cell_of_runs_that_do_not_belong_together_is_found(verify, monkeypatch):
    true = tabulating.table_of

    def mixed(*words: Any) -> Any:
        table = true(*words)
        if table.view != "accuracy":
            return table
        first = table.rows[0].cells
        cells = (replace(first[0], runs=first[0].runs + first[1].runs), *first[1:])
        return replace(table, rows=(replace(table.rows[0], cells=cells), *table.rows[1:]))

    monkeypatch.setattr(tabulating, "table_of", mixed)
    code, report = verify()
    assert code == 3
    assert any("averages runs that are not of one setting" in v["reason"] for v in report["violations"])


def _digit(path: Path) -> None:
    """Make the first number of a written table another one, in its second decimal."""
    before = path.read_text()
    after = re.sub(r"(\d\d\.\d)(\d)", lambda found: f"{found[1]}{(int(found[2]) + 1) % 10}", before, count=1)
    assert after != before
    path.write_text(after)


@pytest.mark.parametrize("suffix", [".csv", ".md", ".tex", ".html"])
def test_g21_a_written_table_with_another_digit_is_named(suffix, trained, verify):
    (path,) = trained.glob(f"tables/*/accuracy{suffix}")
    _digit(path)
    code, report = verify()
    assert (code, [violation["file"] for violation in report["violations"]]) == (3, [str(path)])
    said = "its rows are not those of the records" if suffix == ".html" else "it says"
    assert f"stale or changed: {said}" in report["violations"][0]["reason"]


def _without_the_last(text: str) -> str:
    lines = text.splitlines(keepends=True)
    del lines[max(number for number, line in enumerate(lines) if re.match(r'(\| |"|)dml\b', line))]
    return "".join(lines)


def _renamed(text: str) -> str:
    return re.sub(r'(?m)^(\| |"|)(dml|ce)\b("?,"(dml|ce)")?', lambda found: found[0].replace(found[2], "jocor"), text)


def _without_a_number(text: str) -> str:
    number = re.compile(r"\**\d+\.\d+( ± | \\\(\\pm\\\) |,)\d+\.\d+\**")
    last = list(number.finditer(text))[-1]
    return text[: last.start()] + ("," if last[1] == "," else "–") + text[last.end() :]


@pytest.mark.parametrize("suffix", [".csv", ".md", ".tex"])
@pytest.mark.parametrize("change", [_without_the_last, _renamed, _without_a_number], ids=lambda change: change.__name__)
def test_g21_a_written_table_with_other_rows_is_named(change, suffix, trained, verify):
    (path,) = trained.glob(f"tables/*/accuracy{suffix}")
    before = path.read_text()
    path.write_text(change(before))
    assert path.read_text() != before
    code, report = verify()
    assert (code, [violation["file"] for violation in report["violations"]]) == (3, [str(path)])


def test_f87_a_stale_table_and_stale_plots_are_named(trained, verify, runs):
    shutil.rmtree(trained / "runs" / runs[0].run_id)
    code, report = verify()
    (folder,) = (trained / "tables").iterdir()
    assert code == 3
    assert {violation["file"]: violation["reason"] for violation in report["violations"]} == {
        str(folder / f"{name}.manifest.json"): "stale: 0 of 7 results are not the ones it was made of, 1 of those are "
        f"gone; `{verb}` makes it again"
        for name, verb in (("accuracy", "table"), ("plots", "plot"))
    }


def test_a_table_without_its_manifest_is_not_believed_and_the_table_command_mends_it(trained, verify, suite, say):
    (path,) = trained.glob("tables/*/accuracy.manifest.json")
    path.unlink()
    code, report = verify()
    assert (code, [violation["file"] for violation in report["violations"]]) == (3, [str(path)])
    assert say("table", *suite, "--results", trained)[0] == 0
    assert verify()[0] == 0


def test_tables_of_every_rule_are_looked_at(trained, verify, suite, say):
    assert say("table", *suite, "--results", trained, "--rule", "last10", "--head", "net1")[0] == 0
    assert verify()[1]["checked"]["written tables"] == 8
    (path,) = trained.glob("tables/*/accuracy-last10-net1.md")
    _digit(path)
    code, report = verify()
    assert (code, [violation["file"] for violation in report["violations"]]) == (3, [str(path)])


# --- training again


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
