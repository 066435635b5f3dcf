"""`merge` brings shards together: verified, in one piece each, and the same however often it is killed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench import cli, files
from bench.files import canonical, sha256
from bench.fingerprint import ROOT
from bench.sweep.planning.grid import Planned
from bench.sweep.records.result import seal
from bench.sweep.records.store import State, Store

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shards(trained: Path, runs: list[Planned], tmp_path: Path) -> tuple[Path, Path]:
    """The suite as two machines would have it that share nothing: half of the runs each, and the labels of these."""
    made = []
    for number in range(2):
        shard = tmp_path / f"shard {number}"
        shutil.copytree(trained, shard, ignore=shutil.ignore_patterns("tables"))
        for run in runs[1 - number :: 2]:
            shutil.rmtree(shard / "runs" / run.run_id)
        used = {result_of(shard, run)["payload"]["noise_id"] for run in runs[number::2]}
        for path in (path for path in (shard / "noise").glob("n*") if path.stem not in used):
            path.unlink()
        made.append(shard)
    return made[0], made[1]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "merged"


def result_of(folder: Path, run: Planned) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "runs" / run.run_id / "result.json").read_bytes())
    return found


def other_numbers(folder: Path, run: Planned) -> None:
    """Let a run have found something else, in a record that is whole."""
    found = result_of(folder, run)
    found["payload"]["history"][0]["loss"][0] += 1.0
    (folder / "runs" / run.run_id / "result.json").write_bytes(seal(found["payload"], found["provenance"]))


def content(folder: Path) -> dict[str, bytes]:
    """Every file by its place, but for what killed writers have left under names that nobody reads."""
    paths = (path for path in folder.rglob("*") if path.is_file() and ".tmp-" not in path.name)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


def counts(out: str) -> dict[str, int]:
    found = [line.split(maxsplit=1) for line in out.splitlines()[1:]]
    return {kind: int(number) for number, kind in found}


def test_what_the_target_refuses_ends_the_merge_although_its_name_begins_like_a_source(shards, tmp_path, say):
    source = shards[0].rename(tmp_path / "a")
    (tmp_path / "ab" / "runs").mkdir(parents=True)
    for run_id in Store(source).run_ids():
        (tmp_path / "ab" / "runs" / run_id).write_text("in the way", encoding="utf-8")
    code, out, err = say("merge", str(source), "--results", str(tmp_path / "ab"))
    assert code == 1
    assert f"stopped: {tmp_path / 'ab' / 'runs'}/" in out + err
    assert counts(out)["runs copied"] == 0


def test_a_card_that_cannot_be_read_costs_nothing_else(shards, target, say):
    card = next(iter(sorted((shards[0] / "noise").glob("n*.json"))))
    card.unlink()
    card.mkdir()
    code, out, err = say("merge", str(shards[0]), "--results", str(target))
    assert code == 3
    assert str(card) in out + err
    assert Store(target).run_ids() == Store(shards[0]).run_ids()


# --- what is right


def test_the_table_of_merged_shards_is_that_of_one_machine(trained, shards, target, suite, say):
    before = [stamps(shard) for shard in shards]
    code, out, err = say("merge", *shards, "--results", target)
    assert (code, err) == (0, "")
    assert counts(out) == {"runs copied": 8, "label sets copied": 4, "suite copied": 1}
    tables = [say("table", *suite, "--results", folder) for folder in (trained, target)]
    assert tables[0] == tables[1]
    assert tables[0][0] == 0
    for name in ("accuracy.csv", "accuracy.md", "accuracy.tex", "accuracy.manifest.json"):
        ours, theirs = (next(folder.glob(f"tables/*/{name}")) for folder in (trained, target))
        assert ours.read_bytes() == theirs.read_bytes()
    assert "8 done" in say("status", *suite, "--results", target)[1]
    assert say("verify", *suite, "--results", target)[0] == 0
    whole, merged = content(trained), content(target)
    whole = {name: data for name, data in whole.items() if not name.startswith("tables/")}
    assert {name: data for name, data in merged.items() if not name.startswith("tables/")} == whole
    assert [stamps(shard) for shard in shards] == before  # nothing is written where it is read


def test_the_same_command_again_changes_nothing(shards, target, say):
    say("merge", *shards, "--results", target)
    before = stamps(target)
    code, out, _ = say("merge", *shards, "--results", target)
    assert (code, counts(out)) == (0, {"runs copied": 0, "runs there already, with the same numbers": 8})
    unlocked = {path for path in before if not path.endswith("lock")}
    assert {path: stamps(target)[path] for path in unlocked} == {path: before[path] for path in unlocked}


def test_a_dry_run_says_the_same_and_creates_nothing(shards, target, runs, say):
    shutil.copytree(shards[0] / "runs" / runs[0].run_id, shards[1] / "runs" / runs[0].run_id)
    other_numbers(shards[1], runs[0])
    code, out, err = say("merge", *shards, "--results", target, "--dry-run")
    assert (code, target.exists()) == (3, False)
    real = say("merge", *shards, "--results", target)
    assert (code, out.replace("would be copied", "copied"), err) == real


def test_unfinished_runs_are_left_and_counted(shards, target, runs, say):
    for run in runs[:3:2]:
        (shards[0] / "runs" / run.run_id / "result.json").unlink()
    Store(shards[0]).run(runs[0].run_id).save_checkpoint(1, b"state")
    (shards[0] / "runs" / "notes").mkdir()
    code, out, _ = say("merge", *shards, "--results", target)
    assert code == 0
    assert counts(out)["unfinished runs left where they are"] == 2
    assert counts(out)["entries of runs/ that are no runs, left"] == 1
    assert not (target / "runs" / runs[0].run_id).exists()
    assert (shards[0] / "runs" / runs[0].run_id / f"ckpt-000001-{sha256(b'state')[:16]}.pt").exists()


def test_a_run_that_is_unfinished_in_the_target_becomes_the_finished_one(shards, target, runs, say):
    folder = Store(target).run(runs[0].run_id)
    with folder.lock():
        folder.write_config(runs[0].config.to_dict())
        folder.start_attempt({"launch": "here"})
        folder.save_checkpoint(1, b"state")
        (folder.path / "log.txt").write_text("began here\n")
        (shards[0] / "runs" / runs[0].run_id / "log.txt").write_text("trained\n")
        (folder.path / "samples").mkdir()
        (folder.path / "samples" / "epoch-0001.npz").write_bytes(b"of another attempt")
    assert say("merge", *shards, "--results", target)[0] == 0
    assert folder.state() is State.DONE
    assert folder.checkpoints() == []
    assert [path.name for path in (folder.path / "samples").iterdir()] == ["epoch-0002.npz"]
    assert len(folder.attempts()) == 2
    log = (folder.path / "log.txt").read_bytes()
    assert log == b"began here\ntrained\n"
    (folder.path / "result.json").unlink()  # as after a kill between the two
    assert say("merge", *shards, "--results", target)[0] == 0
    assert (folder.path / "log.txt").read_bytes() == log


def test_a_damaged_result_in_the_target_is_set_aside(shards, target, runs, say):
    say("merge", *shards, "--results", target)
    path = target / "runs" / runs[0].run_id / "result.json"
    path.write_bytes(b"{}")
    code, out, _ = say("merge", *shards, "--results", target)
    assert (code, counts(out)["runs copied"]) == (0, 1)
    assert path.read_bytes() == (shards[0] / "runs" / runs[0].run_id / "result.json").read_bytes()
    assert [aside.read_bytes() for aside in path.parent.glob("quarantine/*")] == [b"{}"]


def test_a_damaged_label_set_in_the_target_is_replaced(shards, target, say):
    say("merge", *shards, "--results", target)
    path = next((target / "noise").glob("*.npz"))
    right = path.read_bytes()
    path.write_bytes(b"")
    assert counts(say("merge", *shards, "--results", target)[1])["label sets copied"] == 1
    assert path.read_bytes() == right


# --- what is wrong


def _flipped(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    return path


def _linked(path: Path) -> Path:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))
    return path


def _without(path: Path) -> Path:
    path.unlink()
    return path


def _impostor(run: Path) -> Path:
    """Another run's valid result."""
    other = next(path for path in run.parent.iterdir() if path != run)
    shutil.copy(other / "result.json", run / "result.json")
    return run / "result.json"


