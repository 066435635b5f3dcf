"""From a suite file to the table and the plots, and every number of the table once more by another road."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev
from xml.etree import ElementTree

import pytest

from bench import cli
from bench.data import datasets

ROOT = Path(cli.__file__).resolve().parents[1]
SUITE = """
title = "Tiny"
dataset = "digits"
noise = ["symmetric:0.5", "pairflip:0.45"]
methods = ["ce", "co_teaching"]
seeds = "0-1"
baseline = "ce"
train_limit = 64
test_limit = 64

[train]
epochs = 2
trace_samples = 32

[params.co_teaching]
ramp_epochs = 1
"""


def bench(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "run_bench.py"), *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def files(folder: Path, pattern: str) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted(folder.glob(pattern))}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    (folder / "tiny.toml").write_text(SUITE)
    done = bench("run", "tiny.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def records(folder: Path) -> list[dict]:
    return [json.loads(path.read_bytes())["payload"] for path in sorted(folder.glob("results/runs/*/result.json"))]


def test_a_suite_file_becomes_a_table_in_three_formats_and_plots_in_two(made):
    folder, done = made
    tables = folder / "results" / "tables" / "tiny"
    drawn = ("accuracy.png", "memorisation.svg", "selection.png", "diagnostics.svg", "cost.png")
    for path in ("accuracy.csv", "accuracy.md", "accuracy.tex", *drawn):
        assert f"  results/tables/tiny/{path}" in done.stdout.splitlines()
    for path in tables.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG\r\n")
    for path in tables.glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    assert len(list(tables.glob("*.png"))) == len(list(tables.glob("*.svg"))) == 5
    manifest = json.loads((tables / "accuracy.manifest.json").read_bytes())
    assert set(manifest) == {record["run_id"] for record in records(folder)}
    assert list(folder.glob("results/**/*.tmp-*")) == list(folder.glob("results/runs/*/ckpt-*")) == []


def test_f36_a_finished_run_is_seven_files(made):
    folder, _ = made
    for run in (folder / "results" / "runs").iterdir():
        assert len([path for path in run.rglob("*") if path.is_file()]) == 7


def test_the_same_command_again_trains_nothing_and_says_the_same(made):
    folder, first = made
    before = files(folder, "results/runs/**/*") | files(folder, "results/noise/**/*")
    pictures = files(folder, "results/tables/tiny/*.png")
    again = bench("run", "tiny.toml", cwd=folder)
    assert again.returncode == 0
    assert again.stdout == first.stdout
    assert again.stderr == ""
    assert files(folder, "results/runs/**/*") | files(folder, "results/noise/**/*") == before
    assert files(folder, "results/tables/tiny/*.png") == pictures
    alone = bench("table", "tiny.toml", cwd=folder)
    assert first.stdout.startswith(alone.stdout)


def test_g8_every_method_of_a_column_met_the_same_wrong_labels_for_each_seed(made):
    folder, done = made
    met: dict[tuple[str, int], set[str]] = {}
    for record in records(folder):
        noise = record["config"]["noise"]
        met.setdefault((noise["family"], noise["seed"]), set()).add(record["noise_id"])
    assert [len(ids) for ids in met.values()] == [1] * 4
    assert len(set.union(*met.values())) == 4
    assert {path.stem for path in folder.glob("results/noise/*.npz")} == set.union(*met.values())
    assert all(noise_id in done.stdout for ids in met.values() for noise_id in ids)


def recomputed(folder: Path) -> dict[tuple[str, str], tuple[float, float, int]]:
    """(method, noise family) -> mean in percent, sample sd in points, number of runs; from the records alone."""
    cells: dict[tuple[str, str], list[float]] = {}
    for record in records(folder):
        last = record["history"][-1]["heads"]
        share = mean(last[head]["test"] / record["totals"]["test"] for head in record["headline"])
        place = record["config"]["method"]["name"], record["config"]["noise"]["family"]
        cells.setdefault(place, []).append(100 * share)
    return {place: (mean(values), stdev(values), len(values)) for place, values in cells.items()}


def test_g30_every_cell_equals_an_independent_recomputation(made):
    folder, done = made
    expected = recomputed(folder)
    with open(folder / "results" / "tables" / "tiny" / "accuracy.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    found = {
        (row["method"], row["column"].split()[0]): (float(row["mean_percent"]), float(row["sd_points"]), int(row["n"]))
        for row in rows
        if row["column"]  # not the mean rank
    }
    assert found.keys() == expected.keys()
    for place, numbers in expected.items():
        assert found[place] == pytest.approx(numbers, abs=1e-6), place
    for value, spread, count in expected.values():
        assert f"{value:.2f} ± {spread:.2f} ({count})" in done.stdout
    assert {row["params"] for row in rows if row["method"] == "co_teaching"} != {""}


def test_a_column_alone_is_the_column_of_the_whole(made):
    folder, _ = made
    before = files(folder, "results/runs/*/result.json")
    part = bench("run", "tiny.toml", "--noise", "pairflip:0.45", "--methods", "ce", cwd=folder)
    assert part.returncode == 0, part.stderr
    assert files(folder, "results/runs/*/result.json") == before
    value, spread, count = recomputed(folder)["ce", "pairflip"]
    assert f"{value:.2f} ± {spread:.2f} ({count})" in part.stdout
    assert (folder / "results" / "tables" / "tiny" / "accuracy.csv").exists()
    assert len(list((folder / "results" / "tables").iterdir())) == 2


def test_a_stored_suite_can_be_named_where_its_results_lie(made):
    folder, first = made
    (folder / "elsewhere").mkdir(exist_ok=True)
    stored = bench("table", "tiny", "--results", str(folder / "results"), cwd=folder / "elsewhere")
    assert stored.returncode == 0, stored.stderr
    assert first.stdout.startswith(stored.stdout)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("network", ["resnet18", "cnn9"])
def test_the_official_cifar10_trains(network, tmp_path):
    folder = os.environ.get("LNBENCH_DATA")
    if not folder:
        pytest.skip("LNBENCH_DATA names no folder with the official CIFAR-10")
    if not (Path(folder) / datasets.info("cifar10").files[0]).is_file():
        pytest.skip(f"there is no CIFAR-10 in {folder}")
    words = ["--dataset", "cifar10", "--data-dir", folder, "--methods", "ce", "cmd_p", "--noise", "symmetric:0.5"]
    small = ["--seeds", "0", "--epochs", "1", "--train-limit", "64", "--test-limit", "64", "--network", network]
    done = bench("run", *words, *small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = records(tmp_path)
    assert {record["config"]["method"]["name"] for record in found} == {"ce", "cmd_p"}
    assert len({record["noise_id"] for record in found}) == 1
    assert all(record["totals"]["test"] == 64 and not record["diverged"] for record in found)
    assert done.stdout.count("(1)") == 2


def test_another_rule_says_which_files_it_wrote(made):
    folder, _ = made
    again = bench("run", "tiny.toml", "--rule", "last10", cwd=folder)
    written = again.stdout.partition("written:")[2].split()
    tables = [name for name in written if name.endswith((".csv", ".md", ".tex"))]
    assert [Path(name).name for name in tables] == [f"accuracy-last10-headline.{kind}" for kind in ("csv", "md", "tex")]
    assert all((folder / name).is_file() for name in tables)


def test_a_head_that_no_run_has_is_refused_with_those_there_are(made):
    folder, _ = made
    done = bench("table", "tiny.toml", "--head", "nonsense", cwd=folder)
    assert done.returncode == 2
    assert "head must be one of ensemble, headline, net1, net2; got 'nonsense'" in done.stderr
    assert not list(folder.glob("results/tables/*/*nonsense*"))


def test_two_noises_of_the_same_labels_are_told_apart(tmp_path):
    words = ["--dataset", "digits", "--noise", "symmetric:0", "pairflip:0", "--methods", "ce", "--seeds", "0"]
    small = ["--epochs", "1", "--train-limit", "32", "--test-limit", "32"]
    done = bench("run", *words, *small, cwd=tmp_path)
    cards = done.stdout.partition("wrong labels of each column")[2]
    assert "symmetric 0%: asked" in cards
    assert "pairflip 0%: asked" in cards


def test_a_method_that_gives_a_loss_of_another_shape_is_told_what_is_due(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "from methods import LossMethod, Step\n"
        "@dataclass(eq=False)\n"
        "class Scalar(LossMethod):\n"
        "    def losses(self, logits, batch, clock):\n"
        "        return Step(logits.mean())\n"
    )
    words = ["--dataset", "digits", "--noise", "symmetric:0.5", "--methods", "mine.py:Scalar", "--seeds", "0"]
    done = bench("run", *words, "--epochs", "1", "--train-limit", "32", cwd=tmp_path)
    assert done.returncode == 1
    assert "Step.losses must have the shape (1,), got ()" in done.stderr
