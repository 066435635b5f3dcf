"""`repro`: the suite of a paper's table is run, and ours stands beside what was published."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import cli
from bench.evidence import published
from bench.findings import figures
from bench.fingerprint import ROOT
from bench.sweep.planning import grid
from bench.sweep.planning.selection import planned
from bench.training.catalog import NETWORKS
from methods import registry

DATA = Path(os.environ.get("LNBENCH_DATA", "/nowhere"))
SUITE = """
title = "Made up: digits"
dataset = "digits"
published = "made"
rule = "last10"
noise = ["symmetric:0.5", "none"]
methods = ["ce", "dml"]
seeds = "0-2"
train_limit = 64
test_limit = 100
train = { epochs = 2, trace_samples = 32 }

[[cells]]
methods = ["dml"]
noise = ["none"]
train = { optimizer = { lr = 0.002 } }
"""
SAME = {"network": "digits_cnn", "epochs": "2", "split": "58/6", "rule": "last"}
REFERENCES = (
    dict(method="ce", label="CE", noise="symmetric:0.5", value="99.0", spread="0.5", n="3", **SAME),
    dict(method="ce", label="CE", noise="none", value="99.00", n="1", **SAME, note="one run"),
    dict(
        method="dml",
        label="DML",
        noise="symmetric:0.5",
        value="50.0",
        **{**SAME, "network": "cnn9", "rule": "not stated"},
    ),
)


@pytest.fixture(scope="module")
def references(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    fields = [name for name in published.Reference.__dataclass_fields__ if name != "printed"]
    rest = {"table": "made", "dataset": "digits", "noise_definition": "exclusive exact", "kind": "authors"}
    with (folder / "made.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields, restval="")
        writer.writeheader()
        writer.writerows({**rest, "source": "Nobody, Nowhere, 2020, Table 1", **row} for row in REFERENCES)
    return folder


@pytest.fixture
def suite(tmp_path) -> Path:
    path = tmp_path / "made.toml"
    path.write_text(SUITE, encoding="utf-8")
    return path


@pytest.fixture(scope="module", autouse=True)
def _no_plots():
    """A run ends with its plots, which take most of the time and have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "write_all", lambda *_: [])
        yield


