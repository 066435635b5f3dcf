"""What a record must be to be believed, and what stands beside each number."""

import csv
import io
import json
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import config as cfg
from bench.evidence.cells import Row
from bench.evidence.tables import accuracy_table, to_csv, to_text
from bench.files import canonical, is_canonical, parse, sha256
from bench.sweep.planning import grid
from bench.sweep.records.result import open_result, seal
from bench.sweep.records.store import State, Store

RECORDS = sorted((Path(__file__).parent / "records").glob("schema*.json"))
RUN_ID = "r64c1452428d85076fb85"  # of the record of schema 1


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_g22_a_record_of_every_schema_is_read_as_it_was_meant(path):
    result = open_result(path.read_bytes(), RUN_ID)
    assert result.payload["schema"] == int(path.stem.removeprefix("schema"))
    assert (
        cfg.RunConfig.from_dict(result.payload["config"]).run_id == RUN_ID
    )  # today's defaults make the same run of it
    row = accuracy_table([result.payload]).rows[0]
    assert (row.label, row.networks, row.cells[0].text) == ("co_teaching", 2, "33.59 (1)")  # (24 + 19) / (2 * 64)


def test_g22_a_record_of_a_newer_schema_is_refused_by_its_number():
    payload = open_result(RECORDS[-1].read_bytes(), RUN_ID).payload
    newer = seal({**payload, "schema": len(RECORDS) + 1}, {})
    with pytest.raises(ValueError, match=f"schema {len(RECORDS) + 1} is unknown; this version reads {len(RECORDS)}"):
        open_result(newer, RUN_ID)


def test_g7_an_edit_that_mends_every_digest_still_meets_the_rules_of_a_record():
    payload = open_result(RECORDS[0].read_bytes(), RUN_ID).payload
    for change in (
        lambda p: p["history"][2]["heads"]["net1"].update(test=65),
        lambda p: p["history"].pop(),
        lambda p: p["config"].update(seed=1),
        lambda p: p.update(headline=["net1"]) or p["config"]["method"].update(name="ce"),
    ):
        edited = json.loads(json.dumps(payload))
        change(edited)
        with pytest.raises(ValueError, match=r"."):
            open_result(seal(edited, {}), RUN_ID)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None, max_examples=100)
@given(plain)
def test_g28_g29_what_is_written_reads_back_as_it_was_and_has_one_spelling(value):
    data = canonical(value)
    assert parse(data) == value
    assert is_canonical(data, parse(data))
    assert data.isascii()
    for other in (json.dumps(value, indent=1).encode(), data + b"\n", b" " + data):
        assert other == data or not is_canonical(other, parse(other))


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), np.float32(0.8765), np.int64(3), np.bool_(True), np.arange(2), {1: 2}, {3}, b"x", 1j],
    ids=repr,
)
def test_g29_nan_numpy_and_other_guests_are_refused_wherever_they_stand(value):
    for around in (value, [value], {"a": [{"b": value}]}):
        with pytest.raises((ValueError, TypeError)):
            canonical(around)


def test_g28_every_count_of_a_record_is_a_whole_number():
    payload = open_result(RECORDS[0].read_bytes(), RUN_ID).payload
    for epoch in payload["history"]:
        for counts in [*epoch["heads"].values(), *epoch["selection"], *epoch["knowledge"]]:
            assert {type(count) for count in counts.values()} <= {int, type(None)}
    assert {type(count) for count in payload["totals"].values()} == {int}


def test_g16_g17_a_row_says_what_its_number_cost_and_whose_it_is(make):
    two = make("two", networks=2, headline=["net1", "net2"])
    table = accuracy_table([two, make("one")])
    assert [(row.networks, row.head) for row in table.rows] == [(1, "net1"), (2, "mean of 2")]
    assert {"networks", "head", "params", "needs"} <= {field.name for field in fields(Row)}
    assert {"networks", "head", "rule", "n", "planned"} <= set(next(csv.reader(io.StringIO(to_csv(table)))))
    record = open_result(RECORDS[0].read_bytes(), RUN_ID).payload
    assert record["parameters"] > 1000
    # 58 samples for 2 networks in 3 epochs, and after each 64 to test, 6 to validate and 32 to trace
    assert record["forward_samples"] == 3 * 2 * (58 + 64 + 6 + 32)


