"""What a forger would try: labels that no draw gives, data that nobody has, claims that code does not bear out."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import noise
from bench.data import datasets
from bench.fingerprint import ROOT
from bench.sharing import claims
from bench.sharing.told import Told
from bench.sweep.upkeep import verifying
from tests.bench.sharing.conftest import MINE, Files, relisted, resealed, told, unpacked


def changed(files: Files, change: Callable[[dict[str, Any]], object], method: str | None = None) -> Files:
    """Every record after `change`, or those of one method, with all digests right again."""
    for place in sorted({name.removesuffix("result.json") for name in files if name.endswith("/result.json")}):
        found = json.loads(files[f"{place}result.json"])
        if method in (None, found["payload"]["config"]["method"]["name"]):
            change(found["payload"])
            files = resealed(files, place, found["payload"], found["provenance"])
    return relisted(files)


# --- labels and data


def test_easier_labels_are_refused_whatever_code_is_named_for_them(files, board):
    stored = {}

    def easier(payload):
        name = payload["noise_id"]
        labels, card = noise.from_bytes(files[f"noise/{name}.npz"])
        given = labels.clean.copy()
        kept = np.flatnonzero(labels.given != labels.clean)[:20]
        given[kept] = labels.given[kept]
        other = replace(labels, given=given)
        stored[f"noise/{other.noise_id}.npz"] = noise.to_bytes(other, {**card, "noise_id": other.noise_id})
        config = payload["config"]
        payload["totals"] |= verifying._count(other, config["dataset"], config["noise"]["seed"])
        payload |= {"noise_id": other.noise_id, "code": "0" * 16}

    forged = changed(files, easier)
    board.put(relisted({**forged, **stored}))
    lines = board.refusal().splitlines()
    assert len(lines) == 4
    assert all("gives other labels when drawn again" in line for line in lines)


def test_known_data_of_another_digest_are_refused(files, board):
    def other(payload):
        payload["config"]["dataset"]["digest"] = payload["dataset_digest"] = "f" * 64

    said = told(files)["protocols"]
    said[0]["setting"]["dataset"]["digest"] = "f" * 64
    board.put(relisted(changed(files, other), protocols=said))
    pinned = datasets.info("digits").digest[:12]
    reason = f"digits has the digest {pinned}, and {'f' * 12} is told: these are other data"
    assert all(line.endswith(reason) for line in board.refusal().splitlines()[:8])


def test_a_record_of_other_data_than_its_configuration_names_is_refused(files, board):
    board.put(changed(files, lambda payload: payload.update(dataset_digest="f" * 64)))
    assert "dataset_digest is not the one of its configuration" in board.refusal()


@pytest.fixture(scope="session")
def from_file(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A run on labels of a file, exported."""
    folder = tmp_path_factory.mktemp("file")
    labels = datasets.load("digits").train_labels.copy()
    labels[:200] = (labels[:200] + 1) % 10
    np.save(folder / "labels.npy", labels)
    words = ["--dataset", "digits", "--noise", f"file:{folder / 'labels.npy'}", "--methods", "ce", "--seeds", "0"]
    words += ["--epochs", "1", "--train-limit", "64", "--test-limit", "100", "--results", str(folder / "results")]
    for verb in (["run", "--shard", "0/1"], ["export", "--out", str(folder / "file.zip")]):
        command = [sys.executable, str(ROOT / "run_bench.py"), verb[0], *words, *verb[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return unpacked(folder / "file.zip")


def test_labels_of_a_file_are_accepted_with_the_file_and_unchecked_without(from_file, board):
    board.put(from_file)
    code, said = board.check()
    assert (code, said["submissions"][0]["verdict"], said["submissions"][0]["reasons"]) == (0, "accepted", [])
    board.put(relisted({name: data for name, data in from_file.items() if not name.startswith("noise/files/")}))
    code, said = board.check()
    (one,), (section,) = said["submissions"], said["protocols"]
    assert (code, one["verdict"], section["ranked"], len(section["partial"])) == (1, "unchecked", [], 1)
    assert "drawn again: noise file:labels.npy" in one["reasons"][0]
    assert "there is no file noise/files/" in one["reasons"][0]


# --- what records say of their method


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"needs": ["noise_rate"]}, "needs is noise_rate, and nothing by the code of dml"),
        ({"num_networks": 1}, "num_networks is 1, and 2 by the code of dml"),
        ({"headline": ["ensemble"]}, "headline is ensemble, and net1, net2 by the code of dml"),
        ({"paper": "Ours, 2030"}, "paper is 'Ours, 2030', and "),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_claim_that_the_code_of_this_harness_does_not_bear_out_is_refused(claim, message, files, board):
    board.put(changed(files, lambda payload: payload.update(claim), "dml"))
    assert message in board.refusal()


