"""A precision that a recipe leaves open is chosen once, where a suite is begun, and holds wherever it goes on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import cli, hardware
from bench.commands.begin import begin
from bench.devices import Slot
from bench.evidence.grouping import group
from bench.files import canonical, sha256
from bench.sweep.planning import grid, selection
from bench.sweep.planning.grid import Suite, expand, plan, settle
from bench.sweep.records.store import Store

CIFAR = Suite("real", "cifar10", ("symmetric:0.5",), ("ce", "co_teaching"), (0, 1))
WORDS = ["--dataset", "cifar10", "--noise", "symmetric:0.5", "--methods", "ce", "--seeds", "0"]
TINY = ["--dataset", "digits", "--noise", "symmetric:0.5", "--methods", "ce", "--seeds", "0", "--epochs", "2"]
TINY += ["--train-limit", "64", "--test-limit", "64", "--set", "trace_samples=32", "precision=auto"]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without GPU whose processor has AMX or lacks it."""

    def move_to(amx: bool) -> None:
        path = tmp_path / f"cpuinfo-{amx}"
        path.write_text(f"model name: A CPU\nflags: fpu avx2 {'amx_bf16 amx_tile' if amx else ''}\n")
        monkeypatch.setattr(hardware, "CPUINFO", path)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return move_to


@pytest.fixture
def unasked(monkeypatch):
    """A machine that nobody may ask."""

    def fail(devices: str = "auto") -> None:
        raise AssertionError("the machine was asked")

    monkeypatch.setattr(hardware, "choose", fail)


def said(verb: str, words: list[str], tmp_path: Path):
    return cli.parser().parse_args([verb, *words, "--results", str(tmp_path / "results")])


def begun(words: list[str], tmp_path: Path) -> list[grid.Planned]:
    """The runs of a suite as `run` plans and begins it, without running them."""
    args = said("run", words, tmp_path)
    suite, runs = selection.planned(args)
    begin(args, Store(args.results), suite, runs)
    return runs


def precisions(runs: list[grid.Planned]) -> set[str]:
    return {run.config.train.precision for run in runs}


def test_runs_on_real_images_are_computed_in_what_pays_and_tiny_ones_in_float32_everywhere(machine):
    machine(amx=True)
    assert precisions(expand(CIFAR)) == {"bf16"}
    assert precisions(expand(replace(CIFAR, dataset="mnist"))) == {"bf16"}
    tiny = [suite for suite in map(grid.load, grid.available()) if suite.dataset == "digits"]
    on_amx = [run.run_id for suite in tiny for run in expand(suite)]
    machine(amx=False)
    assert precisions(expand(CIFAR)) == {"float32"}
    assert [run.run_id for suite in tiny for run in expand(suite)] == on_amx
    assert len(tiny) >= 2


def test_a_papers_preset_is_computed_in_float32_everywhere_unless_a_user_asks_for_more(machine):
    machine(amx=True)
    paper = replace(CIFAR, preset="paper", methods=("co_teaching",))
    assert precisions(expand(paper)) == {"float32"}
    assert [run.auto for run in plan(paper)] == [False] * 2
    assert precisions(expand(replace(paper, train={"precision": "auto"}))) == {"bf16"}
    assert precisions(expand(replace(paper, train={"precision": "tf32"}))) == {"tf32"}
    assert [run.run_id for run in expand(paper)] == [run.run_id for run in settle(plan(paper), lambda: "bf16")]


def test_a_preset_that_names_a_precision_gets_it(machine, monkeypatch):
    machine(amx=True)
    real = grid._recipe
    monkeypatch.setattr(grid, "_recipe", lambda *args: {**real(*args), "precision": "auto"})
    assert precisions(expand(replace(CIFAR, preset="paper", methods=("co_teaching",)))) == {"bf16"}


def test_what_the_machine_chooses_is_in_the_id_as_if_it_had_been_asked_for(machine):
    machine(amx=True)
    asked = {p: [r.run_id for r in expand(replace(CIFAR, train={"precision": p}))] for p in ("bf16", "float32")}
    assert [run.run_id for run in expand(CIFAR)] == asked["bf16"]
    machine(amx=False)
    assert [run.run_id for run in expand(CIFAR)] == asked["float32"]
    assert not set(asked["bf16"]) & set(asked["float32"])


def test_the_ids_on_a_machine_that_computes_in_float32_are_those_of_ever():
    known = {"ce": "r7517f48150cf6c1135e7", "co_teaching": "rf42059a1726eff6eda4a"}
    runs = settle(plan(replace(CIFAR, seeds=(0,))), lambda: "float32")
    assert {run.config.method.name: run.run_id for run in runs} == known


def test_a_machine_is_asked_once_and_only_where_it_has_a_choice(unasked):
    assert precisions(expand(grid.load("quickstart"))) == {"float32"}
    assert precisions(expand(replace(CIFAR, train={"precision": "bf16"}))) == {"bf16"}
    asked = []
    runs = settle(plan(CIFAR), lambda: asked.append("here") or "bf16")
    assert (asked, len(runs), precisions(runs)) == (["here"], 4, {"bf16"})