def _reseal(run: Path, **provenance: Any) -> Path:
    found = json.loads((run / "result.json").read_bytes())
    (run / "result.json").write_bytes(seal(found["payload"], found["provenance"] | provenance))
    return run / "result.json"


DAMAGES: dict[str, Callable[[Path], Path]] = {
    "result": lambda run: _flipped(run / "result.json"),
    "another run's result": _impostor,
    "config": lambda run: _flipped(run / "config.json"),
    "predictions": lambda run: _flipped(next(run.glob("predictions-*"))),
    "no predictions": lambda run: _without(next(run.glob("predictions-*"))),
    "linked predictions": lambda run: _linked(next(run.glob("predictions-*"))),
    "samples": lambda run: _flipped(next(run.glob("samples/*"))),
    "linked samples": lambda run: _linked(run / "samples"),
    "linked attempts": lambda run: _linked(run / "attempts"),
    "a path for a table": lambda run: _reseal(run, samples_sha256={"../../x": "0"}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_run_is_refused_by_name_and_the_others_are_merged(damage, shards, target, runs, say):
    for run in runs[4:]:
        shutil.rmtree(shards[0] / "runs" / run.run_id, ignore_errors=True)
    path = damage(shards[0] / "runs" / runs[0].run_id)
    code, out, err = say("merge", shards[0], "--results", target)
    assert (code, counts(out)["runs copied"], counts(out)["refused: damaged"]) == (3, 1, 1)
    assert err.startswith(f"{path}: ")
    assert err.count("\n") == 1
    assert not (target / "runs" / runs[0].run_id).exists()


def test_damaged_labels_and_suites_are_refused_by_name(shards, target, say):
    labels = _flipped(next((shards[0] / "noise").glob("*.npz")))
    suite = _flipped(next((shards[0] / "suites").glob("*/*.json")))
    code, out, err = say("merge", shards[0], "--results", target)
    assert (code, counts(out)["refused: damaged"], counts(out)["label sets copied"]) == (3, 2, 1)
    assert [line.split(": ")[0] for line in err.splitlines()] == [str(labels), str(suite)]
    assert not (target / "suites").exists()


def test_f37_links_are_not_followed(shards, target, tmp_path, say, runs):
    (shards[0] / "runs" / runs[0].run_id).rename(tmp_path / "outside")
    (shards[0] / "runs" / runs[0].run_id).symlink_to(tmp_path / "outside")
    code, out, _ = say("merge", *shards, "--results", target)
    assert (code, counts(out)["runs copied"]) == (0, 7)
    assert counts(out)["entries of runs/ that are no runs, left"] == 1
    (target / "runs" / runs[0].run_id).symlink_to(tmp_path / "nowhere")
    (shards[0] / "runs" / runs[0].run_id).unlink()
    (tmp_path / "outside").rename(shards[0] / "runs" / runs[0].run_id)
    code, out, err = say("merge", *shards, "--results", target)
    assert (code, (tmp_path / "nowhere").exists()) == (3, False)
    assert "links are not followed" in err


def test_one_run_with_two_results_is_an_alarm_and_the_first_stays(shards, target, runs, suite, say):
    say("merge", *shards, "--results", target)
    before = (target / "runs" / runs[0].run_id / "result.json").read_bytes()
    other_numbers(shards[0], runs[0])
    other = (shards[0] / "runs" / runs[0].run_id / "result.json").read_bytes()
    for _ in range(2):  # the alarm is raised once
        code, out, err = say("merge", *shards, "--results", target)
        assert (code, counts(out)["conflicts: one run, two results"]) == (3, 1)
        assert err == (
            f"{shards[0] / 'runs' / runs[0].run_id}: found other numbers than {target / 'runs' / runs[0].run_id}, "
            "whose result stays\n"
        )
        conflicts = Store(target).run(runs[0].run_id).conflicts()
        assert [path.read_bytes() for path in conflicts] == [other]
        assert (target / "runs" / runs[0].run_id / "result.json").read_bytes() == before
    assert say("table", *suite, "--results", target)[0] == 3


def test_an_alarm_of_a_shard_comes_along(shards, target, runs, suite, say):
    path = shards[0] / "runs" / runs[0].run_id / "conflicts" / f"{'a' * 32}.json"
    path.parent.mkdir()
    found = result_of(shards[0], runs[0])
    found["payload"]["history"][0]["loss"][0] += 1.0
    path.write_bytes(seal(found["payload"], {}))
    (path.parent / f"{'b' * 32}.json").write_bytes(b"{}")
    assert say("merge", *shards, "--results", target, "--dry-run")[0] == 3
    code, out, _ = say("merge", *shards, "--results", target)
    assert code == 3
    assert (counts(out)["conflicts: one run, two results"], counts(out)["refused: damaged"]) == (1, 1)
    assert [conflict.name for conflict in Store(target).run(runs[0].run_id).conflicts()] == [path.name]
    assert say("table", *suite, "--results", target)[0] == 3


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["done", "dry run"])
def test_a_suite_begun_in_two_precisions_is_said(dry, shards, target, say):
    for shard, precision in zip(shards, ("bf16", "float32"), strict=True):
        suite = next(shard.glob("suites/*/*.json"))
        (suite.parent / "chosen").mkdir()
        (suite.parent / "chosen" / suite.name).write_bytes(canonical({"precision": precision}))
    code, out, err = say("merge", *shards, "--results", target, *dry)
    assert code == 1
    assert next(iter(counts(out).values())) == 8
    assert err == (
        f"suite {suite.parent.name} was begun with precision bf16 in {target} and with precision float32 in "
        f"{shards[1]}: their runs cannot be averaged, and its table here is of those with precision bf16\n"
    )
    if not dry:
        assert Store(target).chosen(suite.parent.name, json.loads(suite.read_bytes())) == {"precision": "bf16"}
        assert say("merge", shards[0], "--results", target)[0] == 0


def test_a_suite_without_a_choice_is_one_of_float32(shards, target, say):
    suite = next(shards[0].glob("suites/*/*.json"))
    (suite.parent / "chosen").mkdir()
    (suite.parent / "chosen" / suite.name).write_bytes(canonical({"precision": "float32"}))
    assert say("merge", *shards, "--results", target)[0] == 0
    (suite.parent / "chosen" / suite.name).write_bytes(canonical({"precision": "bf16"}))
    assert say("merge", shards[0], "--results", target)[0] == 1
    assert not list(target.glob("suites/*/chosen/*"))  # which would have turned the suite there into another


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["missing"], "there is no folder missing"),
        (["empty"], "empty is no results folder: it holds neither runs nor noise nor suites"),
        (["target"], "target and target are the same folder: a merge is of folders that lie apart"),
        (["target/runs"], "target/runs and target lie one inside the other: a merge is of folders that lie apart"),
        (["."], ". and target lie one inside the other: a merge is of folders that lie apart"),
        (["shard 0", "./shard 0/"], "shard 0 and shard 0 are the same folder: a merge is of folders that lie apart"),
        (["linked"], "linked/runs: must be a folder; links are not followed"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_one_line_and_creates_nothing(words, reason, shards, tmp_path, say, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("linked").mkdir()
    Path("linked/runs").symlink_to(shards[0] / "runs")
    (tmp_path / "target" / "runs").mkdir(parents=True)
    before = stamps(tmp_path)
    code, out, err = say("merge", *words, "--results", "target")
    assert (code, out, err) == (2, "", f"run_bench.py merge: {reason}\n")
    assert stamps(tmp_path) == before


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another process holds the run."""
    code = "import sys, time; from pathlib import Path; from bench.sweep.records.lock import hold\n"
    code += "with hold(Path(sys.argv[1]), 1): print(flush=True); time.sleep(60)"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path / "lock")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        yield
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_a_run_that_somebody_trains_in_the_target_is_left_and_said(shards, target, runs, say):
    with held(target / "runs" / runs[0].run_id):
        code, out, err = say("merge", *shards, "--results", target)
    assert (code, counts(out)["runs copied"], counts(out)["runs held by a living process, left"]) == (1, 7, 1)
    assert err == f"{target / 'runs' / runs[0].run_id}: held by a living process\n"
    assert say("merge", *shards, "--results", target)[0] == 0


# --- interrupted


def in_child(work: Callable[[], int]) -> int:
    """Do it in a fork; return its exit code, or minus the signal that killed it."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_killed_with_9_at_any_step_the_same_command_gives_the_same_end(shards, tmp_path, suite, say, runs):
    """Every step of a merge of two runs is a place to die: no result is believed before it is whole."""
    for shard in shards:
        for run in runs[2:]:
            shutil.rmtree(shard / "runs" / run.run_id, ignore_errors=True)
    for path in (path for shard in shards for path in shard.glob("runs/*/log.txt")):
        path.write_text("trained\n")
    words = ["merge", *map(str, shards), "--results"]
    assert say(*words, tmp_path / "whole")[0] == 0
    expected = content(tmp_path / "whole")

    def killed(step: int, target: Path) -> int:
        steps = iter(range(step))

        def hook(_: str) -> None:
            if next(steps, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        files.hook = hook
        return cli.main([*words, str(target)])

    deaths, step = 0, 0
    while True:
        target = tmp_path / f"killed {step}"
        code = in_child(lambda step=step, target=target: killed(step, target))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        deaths += 1
        store = Store(target)
        for run_id in store.run_ids():
            state = store.run(run_id).state()
            assert state is not State.CORRUPT
            assert state is not State.DONE or set(content(store.run(run_id).path)) >= {
                name.removeprefix(f"runs/{run_id}/") for name in expected if name.startswith(f"runs/{run_id}/")
            }
        assert in_child(lambda target=target: cli.main([*words, str(target)])) == 0
        assert content(target) == expected
        shutil.rmtree(target)
        step += 1 + step // 5  # each of the first steps, then fewer
    assert deaths > 20


def test_a_real_kill_of_a_real_process(shards, target, suite, say, trained):
    command = [sys.executable, str(ROOT / "run_bench.py"), "merge", *map(str, shards), "--results", str(target)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not list(target.glob("runs/*/result.json")):
        assert process.poll() is None
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert say("merge", *shards, "--results", target)[0] == 0
    assert say("verify", *suite, "--results", target)[0] == 0
    assert say("table", *suite, "--results", target) == say("table", *suite, "--results", trained)


def test_f22_f23_a_full_disk_is_one_line_whatever_it_hits_and_the_same_command_goes_on(shards, target, runs, say):
    for run in runs[2::2]:
        shutil.rmtree(shards[0] / "runs" / run.run_id)
    code, room = 1, 0
    while code:
        left = [room]

        def full(tag: str, left: list[int] = left) -> None:
            left[0] -= tag == "opened"
            if tag == "opened" and left[0] == -1:  # one file, then there is room again
                raise OSError(errno.ENOSPC, "No space left on device", str(target / "x"))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "hook", full)
            code, _, err = say("merge", shards[0], "--results", target)
        assert not list(target.rglob("*.tmp-*"))
        assert code == 0 or (code, err) == (
            1,
            f"stopped: {target / 'x'}: No space left on device; the same command goes on\n",
        )
        finished = content(target)
        shutil.rmtree(target, ignore_errors=True)
        room += 1
    assert say("merge", shards[0], "--results", target)[0] == 0
    assert content(target) == finished
    assert room > 12


def test_ctrl_c_ends_with_75(shards, target, say, monkeypatch):
    def interrupted(tag: str) -> None:
        if tag == "linked" and list(target.glob("runs/*/result.json")):
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "hook", interrupted)
    code, out, err = say("merge", *shards, "--results", target)
    assert (code, err) == (75, "interrupted; the same command goes on\n")
    monkeypatch.undo()
    code, out, _ = say("merge", *shards, "--results", target)
    assert (code, counts(out)["runs there already, with the same numbers"]) == (0, 1)
