"""A result is believed that is sealed, complete and possible; of two that differ the first stands."""

import json
import os

import pytest

from bench.files import canonical, publish, sha256
from bench.sweep.records.result import check_payload, glance, open_result, seal
from bench.sweep.records.store import Conflict, Corrupt, State, Store, run_id_of
from tests.bench.sweep.stored import CONFIG, MENDED, RUN_ID, changed, payload_of


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
