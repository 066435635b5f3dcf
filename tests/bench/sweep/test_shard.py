"""Shards: every run is in one of them, whatever other runs there are, and together they are the whole."""

import pytest

from bench import cli, hardware
from bench.files import canonical
from bench.findings import figures
from bench.sweep.planning.shard import Shard, parse
from bench.sweep.records.store import Store
from bench.sweep.upkeep import preflight

SUITE = ["--dataset", "digits", "--noise", "symmetric:0.5", "--methods", "ce", "--seeds", "0-4", "--epochs", "2"]
SUITE += ["--train-limit", "64", "--test-limit", "64", "--devices", "cpu", "--set", "trace_samples=32"]


@pytest.fixture
def run(forked, monkeypatch, tmp_path):
    monkeypatch.setattr(preflight, "check_methods", lambda todo: None)
    monkeypatch.setattr(figures, "write_all", lambda found, folder: [])
    return lambda results, *words: cli.main(["run", *SUITE, "--results", str(tmp_path / results), *words])


def payloads(root):
    return {run_id: canonical(Store(root).run(run_id).result().payload) for run_id in Store(root).run_ids()}


@pytest.mark.parametrize("count", [1, 2, 7])
def test_every_run_is_in_one_shard_and_stays_there_when_others_come(plan, count):
    few, many = plan("ce", seeds=range(10)), plan("ce", "dml", seeds=range(40))
    parts = [Shard(index, count).of(many) for index in range(count)]
    assert sorted(run.run_id for part in parts for run in part) == sorted(run.run_id for run in many)
    for index, part in enumerate(parts):
        assert [run for run in part if run in few] == Shard(index, count).of(few)
    assert max(map(len, parts)) < 2 * len(many) / count + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2", "--shard takes I/N, such as 0/4 for the first of four parts; got '2'"),
        ("1/x", "--shard takes I/N, such as 0/4 for the first of four parts; got '1/x'"),
        ("-1/2", "--shard takes I/N, such as 0/4 for the first of four parts; got '-1/2'"),
        ("٣/٤", "--shard takes I/N, such as 0/4 for the first of four parts; got '٣/٤'"),
        ("2/2", "--shard I/2 needs I from 0 to 1, got '2/2'"),
        ("0/0", "--shard I/N needs N from 1 to 100,000, got '0/0'"),
        ("0/999999", "--shard I/N needs N from 1 to 100,000, got '0/999999'"),
    ],
)
def test_what_is_no_shard_is_a_line_and_nothing_is_created(text, message, run, tmp_path, capsys):
    assert run("results", f"--shard={text}") == 2
    assert capsys.readouterr().err == f"run_bench.py run: {message}\n"
    assert not (tmp_path / "results").exists()


def test_a_shard_is_what_its_text_says():
    assert parse("3/12") == Shard(3, 12)
    assert str(Shard(3, 12)) == "3/12"


def test_shards_of_machines_that_share_nothing_make_up_the_local_sweep(run, tmp_path, capsys):
    assert run("local") == 0
    whole = payloads(tmp_path / "local")
    parts = []
    for index in range(2):
        capsys.readouterr()
        assert run(f"part{index}", f"--shard={index}/2") == 0
        out, err = capsys.readouterr()
        parts.append(payloads(tmp_path / f"part{index}"))
        assert f"shard {index}/2: {len(parts[-1])} of 5 runs\n" in err
        assert ("symmetric 50%" in out) == bool(parts[-1])
    assert parts[0] | parts[1] == whole
    assert len(parts[0]) + len(parts[1]) == 5


def test_shards_whose_precision_the_machine_has_chosen_are_told_to_ask_for_it(run, capsys, monkeypatch):
    monkeypatch.setattr(hardware, "choose", lambda devices="auto": hardware.Choice("float32", "made up"))
    monkeypatch.setattr(Shard, "of", lambda shard, runs: list(runs))
    more = ["--seeds", "0", "--set", "trace_samples=32", "precision=auto"]
    assert run("part", "--shard=0/2", *more) == 0
    err = capsys.readouterr().err
    assert "chosen for this machine: give every shard --set precision=float32, or their results cannot be merged" in err


def test_a_shard_in_a_shared_folder_leaves_the_other_runs_alone_and_shows_all_that_is_there(run, tmp_path, capsys):
    assert run("shared", "--shard=0/2") == 0
    mine = payloads(tmp_path / "shared")
    assert 0 < len(mine) < 5
    assert run("shared", "--shard=0/2", "--dry-run") == 0
    assert f"{len(mine)} runs, {len(mine)} done already, 0 to do" in capsys.readouterr().out
    assert run("shared", "--shard=1/2") == 0
    assert "(5)" in capsys.readouterr().out  # seeds in the cell
