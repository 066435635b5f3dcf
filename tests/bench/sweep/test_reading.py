"""A result is verified once, and no damage hides behind what was remembered of it."""

import copy
import gc
import json
import os
import shutil
import signal

import joblib
import pytest

from bench.evidence import records
from bench.evidence.records import Spent
from bench.files import canonical, sha256
from bench.sweep.records import reading
from bench.sweep.records.reading import Payloads, Results
from bench.sweep.records.result import seal
from bench.sweep.records.store import Corrupt, RunFolder, Store, run_id_of

HEAD = {"test": 9, "val_noisy": 3, "val_clean": 4, "right_fit": 6, "wrong_fit": 1, "wrong_recovered": 3}

TOLD = {"accuracies": {}, "totals": {}}


def payload_of(seed: int) -> dict:
    config = {"protocol": 1, "method": {"name": "any", "params": {}}, "train": {"epochs": 2}, "seed": seed}
    epoch = {"loss": [2.3 + seed], "selection": [], "knowledge": [], "scalars": {}}
    return {
        **{"schema": 1, "run_id": run_id_of(config), "config": config, "diverged": False, "needs": []},
        **{"noise_id": f"n{seed}", "dataset_digest": "d", "code": "c", "method_code": f"m{seed}", "num_networks": 1},
        **{"device_kind": "cpu", "heads": ["net1"], "headline": ["net1"]},
        "totals": {"test": 10, "val": 4, "train": 10, "train_wrong": seed or None, "trace": 10, "trace_wrong": 4},
        "history": [
            copy.deepcopy({"epoch": number, **epoch, "heads": {"net1": HEAD | {"test": 9 - number}}})
            for number in range(2)
        ],
    }


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lnbench" / "computed" / "results"


@pytest.fixture
def store(tmp_path) -> Store:
    """Three finished runs."""
    store = Store(tmp_path / "results")
    for seed in range(3):
        payload = payload_of(seed)
        folder = store.run(payload["run_id"])
        with folder.lock():
            folder.commit(payload, {"seconds": 1.5})
    return store


def read(store: Store, ids: list[str] | None = None) -> Results:
    ids = ids or [payload_of(seed)["run_id"] for seed in range(3)]
    results = Results(store, ids)
    for run_id in ids:
        results.read(store.run(run_id))
    results.remember()
    return results


def believe_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunFolder, "opened", lambda *_: pytest.fail("verified again"))


def test_facts_and_payloads_are_those_of_the_records_whether_remembered_or_not(store, monkeypatch):
    first = read(store)
    believe_nothing(monkeypatch)
    again = read(store)
    for results in (first, again):
        assert list(results.payloads) == [payload_of(seed) for seed in range(3)]
        assert results.payloads[-1] == payload_of(2)
        assert results.payloads[:2] == [payload_of(0), payload_of(1)]
        for seed in range(3):
            payload = payload_of(seed)
            data = (store.run(payload["run_id"]).path / "result.json").read_bytes()
            facts = results.facts[payload["run_id"]]
            assert (facts.file, facts.payload) == (sha256(data), sha256(canonical(payload)))
            assert (facts.code, facts.noise_id, facts.truth) == (("c", f"m{seed}"), f"n{seed}", seed > 0)
            summary = facts.summary(payload["config"])
            assert summary == records.summary(payload)
            for rule in records.RULES:
                assert records.accuracy(summary, rule) == records.accuracy(payload, rule)
            assert [records.accuracy(summary, rule) for rule in ("last", "oracle")] == [0.8, 0.9]


def test_what_is_remembered_is_parsed_only_when_somebody_looks(store, monkeypatch):
    read(store)
    believe_nothing(monkeypatch)
    parsed = []
    monkeypatch.setattr(reading, "parse_loosely", lambda data: parsed.append(data) or json.loads(data))
    payloads = read(store).payloads
    assert (len(payloads), bool(payloads), bool(Payloads())) == (3, True, False)
    assert parsed == []
    assert [payload["config"]["seed"] for payload in payloads] == [0, 1, 2]
    assert [payload["config"]["seed"] for payload in payloads] == [0, 1, 2]
    assert len(parsed) == 3


