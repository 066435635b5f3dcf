"""`status` says how far a suite is: few lines for a person however many the runs, and everything for a program."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import cli
from bench.sweep.planning.grid import Planned
from bench.sweep.planning.selection import planned
from bench.sweep.records.store import Store
from bench.sweep.run.heartbeat import Heartbeat

WORDS = [
    "--dataset",
    "digits",
    "--noise",
    "symmetric:0.5",
    "--methods",
    "ce",
    "dml",
    "--seeds",
    "0-29",
    "--epochs",
    "9",
]


@pytest.fixture
def runs(tmp_path) -> list[Planned]:
    return planned(cli.parser().parse_args(["status", *WORDS, "--results", str(tmp_path)]))[1]


@pytest.fixture
def say(tmp_path, capsys) -> Callable[..., str]:
    def status(*more: str) -> str:
        assert cli.main(["status", *WORDS, "--results", str(tmp_path), *more]) == 0
        return capsys.readouterr().out

    return status


def fail(root: Path, run: Planned, message: str, final: bool = True) -> None:
    folder = Store(root).run(run.run_id)
    attempt = folder.start_attempt({"host": "node1", "slot": "cuda:3", "launch": "L"})
    folder.end_attempt(attempt, {"class": "error", "final": final, "message": message})


def test_equal_failures_are_one_line_with_a_count_and_an_example(say, runs, tmp_path):
    for run in runs[:28]:
        fail(tmp_path, run, "RuntimeError: it broke")
    fail(tmp_path, runs[28], "ValueError: \x1b[2Jnot\nthis")
    lines = say().splitlines()
    assert lines[1] == "  31 planned, 29 failed"
    assert lines[-2:] == [
        f"  failed       28 x RuntimeError: it broke  (such as {runs[0].run_id} ce symmetric:0.5 seed 0)",
        f"  failed       ValueError: \\x1b[2Jnot this  ({runs[28].run_id} ce symmetric:0.5 seed 28)",
    ]


def test_each_method_has_its_counts(say, runs, tmp_path):
    fail(tmp_path, runs[0], "it broke")
    lines = say().splitlines()
    assert [line.split() for line in lines[2:5]] == [
        ["method", "planned", "failed"],
        ["ce", "29", "1"],
        ["dml", "30", "-"],
    ]


def test_runs_that_go_on_are_told_with_epoch_and_place_and_long_lists_are_cut(say, runs, tmp_path):
    for number, run in enumerate(runs[:25]):
        folder = Store(tmp_path).run(run.run_id)
        fail(tmp_path, run, "preempted", final=False)
        folder.save_checkpoint(number % 9, b"state")
    held = Store(tmp_path).run(runs[30].run_id)
    held.start_attempt({"host": "node2", "slot": "cuda:1"})
    held.save_checkpoint(4, b"state")
    Heartbeat(held.path).finished(6)  # its checkpoints are rarer than its epochs
    Heartbeat(Store(tmp_path).run(runs[0].run_id).path).finished(8)  # was killed: it goes on from its checkpoint
    with held.lock():
        text = say()
        data = json.loads(say("--json"))
    lines = text.splitlines()
    assert lines[1] == "  34 planned, 1 running, 25 interrupted"
    assert f"  running      {held.run_id}  dml symmetric:0.5 seed 0  epoch 6/9  cuda:1 on node2" in lines
    assert f"  interrupted  {runs[0].run_id}  ce symmetric:0.5 seed 0  epoch 0/9" in lines
    assert sum(line.startswith("  interrupted") for line in lines) == 20
    assert lines[-1] == "  and 5 more runs; --json names all"
    entry = next(entry for entry in data["runs"] if entry["run_id"] == held.run_id)
    assert (entry["state"], entry["epochs_done"], entry["slot"], entry["host"]) == ("running", 6, "cuda:1", "node2")
    assert data["methods"]["dml"] == {"running": 1, "planned": 29}


def test_a_program_is_told_everything(say, runs, tmp_path):
    fail(tmp_path, runs[0], "it broke")
    data = json.loads(say("--json"))
    assert (data["counts"], len(data["runs"])) == ({"failed": 1, "planned": 59}, 60)
    assert data["failures"] == [
        {
            **{"state": "failed", "message": "it broke", "count": 1, "example": runs[0].run_id},
            "what": "ce symmetric:0.5 seed 0",
        }
    ]
    first, *others = data["runs"]
    assert (first["failure"], first["message"], first["slot"], first["launch"]) == ("error", "it broke", "cuda:3", "L")
    assert {entry["message"] for entry in others} == {""}
    assert (first["method"], first["noise"], first["seed"], first["epochs"]) == ("ce", "symmetric:0.5", 0, 9)


def test_a_damaged_result_is_named_with_its_reason(say, runs, tmp_path):
    folder = Store(tmp_path).run(runs[1].run_id)
    folder.path.mkdir(parents=True)
    (folder.path / "result.json").write_bytes(b"{}")
    reason = "sha256 does not match the record"
    assert say().splitlines()[-1] == f"  corrupt      {reason}  ({folder.run_id} ce symmetric:0.5 seed 1)"
    assert json.loads(say("--json"))["failures"][0]["state"] == "corrupt"