def test_what_another_code_is_said_to_do_is_noted_as_unknown(files, board):
    board.put(changed(files, lambda payload: payload.update(num_networks=1, method_code="0" * 16), "dml"))
    code, said = board.check()
    told_of = "networks, headline, paper and what it was told are as its records say"
    assert (code, said["submissions"][0]["notes"]) == (0, [f"dml is not this harness's code: {told_of}"])
    sources = {line["method"]: line["source"] for line in said["protocols"][0]["ranked"]}
    assert sources == {"ce": "", "dml": "own: not the code of this harness"}


def test_runs_of_one_code_that_report_by_other_heads_are_refused_and_noted_between_submissions(files, board):
    def one_seed(payload):
        payload["method_code"] = "0" * 16
        payload["headline"] = ["net1"] if payload["config"]["seed"] else ["net2"]

    board.put(changed(files, one_seed, "dml"))
    assert ": headline is net" in board.refusal()

    def all_seeds(heads):
        return lambda payload: payload.update(method_code="0" * 16, headline=heads)

    board.put(relisted(changed(files, all_seeds(["net1", "net2"]), "dml"), name="A"), "one.zip")
    board.put(relisted(changed(files, all_seeds(["net2", "net1"]), "dml"), name="B"), "two.zip")
    _, said = board.check()
    assert not any("headline is not the same" in note for one in said["submissions"] for note in one["notes"])
    board.put(relisted(changed(files, lambda payload: payload.update(method_code="0" * 16, paper="X"), "dml")), "z.zip")
    _, said = board.check()
    assert "dml: paper is not the same here as in A" in said["submissions"][2]["notes"]


def test_a_claim_that_enclosed_source_does_not_bear_out_is_refused(own, board, say, tmp_path):
    assert say("export", *own.words, "--out", tmp_path / "own.zip", "--with-code")[0] == 0
    mine = unpacked(tmp_path / "own.zip")
    board.put(mine)
    code, said = board.check()
    assert (code, said["submissions"][0]["notes"]) == (0, [])
    board.put(changed(mine, lambda payload: payload.update(num_networks=2)))
    assert board.refusal().endswith(": num_networks is 2, and 1 by the code of mine.Mine")


def one_run(run_id: str, **said: Any) -> Told:
    summary = {"needs": [], "num_networks": 2, "headline": ["net1", "net2"], "paper": "Ours", "method_code": "0" * 16}
    method = {"name": "mine.Mine", "params": {"x": said.pop("x", 1)}}
    return Told(run_id, "", "", {**summary, "config": {"method": method}, **said})


def test_each_claim_that_a_source_does_not_bear_out_is_told_once_and_of_the_first_run():
    source = claims.Claims((), 2, ("net1", "net2"), "Ours")
    runs = [one_run("r0"), one_run("r1", paper="X"), one_run("r2", paper="Y", headline=["net2"], needs=["noise_rate"])]
    assert list(claims.faults(runs, source)) == [
        "runs/r1: paper is 'X', and 'Ours' by the code of mine.Mine",
        "runs/r2: needs is noise_rate, and nothing by the code of mine.Mine",
        "runs/r2: headline is net2, and net1, net2 by the code of mine.Mine",
    ]
    assert list(claims.faults([one_run("r0", headline=["ema"])], replace(source, headline=None))) == []  # its own
    assert list(claims.faults([one_run("r0", headline=["net2", "net1"])], source)) == []  # in any order