def test_every_damage_is_found_although_the_file_was_believed_before(store):
    read(store)
    folder = store.run(payload_of(1)["run_id"])
    path = folder.path / "result.json"
    data = path.read_bytes()
    for position in range(0, len(data), 31):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        with pytest.raises(Corrupt, match="sha256 does not match"):
            Results(store, [folder.run_id]).read(folder)
        with pytest.raises(Corrupt, match="sha256 does not match"):
            read(store)
    path.write_bytes(data)
    assert len(read(store).payloads) == 3


def test_a_believed_result_is_not_believed_in_another_runs_folder(store):
    read(store)
    first, second = (store.run(payload_of(seed)["run_id"]) for seed in range(2))
    (second.path / "result.json").write_bytes((first.path / "result.json").read_bytes())
    with pytest.raises(Corrupt, match="belongs to run"):
        read(store)


def test_a_result_that_changes_between_reading_and_looking_is_refused(store):
    read(store)
    results = read(store)
    path = store.run(payload_of(2)["run_id"]).path / "result.json"
    path.write_bytes(seal(payload_of(2), {"seconds": 2.5}))
    with pytest.raises(Corrupt, match="was changed while it was read"):
        list(results.payloads)
    path.unlink()
    with pytest.raises(Corrupt, match="was changed while it was read"):
        len([*results.payloads])


def test_another_result_of_the_same_run_is_verified_and_told_apart(store):
    first = read(store)
    run_id = payload_of(2)["run_id"]
    other = {**payload_of(2), "code": "other"}
    (store.run(run_id).path / "result.json").write_bytes(seal(other, {}))
    again = read(store)
    assert again.facts[run_id].code == ("other", "m2")
    assert again.facts[run_id].payload != first.facts[run_id].payload
    assert again.payloads[2] == other


def test_a_run_without_a_result_has_no_facts(store):
    run_id = run_id_of({"seed": 9})
    results = Results(store, [run_id])
    assert results.read(store.run(run_id)) is None
    assert (results.facts, len(results.payloads)) == ({}, 0)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        7,
        "abcdef",
        ["a"] * 4,
        ["a", "b", {}, []],
        ["a", "b", TOLD],
        ["a", "b", TOLD, 7],
        [1, "b", TOLD, []],
        ["a", "b", TOLD, []],
        ["a", "b", TOLD, [], [1.0, "device", "host"]],
        ["a", "b", TOLD, [], [1.0, "device", "host", "now", "two"]],
        {"a": 1},
    ],
)
def test_a_memory_of_another_form_is_left_out(store, kept, entry):
    first = read(store)
    (path,) = kept.iterdir()
    good = path.read_bytes()
    body = json.dumps({run_id: entry for run_id in first.facts}).encode()
    for data in (sha256(body).encode() + b"\n" + body, b"nothing", sha256(b"[3]").encode() + b"\n[3]"):
        path.write_bytes(data)
        again = read(store)
        assert again.facts == first.facts
        assert list(again.payloads) == list(first.payloads)
        assert path.read_bytes() == good


def test_many_results_are_checked_by_several_processes_and_the_damaged_ones_named_as_ever(store, monkeypatch):
    monkeypatch.setattr(reading, "MANY", 3)
    monkeypatch.setattr(reading, "CHUNK", 1)
    monkeypatch.setattr(reading.os, "sched_getaffinity", lambda pid: {0, 1})
    first, second, third = (store.run(payload_of(seed)["run_id"]) for seed in range(3))
    (second.path / "result.json").write_bytes((third.path / "result.json").read_bytes())
    ids = [first.run_id, second.run_id, third.run_id, run_id_of({"seed": 9})]
    results = Results(store, ids)
    results.look_ahead()
    assert results._known.keys() == {first.run_id, third.run_id}
    opened = []
    monkeypatch.setattr(
        RunFolder,
        "opened",
        lambda folder, data, real=RunFolder.opened: opened.append(folder.run_id) or real(folder, data),
    )
    assert results.read(first) == read_alone(store, first)
    with pytest.raises(Corrupt, match="belongs to run"):
        results.read(second)
    assert results.read(third).noise_id == "n2"
    assert opened == [first.run_id, second.run_id]  # the first by the other reader alone
    (third.path / "result.json").write_bytes(seal({**payload_of(2), "code": "other"}, {}))
    assert results.read(third).code == ("other", "m2")  # it is another file than the one that was checked


