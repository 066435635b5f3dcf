"""What TensorBoard is shown are the numbers of the records, and showing them changes none."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from bench import cli
from bench.devices import Slot
from bench.sweep.records.store import State, Store
from bench.sweep.run import tensorboard
from bench.sweep.run.tensorboard import Board, name_of, scalars
from bench.sweep.supervision import executor
from bench.sweep.supervision.progress import Progress
from bench.sweep.supervision.sweep import Sweep


def reader(folder: Path):
    """The events of a folder as TensorBoard reads them."""
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no TensorBoard")
    found = loader.EventAccumulator(str(folder), size_guidance={loader.SCALARS: 0})
    found.Reload()
    return found


@pytest.fixture
def go(forked, tmp_path):
    """Execute runs; return their store."""

    def execute(runs, results: str, shown: bool = True) -> Store:
        store = Store(tmp_path / results)
        sweep = Sweep(store, [Slot(None, 0)], None, "fork", tensorboard=shown)
        executor.execute(sweep, runs, Progress(store, runs, 0, io.StringIO()))
        return store

    return execute


def test_a_board_shows_what_the_records_hold_and_changes_no_byte_of_them(plan, go):
    runs = plan("co_teaching", "elr", epochs=2)
    with_it, without = go(runs, "with"), go(runs, "without", shown=False)
    assert not (without.root / "tensorboard").exists()
    for run in runs:
        result = with_it.run(run.run_id).result()
        assert result.payload == without.run(run.run_id).result().payload
        assert result.payload_sha256 == without.run(run.run_id).result().payload_sha256
        found = reader(with_it.root / "tensorboard" / name_of(run.config))
        payload = result.payload
        wanted = {}
        for record in payload["history"]:
            for tag, value in scalars(record, payload["totals"]):
                wanted.setdefault(tag, []).append((record["epoch"] + 1, pytest.approx(value, rel=1e-6)))
        assert {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]} == wanted
        assert {"test/net1", "val_noisy/net1", "lr", "loss/net1", "wrong_fit/net1"} <= wanted.keys()
        assert ("loss/net2" in wanted, "precision/net2" in wanted) == (run.networks == 2, run.networks == 2)


def test_a_resumed_run_shows_each_step_once(plan, go, odd):
    # killed in the third epoch, of which no checkpoint is left; the first two are shown once
    (run,) = plan(order="signal 9", at=2, times=1, epochs=4)
    store = go([run], "killed")
    assert store.run(run.run_id).state() is State.DONE
    assert len(store.run(run.run_id).attempts()) == 2
    folder = store.root / "tensorboard" / name_of(run.config)
    assert len(list(folder.iterdir())) == 2  # a file of each attempt
    assert [event.step for event in reader(folder).Scalars("test/net1")] == [1, 2, 3, 4]


def records(number: int) -> list[dict]:
    heads = {"net1": {"test": 9, "val_noisy": 3, "val_clean": None, "right_fit": 6, "wrong_fit": 1}}
    heads["net1"]["wrong_recovered"] = 3
    plain = {"lr": 0.1, "loss": [None], "scalars": {"tau": 2.0}, "heads": heads, "selection": [], "knowledge": []}
    return [{"epoch": epoch, **plain} for epoch in range(number)]


TOTALS = {"test": 10, "val": 4, "trace": 10, "trace_wrong": 4}


def test_epochs_that_were_trained_again_take_the_place_of_those_before(plan, tmp_path):
    pytest.importorskip("tensorboard", reason="no TensorBoard")
    config = plan("ce")[0].config
    first = Board(tmp_path, config, TOTALS, [])
    for record in records(3):
        first.write(record)
    first.close()
    second = Board(tmp_path, config, TOTALS, records(1))  # of the three only one left a checkpoint
    again = records(3)[1:]
    again[0]["lr"] = 0.7
    for record in again:
        second.write(record)
    second.close()
    shown = reader(tmp_path / "tensorboard" / name_of(config)).Scalars("lr")
    assert [(event.step, round(event.value, 6)) for event in shown] == [(1, 0.1), (2, 0.7), (3, 0.1)]


def test_a_board_begun_in_the_middle_of_a_run_shows_its_beginning_too(plan, tmp_path):
    pytest.importorskip("tensorboard", reason="no TensorBoard")
    config = plan("ce")[0].config
    board = Board(tmp_path, config, TOTALS, records(2))
    board.write(records(3)[2])
    board.close()
    assert [event.step for event in reader(tmp_path / "tensorboard" / name_of(config)).Scalars("lr")] == [1, 2, 3]


def test_scalars_are_shares_and_what_nobody_knows_is_left_out():
    told = dict(scalars(records(1)[0], TOTALS))
    assert told == {
        **{"lr": 0.1, "scalars/tau": 2.0, "test/net1": 0.9, "val_noisy/net1": 0.75},
        **{"right_fit/net1": 1.0, "wrong_fit/net1": 0.25, "wrong_recovered/net1": 0.75},
    }


@pytest.mark.parametrize("what", ["a link", "a file", "no package"])
def test_a_board_that_cannot_be_written_is_one_line_of_the_log(plan, tmp_path, monkeypatch, capsys, what):
    config = plan("ce")[0].config
    (tmp_path / "elsewhere").mkdir()
    if what == "a link":
        (tmp_path / "tensorboard").symlink_to(tmp_path / "elsewhere")
    elif what == "a file":
        (tmp_path / "tensorboard").write_text("")
    else:
        monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    board = Board(tmp_path, config, TOTALS, records(1))
    board.write(records(2)[1])
    board.close()
    out = capsys.readouterr().out
    assert (out.count("\n"), out.startswith("no scalars for TensorBoard: ")) == (1, True)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_missing_package_is_one_line_before_anything_starts(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    assert cli.main(["run", "--tensorboard", "--results", str(tmp_path / "results")]) == 2
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        'run_bench.py run: --tensorboard needs TensorBoard: pip install -e ".[tensorboard]" -c constraints.txt'
    ]
    assert not (tmp_path / "results").exists()


def test_a_folder_says_which_run_it_is_of(plan):
    (run,) = plan("ce", seeds=(3,))
    assert name_of(run.config) == f"ce_digits_symmetric-50_seed3_{run.run_id}"
