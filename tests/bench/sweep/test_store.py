"""A run's state follows from its files, and no damage or crash makes it look like what it is not."""

import copy
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from bench import files
from bench.files import canonical, publish, sha256
from bench.sweep.records.result import check_payload, glance, open_result, seal
from bench.sweep.records.store import Busy, Conflict, Corrupt, RunFolder, State, Store, run_id_of

ROOT = Path(files.__file__).resolve().parents[1]
CONFIG = {"protocol": 1, "method": {"name": "any", "params": {}}, "train": {"epochs": 2}, "seed": 0}
RUN_ID = run_id_of(CONFIG)
MENDED = {"seen": 10, "right": 9, "wrong_seen": 4, "wrong_corrected": 4, "right_seen": 6, "right_broken": 1}
COUNTS = {"test": 9, "val_noisy": 3, "val_clean": 4, "right_fit": 6, "wrong_fit": 1, "wrong_recovered": 3}


def payload_of(config=CONFIG, epochs=2, **changes):
    head = {"net1": dict(COUNTS)}
    history = [
        {
            "epoch": number,
            "lr": 0.1,
            "loss": [2.3],
            "heads": copy.deepcopy(head),
            "selection": [{"seen": 10, "selected": 5, "selected_right": 4}],
            "knowledge": [{"open": 5, "open_right": 5, "shut": 5, "shut_right": 0}],
            "scalars": {"threshold": None},
        }
        for number in range(epochs)
    ]
    totals = {"test": 10, "val": 4, "train": 10, "trace": 10, "trace_wrong": 4}
    return {
        "schema": 1,
        "run_id": run_id_of(config),
        "config": copy.deepcopy(config),
        "noise_id": "n" + "0" * 16,
        "dataset_digest": "d" * 64,
        "code": "c" * 16,
        "method_code": "m" * 16,
        "device_kind": "cpu",
        "num_networks": 1,
        "needs": [],
        "heads": ["net1"],
        "headline": ["net1"],
        "diverged": False,
        "totals": totals,
        "history": history,
        **changes,
    }


def spawn(code, *arguments):
    """Start a fresh single-threaded interpreter, in which forking is safe."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


HOLDER = """
    import os, sys, time
    from pathlib import Path
    from bench.sweep.records.store import RunFolder
    with RunFolder(Path(sys.argv[1])).lock():
        child = 0
        if sys.argv[2] == "fork":
            child = os.fork()
            if child == 0:
                os.close(0); os.close(1)
                time.sleep(30)
                os._exit(0)
        print(child, flush=True)
        sys.stdin.readline()