def read_alone(store: Store, folder: RunFolder) -> reading.Facts | None:
    return Results(store, [folder.run_id]).read(folder)


def test_few_results_and_one_core_start_no_process(store, monkeypatch):
    monkeypatch.setattr(joblib, "Parallel", lambda *_, **__: pytest.fail("started processes"))
    ids = [payload_of(seed)["run_id"] for seed in range(3)]
    monkeypatch.setattr(reading.os, "sched_getaffinity", lambda pid: {0, 1})
    Results(store, ids).look_ahead()
    monkeypatch.setattr(reading, "MANY", 3)
    monkeypatch.setattr(reading.os, "sched_getaffinity", lambda pid: {0})
    Results(store, ids).look_ahead()
    monkeypatch.setattr(reading.os, "sched_getaffinity", lambda pid: {0, 1})
    read(store)
    Results(store, ids).look_ahead()  # all remembered


def test_a_checking_process_that_dies_costs_time_alone(store, monkeypatch):
    monkeypatch.setattr(reading, "MANY", 3)
    monkeypatch.setattr(reading.os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(reading, "_check", lambda paths: os.kill(os.getpid(), signal.SIGKILL))
    ids = [payload_of(seed)["run_id"] for seed in range(3)]
    results = Results(store, ids)
    results.look_ahead()
    assert results._known == {}
    assert [results.read(store.run(run_id)).noise_id for run_id in ids] == ["n0", "n1", "n2"]


def test_a_folder_has_one_memory_for_whatever_is_asked_of_it(store, kept, monkeypatch, tmp_path):
    ids = [payload_of(seed)["run_id"] for seed in range(3)]
    read(store, ids[:2])
    (path,) = kept.iterdir()
    opened = []
    monkeypatch.setattr(
        RunFolder,
        "opened",
        lambda folder, data, real=RunFolder.opened: opened.append(folder.run_id) or real(folder, data),
    )
    read(store, ids[1:])
    assert opened == ids[2:]
    before = path.stat().st_mtime_ns
    read(store, ids[::-1])  # the memory of two kept the third, and the other way round
    (tmp_path / "link").symlink_to(store.root)
    read(Store(tmp_path / "link"), ids[:1])  # the same folder
    assert opened == ids[2:]
    assert [entry.name for entry in kept.iterdir()] == [path.name]
    assert path.stat().st_mtime_ns == before  # nothing new, nothing written
    monkeypatch.setattr(reading, "_checkers", lambda: "of tomorrow")
    read(store, ids)
    assert opened == [*ids[2:], *ids]
    assert len(list(kept.iterdir())) == 2


def test_a_run_that_is_gone_is_forgotten_when_something_new_is_kept(store, kept):
    ids = [payload_of(seed)["run_id"] for seed in range(3)]
    read(store, ids[:2])
    shutil.rmtree(store.run(ids[0]).path)
    read(store, ids[2:])
    (path,) = kept.iterdir()
    assert json.loads(path.read_bytes().partition(b"\n")[2]).keys() == {*ids[1:]}


def seed_and_epochs(payload: dict) -> tuple[int, int, int]:
    return payload["config"]["seed"], len(payload["history"]), os.getpid()


def test_what_is_made_of_many_payloads_is_made_by_several_processes_and_in_order(store, monkeypatch):
    read(store)
    few = read(store).payloads.each(seed_and_epochs)
    assert few == [(seed, 2, os.getpid()) for seed in range(3)]
    monkeypatch.setattr(reading, "MANY", 3)
    monkeypatch.setattr(reading, "CHUNK", 1)
    monkeypatch.setattr(reading.os, "sched_getaffinity", lambda pid: {0, 1})
    many = read(store).payloads.each(seed_and_epochs)
    assert [made[:2] for made in many] == [made[:2] for made in few]
    assert os.getpid() not in {process for *_, process in many}
    path = store.run(payload_of(2)["run_id"]).path / "result.json"
    payloads = read(store).payloads
    path.write_bytes(seal(payload_of(2), {"seconds": 2.5}))
    with pytest.raises(Corrupt, match="was changed while it was read"):
        payloads.each(seed_and_epochs)


def start(torch: str, epoch: int | None = 0, **more: object) -> dict:
    return {
        "torch": torch,
        "device": "an Example",
        "device_kind": "cpu",
        **({} if epoch is None else {"from_epoch": epoch}),
        **more,
    }


@pytest.mark.parametrize(
    ("attempts", "made"),
    [
        (None, []),
        ("attempts", []),
        ([], []),
        ([{"number": 1}], []),
        ([start("2.12", None)], ["torch 2.12 on an Example"]),  # an older record
        ([start("2.12", None), start("2.13", None)], ["torch 2.13 on an Example"]),
        ([start("2.12"), start("2.13", 3)], ["torch 2.12 on an Example", "torch 2.13 on an Example"]),
        ([start("2.11"), start("2.12"), start("2.12", 3)], ["torch 2.12 on an Example"]),  # it began anew
        ([{"number": 1}, start("2.12", 3)], ["torch 2.12 on an Example"]),
        ([start("2.12", cpu={"kernels": "AVX2"})], ["torch 2.12 on an Example (AVX2)"]),
        ([start("2.12", cpu={"kernels": "AVX2"}, device_kind="cuda")], ["torch 2.12 on an Example"]),
    ],
)
def test_what_a_result_was_computed_with_are_the_attempts_that_it_rests_on(store, attempts, made):
    payload = payload_of(2)
    folder = store.run(payload["run_id"])
    (folder.path / "result.json").write_bytes(seal(payload, {} if attempts is None else {"attempts": attempts}))
    assert read(store).facts[folder.run_id].made == made
    assert read(store).facts[folder.run_id].made == made  # as remembered


STARTED = {"device": "an Example", "host_hash": "h", "started": "2026-01-01T00:00:00+00:00", "sharing": 2}
TOOK = ("an Example", "h", "2026-01-01T00:00:00+00:00", 2)


@pytest.mark.parametrize(
    ("provenance", "spent"),
    [
        ({"seconds": 1.5}, Spent(1.5)),
        ({"seconds": 3, "epochs_this_attempt": 2, "attempts": [{}, STARTED]}, Spent(3.0, *TOOK)),
        ({"seconds": 3.0, "epochs_this_attempt": 1, "attempts": [STARTED]}, Spent(None, *TOOK)),  # from a checkpoint
        ({}, Spent()),
        ({"seconds": "1", "attempts": [{"device": None, "sharing": True}]}, Spent()),
        ({"seconds": -1.0, "attempts": "attempts"}, Spent()),
        ({"seconds": True, "attempts": [3]}, Spent()),
    ],
)
def test_what_a_run_took_is_what_its_record_tells_of_all_of_its_epochs(store, provenance, spent):
    payload = payload_of(2)
    folder = store.run(payload["run_id"])
    (folder.path / "result.json").write_bytes(seal(payload, provenance))
    for _ in range(2):  # as found, and as remembered
        found = read(store).facts[folder.run_id].spent
        assert found == spent
        assert type(found) is Spent


def test_the_collector_is_left_as_it_was_found():
    states = []

    def fail() -> None:
        with reading.without_collector():
            states.append(gc.isenabled())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    states.append(gc.isenabled())
    gc.disable()
    try:
        with pytest.raises(KeyError):
            fail()
        states.append(gc.isenabled())
    finally:
        gc.enable()
    assert states == [False, True, False, False]
