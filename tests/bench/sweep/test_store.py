"""A run's state follows from its files, and no damage makes it look like what it is not."""

import os
import time

import pytest

from bench.files import canonical, sha256
from bench.sweep.records.result import seal
from bench.sweep.records.store import Corrupt, State, Store, run_id_of
from tests.bench.sweep.stored import CONFIG, RUN_ID, payload_of


def failure(final, kind="error"):
    return {"class": kind, "final": final, "message": "it broke", "traceback": ""}


def test_a_run_is_named_by_its_config_whatever_the_order_of_keys():
    assert run_id_of(dict(reversed(CONFIG.items()))) == RUN_ID == "r" + sha256(canonical(CONFIG))[:20]
    assert run_id_of({**CONFIG, "seed": 1}) != RUN_ID


def test_f35_f37_only_real_folders_with_run_names_are_runs(tmp_path):
    store = Store(tmp_path / "odd % name é")
    assert store.run_ids() == []
    ids = ["r" + digit * 20 for digit in "0ab"]
    for name in (*ids[::-1], "r123", "notes", "R" + "0" * 20, ids[0] + "\n"):
        (store.runs / name).mkdir(parents=True)
    (store.runs / ("r" + "1" * 20)).symlink_to("/etc")
    (store.runs / ("r" + "2" * 20)).write_text("a file")
    assert store.run_ids() == ids
    with pytest.raises(ValueError, match="links are not followed"):
        store.run("r" + "1" * 20)
    with pytest.raises(ValueError, match="'r' and 20 hexadecimal digits"):
        store.run("../../etc")
    assert store.run("r" + "2" * 20).state() is State.PLANNED


def test_a_suite_is_stored_once_under_its_digest_and_repaired_if_damaged(tmp_path):
    store = Store(tmp_path)
    suite = {"seeds": [0, 1]}
    path = store.save_suite("main", suite)
    assert path == store.suites / "main" / f"{sha256(canonical(suite))[:12]}.json"
    assert store.save_suite("main", suite) == path
    path.write_bytes(b"")
    assert store.save_suite("main", suite).read_bytes() == canonical(suite)
    assert store.save_suite("main", {"seeds": [0]}) != path
    assert len(os.listdir(path.parent)) == 2
    with pytest.raises(ValueError, match=r"suite name '\.\./x'"):
        store.save_suite("../x", suite)


def test_nothing_is_created_by_looking(tmp_path):
    store = Store(tmp_path / "results")
    run = store.run(RUN_ID)
    assert (run.state(), run.state(quick=True), run.config(), run.result()) == (
        State.PLANNED,
        State.PLANNED,
        None,
        None,
    )
    assert (run.attempts(), run.checkpoints(), run.epochs_done(), run.last_failure()) == ([], [], 0, None)
    assert not (tmp_path / "results").exists()


def test_a_damaged_config_is_noticed_and_rewritten(run):
    assert run.config() == CONFIG
    path = run.path / "config.json"
    path.write_bytes(path.read_bytes().replace(b'"seed":0', b'"seed":1'))
    with pytest.raises(Corrupt, match=r"config\.json: its hash is not the name of its folder"):
        run.config()
    run.write_config(CONFIG)
    assert run.config() == CONFIG
    path.unlink()
    path.symlink_to("/etc/passwd")
    run.write_config(CONFIG)
    assert run.config() == CONFIG
    assert not path.is_symlink()
    with pytest.raises(ValueError, match=f"not of {RUN_ID}"):
        run.write_config({**CONFIG, "seed": 5})


def test_predictions_are_stored_under_their_digest(run):
    assert run.save_predictions(b"npy") == sha256(b"npy")
    assert (run.path / f"predictions-{sha256(b'npy')[:16]}.npy").read_bytes() == b"npy"


def test_attempts_are_ordered_by_number_and_their_first_end_stands(run):
    first = run.start_attempt({"host": "a"})
    second = run.start_attempt({"host": "b"})
    run.end_attempt(second, {"class": "killed", "final": False})
    run.end_attempt(second, {"class": "done", "final": True})
    third = run.start_attempt({"host": "c"})
    for attempt in (first, second, third):  # times say nothing
        os.utime(run.path / "attempts" / f"{attempt}.json", (int(attempt[:7], 16),) * 2)
    assert run.attempts() == [
        ({"host": "a", "number": 1}, None),
        ({"host": "b", "number": 2}, {"class": "killed", "final": False}),
        ({"host": "c", "number": 3}, None),
    ]
    assert run.last_failure() == {"class": "killed", "final": False}
    run.start_attempt({"number": 9})
    assert run.attempts()[-1][0] == {"number": 9}


def test_states_without_a_result(run):
    assert run.state() is State.PLANNED
    run.save_checkpoint(1, b"state")
    assert run.state() is State.INTERRUPTED
    attempt = run.start_attempt({})
    assert run.state() is State.INTERRUPTED
    run.end_attempt(attempt, {"class": "interrupted", "final": True})
    assert run.state() is State.INTERRUPTED
    run.end_attempt(run.start_attempt({}), failure(final=False, kind="oom"))
    assert run.state() is State.INTERRUPTED
    run.end_attempt(run.start_attempt({}), failure(final=True))
    assert run.state() is State.FAILED
    assert run.last_failure() == failure(final=True)
    run.start_attempt({})
    assert run.state() is State.INTERRUPTED


def test_a_result_outweighs_lock_and_failure(run):
    run.end_attempt(run.start_attempt({}), failure(final=True))
    with run.lock():
        assert run.state() is State.RUNNING
        run.commit(payload_of(), {})
        assert run.state() is State.DONE
        (run.path / "result.json").write_bytes(b"")
        assert run.state() is State.CORRUPT


def test_damaged_attempt_records_only_cost_a_repetition(run):
    attempt = run.start_attempt({})
    run.end_attempt(attempt, failure(final=True))
    (run.path / "attempts" / f"{attempt}.end.json").write_bytes(b'{"class":')
    assert run.state() is State.INTERRUPTED
    (run.path / "attempts" / f"{attempt}.json").write_bytes(b"")
    assert run.state() is State.PLANNED


def test_f32_a_run_folder_removed_while_running_is_an_error_of_that_run(tmp_path):
    run = Store(tmp_path).run(RUN_ID)
    with run.lock():
        (run.path / "lock").unlink()
        run.path.rmdir()
        with pytest.raises(FileNotFoundError):
            run.save_checkpoint(1, b"state")
    assert os.listdir(tmp_path / "runs") == []


def test_f36_the_state_of_a_thousand_long_runs_takes_less_than_half_a_second(tmp_path):
    store = Store(tmp_path)
    config = {**CONFIG, "train": {"epochs": 100}}
    run_id, data = run_id_of(config), seal(payload_of(config, epochs=100), {})
    run = store.run(run_id)
    run.path.mkdir(parents=True)
    (run.path / "result.json").write_bytes(data)
    before = time.process_time()
    states = {run.state(quick=True) for _ in range(1000)}
    assert states == {State.DONE}
    assert time.process_time() - before < 0.5


def test_a_supervisor_ends_only_the_attempts_of_its_own_launch(tmp_path):
    run = Store(tmp_path).run("r" + "0" * 20)
    run.path.mkdir(parents=True)
    run.start_attempt({"launch": "ours"})
    run.start_attempt({"launch": "theirs"})  # alive, as far as we know
    run.close_attempts({"class": "killed", "final": True}, "ours")
    ends = {start["launch"]: end for start, end in run.attempts()}
    assert ends == {"ours": {"class": "killed", "final": True}, "theirs": None}
