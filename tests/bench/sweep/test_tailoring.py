"""Cells of a suite with settings of their own."""

import json
from dataclasses import replace

import pytest

from bench import cli
from bench.sweep.planning import grid, selection
from bench.sweep.planning.grid import Suite, custom, load, plan
from bench.sweep.planning.tailoring import Cells, without

SUITE = Suite("x", "digits", ("none", "symmetric:0.5"), ("ce", "co_teaching"), (0,), published="t", rule="last10")
CELLS = (
    Cells(train={"epochs": 3, "optimizer": {"lr": 0.1}}),
    Cells(methods=("co_teaching",), val=0.2, params={"forget_rate": 0.2, "ramp_epochs": 3}),
    Cells(noise=("none",), methods=("co_teaching",), train={"epochs": 4}, params={"forget_rate": 0.0}),
    Cells(noise=("symmetric:0.5",), methods=("co_teaching",), preset="paper", train={"network": "digits_cnn"}),
)


def settings(suite: Suite) -> dict[tuple[str, str], tuple]:
    found = {}
    for run in plan(suite):
        train, params = run.config.train, run.config.method.params
        own = (train.epochs, train.optimizer.lr, train.preset, run.config.dataset.val, params.get("forget_rate"))
        found[run.config.method.name, run.noise] = own
    return found


def test_each_cell_has_its_own_settings_later_ones_over_earlier_ones_over_the_preset():
    assert settings(replace(SUITE, cells=CELLS)) == {
        ("ce", "none"): (3, 0.1, "uniform", 0.1, None),
        ("ce", "symmetric:0.5"): (3, 0.1, "uniform", 0.1, None),
        ("co_teaching", "none"): (4, 0.1, "uniform", 0.2, 0.0),
        ("co_teaching", "symmetric:0.5"): (3, 0.1, "paper", 0.2, 0.2),
    }


def test_the_suites_own_settings_and_so_flags_go_over_those_of_its_cells():
    over = replace(SUITE, cells=CELLS, train={"epochs": 2}, params={"co_teaching": {"forget_rate": 0.3}})
    found = settings(over)
    assert {epochs for epochs, *_ in found.values()} == {2}
    assert found["co_teaching", "none"] == (2, 0.1, "uniform", 0.2, 0.3)
    (run, *_) = [run for run in plan(over) if run.config.method.name == "co_teaching"]
    assert run.config.method.params["ramp_epochs"] == 3


def test_a_part_of_the_table_keeps_the_settings_of_its_cells():
    whole = replace(SUITE, cells=CELLS)
    ids = {run.run_id for run in plan(whole) if (run.config.method.name, run.noise) == ("co_teaching", "none")}
    part = custom(whole, methods=("co_teaching",), noise=("none",))
    assert {run.run_id for run in plan(part)} == ids
    assert part.cells == (
        CELLS[0],
        CELLS[1],
        replace(CELLS[2], noise=("none",)),
    )


def test_a_preset_or_val_that_is_asked_for_holds_everywhere():
    cells = custom(replace(SUITE, cells=CELLS), val=0.1).cells
    assert [cell.val for cell in cells] == [None] * 4
    assert cells[3].preset == "paper"
    cells = custom(replace(SUITE, cells=CELLS), preset="uniform").cells
    assert [cell.preset for cell in cells] == [None] * 4
    assert cells[1].val == 0.2


def test_cells_of_rows_and_columns_that_are_gone_go_too():
    assert without(CELLS, {"symmetric:0.5"}, {"co_teaching"}, preset=False, val=False) == CELLS[:1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('methods = ["co_teachin"]', "unknown method in cells 'co_teachin'; did you mean 'co_teaching'?"),
        ('noise = ["symmetric:0.4"]', "unknown noise in cells 'symmetric:0.4'; did you mean 'symmetric:0.5'?"),
        ("epochs = 3", "unknown setting in suite.cells 'epochs'"),
        ('val = "much"', "suite.cells.val must be a finite number, got 'much'"),
        ("val = 0.9999", "val 0.9999 leaves fewer than 2 of 1,437 samples to train on"),
    ],
)
def test_cells_that_make_no_sense_are_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "mine.toml"
    path.write_text(
        'dataset = "digits"\nnoise = ["symmetric:0.5"]\nmethods = ["co_teaching"]\n[[cells]]\n' + text, encoding="utf-8"
    )
    args = cli.parser().parse_args(["status", str(path), "--results", str(tmp_path / "results")])
    with pytest.raises(ValueError, match=said.replace("?", r"\?")) as error:
        selection.planned(args)
    assert "\n" not in str(error.value)


def test_a_suite_without_them_is_stored_as_it_was_before_there_were_any():
    plain = replace(SUITE, published="", rule="")
    assert not {"published", "rule", "cells"} & plain.to_dict().keys()
    assert custom(plain, val=0.2).name == "x-8814b6"  # as it was named before
    assert load("quickstart").to_dict().keys() == plain.to_dict().keys()


def test_a_stored_suite_with_cells_is_read_back(tmp_path):
    suite = replace(SUITE, cells=CELLS)
    path = tmp_path / "stored.json"
    path.write_text(json.dumps(suite.to_dict()), encoding="utf-8")
    assert grid.read_stored(path, "x") == suite
