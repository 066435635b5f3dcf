"""`clean` removes what it was asked to, after showing it: no more, nothing that is in use, and no run by halves."""

from __future__ import annotations

import io
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import cli, files
from bench.files import canonical
from bench.fingerprint import ROOT
from bench.sweep.planning.grid import Planned
from bench.sweep.planning.selection import planned
from bench.sweep.records.store import State, Store
from bench.sweep.upkeep import cleaning

Say = Callable[..., tuple[int, str, str]]
END = {"failed": {"class": "error", "final": True}, "interrupted": {"class": "interrupted", "final": False}}


@pytest.fixture
def store(trained: Path, runs: list[Planned]) -> Store:
    """Four finished runs, two failed and two interrupted ones; the last has a file in quarantine."""
    found = Store(trained)
    for number, run in enumerate(runs[4:]):
        folder = found.run(run.run_id)
        shutil.rmtree(folder.path)
        with folder.lock():
            folder.write_config(run.config.to_dict())
            attempt = folder.start_attempt({"launch": "x"})
            folder.save_checkpoint(1, b"state of the run")
            folder.end_attempt(attempt, END["failed" if number < 2 else "interrupted"])
    (folder.path / "broken").write_bytes(b"broken")
    folder.quarantine(folder.path / "broken")
    assert states(found, runs) == [State.DONE] * 4 + [State.FAILED] * 2 + [State.INTERRUPTED] * 2
    return found


@pytest.fixture
def clean(store: Store, say: Say) -> Callable[..., tuple[int, str, str]]:
    """Give `clean` on that folder."""
    return lambda *words: say("clean", "--results", store.root, *words)


