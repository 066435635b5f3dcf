"""Every level of the benchmark works from end to end, in its quick form as a real process; times are nobody's test."""

import json
import subprocess
import sys

import numpy as np
import pytest

from bench.fingerprint import ROOT
from bench.speed import noise as noise_level
from bench.speed import start


def quick(level, folder, *more):
    """Run a level; return its part of the record, its lines, and the whole record."""
    path = folder / "speed.json"
    words = ["--quick", "--device", "cpu", "--json", str(path), *more]
    done = subprocess.run(
        [sys.executable, "-m", "bench.speed", "--level", level, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("written: ")]
    assert lines[0].startswith(f"numpy {np.__version__}, torch ")
    assert lines[1].startswith("device cpu; ")
    record = json.loads(path.read_text(encoding="utf-8"))
    assert list(record["levels"]) == [level]
    assert record["levels"][level]["quick"] is True
    assert record["levels"][level]["rounds"] == 1
    return record["levels"][level], lines[2:], record


def check_pairs(found, lines, with_cpu=True):
    assert [line.partition(": ")[0] for line in lines] == [pair["name"] for pair in found["pairs"]]
    assert "bar" not in "".join(lines)  # times are not judged
    for pair in found["pairs"]:
        assert pair["ratios"] == [pair["peer"][0] / pair["ours"][0]]
        assert pair["ratio"] > 0
        if with_cpu:
            assert pair["cpu_ratios"] == [pair["peer_cpu"][0] / pair["ours_cpu"][0]]


@pytest.mark.slow
def test_noise(tmp_path):
    found, lines, _ = quick("noise", tmp_path)
    check_pairs(found, lines, with_cpu=False)
    assert [pair["name"] for pair in found["pairs"]] == [case.name for case in noise_level.CASES]
    assert all(pair["peak_mib"] >= 0 for pair in found["pairs"])


@pytest.mark.slow
def test_input(tmp_path):
    found, lines, record = quick("input", tmp_path)
    check_pairs(found, lines)
    assert [pair["name"] for pair in found["pairs"]] == [
        f"input, {layout}, 256 images" for layout in ("channels_last", "NCHW")
    ]
    assert found["pipeline"] == record["machine"]["peer_images"]
    for pair in found["pairs"]:
        assert pair["samples_per_cpu_second"][0] == pytest.approx(256 / pair["ours_cpu"][0])
        assert pair["figure"] == "cpu"
        for side in ("ours", "peer"):
            assert pair["facts"][side]["setup_s"] > 0
            assert pair["facts"][side]["peak_mib"] > 50


@pytest.mark.slow
def test_step(tmp_path):
    found, lines, _ = quick("step", tmp_path, "--all", "--network", "lenet_small")
    check_pairs(found, lines)
    kinds = [pair["name"].rpartition(", ")[2] for pair in found["pairs"]]
    assert set(kinds) == {"float32 channels_last", "float32 NCHW", "bf16 channels_last"}
    for pair in found["pairs"]:
        assert pair["facts"]["share_of_matrix_rate"] == pytest.approx(
            pair["facts"]["tflops"] / pair["facts"]["matrix_tflops"]
        )


@pytest.mark.slow
def test_epoch(tmp_path):
    found, lines, _ = quick("epoch", tmp_path, "--precision", "float32")
    check_pairs(found, lines)
    (pair,) = found["pairs"]
    assert pair["name"] == "epoch, Co-teaching, digits_cnn, 64 images, float32 channels_last"
    assert pair["figure"] == "cpu"


@pytest.mark.slow
def test_sweep(tmp_path):
    found, lines, _ = quick("sweep", tmp_path)
    (pair,) = found["pairs"]
    assert lines[0].startswith("sweep, 2 runs, 2 a device against 1: ")
    hourly = pair["facts"]["runs_per_hour"]
    assert hourly == pytest.approx([2 * 3600 / pair["ours"][0], 2 * 3600 / pair["peer"][0]])
    assert f"{hourly[0]:,.0f} runs an hour, alone {hourly[1]:,.0f}" in lines[0]


@pytest.mark.slow
def test_start(tmp_path):
    found, lines, _ = quick("start", tmp_path)
    assert [line.split(":")[0] for line in lines] == [f"start, {name}" for name in found["times"]]
    assert set(start.BARS) | {"python -c pass"} == set(found["times"])
    assert all(len(seconds) == 1 and 0 < seconds[0] < 60 for seconds in found["times"].values())


@pytest.mark.slow
def test_profile(tmp_path):
    found, lines, _ = quick("profile", tmp_path)
    for side in ("ours", "peer"):
        step, epoch = found["microseconds"][side]["step"], found["microseconds"][side]["epoch"]
        assert {"convolution", "batch norm", "linear", "optimiser", "loss and selection"} <= set(step)
        assert {"input pipeline", "evaluation"} <= set(epoch) - set(step)
        assert sum(epoch.values()) > sum(step.values()) > 0
    assert lines[1].split()[0] == "group"
    table = (tmp_path / "speed-profile.md").read_text(encoding="utf-8")
    assert "| convolution | " in table


@pytest.mark.slow
def test_accuracy(tmp_path):
    found, lines, _ = quick("accuracy", tmp_path)
    assert len(found["accuracies"]) == found["compared"] == 2
    for row in found["rows"]:
        plain, fast = (found["accuracies"][row["row"]][path] for path in ("plain", "fast"))
        assert (len(plain), len(fast)) == (2, 2)
        assert row["plain"]["mean"] == pytest.approx(sum(plain) / 2)
        assert row["difference"] == pytest.approx(sum(fast) / 2 - sum(plain) / 2)
    assert "of 2 differences within the spread over seeds of the plain runs" in lines[-1]
    assert lines[-1] in (tmp_path / "speed-accuracy.md").read_text(encoding="utf-8")
