"""A kill leaves an old state or a new one, and half-written files that are swept, they and nothing else."""

import errno
import json
import os

from bench import files
from bench.sweep.records.store import State
from tests.bench.sweep.stored import payload_of, spawn


def test_the_lock_sweeps_what_killed_writers_left(run):
    left = "x.tmp-" + "0" * 32
    for folder in ("attempts", "conflicts"):
        (run.path / folder).mkdir()
        (run.path / folder / left).touch()
    (run.path / ("result.json.tmp-" + "f" * 32)).touch()
    (run.path / "notes.tmp-1").touch()
    with run.lock():
        assert sorted(os.listdir(run.path)) == ["attempts", "config.json", "conflicts", "lock", "notes.tmp-1"]
        assert os.listdir(run.path / "attempts") == os.listdir(run.path / "conflicts") == []


CRASHES = """
    import json, os, sys
    from pathlib import Path
    from bench import files
    from bench.sweep.records.store import State, Store
    root, payload = Path(sys.argv[1]), json.loads(sys.argv[2])
    run_id = payload["run_id"]

    def work(store):
        run = store.run(run_id)
        with run.lock():
            run.write_config(payload["config"])
            result = run.result()
            if result is not None:
                run.drop_checkpoints()
                return
            attempt = run.start_attempt({})
            done, _ = run.load_checkpoint() or (0, b"")
            for epoch in range(done + 1, 4):
                run.save_checkpoint(epoch, b"state %d" % epoch)
            run.commit(payload, {})
            run.drop_checkpoints()
            run.end_attempt(attempt, {"class": "done", "final": True})

    def crash_at(step, store):
        pid = os.fork()
        if pid == 0:
            steps = 0
            def hook(tag):
                nonlocal steps
                steps += 1
                if steps == step:
                    os._exit(137)
            files.hook = hook
            work(store)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    step, code, states = 0, 137, set()
    while code == 137:
        step += 1
        store = Store(root / str(step))
        code = crash_at(step, store)
        run = store.run(run_id)
        before = run.load_checkpoint()
        assert before is None or before[1] == b"state %d" % before[0], before
        state = run.state()
        states.add(state.value)
        assert state in (State.PLANNED, State.INTERRUPTED, State.DONE), state
        assert state is not State.DONE or run.result().payload == payload
        assert not (run.path / "quarantine").exists()
        work(store)
        assert run.state() is State.DONE and run.result().payload == payload
        left = [name for name in os.listdir(run.path) if ".tmp-" in name or name.startswith("ckpt")]
        assert left == [], (step, left)
    assert code == 0
    print(step, *sorted(states))
"""


def test_f2_a_kill_at_any_step_of_a_run_leaves_an_old_or_a_new_state_and_a_relaunch_finishes(tmp_path):
    with spawn(CRASHES, tmp_path, json.dumps(payload_of())) as process:
        steps, *states = process.communicate(timeout=60)[0].split()
    assert process.returncode == 0
    assert int(steps) > 50
    assert states == ["done", "interrupted", "planned"]


def test_what_a_kill_after_the_commit_has_left_of_a_finished_run_is_removed_and_nothing_else(run):
    half = "x.tmp-" + "0" * 32
    run.commit(payload_of(), {})
    run.save_checkpoint(2, b"state")
    run.end_attempt(run.start_attempt({}), {"class": "done", "final": True})
    (run.path / "samples").mkdir()
    for folder in ("attempts", "samples"):
        (run.path / folder / half).touch()
    before = sorted(path for path in run.path.rglob("*") if half not in path.name and path.suffix != ".pt")
    with run.lock():
        (run.path / half).touch()
        run.tidy()
        assert (run.path / half).exists()  # its holder is at work
    run.tidy()
    assert sorted(run.path.rglob("*")) == before


def test_f37_no_half_written_file_is_removed_through_a_link(run, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ("x.tmp-" + "0" * 32)).touch()
    (run.path / "attempts").symlink_to(elsewhere)
    (run.path / ("x.tmp-" + "0" * 32)).touch()
    run.tidy()
    assert len(os.listdir(elsewhere)) == 1
    assert sorted(os.listdir(run.path)) == ["attempts", "config.json", "lock"]


def test_a_folder_in_which_nothing_can_be_removed_is_left_as_it_is(run, monkeypatch):
    run.commit(payload_of(), {})
    run.save_checkpoint(2, b"state")

    def refuse(tag):
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(files, "hook", refuse)
    run.tidy()
    assert run.state() is State.DONE
    assert len(run.checkpoints()) == 1