def test_what_runs_of_one_setting_say_in_two_ways_is_told_once():
    runs = [one_run("r0"), one_run("r1", x=2, paper="X"), one_run("r2", method_code="1" * 16, paper="X")]
    assert list(claims.unequal(runs)) == []
    more = [*runs, one_run("r3", paper="X"), one_run("r4", paper="Y", num_networks=1)]
    assert list(claims.unequal(more)) == [
        "runs/r3: paper is 'X', and 'Ours' in runs/r0",
        "runs/r4: num_networks is 1, and 2 in runs/r0",
    ]


def test_a_source_beyond_what_is_read_tells_nothing(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    monkeypatch.setattr(claims, "LARGEST", len(MINE))
    assert claims.of_enclosed(path, "mine.Mine") == claims.Claims((), 1, ("net1",), "")
    monkeypatch.setattr(claims, "LARGEST", len(MINE) - 1)
    assert claims.of_enclosed(path, "mine.Mine") is None


def test_enclosed_source_is_read_and_never_run(tmp_path):
    head = "from typing import ClassVar\n"
    body = MINE.replace('"""The mean."""', '"""The mean."""\n\n    num_networks: ClassVar[int] = 2')
    path = tmp_path / "mine.py"
    path.write_text(head + body + f"\nopen({str(tmp_path / 'ran')!r}, 'w')\n")
    found = claims.of_enclosed(path, "mine.Mine")
    assert found == claims.Claims((), 2, ("net1", "net2"), "")
    path.write_text(f"{head}later: int\n{body}")  # which has no value
    assert claims.of_enclosed(path, "mine.Mine") == found
    for value in ('int("2")', "[0] * 9999999999", "undefined"):
        path.write_text(head + body.replace("= 2", f"= {value}"))
        assert claims.of_enclosed(path, "mine.Mine") is None
    for text in ("x = x\nclass Mine(Mine):\n    num_networks = x\n", "(", "\0", "class Mine(Other): pass"):
        path.write_text(text)
        assert claims.of_enclosed(path, "mine.Mine") is None
    assert not (tmp_path / "ran").exists()


# --- settings


def test_a_setting_of_its_own_for_each_seed_leaves_every_row_short_of_seeds(files, board):
    board.put(changed(files, lambda payload: payload["config"]["method"]["params"].update(x=payload["config"]["seed"])))
    code, said = board.check()
    (one,), (section,) = said["submissions"], said["protocols"]
    assert (code, one["verdict"], section["ranked"]) == (1, "incomplete", [])
    assert one["reasons"][0] == "ce [x=0]: symmetric 50% lacks seed 1; pairflip 20% lacks seed 1"
    assert [line["params"] for line in section["partial"][:2]] == ["x=0", "x=1"]


def test_a_setting_of_its_own_for_each_column_is_marked_in_the_row(files, board):
    def per_column(payload):
        payload["config"]["method"]["params"]["x"] = payload["config"]["noise"]["rate"]

    board.put(changed(files, per_column, "dml"))
    code, said = board.check()
    assert code == 0
    params = {line["method"]: line["params"] for line in said["protocols"][0]["ranked"]}
    assert params == {"ce": "", "dml": "settings per column"}


# --- what is no file


def test_a_pipe_or_a_socket_in_the_folder_is_refused_and_holds_nothing_up(files, board, monkeypatch):
    board.put(files, "good.zip")
    os.mkfifo(board.folder / "pipe.zip")
    monkeypatch.chdir(board.folder)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.zip")
        code, said = board.check()
    assert code == 3
    found = {one["place"]: (one["verdict"], one["reasons"]) for one in said["submissions"]}
    assert found["good.zip"] == ("accepted", [])
    assert found["pipe.zip"] == found["socket.zip"] == ("refused", ["is no regular file"])


def test_a_file_that_may_not_be_read_is_refused_and_the_others_are_checked(files, board, monkeypatch):
    board.put(files, "good.zip")
    locked = board.put(files, "locked.zip")
    real = os.open

    def denied(path, *args, **more):
        if str(path) == str(locked):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **more)

    monkeypatch.setattr(os, "open", denied)
    code, said = board.check()
    found = {one["place"]: (one["verdict"], one["reasons"]) for one in said["submissions"]}
    assert (code, found["good.zip"][0]) == (3, "accepted")
    assert found["locked.zip"] == ("refused", [f"{locked}: Permission denied"])
