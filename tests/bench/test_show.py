"""`show` tells all about one run on a page, whatever has become of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import cli
from bench.commands import show
from bench.sweep.planning.selection import planned
from bench.sweep.records.store import RunFolder, Store

WORDS = ["--dataset", "digits", "--noise", "symmetric:0.5", "--methods", "ce", "--seeds", "0", "--epochs", "9"]
START = {
    **{"host": "node1", "slot": "cuda:3", "device": "an Example", "device_kind": "cuda", "launch": "L"},
    **{"python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6", "cuda": "12.8", "packages": {"scipy": "1.17.1"}},
    "cpu": {"name": "a CPU", "cores": 16, "flags": ["avx2"], "kernels": "AVX2"},
    "gpu": {"name": "an Example", "driver": "570.1", "cudnn": 91002, "capability": "9.0", "memory_mb": 80000},
    "arithmetic": {"precision": "bf16", "deterministic": True, "threads": 1},
    **{"commit": "0123456789abcdef", "dirty": True, "diff_sha256": "a" * 64, "started": "2026-01-02T03:04:05+00:00"},
    "command": ["run", "mine.toml", "--data-dir", "~/data"],
}


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    """A run that has begun."""
    (run,) = planned(cli.parser().parse_args(["status", *WORDS, "--results", str(tmp_path)]))[1]
    folder = Store(tmp_path).run(run.run_id)
    with folder.lock():
        folder.write_config(run.config.to_dict())
    return folder


@pytest.fixture
def say(tmp_path, capsys) -> Callable[..., tuple[int, str]]:
    def show(*more: str) -> tuple[int, str]:
        return cli.main(["show", "r", "--results", str(tmp_path), *more]), capsys.readouterr().out

    return show


def fail(folder: RunFolder, **end: object) -> None:
    folder.end_attempt(folder.start_attempt(START), {"class": "error", "final": True, "message": "it broke", **end})


def test_the_time_of_a_run_that_went_on_is_that_of_its_last_part():
    assert show._time({"seconds": 1.72}, 14) == "1.7 s"
    assert show._time({"seconds": 1.72, "epochs_this_attempt": 14}, 14) == "1.7 s"
    assert show._time({"seconds": 0.8, "epochs_this_attempt": 6}, 14) == "0.8 s (the last 6 of 14 epochs)"


def test_a_failed_run_shows_its_place_its_versions_and_the_end_of_its_log(folder, say):
    folder.save_checkpoint(4, b"state")
    for _ in range(8):
        fail(folder, traceback="\n".join(f"frame {number}" for number in range(40)))
    (folder.path / "log.txt").write_text("\n".join(f"line {n}" for n in range(5000)) + "\n\x1b[2Jlast\n")
    code, out = say()
    lines = out.splitlines()
    assert code == 0
    assert len(lines) < 60
    assert "  epochs   4 of 9 done" in lines
    assert "  made on  a CPU (AVX2, 16 cores), an Example (driver 570.1, CUDA 12.8, cuDNN 91002)" in lines
    assert "  by       python 3.11.7, torch 2.13.0, numpy 2.4.6, scipy 1.17.1" in lines
    assert "  with     deterministic yes, precision bf16, threads 1" in lines
    assert "  commit   0123456789ab, with changes (diff aaaaaaaa)" in lines
    assert "  command  run mine.toml --data-dir ~/data" in lines
    assert "  2 attempts before" in lines
    assert sum(line.startswith("  attempt ") for line in lines) == 6
    last = "  attempt 8 on node1 (cuda:3, an Example, torch 2.13.0), 2026-01-02T03:04:05+00:00: error it broke"
    assert last in lines
    assert [line for line in lines if line.startswith("frame")] == [f"frame {number}" for number in range(28, 40)]
    assert lines[-12:] == [*(f"    line {number}" for number in range(4989, 5000)), "    \\x1b[2Jlast"]


def test_an_older_record_shows_what_it_has(folder, say):
    folder.start_attempt({"host": "old", "device": "a CPU", "torch": "2.10.0", "python": "3.11.1"})
    lines = say()[1].splitlines()
    assert "  made on  a CPU" in lines
    assert "  by       python 3.11.1, torch 2.10.0" in lines
    assert lines[-1] == "  attempt 1 on old (a CPU, torch 2.10.0): unended"
    assert "the last lines" not in "\n".join(lines)


def test_what_was_set_aside_and_what_came_out_in_two_ways_is_remarked(folder, say):
    for part, name in (("quarantine", f"result.json.{'a' * 32}"), ("conflicts", f"{'b' * 32}.json")):
        (folder.path / part).mkdir()
        (folder.path / part / name).write_bytes(b"")
    lines = say()[1].splitlines()
    assert f"  ALARM    a second finisher found other numbers: {folder.path}/conflicts/{'b' * 32}.json" in lines
    assert "  aside    1 damaged or outdated files in quarantine: result.json" in lines
    (folder.path / "result.json").write_bytes(b"{}")
    code, out = say()
    assert code == 3
    assert out.startswith(f"damaged: {folder.path}/result.json: sha256 does not match the record\n  ALARM")


def test_a_program_is_told_of_an_unfinished_run_what_there_is(folder, say):
    fail(folder)
    data = json.loads(say("--json")[1])
    assert (data["state"], data["config"]["train"]["epochs"]) == ("failed", 9)
    assert data["attempts"][0]["start"]["commit"] == START["commit"]
    assert data["attempts"][0]["end"]["message"] == "it broke"


def test_a_log_that_is_a_link_is_not_read(folder, say, tmp_path):
    fail(folder)
    secret = Path(tmp_path / "secret")
    secret.write_text("a secret\n")
    (folder.path / "log.txt").symlink_to(secret)
    assert "a secret" not in say()[1]
