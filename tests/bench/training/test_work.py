"""The arithmetic of methods is counted, and a plain pass over the data is 1."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from bench.sweep.planning.grid import Suite, expand
from bench.training.work import factor
from methods import registry


def planned(*names: str, noise: str = "symmetric:0.5"):
    trusted = 1000 if any("trusted" in registry.describe(name).needs for name in names) else 0
    return expand(Suite("x", "cifar10", (noise,), names, (0,), trusted=trusted, train={"epochs": 100}))


def counted(name: str) -> float:
    (run,) = planned(name)
    return factor(run.config, run.info, registry.create(run.spec, **run.config.method.params))


@pytest.mark.parametrize("name", ["ce", "co_teaching"])
def test_methods_that_train_each_network_once_on_each_sample_take_one_pass(name):
    assert counted(name) == pytest.approx(1.0)


# by hand, in passes that train one network (3 forwards): DivideMix takes a step for every 64 of the half that it
# believes, in which 6 batches go forward alone and 4 train, and looks at all losses once: (6 + 12) / 3 / 2 + 1 / 3, for
# 90 of 100 epochs. Meta-Weight-Net: a virtual step and a real one, a batch of trusted samples through the virtual
# network, and the gradient through the gradient, which costs about the three again
@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), [("dividemix", 0.9 * (3 + 1 / 3) + 0.1), ("meta_weight_net", 4.0)])
def test_what_goes_through_a_network_several_times_is_counted_so_often(name, expected):
    assert counted(name) == pytest.approx(expected, rel=0.3)


def test_the_process_counts_several_runs_and_says_null_of_what_it_cannot_try():
    first, second = planned("gjs", "ce")
    jobs = [[run.spec, run.config.to_dict(), asdict(run.info)] for run in (first, second)]
    jobs[1][1]["method"]["params"] = {"no such": 1}
    done = subprocess.run(
        [sys.executable, "-m", "bench.training.work"],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=True,
    )
    factors = json.loads(done.stdout)
    assert factors == [pytest.approx(2.0, rel=0.05), None]  # two views of each sample train
