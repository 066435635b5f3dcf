"""`verify` names the file of whatever is wrong with a record, its labels, predictions or samples."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import noise
from bench.data import datasets
from bench.evidence import recount
from bench.files import canonical
from bench.sweep.planning.grid import Planned
from bench.sweep.records.result import open_result, seal
from bench.sweep.records.store import Store
from bench.sweep.upkeep.verifying import Report, Verifier
from tests.bench.tampering import absent, record, reseal


def flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


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


@pytest.mark.parametrize("share", [0, 0.01, 0.5])
def test_a_record_that_is_empty_or_cut_off_is_called_so(trained, runs, share):
    path, report = trained / "runs" / runs[0].run_id / "result.json", Report()
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    Verifier(Store(trained), runs, None, report).run()
    reasons = {violation.reason for violation in report.violations if violation.file == str(path)}
    assert reasons == {"it is no JSON: empty, cut off or damaged"}


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