def states(store: Store, runs: list[Planned]) -> list[State]:
    return [store.run(run.run_id).state() for run in runs]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another process holds the run."""
    code = "import sys, time; from pathlib import Path; from bench.sweep.records.lock import hold\n"
    code += "with hold(Path(sys.argv[1]), 1): print(flush=True); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(path / "lock")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield
        holder.kill()


# --- what goes


def test_failed_runs_go_and_no_others(store, clean, runs):
    rest = {name: data for name, data in content(store.root).items() if not any(r.run_id in name for r in runs[4:6])}
    code, out, err = clean("--failed", "--yes")
    assert (code, err) == (0, "")
    assert states(store, runs) == [State.DONE] * 4 + [State.PLANNED] * 2 + [State.INTERRUPTED] * 2
    assert content(store.root) == rest
    first, second, last = out.splitlines()
    assert first == f"to be removed from {store.root}:"
    assert second.split(maxsplit=1)[0] == "2"
    assert all(run.run_id in second for run in runs[4:6])
    assert " failed runs, " in second
    assert last == "removed 2 runs and 8 files"


def test_interrupted_runs_go_and_no_others(store, clean, runs):
    assert clean("--interrupted", "--yes")[0] == 0
    assert states(store, runs) == [State.DONE] * 4 + [State.FAILED] * 2 + [State.PLANNED] * 2


def test_what_was_set_aside_and_per_sample_tables_go_and_runs_stay(store, clean, runs):
    (store.run(runs[3].run_id).path / "samples" / "notes.txt").write_text("somebody's own")
    before = content(store.root)
    shutil.copy(store.run(runs[0].run_id).path / "result.json", store.run(runs[3].run_id).path / "result.json.copy")
    store.run(runs[3].run_id).quarantine(store.run(runs[3].run_id).path / "result.json.copy")
    code, out, _ = clean("--quarantine", "--samples", "--yes")
    assert code == 0
    gone = {name for name in before if "/samples/epoch" in name or "/quarantine/" in name}
    assert content(store.root) == {name: data for name, data in before.items() if name not in gone}
    assert len(gone) == 5
    assert "2  files that were set aside" in out
    assert "1 of these are results, damaged or made by other code" in out
    assert "4  per-sample tables" in out
    assert out.splitlines()[-1] == "removed 0 runs and 6 files"
    assert len(list(store.root.glob("runs/*/samples"))) == 1


def test_a_suite_goes_with_its_tables_and_its_record_and_the_labels_stay(store, clean, runs):
    name = next(store.suites.iterdir()).name
    record = next(store.suites.glob("*/*.json"))
    (record.parent / "chosen").mkdir()
    (record.parent / "chosen" / record.name).write_bytes(canonical({"precision": "float32"}))
    (store.tables / name / "notes.txt").write_text("somebody's own")
    (store.tables / name / "report.html").write_text("of the suite")
    stranger = store.runs / "r0123456789abcdef0123"
    shutil.copytree(store.run(runs[0].run_id).path, stranger)
    labels = content(store.noise)
    code, out, _ = clean("--suite", name, "--yes")
    assert code == 0
    assert store.run_ids() == [stranger.name]
    assert content(store.noise) == labels
    assert [path.name for path in store.tables.rglob("*") if path.is_file()] == ["notes.txt"]
    assert list(store.suites.rglob("*")) == []
    assert "4  done runs" in out
    assert "17  files of the suite beside its runs: record, tables, plots" in out


def test_of_a_suite_only_what_failed(store, clean, runs):
    name = next(store.suites.iterdir()).name
    assert clean("--suite", name, "--failed", "--yes")[0] == 0
    assert states(store, runs) == [State.DONE] * 4 + [State.PLANNED] * 2 + [State.INTERRUPTED] * 2
    assert store.suites.exists()


def test_another_suite_with_the_same_runs_is_named(store, clean, suite):
    words = [word if word != "0-1" else "0" for word in suite if word not in ("pairflip:0.2", "dml")]
    other = planned(cli.parser().parse_args(["status", *words, "--results", str(store.root)]))[0]
    name = next(store.suites.iterdir()).name
    store.save_suite(other.name, other.to_dict())
    store.save_suite("broken", {"noise": "what is this"})
    code, out, _ = clean("--suite", name, "--dry-run")
    shared = [line for line in out.splitlines() if "in the table of suite" in line]
    assert (code, shared) == (0, [f"1 of these runs are in the table of suite {other.name}, too"])


# --- asking


def test_nothing_goes_in_a_dry_run(store, clean):
    before = content(store.root)
    code, out, _ = clean("--failed", "--interrupted", "--quarantine", "--samples", "--dry-run")
    assert (code, content(store.root)) == (0, before)
    assert "2  failed runs" in out
    assert "removed" not in out.splitlines()[-1]


def test_nothing_goes_where_nobody_can_be_asked(store, clean, monkeypatch):
    before = content(store.root)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    code, out, err = clean("--failed")
    assert (code, content(store.root)) == (2, before)
    assert "2  failed runs" in out
    assert err == "run_bench.py clean: nobody can be asked here: nothing was removed; give --yes\n"


@pytest.mark.parametrize(("answer", "gone"), [("y", True), ("n", False), ("", False)], ids=["yes", "no", "enter"])
def test_somebody_at_a_terminal_is_asked_and_finished_runs_are_spelt_out(answer, gone, store, runs):
    name = next(store.suites.iterdir()).name
    ours, theirs = pty.openpty()
    command = [sys.executable, str(ROOT / "run_bench.py"), "clean", "--results", str(store.root), "--suite", name]
    process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    os.write(ours, f"{answer}\n".encode())
    out, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0
    assert "remove 8 runs and 15 files, 4 of them FINISHED, for good? [y/N]" in out
    assert (states(store, runs)[0] is State.PLANNED) == gone
    assert ("nothing was removed" in out) == (not gone)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "say what to remove: --failed, --interrupted, --quarantine, --samples or --suite SUITE"),
        (["--suite", "no_such"], "unknown suite 'no_such'"),
        (["--failed", "--results", "no folder"], "there is no folder no folder"),
    ],
    ids=["nothing", "a suite", "a folder"],
)
def test_what_makes_no_sense_is_one_line(words, reason, clean, store):
    before = content(store.root)
    code, out, err = clean(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert reason in err
    assert content(store.root) == before


def test_where_there_is_nothing_to_remove_nobody_is_asked(store, clean):
    clean("--failed", "--yes")
    code, out, _ = clean("--failed")
    assert (code, out) == (0, f"to be removed from {store.root}:\n  nothing\n")


# --- what stays


def test_f43_a_run_that_is_in_use_is_skipped_and_said(store, clean, runs):
    path = store.run(runs[0].run_id).path
    before = content(path)
    with held(path):
        code, out, _ = clean("--suite", next(store.suites.iterdir()).name, "--yes")
    assert (code, content(path)) == (1, before)
    assert "1  runs more are held by a living process and stay" in out
    assert states(store, runs) == [State.DONE] + [State.PLANNED] * 7
    assert store.suites.exists()  # while a run of it is left


def test_f43_a_run_that_is_taken_up_or_goes_on_after_it_was_shown_is_left_and_said(store, runs):
    plan = cleaning.find(store, {State.FAILED, State.INTERRUPTED}, ())
    assert len(plan.targets) == 4
    taken, moved = sorted(target.run.run_id for target in plan.targets)[:2]
    with store.run(moved).lock():
        store.run(moved).save_checkpoint(2, b"further")
    with held(store.run(taken).path):
        done = cleaning.remove_all(plan)
    assert sorted(done.left) == sorted(
        [
            f"{store.run(taken).path}: held by a living process, left",
            f"{store.run(moved).path}: has changed since it was looked at, left",
        ]
    )
    assert done.runs == 2
    assert store.run(moved).epochs_done() == 2


def test_f37_links_are_not_followed(store, clean, runs, tmp_path):
    outside = tmp_path / "outside"
    (outside / "samples").mkdir(parents=True)
    (outside / "samples" / "epoch-0001.npz").write_bytes(b"precious")
    before = content(outside)
    (store.runs / "r0123456789abcdef0123").symlink_to(outside)
    failed = store.run(runs[4].run_id).path
    (failed / "quarantine").symlink_to(outside)
    (failed / "outside").symlink_to(outside / "samples" / "epoch-0001.npz")
    (store.run(runs[5].run_id).path / "samples").symlink_to(outside / "samples")
    assert clean("--samples", "--quarantine", "--yes")[0] == 0
    assert content(outside) == before
    assert clean("--failed", "--yes")[0] == 0
    assert not failed.exists()
    assert content(outside) == before
    assert (store.runs / "r0123456789abcdef0123").is_symlink()


def test_a_plot_manifest_cannot_name_a_file_outside(store, clean, tmp_path):
    (tmp_path / "precious.png").write_bytes(b"")
    folder = next(store.tables.iterdir())
    named = canonical({"inputs": {}, "files": ["../../../precious.png", str(tmp_path / "precious.png"), "..", ""]})
    (folder / "plots.manifest.json").write_bytes(named)
    assert clean("--suite", folder.name, "--yes")[0] == 0
    assert (tmp_path / "precious.png").exists()


# --- interrupted


def killed(step: int, work: Callable[[], object]) -> bool:
    """Do it in a fork that is killed at its step; whether it was."""
    pid = os.fork()
    if pid == 0:
        steps, remove = iter(range(step)), os.unlink

        def next_step(_: str = "") -> None:
            if next(steps, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        def unlink(*words: object, **more: object) -> None:
            next_step()
            remove(*words, **more)  # type: ignore[arg-type]

        files.hook, os.unlink = next_step, unlink  # type: ignore[assignment]
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_g1_killed_with_9_at_any_step_a_run_is_there_whole_or_not_at_all(store, runs, say):
    one = store.run(runs[0].run_id)
    for run in runs[1:]:
        shutil.rmtree(store.run(run.run_id).path)
    whole, kept = content(one.path), store.root.parent / "kept"
    shutil.copytree(one.path, kept)
    step, halves = 0, 0
    while killed(step, lambda: cleaning.remove_all(cleaning.find(store, {State.DONE}, ()))):
        assert one.state() in (State.DONE, State.PLANNED)
        assert one.state() is State.PLANNED or content(one.path) == whole
        halves += bool(content(store.runs)) and one.state() is State.PLANNED
        code, _, _ = say("clean", "--results", store.root, "--failed", "--yes")  # which also removes what was begun
        assert code == 0
        assert content(store.runs) == (whole if one.state() is State.DONE else {})
        shutil.rmtree(one.path, ignore_errors=True)
        shutil.copytree(kept, one.path)
        step += 1
    assert halves > 5


def test_ctrl_c_ends_with_75(store, clean, monkeypatch):
    def interrupted(tag: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "hook", interrupted)
    assert clean("--failed", "--yes")[0::2] == (75, "interrupted; the same command goes on\n")