"""


@pytest.fixture
def run(tmp_path):
    run = Store(tmp_path).run(RUN_ID)
    with run.lock():
        run.write_config(CONFIG)
    return run


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


def test_a_result_comes_back_as_it_was_committed(run):
    committed = run.commit(payload_of(), {"host": "a", "times": (1, 2)})
    assert committed.payload == payload_of()
    assert committed.provenance == {"host": "a", "times": [1, 2]}
    assert run.result() == committed
    assert run.state() is run.state(quick=True) is State.DONE


def test_g7_every_change_of_one_byte_of_a_result_is_noticed(run):
    run.commit(payload_of(epochs=1, diverged=True), {"host": "a"})
    path = run.path / "result.json"
    data = path.read_bytes()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(Corrupt):
            run.result()
        assert run.state(quick=True) is State.CORRUPT, position
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        assert run.state() is run.state(quick=True) is State.CORRUPT
    path.write_bytes(data)
    assert run.state() is State.DIVERGED


def resealed(record):
    body = canonical({key: record[key] for key in ("payload", "payload_sha256", "provenance")})
    return canonical({**record, "sha256": sha256(body)})


def test_the_digests_can_be_recomputed_from_the_json_alone():
    record = json.loads(seal(payload_of(), {"host": "a"}))
    assert record["payload_sha256"] == sha256(canonical(record["payload"]))
    assert resealed(record) == seal(payload_of(), {"host": "a"})


def reseal_raw(body):
    """Seal any bytes of a record that lacks its last field."""
    return body[:-1] + b',"sha256":"' + sha256(body).encode() + b'"}'


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (b'"host":"a"', b'"host":"a","host":"a"', "repeats the key 'host'"),
        (b'"host":"a"', b'"host":NaN', "NaN"),
        (b'"host":"a"', b'"host":1e999', "canonical"),
        (b'"host":"a"', b'"host": "a"', "canonical"),
        (b'"lr":0.1', b'"lr":0.10', "canonical"),
        (b'"provenance"', b'"more":1,"provenance"', "exactly the fields"),
        (b'"test":9', b'"test":8', "payload_sha256"),
        (b'{"host":"a"}', b"null", "must be objects"),
    ],
)
def test_a_record_with_a_good_seal_is_still_refused_for_its_form(run, before, after, reason):
    body = seal(payload_of(), {"host": "a"})
    body = body[: body.rindex(b',"sha256"')] + b"}"
    assert before in body
    (run.path / "result.json").write_bytes(reseal_raw(body.replace(before, after, 1)))
    with pytest.raises(Corrupt, match=reason) as caught:
        run.result()
    assert caught.value.path == run.path / "result.json"
    assert run.state() is State.CORRUPT


def changed(path, value):
    payload = payload_of()
    *folders, last = path
    place = payload
    for key in folders:
        place = place[key]
    place[last] = value
    return payload


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (["schema"], 2, "schema 2 is unknown; this version reads 1"),
        (["schema"], True, "schema True is unknown"),
        (["run_id"], "r" + "0" * 20, "belongs to run r000"),
        (["config", "seed"], 1, "its config to run"),
        (["diverged"], None, "must be true or false"),
        (["history"], payload_of(epochs=1)["history"], "has 1 epochs of 2"),
        (["history"], payload_of(epochs=3)["history"], "has 3 epochs of 2"),
        (["history", 1, "epoch"], 0, "epoch 0 stands where epoch 1 is due"),
        (["history", 1, "heads"], {}, "epoch 1 has the heads"),
        (["history", 0, "heads", "net1", "test"], 11, r"test must be an integer in \[0, 10\], got 11"),
        (["history", 0, "heads", "net1", "test"], -1, "got -1"),
        (["history", 0, "heads", "net1", "test"], 9.0, r"got 9\.0"),
        (["history", 0, "heads", "net1", "test"], True, "got True"),
        (["history", 0, "heads", "net1", "test"], None, "got None"),
        (["history", 0, "heads", "net1", "val_clean"], 5, r"\[0, 4\]"),
        (["history", 0, "heads", "net1", "right_fit"], 7, r"\[0, 6\]"),
        (["history", 0, "heads", "net1", "wrong_fit"], 5, r"\[0, 4\]"),
        (["history", 0, "heads", "net1", "accuracy"], 1, "counts must be"),
        (["history", 0, "selection", 0, "selected"], 11, "selected must be"),
        (["history", 0, "knowledge", 0, "shut_right"], 6, "shut_right must be"),
        (["history", 0, "selection", 0, "right_seen"], 3, "selected_right must be .* at most 3, got 4"),
        (["history", 0, "selection", 0, "right_seen"], 11, "right_seen must be"),
        (["history", 0, "correction"], {"seen": 5, "right": 6}, "right must be"),
        (["history", 0, "correction"], {**MENDED, "wrong_corrected": 5}, "wrong_corrected must be"),
        (["history", 0, "correction"], {**MENDED, "right_broken": 7}, "right_broken must be"),
        (["history", 0, "correction"], {**MENDED, "right_seen": 7}, "must be parts of the 10 seen"),
        (["history", 1, "calibration"], {}, r"epoch 1 has the calibration of \[\], the run the heads \['net1'\]"),
        (["history", 1, "calibration"], {"net1": {"ece": 1.1, "nll": 1.0}}, r"ece must be null or in \[0, 1.0\]"),
        (["history", 1, "calibration"], {"net1": {"ece": True, "nll": 1.0}}, "ece must be null"),
        (["history", 1, "calibration"], {"net1": {"ece": 0.1, "nll": -1.0}}, "nll must be null"),
        (["history", 1, "calibration"], {"net1": {"ece": 0.1}}, "malformed payload: KeyError"),
        (["totals", "trace_wrong"], 11, "totals leave -1 for right_fit"),
        (["totals"], {}, "malformed payload: KeyError"),
        (["history", 0], [], "malformed payload"),
    ],
)
def test_an_impossible_result_is_neither_committed_nor_believed(run, path, value, reason):
    payload = changed(path, value)
    with pytest.raises(ValueError, match=reason):
        run.commit(payload, {})
    assert run.result() is None
    publish(run.path / "result.json", seal(payload, {}), replace=False)
    with pytest.raises(Corrupt, match=reason):
        run.result()
    assert run.state() is State.CORRUPT


@pytest.mark.parametrize("name", ["noise_id", "code", "method_code", "device_kind"])
def test_a_result_that_hides_how_it_came_about_is_not_believed(run, name):
    payload = payload_of()
    del payload[name]
    with pytest.raises(ValueError, match=f"does not tell its {name}"):
        run.commit(payload, {})


def test_counts_that_need_unknown_clean_labels_may_be_null(run):
    payload = payload_of()
    payload["totals"]["trace_wrong"] = None
    for epoch in payload["history"]:
        epoch["heads"]["net1"].update(val_clean=None, right_fit=None, wrong_fit=None, wrong_recovered=None)
        epoch["selection"][0].update(selected_right=None, right_seen=None)
        epoch["correction"] = {**dict.fromkeys(MENDED), "seen": 10}
    assert run.commit(payload, {}).payload == payload


@pytest.mark.parametrize("diagnosed", [True, False], ids=["today's", "an older one"])
def test_a_record_is_believed_with_and_without_the_later_diagnostics(run, diagnosed):
    payload = payload_of()
    for epoch in payload["history"]:
        epoch["correction"] = dict(MENDED) if diagnosed else {"seen": 10, "right": 9}
        if diagnosed:
            epoch["selection"][0]["right_seen"] = 6
            epoch["calibration"] = {"net1": {"ece": 0.25, "nll": None}}
    assert run.commit(payload, {}).payload == payload


def test_a_diverged_run_ends_with_the_epoch_that_diverged(run):
    with pytest.raises(ValueError, match="has 0 epochs of 2"):
        run.commit(payload_of(epochs=0, diverged=True), {})
    run.commit(payload_of(epochs=1, diverged=True), {})
    assert run.state() is run.state(quick=True) is State.DIVERGED


def test_a_result_in_the_folder_of_another_run_is_corrupt(run, tmp_path):
    run.commit(payload_of(), {})
    other = Store(tmp_path).run(run_id_of({**CONFIG, "seed": 1}))
    other.path.mkdir()
    (other.path / "result.json").write_bytes((run.path / "result.json").read_bytes())
    assert other.state() is other.state(quick=True) is State.CORRUPT


def test_a_glance_never_calls_a_result_diverged_that_is_not():
    config = {**CONFIG, "method": {"name": "any", "params": {"diverged": True, "history": [1], "z": {"history": [2]}}}}
    payload = payload_of(config)
    data = seal(payload, {"diverged": True})
    assert glance(data, run_id_of(config)) in (None, False)
    assert open_result(data, run_id_of(config)).payload["diverged"] is False
    check_payload(payload, run_id_of(config))


def test_a_glance_does_not_believe_a_sealed_result_whose_config_is_another_runs(run):
    (run.path / "result.json").write_bytes(seal(changed(["config", "seed"], 1), {}))
    assert run.state(quick=True) is State.CORRUPT


def test_a_second_equal_finisher_gets_the_first_result(run):
    first = run.commit(payload_of(), {"host": "a"})
    assert run.commit(payload_of(), {"host": "b"}) == first
    assert not (run.path / "conflicts").exists()


def test_f14_a_second_finisher_with_another_payload_is_an_alarm_and_changes_nothing(run):
    first = run.commit(payload_of(), {})
    other = changed(["history", 1, "loss"], [2.4])
    with pytest.raises(Conflict, match="finished with another payload"):
        run.commit(other, {"host": "b"})
    assert run.result() == first
    (name,) = os.listdir(run.path / "conflicts")
    assert open_result((run.path / "conflicts" / name).read_bytes(), RUN_ID).payload == other


@pytest.mark.parametrize("kind", ["cut", "link", "folder"])
def test_an_unbelievable_file_in_the_place_of_the_result_is_quarantined_by_commit(run, kind):
    path = run.path / "result.json"
    if kind == "cut":
        path.write_bytes(seal(payload_of(), {})[:-1])
    elif kind == "link":
        path.symlink_to("nowhere")
    else:
        path.mkdir()
    assert run.state() is State.CORRUPT
    assert run.commit(payload_of(), {}).payload == payload_of()
    assert run.state() is State.DONE
    assert len(os.listdir(run.path / "quarantine")) == 1


def test_the_newest_two_checkpoints_are_kept(run):
    for epoch in range(1, 4):
        run.save_checkpoint(epoch, b"state %d" % epoch)
    names = sorted(name for name in os.listdir(run.path) if name.startswith("ckpt"))
    assert names == [f"ckpt-{epoch:06d}-{sha256(b'state %d' % epoch)[:16]}.pt" for epoch in (2, 3)]
    assert run.load_checkpoint() == (3, b"state 3")
    assert run.epochs_done() == 3
    run.drop_checkpoints()
    assert run.load_checkpoint() is None
    assert run.epochs_done() == 0
    with pytest.raises(ValueError, match="got 1000000"):
        run.save_checkpoint(1_000_000, b"")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "zero", "link"])
def test_f26_f28_a_damaged_checkpoint_is_quarantined_and_the_older_one_used(run, damage):
    older, newer = b"a" * 1000, b"b" * 1000
    run.save_checkpoint(1, older)
    run.save_checkpoint(2, newer)
    path = run.checkpoints()[0][1]
    if damage == "link":
        path.rename(run.path / "elsewhere")
        path.symlink_to("elsewhere")
    else:
        flipped = newer[:500] + bytes([newer[500] ^ 4]) + newer[501:]
        path.write_bytes({"flip": flipped, "cut": newer[:-1], "empty": b"", "zero": bytes(1000)}[damage])
    assert run.load_checkpoint() == (1, older)
    assert run.epochs_done() == 1
    (name,) = os.listdir(run.path / "quarantine")
    assert name.startswith(path.name)


def test_f30_with_both_checkpoints_damaged_the_run_starts_over(run):
    for epoch in (1, 2):
        run.save_checkpoint(epoch, b"state")
    for _, path in run.checkpoints():
        path.write_bytes(b"stale")
    assert run.load_checkpoint() is None
    assert run.state() is State.PLANNED
    assert len(os.listdir(run.path / "quarantine")) == 2


def test_f34_a_checkpoint_that_vanishes_after_it_was_listed_is_skipped(run, monkeypatch):
    run.save_checkpoint(1, b"old")
    run.save_checkpoint(2, b"new")
    listed = run.checkpoints()
    listed[0][1].unlink()
    monkeypatch.setattr(RunFolder, "checkpoints", lambda self: listed)
    assert run.load_checkpoint() == (1, b"old")
    run.drop_checkpoints()
    assert run.load_checkpoint() is None
    assert run.quarantine(listed[0][1]) is None


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


@pytest.mark.parametrize("child", ["alone", "fork"])
def test_a_killed_holder_frees_its_lock_at_once_even_with_a_child_alive(tmp_path, child):
    run = Store(tmp_path).run(RUN_ID)
    with spawn(HOLDER, run.path, child) as holder:
        forked = int(holder.stdout.readline())
        assert run.state() is State.RUNNING
        with pytest.raises(Busy, match=f"run {RUN_ID} is held by another process"), run.lock(wait=0.1):
            pass
        holder.kill()
        holder.wait()
        assert not run.locked()
        with run.lock(wait=0):
            assert run.locked()
        assert run.state() is State.PLANNED
        if forked:
            os.kill(forked, signal.SIGKILL)  # raises if it was not there


def test_a_lock_waits_for_its_holder_to_leave(run):
    with spawn(HOLDER, run.path, "alone") as holder:
        holder.stdout.readline()
        before = time.monotonic()
        holder.stdin.close()
        with run.lock(wait=5):
            assert time.monotonic() - before < 4


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


def test_a_lock_on_a_folder_that_was_cleaned_away_is_taken_again(tmp_path, monkeypatch):
    run = Store(tmp_path).run(RUN_ID)
    flock, cleaned = fcntl.flock, []

    def clean_first(fd, operation):
        if not cleaned:
            cleaned.append(True)
            (run.path / "lock").unlink()
            run.path.rmdir()
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", clean_first)
    with run.lock():
        assert run.locked()
    assert cleaned


def test_f37_a_link_in_the_place_of_a_run_folder_is_not_locked(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / RUN_ID).symlink_to(tmp_path / "real")
    with pytest.raises(ValueError, match="links are not followed"), RunFolder(tmp_path / RUN_ID).lock():
        pass
    assert os.listdir(tmp_path / "real") == []


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


def test_f22_a_full_disk_in_a_checkpoint_leaves_the_previous_one(run):
    run.save_checkpoint(1, b"old")
    code = """
        import errno, resource, signal, sys
        from pathlib import Path
        from bench.sweep.records.store import RunFolder
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            RunFolder(Path(sys.argv[1])).save_checkpoint(2, b"x" * 5000)
        except OSError as error:
            print(error.errno)
    """
    before = sorted(os.listdir(run.path))
    with spawn(code, run.path) as process:
        assert int(process.communicate()[0]) == errno.EFBIG
    assert run.load_checkpoint() == (1, b"old")
    assert sorted(os.listdir(run.path)) == before


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