def test_a_list_of_suites_counts_their_runs_without_asking_the_machine(unasked, monkeypatch, capsys):
    monkeypatch.setattr(grid, "available", lambda: ["real"])
    monkeypatch.setattr(grid, "load", lambda name: CIFAR)
    assert cli.main(["list", "suites", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["name"], told["runs"], told["lines"]) == ("real", 4, ["4 runs on cifar10, preset uniform"])


def test_every_run_of_a_plan_says_whether_its_precision_was_left_open(unasked):
    assert [run.auto for run in plan(CIFAR)] == [True] * 4
    assert {run.auto for run in plan(replace(CIFAR, train={"precision": "tf32"}))} == {False}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("bf-16", "unknown train.precision 'bf-16'; did you mean 'bf16'?"),
        ("aut", "unknown train.precision 'aut'; did you mean 'auto'?"),
        ("half", "unknown train.precision 'half'; allowed: auto, bf16, float32, tf32"),
        ("16", "unknown train.precision '16'; "),
    ],
)
def test_an_unknown_precision_is_answered_with_the_nearest(unasked, tmp_path, value, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the text is compared
        selection.planned(said("run", [*WORDS, "--set", f"precision={value}"], tmp_path))
    assert str(error.value).startswith(message)


def test_a_suite_begun_with_amx_goes_on_in_bf16_without_it_and_says_what_that_means(machine, tmp_path, capsys):
    machine(amx=True)
    first = begun(WORDS, tmp_path)
    assert precisions(first) == {"bf16"}
    assert capsys.readouterr().err == ""
    machine(amx=False)
    for verb in ("status", "table", "plot", "run"):
        assert [run.run_id for run in selection.planned(said(verb, WORDS, tmp_path))[1]] == [r.run_id for r in first]
    assert [run.run_id for run in begun(WORDS, tmp_path)] == [run.run_id for run in first]
    assert capsys.readouterr().err == (
        "precision bf16 as when this suite was begun; this CPU has no AMX and computes it slowly\n"
    )


def test_a_suite_begun_without_amx_stays_in_float32(machine, tmp_path, capsys):
    machine(amx=False)
    first = begun(WORDS, tmp_path)
    machine(amx=True)
    assert [run.run_id for run in begun(WORDS, tmp_path)] == [run.run_id for run in first]
    assert capsys.readouterr().err == (
        "precision float32 as when this suite was begun; this CPU has AMX and would choose bf16\n"
    )


def test_what_was_chosen_is_found_by_the_name_of_a_stored_suite_too(machine, tmp_path):
    machine(amx=True)
    begun(WORDS, tmp_path)
    (stored,) = (tmp_path / "results" / "suites").iterdir()
    machine(amx=False)
    assert precisions(selection.planned(said("status", [stored.name], tmp_path))[1]) == {"bf16"}


def test_a_changed_suite_is_chosen_for_anew_and_a_precision_that_is_asked_for_stands(machine, tmp_path, capsys):
    machine(amx=True)
    begun(WORDS, tmp_path)
    machine(amx=False)
    assert precisions(begun([*WORDS, "--epochs", "3"], tmp_path)) == {"float32"}
    assert precisions(begun([*WORDS, "--set", "precision=tf32"], tmp_path)) == {"tf32"}
    assert precisions(begun(WORDS, tmp_path)) == {"bf16"}
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_looking_at_a_suite_that_was_never_begun_chooses_nothing_for_it(machine, tmp_path):
    machine(amx=True)
    assert precisions(selection.planned(said("status", WORDS, tmp_path))[1]) == {"bf16"}
    assert not (tmp_path / "results").exists()
    machine(amx=False)
    assert precisions(begun(WORDS, tmp_path)) == {"float32"}


def test_where_run_is_sent_decides_and_status_then_follows(monkeypatch, tmp_path):
    monkeypatch.setattr(hardware, "choose", lambda devices="auto": hardware.Choice(*ANSWERS[devices]))
    assert precisions(selection.planned(said("status", WORDS, tmp_path))[1]) == {"bf16"}
    assert precisions(begun([*WORDS, "--devices", "cpu"], tmp_path)) == {"float32"}
    assert precisions(selection.planned(said("status", WORDS, tmp_path))[1]) == {"float32"}
    assert precisions(begun(WORDS, tmp_path)) == {"float32"}


ANSWERS = {"auto": ("bf16", "this GPU has compute capability 9.0"), "cpu": ("float32", "this CPU has no AMX")}


def test_a_wrong_device_is_not_blamed_on_the_file_of_a_suite(machine, tmp_path):
    machine(amx=False)
    path = tmp_path / "mine.toml"
    path.write_text('dataset = "cifar10"\nnoise = ["symmetric:0.5"]\nmethods = ["ce"]\n')
    with pytest.raises(ValueError, match=r"^--devices cuda:1: this machine has no GPU$"):
        selection.planned(said("run", [str(path), "--devices", "cuda:1"], tmp_path))


def test_a_suite_that_was_begun_when_there_was_no_choice_stays_in_float32(machine, tmp_path):
    machine(amx=True)
    args = said("run", WORDS, tmp_path)
    suite = selection.suite_of(args)
    path = Store(args.results).save_suite(suite.name, suite.to_dict())
    assert path.name == f"{sha256(canonical(suite.to_dict()))[:12]}.json"
    assert precisions(begun(WORDS, tmp_path)) == {"float32"}


def test_a_number_that_is_none_is_refused_by_its_name_before_the_store_is_asked(machine, tmp_path):
    machine(amx=True)
    for words, message in (
        (["--set", "optimizer.lr=nan"], "train.optimizer.lr must be"),
        (["--val", "nan"], "val must"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            selection.planned(said("run", [*WORDS, *words], tmp_path))


def test_the_first_of_two_machines_decides_and_the_other_is_told(tmp_path):
    store, asked = Store(tmp_path), {"seeds": [0]}
    assert store.chosen("main", asked) is None
    path = store.save_suite("main", asked, {"precision": "bf16"})
    assert store.chosen("main", asked) == {"precision": "bf16"}
    assert store.save_suite("main", asked, {"precision": "bf16"}) == path
    with pytest.raises(ValueError, match="suite 'main' was begun elsewhere just now, with precision bf16: give the co"):
        store.save_suite("main", asked, {"precision": "float32"})
    assert store.chosen("main", {"seeds": [1]}) is None
    assert [p.name for p in path.parent.glob("*.json")] == [path.name]  # versions of a suite are counted so


@pytest.mark.parametrize("damage", ["", "{}x", '["bf16"]\n', '{"precision": 16}\n'])
def test_a_damaged_choice_is_named_and_never_made_anew(machine, tmp_path, damage):
    machine(amx=True)
    begun(WORDS, tmp_path)
    (path,) = (tmp_path / "results" / "suites").glob("*/chosen/*.json")
    path.write_text(damage)
    with pytest.raises(ValueError, match=f"^{path}: damaged: "):
        selection.planned(said("status", WORDS, tmp_path))


def test_a_run_in_tf32_is_refused_on_a_cpu_before_anything_is_stored_and_may_be_looked_at(machine, tmp_path, capsys):
    machine(amx=False)
    words = [*TINY[:-1], "precision=tf32", "--results", str(tmp_path / "results")]
    for more in ([], ["--dry-run"]):
        assert cli.main(["run", *words, *more]) == 2
        assert "precision tf32 is a format of NVIDIA GPUs" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
    assert cli.main(["status", *words]) == 0


@pytest.mark.slow
def test_a_run_begun_in_bf16_is_done_in_bf16_by_a_machine_without_amx(machine, tmp_path, capsys):
    words = [*TINY, "--results", str(tmp_path / "results")]
    machine(amx=True)
    assert cli.main(["run", *words]) == 0
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    result = folder / "result.json"
    assert json.loads(result.read_text())["payload"]["config"]["train"]["precision"] == "bf16"
    before = json.loads(result.read_text())["payload"]["history"]
    machine(amx=False)
    capsys.readouterr()
    assert cli.main(["status", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"done": 1}
    result.unlink()
    assert cli.main(["run", *words]) == 0
    assert "as when this suite was begun; this CPU has no AMX and computes it slowly" in capsys.readouterr().err
    assert json.loads(result.read_text())["payload"]["history"] == before
    assert [path.name for path in (tmp_path / "results" / "runs").iterdir()] == [folder.name]


def test_rows_of_two_precisions_are_two_rows_that_name_them():
    expected = {}
    for precision in ("bf16", "float32"):
        runs = settle(plan(replace(CIFAR, methods=("ce",))), lambda precision=precision: precision)
        expected |= {run.run_id: run.config.to_dict() for run in runs}
    found = group([], expected=expected)
    assert [row.label for row in found.groups] == ["ce [precision=bf16]", "ce [precision=float32]"]
    assert found.notes == ["ce has 2 rows, which are not averaged, because its runs differ in: precision"]


def test_compiled_runs_have_a_row_of_their_own():
    runs = [run for on in (False, True) for run in plan(replace(CIFAR, methods=("ce",), train={"compile": on}))]
    found = group([], expected={run.run_id: run.config.to_dict() for run in runs})
    assert [row.label for row in found.groups] == ["ce [compile=true]", "ce [compile=unset]"]


def test_a_gpu_may_compute_what_is_asked_for(monkeypatch):
    monkeypatch.setattr(hardware, "_capability", lambda gpus: 9.0)
    hardware.check([run.config.train for run in plan(replace(CIFAR, train={"precision": "tf32"}))], [Slot("0", 0)])