@pytest.mark.parametrize(
    ("rule", "words"),
    [("oracle", "an oracle: chosen on the test labels"), ("clean_val", "clean"), ("last10", "mean"), ("last", "last")],
)
def test_g13_g14_a_table_says_which_epoch_counts_and_marks_clean_labels(make, rule, words):
    payloads = [make(seed=s, test=(50, 90, 60), val_clean=[1, 9, 3], val_noisy=[9, 1, 1]) for s in range(2)]
    table = accuracy_table(payloads, rule=rule)
    assert words in table.header["number"]
    said = "every number here was selected with clean validation labels" in to_text(table)
    assert said == (rule == "clean_val")
    assert table.rows[0].cells[0].mean == pytest.approx(
        {"oracle": 90, "clean_val": 90, "last10": 200 / 3, "last": 60}[rule]
    )


def test_g15_a_suite_names_what_it_overrides_and_the_table_shows_it(make):
    for name in grid.available():
        suite = grid.load(name)
        told = bool(suite.published)  # a paper's own table: the suite is where its settings are declared
        assert told or not suite.params, (
            f"{name}: settings of a method belong into its presets, where they are declared"
        )
    table = accuracy_table([make(params={"eta": 0.3})], defaults={"ce": {"eta": 0.5}}, tuned=("ce",))
    assert table.rows[0].label == "ce [eta=0.3]"
    assert any("papers choose settings of these per noise setting" in note for note in table.notes)


def test_g19_g24_a_table_of_some_says_how_many_of_how_many_and_names_the_rest(make):
    plan = {make.run_id(c): c for c in (make.config(seed=s) for s in range(4))}
    ids = list(plan)
    payloads = [make(seed=0), make(seed=1, test=(50,), diverged=True, train={"epochs": 3})]
    table = accuracy_table(payloads, expected=plan, failed={ids[2]: "killed"})
    text = to_text(table, width=200)
    for words in (
        "(2/4) !",
        f"failed: 1 of 4 runs: {ids[2]} (killed)",
        f"not run: 1 of 4 runs: {ids[3]}",
        "diverged: 1 of 2",
    ):
        assert words in text
    with pytest.raises(ValueError, match="2 of 4 planned runs are missing"):
        accuracy_table(payloads, expected=plan, refuse_missing=True)


def test_f31_g21_only_whole_names_count_as_checkpoints_records_and_runs(tmp_path):
    record = RECORDS[0].read_bytes()
    store = Store(tmp_path / "results")
    run = store.run(RUN_ID)
    with run.lock():
        run.write_config(parse(record)["payload"]["config"])
        run.save_checkpoint(1, b"whole")
    good = run.checkpoints()[0][1].name
    for name in (
        f"{good}.tmp-{'0' * 32}",
        f"x{good}",
        f"{good}x",
        "ckpt-000009-0.pt",
        f"ckpt-000002-{'0' * 16}.pt.part",
    ):
        (run.path / name).write_bytes(b"not whole")
    (run.path / f"result.json.tmp-{'a' * 32}").write_bytes(record)
    (run.path / "result.json.bak").write_bytes(record)
    assert [path.name for _, path in run.checkpoints()] == [good]
    assert run.state() is State.INTERRUPTED
    with run.lock():
        assert run.load_checkpoint() == (1, b"whole")
        assert not list(run.path.glob("*.tmp-*"))
    shutil.copy(RECORDS[0], run.path / "result.json")
    assert run.state() is State.DONE
    assert sha256(canonical(run.result().payload)) == run.result().payload_sha256