@pytest.fixture(scope="module")
def _done(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("done")
    (folder / "made.toml").write_text(SUITE, encoding="utf-8")
    assert cli.main(["run", str(folder / "made.toml"), "--results", str(folder / "results"), "--devices", "cpu"]) == 0
    return folder / "results"


@pytest.fixture
def results(_done, tmp_path) -> Path:
    return Path(shutil.copytree(_done, tmp_path / "results"))


@pytest.fixture
def repro(say, suite, references, monkeypatch):
    monkeypatch.setattr(published, "FOLDER", references)
    return lambda *words: say("repro", suite, *words)


def test_finished_runs_stand_beside_the_published_numbers(repro, results):
    code, out, err = repro("--results", results, "--only-compare")
    assert (code, err) == (0, "")
    assert "Nobody, Nowhere, 2020, Table 1 (by the method's authors)" in out
    assert "theirs: network digits_cnn; split 58/6; rule last; n = 3\n" in out
    assert "theirs: network cnn9; split 58/6; rule not stated; n not stated, no spread\n" in out
    rows = [line.split("  ") for line in out.splitlines() if line.startswith(("  ce ", "  dml "))]
    assert len(rows) == 4
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    ce, clean, dml, alone = cells
    assert ce[:6] == ["ce", "symmetric 50%", "exclusive exact", "2", "CE", "99.0 ± 0.50"]
    assert ce[-1].startswith("lower than published (Welch's t, p = ")
    assert ce[-1].endswith("n = 3 and 3)")
    assert "by our spread alone, theirs is not given" in clean[-1]
    assert clean[-1].endswith("[1]")
    assert dml[-1] == "not comparable [2] [3]"
    assert alone[2:6] == ["–"] * 4
    assert alone[-1] == "no published number"
    assert "[2] differs in network (cnn9 against digits_cnn), rule (not stated against last ten)\n" in out
    assert "12 runs, 12 done; 36 epochs of one network;" in out
    assert "hours of one CPU slot by finished runs" in out


def test_the_same_as_json(repro, results):
    code, out, _ = repro("--results", results, "--only-compare", "--json")
    told = json.loads(out)
    assert (code, told["exit"], told["compared"], told["published"]) == (0, 0, True, "made")
    ce, clean, dml, alone = told["cells"]
    assert ce["published"]["source"] == "Nobody, Nowhere, 2020, Table 1"
    assert ce["outcome"] == "lower"
    assert ce["difference"] == pytest.approx(ce["ours"]["mean"] - 99)
    assert (ce["ours"]["n"], ce["ours"]["planned"], ce["rule"]) == (3, 3, "last")
    assert 0 < ce["p"] < 0.05
    assert clean["outcome"] in ("lower", "inside")
    assert clean["p"] is None
    assert (dml["outcome"], dml["rule"], dml["p"]) == ("not comparable", "last10", None)
    assert (alone["published"], alone["outcome"]) == (None, "no reference")
    assert told["hours"]["device"] == "cpu"


def test_the_mean_is_that_of_the_table(repro, results, say, suite):
    cells = json.loads(repro("--results", results, "--only-compare", "--json")[1])["cells"]
    table = json.loads(say("table", suite, "--results", results, "--rule", "last", "--format", "json")[1])
    first = table["rows"][0]["cells"][0]
    assert (cells[0]["ours"]["mean"], cells[0]["ours"]["sd"]) == pytest.approx((first["mean"], first["sd"]))


def test_it_runs_what_is_missing_and_names_what_is_not_there(repro, results):
    lost = min(results.glob("runs/*"))
    shutil.rmtree(lost)
    before = json.loads(repro("--results", results, "--only-compare", "--json")[1])
    assert sum(cell["ours"]["n"] for cell in before["cells"]) == 11
    code, out, err = repro("--results", results, "--json", "--devices", "cpu")
    assert code == 0, err
    assert sum(cell["ours"]["n"] for cell in json.loads(out)["cells"]) == 12
    assert lost.is_dir()


def test_the_command_of_a_cell_makes_its_runs_and_no_others(repro, results, suite):
    cells = json.loads(repro("--results", results, "--only-compare", "--json")[1])["cells"]
    _, runs = planned(cli.parser().parse_args(["status", str(suite)]))
    for cell in cells:
        words = shlex.split(cell["command"])
        assert words[:3] == ["python", "run_bench.py", "run"]
        _, own = planned(cli.parser().parse_args(words[2:]))
        whole = {r.run_id for r in runs if (r.config.method.name, r.noise) == (cell["method"], cell["noise"])}
        assert {run.run_id for run in own} == whole


@pytest.mark.parametrize(("scale", "epochs"), [("smoke", 2), pytest.param("short", 10, marks=pytest.mark.slow)])
def test_a_small_scale_runs_and_compares_nothing(repro, tmp_path, scale, epochs):
    words = ("--results", tmp_path / "small", "--scale", scale, "--devices", "cpu", "--methods", "ce")
    code, out, _ = repro(*words)
    assert code == 0
    assert "Nobody" not in out
    assert out.endswith("its numbers are not compared with any\n")
    assert "2 of 2 runs are done" in out
    configs = [json.loads(path.read_bytes()) for path in (tmp_path / "small").glob("runs/*/config.json")]
    assert [config["train"]["epochs"] for config in configs] == [epochs] * 2
    told = json.loads(repro(*words, "--json", "--only-compare")[1])
    assert (told["compared"], told["runs"], told["finished"], told["cells"]) == (False, 2, 2, [])


def test_a_dry_run_says_what_it_costs_and_makes_nothing(repro, results):
    shutil.rmtree(min(results.glob("runs/*")))
    before = sorted(results.rglob("*"))
    code, out, _ = repro("--results", results, "--dry-run", "--devices", "cpu")
    assert code == 0
    assert "12 runs, 11 done already, 1 to do" in out
    assert re.search(r"cost: [24] epochs of one network, about .* by the times of \d+ finished runs", out)
    assert sorted(results.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nosuch"], "unknown suite 'nosuch'"),
        (["co_teaching_2018_mnis"], "unknown suite 'co_teaching_2018_mnis'; did you mean 'co_teaching_2018_mnist'?"),
        (["co_teaching_2018_mnist"], "mnist: no MNIST/raw/train-images-idx3-ubyte.gz"),
        (["co_teaching_2018_mnist", "--scale", "smoke"], "mnist: no MNIST/raw/train-images-idx3-ubyte.gz"),
        (["proselflc_2021_clothing1m"], "clothing1m: no noisy_train_key_list.txt"),
        (["elr_2020_cifar10", "--methods", "gcee"], "unknown method 'gcee'"),
        (["elr_2020_cifar10", "--stall-limit", "-1"], "--stall-limit must be a number of seconds above 0"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_makes_nothing(say, tmp_path, words, said):
    code, out, err = say("repro", *words, "--results", tmp_path / "none", "--data-dir", tmp_path / "nothing")
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_an_unknown_table_is_named(say, tmp_path, suite):
    code, _, err = say(
        "repro", suite, "--results", tmp_path / "none"
    )  # of the real numbers, which know no table "made"
    assert code == 2
    assert "unknown published table 'made'" in err


def test_a_damaged_result_is_not_compared(repro, results):
    path = min(results.glob("runs/*/result.json"))
    path.write_bytes(path.read_bytes().replace(b'"test":', b'"tset":', 1))
    code, out, err = repro("--results", results, "--only-compare")
    assert (code, out) == (3, "")
    assert path.parent.name in err


def test_ctrl_c_ends_with_75_and_the_same_command_goes_on(suite, references, tmp_path):
    text = SUITE.replace("epochs = 2", "epochs = 80")
    suite.write_text(text, encoding="utf-8")
    code = (
        "import sys, pathlib; from bench import cli; from bench.findings import figures; "
        "from bench.evidence import published; figures.write_all = lambda *_: []; "
        "published.FOLDER = pathlib.Path(sys.argv[1]); sys.exit(cli.main(sys.argv[2:]))"
    )
    words = ["repro", str(suite), "--results", str(tmp_path / "results"), "--devices", "cpu", "--methods", "ce"]
    command = [sys.executable, "-c", code, str(references), *words, "--noise", "none", "--seeds", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "results").glob("runs/*/ckpt-*.pt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "the same command goes on where it stopped" in err
    assert "Nobody" not in out
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Nobody, Nowhere, 2020, Table 1" in done.stdout


def test_without_a_suite_the_tables_of_papers_are_listed(say, tmp_path):
    code, out, _ = say("repro", "--results", tmp_path / "none", "--data-dir", tmp_path)
    assert code == 0
    blocks = [line for line in out.splitlines() if not line.startswith((" ", "run one"))]
    names = {line.split("  ")[0] for line in blocks}
    assert names == {name for name in grid.available() if name not in ("quickstart", "all_methods")}
    assert "15 runs, 6,000 epochs of one network; hours not known before any of it has run here; 3 published" in out
    assert "data needed: mnist: no MNIST/raw/train-images-idx3-ubyte.gz and 3 more" in out
    assert "150 runs, 41,580 epochs of one network; hours not known before any of it has run here; no published" in out
    entries = json.loads(say("repro", "--json", "--results", tmp_path / "none", "--data-dir", tmp_path)[1])
    assert {entry["suite"] for entry in entries} == names
    assert not any(entry["data_here"] for entry in entries)


def test_list_suites_says_what_they_are_for(say):
    code, out, _ = say("list", "suites")
    assert code == 0
    assert "dividemix_2020_clothing1m  DivideMix (2020) on Clothing1M\n    3 runs on clothing1m_resampled, " in out
    assert "against the published table elr_2020_cifar10: see `repro`" in out
    entries = {entry["name"]: entry for entry in json.loads(say("list", "suites", "--json")[1])}
    assert entries["quickstart"]["published"] is None
    assert entries["cmd_design_cce"]["runs"] == 150


PAPERS = [name for name in grid.available() if name not in ("quickstart", "all_methods")]


@pytest.mark.parametrize("name", [name for name in PAPERS if not name.endswith("clothing1m")])
def test_the_methods_of_a_papers_suite_take_its_settings(name):
    suite = grid.load(name)
    made = {}
    for run in grid.plan(suite):
        assert run.config.train.network in NETWORKS
        assert run.config.train.preset != "uniform"
        made[run.spec, json.dumps(run.config.method.params, sort_keys=True)] = run.config.method.params
    for (spec, _), params in made.items():
        registry.create(spec, **params)


def test_cmds_parts_have_the_source_loss_that_stands_beside_them():
    sources = {"ce": "cce", "label_smoothing": "ls", "confidence_penalty": "cp"}
    for name in (name for name in PAPERS if name.startswith("cmd_design")):
        runs = grid.plan(grid.load(name))
        alone = runs[0].config.method
        used = {run.config.method.params["source"] for run in runs if run.config.method.name.startswith("cmd")}
        assert used == {sources.get(alone.name, alone.name)}
        (cmd,) = {json.dumps(r.config.method.params.get("e")) for r in runs if r.config.method.name == "cmd_p"}
        if "e" in alone.params:
            assert json.loads(cmd) == alone.params["e"]


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "cifar-10-batches-py").is_dir(), reason="needs CIFAR-10 in LNBENCH_DATA")
def test_a_papers_suite_runs_through_on_cifar10_at_the_smallest_scale(say, tmp_path):
    words = ("--methods", "elr", "--scale", "smoke", "--results", tmp_path / "results", "--devices", "cpu")
    code, out, err = say("repro", "elr_2020_cifar10", *words, "--noise", "asymmetric:0.4:dialect=elr")
    assert code == 0, err
    assert "1 of 1 runs are done" in out
