"""Tables of training samples on disk: what they hold, where they lie, and that no run is trained for them alone."""

import io
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.data.datasets import load
from bench.data.loader import Resident
from bench.data.prepare import prepare
from bench.devices import Slot
from bench.files import canonical, sha256
from bench.sweep.records.sample_files import SampleFiles, long, official_index, to_bytes, untabled
from bench.sweep.records.store import State, Store
from bench.sweep.supervision import executor
from bench.sweep.supervision.sweep import Sweep
from noise import NoiseSpec

TABLE = {
    "epoch": np.array(13),
    "index": np.array([4, 7, 9]),
    "heads": np.array(["net1", "net2"]),
    "given": np.array([0, 1, 0], dtype=np.int32),
    "loss": np.array([[0.1, 0.2, 0.3], [1.1, 1.2, np.nan]], dtype=np.float32),
    "selected": np.array([[0, 1, -1], [1, 1, 1]], dtype=np.int8),
}


@pytest.fixture
def no_arrow(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as where it is not installed


@pytest.fixture
def fake_arrow(monkeypatch):
    """A pyarrow that remembers the columns and writes a few bytes."""
    arrow, parquet = types.ModuleType("pyarrow"), types.ModuleType("pyarrow.parquet")
    arrow.table = dict
    parquet.write_table = lambda table, out: out.write(f"{sorted(table)}".encode())
    monkeypatch.setitem(sys.modules, "pyarrow", arrow)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", parquet)


# the file


def test_without_pyarrow_a_table_is_an_npz_with_its_arrays_and_the_same_bytes_again(no_arrow):
    data, suffix = to_bytes(TABLE)
    assert suffix == ".npz"
    assert to_bytes(TABLE)[0] == data
    with np.load(io.BytesIO(data), allow_pickle=False) as read:
        assert read.keys() == TABLE.keys()
        for name, values in TABLE.items():
            np.testing.assert_array_equal(read[name], values)
            assert read[name].dtype == values.dtype


def test_with_pyarrow_it_is_a_parquet_file(fake_arrow):
    data, suffix = to_bytes(TABLE)
    assert suffix == ".parquet"
    assert data == b"['epoch', 'given', 'head', 'index', 'loss', 'selected']"


def test_the_long_form_has_a_row_for_each_head_and_sample():
    rows = long(TABLE)
    assert rows["head"].tolist() == ["net1"] * 3 + ["net2"] * 3
    assert rows["index"].tolist() == [4, 7, 9, 4, 7, 9]
    assert rows["epoch"].tolist() == [13] * 6
    assert rows["selected"].tolist() == [0, 1, -1, 1, 1, 1]
    np.testing.assert_array_equal(rows["loss"], np.float32([0.1, 0.2, 0.3, 1.1, 1.2, np.nan]))
    assert {len(values) for values in rows.values()} == {6}


def test_a_parquet_file_reads_back_as_written():
    parquet = pytest.importorskip("pyarrow.parquet")
    data, suffix = to_bytes(TABLE)
    assert suffix == ".parquet"
    read = parquet.read_table(io.BytesIO(data)).to_pydict()
    assert read["head"] == ["net1"] * 3 + ["net2"] * 3
    assert read["index"] == [4, 7, 9] * 2
    np.testing.assert_array_equal(np.float32(read["loss"]), long(TABLE)["loss"])


# the folder


def test_a_table_is_published_under_its_epoch_and_its_digest_is_told(tmp_path, no_arrow):
    tables = SampleFiles(tmp_path)
    assert (tables.files(), tables.digests()) == ([], {})
    for epoch in (13, 2):
        tables.write(epoch, TABLE)
    tables.write(13, {**TABLE, "index": np.array([1, 2, 3])})  # an attempt that repeats an epoch
    (tables.path / "notes.txt").write_text("a reader's own")
    assert [path.name for path in tables.files()] == ["epoch-0002.npz", "epoch-0013.npz"]
    assert np.load(tables.path / "epoch-0013.npz")["index"].tolist() == [1, 2, 3]
    assert tables.digests() == {path.name: sha256(path.read_bytes()) for path in tables.files()}


def test_what_a_killed_writer_left_is_swept(tmp_path, no_arrow):
    tables = SampleFiles(tmp_path)
    tables.write(1, TABLE)
    left = tables.path / f"epoch-0002.npz.tmp-{'0' * 32}"
    left.write_bytes(b"half")
    assert len(tables.files()) == 1
    tables.write(2, TABLE)
    assert not left.exists()


def test_what_a_run_lacks_depends_on_what_is_asked_for(tmp_path, no_arrow):
    tables = SampleFiles(tmp_path)
    assert tables.lacks("last", 3)
    tables.write(3, TABLE)
    assert not tables.lacks("last", 3)
    assert tables.lacks("every", 3)
    assert tables.lacks("last", 4)
    for epoch in (1, 2):
        tables.write(epoch, TABLE)
    assert not tables.lacks("every", 3)


def test_runs_without_tables_are_named_in_one_line(tmp_path, no_arrow):
    ids = [f"r{number:020x}" for number in range(8)]
    SampleFiles(tmp_path / ids[0]).write(2, TABLE)
    assert untabled(tmp_path, "last", [(ids[0], 2)]) == ""
    assert untabled(tmp_path, "last", [(ids[0], 2), (ids[1], 2)]) == (
        f"--per-sample last: 1 finished run has no such table, and only training makes one: {ids[1]}"
        f" (what is moved out of {tmp_path} is trained again)"
    )
    many = untabled(tmp_path, "every", [(run_id, 2) for run_id in ids])
    assert f"8 finished runs have no such table, and only training makes one: {', '.join(ids[:5])} and 3 more" in many
    assert "\n" not in many


# which samples


@pytest.mark.parametrize(
    ("noise", "dataset"),
    [
        ("symmetric:0.5", {}),
        ("symmetric:0.5", {"val": 0.0, "train_limit": None}),
        ("pairflip:0.4", {"trusted": 20, "val": 0.25, "train_limit": 400}),
        ("none", {"train_limit": 200}),
    ],
)
def test_the_official_index_finds_the_images_and_labels_of_the_split(noise, dataset, plan, tmp_path):
    (run,) = plan("ce")
    spec = {name: value for name, value in NoiseSpec.parse(noise).to_dict().items() if name != "seed"}
    config = replace(
        run.config, noise=replace(run.config.noise, **spec), dataset=replace(run.config.dataset, **dataset)
    )
    device, digits = torch.device("cpu"), load("digits")
    data = prepare(config, None, tmp_path, device)
    index = official_index(config, tmp_path, data.noise_id, data.truth)
    train = data.splits["train"]
    assert digits.train_labels[index].tolist() == data.clean["train"].tolist()
    pixels = digits.train_images[index]
    found = Resident(pixels, train.given.numpy(), data.info, device, config.train.channels_last, config.train.augment)
    (one,), (other,) = train.plain(len(train)), found.plain(len(train))
    assert torch.equal(one.x, other.x)


# runs


@pytest.fixture
def tabling(forked, tmp_path):
    """Execute runs as `run --per-sample` does."""

    def go(runs, when, results="results"):
        store = Store(tmp_path / results)
        sweep = Sweep(store, [Slot(None, 0)], None, "fork", per_sample=when)
        return [store.run(o.run_id) for o in executor.execute(sweep, runs, Silent())]

    return go


class Silent:
    def started(self, run, slot): ...

    def requeued(self, run): ...

    def ended(self, run, outcome): ...


def test_a_run_writes_its_tables_and_its_payload_does_not_know(plan, tabling, launch, tmp_path):
    runs = plan("co_teaching")
    (folder,) = tabling(runs, "every")
    tables = SampleFiles(folder.path)
    assert [path.stem for path in tables.files()] == ["epoch-0001", "epoch-0002", "epoch-0003"]
    assert folder.result().provenance["samples_sha256"] == tables.digests()
    launch(runs, "plain")
    plain = Store(tmp_path / "plain").run(folder.run_id)
    assert canonical(plain.result().payload) == canonical(folder.result().payload)
    assert plain.result().provenance["samples_sha256"] == {}
    assert not (plain.path / "samples").exists()
    (again,) = tabling(runs, "last", "again")
    assert list(SampleFiles(again.path).digests().items()) == [list(tables.digests().items())[-1]]


def test_a_row_of_a_table_is_a_sample_of_the_official_training_set(plan, tabling):
    (folder,) = tabling(plan("ce"), "last")
    (path,) = SampleFiles(folder.path).files()
    if path.suffix != ".npz":
        pytest.skip("pyarrow is installed, and the other tests read its files")
    with np.load(path, allow_pickle=False) as table:
        assert len(table["index"]) == folder.result().payload["totals"]["train"]
        assert np.array_equal(table["true"], load("digits").train_labels[table["index"]])
        assert not np.array_equal(table["given"], table["true"])
        assert int(table["epoch"]) == 3


def test_tables_go_on_with_a_resumed_run_and_those_of_a_run_begun_anew_are_set_aside(plan, tabling, tmp_path):
    (run,) = plan(order="signal 9", at=1, times=1)
    (folder,) = tabling([run], "every")
    assert folder.state() is State.DONE
    assert [end["class"] for _, end in folder.attempts()] == ["killed", "done"]
    assert not SampleFiles(folder.path).lacks("every", 3)
    assert not (folder.path / "quarantine").exists()
    before = SampleFiles(folder.path).digests()
    folder.quarantine(folder.path / "result.json")
    tabling([run], "last")
    assert [path.stem for path in SampleFiles(folder.path).files()] == ["epoch-0003"]
    assert SampleFiles(folder.path).digests().items() <= before.items()
    assert len([p for p in (folder.path / "quarantine").iterdir() if p.name.startswith("epoch-")]) == 3
