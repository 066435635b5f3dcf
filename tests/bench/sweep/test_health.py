"""How a results folder is, is told from its files, whoever has left them, and a look changes none of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.files import canonical
from bench.fingerprint import ROOT
from bench.sweep.records.result import run_id_of
from bench.sweep.records.store import State, Store
from bench.sweep.upkeep import health

HOLD = """
import sys, time
from pathlib import Path
from bench.sweep.records.store import Store
with Store(Path(sys.argv[1])).run(sys.argv[2]).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path) -> Store:
    """A run that failed, one that waits, one whose result is damaged and one that nobody has begun."""
    store = Store(tmp_path / "results")
    ids = [run_id_of({"seed": seed}) for seed in range(4)]
    for run_id in ids:
        store.run(run_id).path.mkdir(parents=True)
    failed, waits, damaged, _ = map(store.run, ids)
    failed.end_attempt(failed.start_attempt({"host": "h", "pid": 7}), {"class": "error", "final": True})
    waits.save_checkpoint(3, b"state")
    (damaged.path / "result.json").write_bytes(b'{"payload":{}}')
    store.ids = ids
    return store


def listing(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_the_states_are_counted_and_a_damaged_result_is_named(store):
    before = listing(store.root)
    found = health.examine(store.root)
    assert found.states == {State.FAILED: 1, State.INTERRUPTED: 1, State.CORRUPT: 1, State.PLANNED: 1}
    assert found.corrupt == [{"path": f"runs/{store.ids[2]}/result.json", "reason": "sha256 does not match the record"}]
    assert (found.there, found.writable, found.locks, found.links, found.damaged) == (True, True, True, True, True)
    assert (found.stray, found.held, found.unknown, found.launches) == ([], [], [], [])
    assert found.room > 0
    assert listing(store.root) == before


def test_whatever_lies_about_is_told_apart(store, tmp_path):
    run, other = (store.run(run_id).path for run_id in store.ids[:2])
    stray = [run / f"result.json.tmp-{'a' * 32}", run / "attempts" / f"x.tmp-{'b' * 32}"]
    stray += [store.root / "noise" / f"n.npz.tmp-{'c' * 32}", store.root / "suites" / "s" / f"y.json.tmp-{'d' * 32}"]
    kept = [run / "quarantine" / "result.json.1", store.root / "junk.txt", store.runs / "notes", run / "log.tmp-1"]
    kept += [store.root / "launches" / "abc" / "word", store.runs / f"removed-{store.ids[0]}-{'e' * 32}" / "log.txt"]
    kept += [other / "conflicts" / f"{'f' * 32}.json", store.root / ".hidden", store.root / "published" / "a.csv"]
    for path in [*stray, *kept]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / f"z.tmp-{'1' * 32}").write_bytes(b"")
    (run / "linked").symlink_to(elsewhere)
    found = health.examine(store.root)
    assert found.stray == sorted(str(path.relative_to(store.root)) for path in stray)
    assert found.quarantined == 1
    assert found.conflicts == [f"runs/{store.ids[1]}/conflicts/{'f' * 32}.json"]
    assert found.unknown == ["junk.txt", "runs/notes"]
    assert found.removals == [f"runs/removed-{store.ids[0]}-{'e' * 32}"]
    assert found.launches == ["abc"]
    before = set(listing(store.root))
    assert health.sweep(store.root) == len(stray)
    assert before - set(listing(store.root)) == {str(path.relative_to(store.root)) for path in stray}
    assert len(list(elsewhere.iterdir())) == 1


@pytest.fixture
def holder(store):
    """A process that holds the second run."""
    words = [sys.executable, "-c", HOLD, str(store.root), store.ids[1]]
    process = subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.communicate()


def test_who_holds_a_run_is_told_by_the_kernel_or_else_by_its_last_attempt(store, holder, monkeypatch):
    (held,) = health.examine(store.root).held
    assert held == {"run": store.ids[1], "pid": holder.pid, "host": os.uname().nodename, "by": "kernel"}
    monkeypatch.setattr(health, "LOCKS", store.root / "none")
    assert health.examine(store.root).held == [{"run": store.ids[1], "pid": None, "host": None, "by": "attempt"}]
    store.run(store.ids[1]).start_attempt({"host": "far", "pid": 4})
    (held,) = health.examine(store.root).held
    assert (held["pid"], held["host"], held["by"]) == (4, "far", "attempt")


def test_nothing_is_swept_while_a_run_is_held(store, holder):
    path = store.root / f"x.tmp-{'a' * 32}"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=rf"living processes hold 1 runs \({store.ids[1]}\): nothing was removed"):
        health.sweep(store.root)
    assert path.exists()


def test_f13_the_pid_of_an_attempt_is_a_hint_and_holds_no_run(store):
    run = store.run(store.ids[1])
    run.start_attempt({"host": os.uname().nodename, "pid": os.getpid()})  # alive, and not at this run
    found = health.examine(store.root)
    assert (found.held, found.states[State.RUNNING]) == ([], 0)


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    found = health.examine(tmp_path / "a" / "b")
    assert (found.there, found.writable, found.locks) == (False, True, None)
    assert listing(tmp_path) == []


def test_a_link_in_the_place_of_a_folder_is_named_and_not_followed(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "runs").symlink_to("/etc")
    found = health.examine(tmp_path / "results")
    assert found.links_in_place == ["runs"]
    assert found.states == {}


def test_the_lines_of_the_kernels_list_are_read_and_others_left_out(tmp_path, monkeypatch):
    lines = ["1: FLOCK  ADVISORY  WRITE 101 fd:0a:77 0 EOF", "2: POSIX  ADVISORY  WRITE 102 fd:0a:78 0 EOF"]
    lines += ["2: -> FLOCK  ADVISORY  WRITE 103 fd:0a:79 0 EOF", "3: FLOCK  ADVISORY  READ 104 00:2b:80 0 EOF", "junk"]
    (tmp_path / "locks").write_text("\n".join(lines))
    monkeypatch.setattr(health, "LOCKS", tmp_path / "locks")
    assert health._lockers() == {(0xFD, 0x0A, 77): 101, (0, 0x2B, 80): 104}


def test_canonical_attempts_of_other_forms_are_no_trouble(store):
    attempts = store.run(store.ids[1]).path / "attempts"
    attempts.mkdir()
    (attempts / f"{'a' * 32}.json").write_bytes(canonical([1, 2]))
    assert health.examine(store.root).states[State.INTERRUPTED] == 1
