"""`run_bench.py doctor` as somebody types it, on sets that are there, missing, broken, or of photographs."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import cli
from bench.commands import checkup
from bench.data import own_folder
from bench.fingerprint import ROOT
from bench.sweep.upkeep import health


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for part, count in (("train", 4), ("test", 2)):
        for seed, name in enumerate(("cat", "dog")):
            home = tmp_path / "pets" / part / name
            home.mkdir(parents=True)
            for number in range(count):
                pixels = np.random.default_rng(10 * seed + number).integers(0, 256, (70, 90, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(home / f"{number}.png")
    own_folder._photos.cache_clear()
    return tmp_path / "pets"


def typed(*words: object) -> int:
    return cli.main(["doctor", *map(str, words)])


def test_what_comes_with_a_dependency_is_ready(capsys):
    assert typed("digits") == 0
    out = capsys.readouterr().out
    assert "the files are the official ones" in out
    assert "used     1,437 images for training, 360 for testing" in out


def test_missing_files_are_named_and_the_exit_code_says_so(tmp_path, capsys):
    assert typed("mnist", "--data-dir", tmp_path) == 2
    out = capsys.readouterr().out
    assert out.count("MISSING") == 4
    assert "get it   run ... --dataset mnist --download" in out
    assert out.endswith("mnist cannot be used as it is\n")


def test_the_report_is_one_json_document_if_asked(tmp_path, capsys):
    assert typed("cifar100", "--data-dir", tmp_path, "--json") == 2
    report = json.loads(capsys.readouterr().out)
    assert (report["usable"], report["folder"]) == (False, str(tmp_path))
    assert [finding["state"] for finding in report["findings"]] == ["missing"] * 3


def test_a_misspelt_name_meets_the_nearest_one(capsys):
    assert typed("clothing") == 2
    assert capsys.readouterr().err == "run_bench.py doctor: unknown dataset 'clothing'; did you mean 'clothing1m'?\n"


def test_photographs_are_decoded_once_when_asked(pets, capsys):
    assert typed(pets, "--decode") == 0
    told = capsys.readouterr()
    assert "train: 8 of 8 images" in told.err
    assert (pets.parent / ".lnbench" / "decoded").is_dir()
    assert typed(pets, "--decode") == 0
    assert "nothing is left to decode" in capsys.readouterr().err


def test_a_broken_image_stops_decoding_until_it_is_left_out(pets, capsys):
    (pets / "train" / "cat" / "1.png").write_bytes((pets / "train" / "cat" / "2.png").read_bytes()[:300])
    assert typed(pets) == 2
    assert "BROKEN" in capsys.readouterr().out
    assert typed(pets, "--skip-broken") == 0
    told = capsys.readouterr()
    assert "1 unreadable images are left out of pets/ from now on" in told.err
    assert "1 unreadable images are left out (doctor --skip-broken)" in told.out
    assert "train: 7 images" in told.out


@pytest.fixture
def machine(tmp_path, monkeypatch, capsys):
    """What `doctor` says of a machine without GPUs, and of a results folder that is at `results`."""
    monkeypatch.setattr(checkup, "query", lambda fields: [])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def say(*more: object) -> tuple[int, str, str]:
        code = typed("--results", tmp_path / "results", "--data-dir", tmp_path / "data", *more)
        told = capsys.readouterr()
        return code, told.out, told.err

    return say


def test_without_a_dataset_the_machine_the_packages_the_data_and_the_results_are_looked_at(machine, tmp_path):
    code, out, err = machine()
    assert (code, err) == (0, "")
    assert [line for line in out.splitlines() if not line.startswith(" ")] == ["machine", "packages", "data", "results"]
    assert f"{os.cpu_count()} cores" in out or "cores (" in out
    assert "no GPU that nvidia-smi tells of: runs go to the CPU" in out
    assert f"torch {metadata.version('torch')}" in out
    assert "there: digits" in out
    assert f"{tmp_path / 'results'}: not there yet" in out
    assert list(tmp_path.iterdir()) == []


def test_gpus_are_told_with_memory_and_driver_and_a_torch_that_cannot_use_them(machine, monkeypatch):
    row = ["0", "NVIDIA Example", "81559", "81000", "570.1", "9.0"]
    monkeypatch.setattr(checkup, "query", lambda fields: [row, ["No devices were found"]])
    monkeypatch.setattr(checkup, "torch_cuda", lambda: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    code, out, _ = machine()
    assert code == 0
    assert "cuda:0  NVIDIA Example, 81559 MiB, 81000 free, driver 570.1, capability 9.0" in out
    assert "torch is not built for CUDA, so GPUs stay unused" in out
    assert "CUDA_VISIBLE_DEVICES='0' hides all other GPUs" in out
    monkeypatch.setattr(checkup, "torch_cuda", lambda: "12.8")
    out = machine()[1]
    assert "not built for CUDA" not in out
    assert "(CUDA 12.8)" in out


def test_other_versions_are_named_and_a_missing_package_stops_a_run(machine, monkeypatch):
    version = metadata.version

    def other(name: str) -> str:
        if name in ("joblib", "distributed"):
            raise metadata.PackageNotFoundError(name)
        return "1.0+local" if name == "scipy" else version(name)

    monkeypatch.setattr(checkup.metadata, "version", other)
    monkeypatch.setattr(checkup.shutil, "which", lambda name: None)
    code, out, _ = machine()
    assert code == 2
    assert "MISSING  joblib: pip install -e . -c constraints.txt" in out
    assert f"scipy 1.0+local, tested with {checkup.constraints()['scipy']}" in out
    assert 'no dask: pip install -e ".[dask]" -c constraints.txt' in out
    assert "no sbatch: " in out
    assert "no git: " in out


def test_a_build_of_the_tested_version_is_not_another_version(machine):
    data = json.loads(machine("--json")[1])["packages"]
    assert data["installed"]["torch"].partition("+")[0] == data["pinned"]["torch"]
    assert not any("tested with" in finding["text"] for finding in data["findings"] if "torch" in finding["text"])


def test_a_damaged_result_is_named_and_the_exit_code_says_so(machine, tmp_path):
    run = tmp_path / "results" / "runs" / f"r{'0' * 20}"
    run.mkdir(parents=True)
    (run / "result.json").write_bytes(b"{}")
    (run / f"config.json.tmp-{'a' * 32}").write_bytes(b"")
    code, out, _ = machine()
    assert code == 3
    assert f"BROKEN   runs/{run.name}/result.json: sha256 does not match the record" in out
    assert "1 files half-written by killed processes (`doctor --sweep`)" in out
    code, out, _ = machine("--json")
    data = json.loads(out)
    assert (code, data["exit"], data["results"]["states"]) == (3, 3, {"corrupt": 1})
    assert data["results"]["stray"] == [f"runs/{run.name}/config.json.tmp-{'a' * 32}"]
    code, out, err = machine("--sweep")
    assert (code, err) == (3, "removed 1 half-written files\n")
    assert "half-written" not in out
    assert sorted(path.name for path in run.iterdir()) == ["result.json"]


def test_results_that_cannot_be_written_stop_a_run(machine, tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(health, "_writable", lambda folder: False)
    monkeypatch.setattr(health, "room", lambda folder: 10**6)
    code, out, _ = machine()
    assert code == 2
    assert "results: cannot be written" in out
    assert "0.0 GB free, too little to begin" in out


def test_a_folder_without_locks_or_links_is_told_what_is_safe_there(machine, tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    for name in ("locks_hold", "links_hold"):
        monkeypatch.setattr(health, name, lambda folder: False)
    code, out, _ = machine()
    assert code == 0
    assert "give machines parts of their own with --shard" in out
    assert "no hard links here" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digits", "--sweep"], "--sweep is about the results folder: leave the dataset out"),
        (["--decode"], "--decode is about the images of a dataset: name it"),
        (["--skip-broken"], "--skip-broken is about the images of a dataset: name it"),
    ],
)
def test_words_that_belong_to_the_other_doctor_are_refused(words, message, capsys):
    assert typed(*words) == 2
    assert capsys.readouterr().err == f"run_bench.py doctor: {message}\n"


def test_the_machine_is_looked_at_without_torch(tmp_path):
    code = "import sys; sys.modules['torch'] = None; from bench.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["doctor", "--results", str(tmp_path / "results"), "--data-dir", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "there: digits" in done.stdout) == (0, True), done.stderr
