"""Where runs may be sent: what makes no sense is one line and 2, and nothing is created."""

import sys

import pytest

from bench import cli, hardware
from bench.arguments import parser
from bench.arguments.words import words
from bench.commands import dry_run

TINY = ["--dataset", "digits", "--noise", "symmetric:0.5", "--methods", "ce", "--seeds", "0", "--epochs", "2"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--jobs", "2"], "--jobs is for --backend ray or dask or slurm, and this is local"),
        (["--address", "auto"], "--address is for --backend ray or dask, and this is local"),
        (["--wait", "--backend", "ray"], "--wait is for --backend slurm, and this is ray"),
        (["--slurm", "time=1", "--backend", "dask"], "--slurm is for --backend slurm, and this is dask"),
        (["--jobs", "0", "--backend", "ray"], "--jobs must be at least 1, got 0"),
        (["--shard", "0/2", "--backend", "slurm"], "--backend slurm makes the shards itself: leave --shard out"),
        (["--mps", "--backend", "ray"], "--mps is for this machine, and --backend ray places runs on others: "),
        (["--start", "fork", "--backend", "dask"], "--start fork is for this machine: on --backend dask every run is"),
        (
            ["--devices", "cuda:0", "--backend", "ray"],
            "--backend ray chooses the GPUs itself: --devices takes auto, cpu or cuda, got 'cuda:0'",
        ),
        (["--per-device", "0", "--backend", "ray"], "--per-device must be at least 1, got 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_f70_options_that_make_no_sense_together_are_a_line_and_nothing_is_created(more, message, tmp_path, capsys):
    assert cli.main(["run", *TINY, "--results", str(tmp_path / "results"), *more]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"run_bench.py run: {message}")
    assert err.count("\n") == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("name", "package", "title"), [("ray", "ray", "Ray"), ("dask", "distributed", "Dask")])
def test_a_missing_extra_is_a_line_with_the_command_that_installs_it(
    name, package, title, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, package, None)
    assert cli.main(["run", *TINY, "--results", str(tmp_path / "results"), "--backend", name]) == 2
    assert capsys.readouterr().err == (
        f"run_bench.py run: --backend {name} needs {title} ({package} is not installed): "
        f'pip install -e ".[{name}]" -c constraints.txt\n'
    )
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", ["ray", "dask"])
def test_a_dry_run_says_where_runs_would_go_and_starts_nothing(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, {"ray": "ray", "dask": "distributed"}[name], None)  # it is not even imported
    monkeypatch.setattr(dry_run, "describe", lambda *_, **__: None)
    results = tmp_path / "results"
    assert cli.main(["run", *TINY, "--results", str(results), "--backend", name, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"would be placed by {name} on a cluster that is started here for it, which is not asked before" in out
    assert not results.exists()


def test_a_precision_left_to_the_machine_is_chosen_without_the_gpus_of_the_nodes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(dry_run, "describe", lambda *_, **__: None)
    more = ["--results", str(tmp_path / "results"), "--set", "precision=auto", "--devices", "cuda", "--dry-run"]
    assert cli.main(["run", *TINY, *more]) == 2
    assert cli.main(["run", *TINY, *more, "--backend", "slurm", "--slurm", "gres=gpu:1"]) == 0
    assert "#SBATCH --gres=gpu:1\n" in capsys.readouterr().out


@pytest.mark.parametrize(("devices", "asked"), [("cpu", "cpu"), ("auto", "auto"), ("cuda", "auto")])
def test_the_precision_for_a_cluster_is_chosen_for_the_cpus_if_the_runs_are_sent_there(
    devices, asked, tmp_path, monkeypatch
):
    chosen = []
    monkeypatch.setattr(dry_run, "describe", lambda *_, **__: None)
    monkeypatch.setattr(hardware, "choose", lambda where: chosen.append(where) or hardware.Choice("float32", ""))
    more = ["--results", str(tmp_path / "results"), "--set", "precision=auto", "--devices", devices, "--dry-run"]
    assert cli.main(["run", *TINY, *more, "--backend", "slurm"]) == 0
    assert chosen == [asked]


@pytest.mark.parametrize(
    "typed",
    [
        [],
        ["quickstart", "--seeds", "0-4", "7", "--per-device", "auto"],
        [*TINY, "--set", "optimizer.lr=0.01", "epochs=5", "--checkpoint-every", "0", "--per-device", "3", "--mps"],
        [*TINY, "--methods", "a path/x.py:Mine", "ce"],
        [*TINY, "--no-retry-failed", "--tensorboard", "--strict-env", "--capture", "auto", "--stale", "rerun"],
        [*TINY, "--run-limit", "1e9", "--storage-wait", "0.1", "--val", "0.25", "--rule", "last10", "--head", "net1"],
    ],
    ids=str,
)
def test_words_of_a_command_mean_what_was_typed(typed):
    parse = parser().parse_args
    args = parse(["run", *typed])
    again = vars(parse(words(args, "run")))
    assert again == vars(args)


def test_paths_in_words_hold_from_any_folder_and_other_verbs_get_their_own_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").touch()
    args = parser().parse_args(["run", "mine.toml", "--results", "r", "--data-dir", "d", "--devices", "cpu"])
    there = [str(tmp_path / "mine.toml"), f"--data-dir={tmp_path / 'd'}", f"--results={tmp_path / 'r'}"]
    assert words(args, "status") == ["status", *there]
    assert words(args, "run") == ["run", *there, "--devices=cpu"]
    assert words(args, "run", {"devices", "data_dir"}) == ["run", there[0], there[2]]
