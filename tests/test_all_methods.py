"""Every method through the whole harness, on real data; slow: run with `pytest -m slow`."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.sweep.planning import grid
from methods import registry

ROOT = Path(__file__).resolve().parent.parent


def test_the_suite_of_all_methods_has_every_method_once():
    suite = grid.load("all_methods")
    assert sorted(suite.methods) == registry.available()
    assert suite.preset == "uniform"


def test_an_estimated_matrix_is_recorded_and_shown(tmp_path):
    words = ["run", "--dataset", "digits", "--noise", "symmetric:0.5", "--methods", "volminnet", "--seeds", "0"]
    words += ["--epochs", "1", "--train-limit", "200", "--test-limit", "50", "--results", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "run_bench.py", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    (epoch,) = json.loads((run / "result.json").read_text())["payload"]["history"]
    assert epoch["transition"]["diagonal"] == pytest.approx(0.48, abs=0.02)  # T starts there, close to the noise's .5
    assert 0 < epoch["transition"]["error"] < 0.1
    shown = subprocess.run(
        [sys.executable, "run_bench.py", "show", run.name, "--results", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "  matrix   mean diagonal 0.48" in shown.stdout


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(
    not os.environ.get("LNBENCH_DATA"), reason="LNBENCH_DATA names no folder with the official CIFAR-10"
)
def test_every_method_runs_through_on_cifar10_with_a_small_network(tmp_path):
    words = ["run", "--dataset", "cifar10", "--noise", "symmetric:0.4", "--methods", *registry.available()]
    words += ["--network", "lenet_small", "--epochs", "6", "--train-limit", "1200", "--test-limit", "300"]
    words += ["--trusted", "100", "--seeds", "0", "--results", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "run_bench.py", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    payloads = [json.loads(path.read_text())["payload"] for path in tmp_path.glob("runs/*/result.json")]
    assert sorted(payload["config"]["method"]["name"] for payload in payloads) == registry.available()
    for payload in payloads:
        assert not payload["diverged"]
        assert len(payload["history"]) == 6
        for epoch in payload["history"]:
            assert all(loss is None or math.isfinite(loss) for loss in epoch["loss"])
