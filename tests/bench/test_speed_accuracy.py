"""Whether a faster way finds what the plain one finds: arithmetic by hand, and the three ways on made-up images."""

import os
from types import SimpleNamespace

import pytest

from bench.data import datasets
from bench.speed import accuracy, accuracy_on_images, ours, profiles
from bench.speed.options import Options

PLAIN = [0.50, 0.52, 0.54]


def test_a_difference_is_paired_by_seed_and_held_against_the_spread_over_seeds():
    row = accuracy._row("x", {"plain": PLAIN, "fast": [0.51, 0.54, 0.57]}, "fast")
    assert row["difference"] == pytest.approx(0.02)
    # differences .01 .02 .03: sd .01, standard error .01 / sqrt 3, t(2, .975) = 4.302653
    assert row["interval"] == pytest.approx([0.02 - 4.302653 * 0.01 / 3**0.5, 0.02 + 4.302653 * 0.01 / 3**0.5])
    assert row["plain"]["sd"] == pytest.approx(0.02)
    assert row["within_spread"] is True
    assert row["excludes_zero"] is False


def test_a_difference_beyond_the_spread_is_told_and_an_interval_without_0_is_counted():
    rows = [
        accuracy._row("moved", {"plain": PLAIN, "fast": [0.53, 0.55, 0.571]}, "fast"),
        accuracy._row("same", {"plain": PLAIN, "fast": PLAIN}, "fast"),
    ]
    assert (rows[0]["within_spread"], rows[0]["excludes_zero"]) == (False, True)
    assert (rows[1]["within_spread"], rows[1]["excludes_zero"], rows[1]["interval"]) == (True, False, None)
    assert accuracy._summary(rows) == {"within_spread": 1, "excluding_zero": 1, "compared": 2}
    assert accuracy._verdict(rows).startswith("1 of 2 differences within the spread")
    assert accuracy._verdict(rows).endswith("1 of 2 95 % intervals leave 0 out, 0.1 expected")
    page = accuracy._markdown("title", rows)
    assert "| same | fast | 52.00 ± 2.00 | 52.00 ± 2.00 | +0.00 | - | yes |" in page


def test_one_seed_has_no_spread_and_nothing_is_claimed():
    row = accuracy._row("x", {"plain": [0.5], "fast": [0.6]}, "fast")
    assert (row["within_spread"], row["interval"], row["excludes_zero"]) == (None, None, False)


def test_bf16_is_compared_where_it_is_asked_for():
    assert list(accuracy._paths(Options())) == ["plain", "fast"]
    assert list(accuracy._paths(Options(every=True))) == ["plain", "fast", "bf16"]


def job(spec, path, seed=0):
    more = {"dataset": "", "data_dir": None, "samples": 40, "epochs": 2, "network": "lenet_small", "device": "cpu"}
    return {"spec": spec, "path": path, "seed": seed, **more}


@pytest.mark.parametrize("spec", accuracy_on_images.SPECS)
def test_all_paths_train_the_same_images_from_the_same_weights(spec):
    data = accuracy_on_images._part(ours.images_for("lenet_small", 60, 50), 40)
    assert (len(data.train_labels), len(data.test_labels)) == (40, 8)
    found = {path: accuracy_on_images._accuracy(job(spec, path), data) for path in ("peer", "plain", "fast")}
    assert all(0 <= number <= 1 and (number * 16) % 1 == 0 for number in found.values())  # of 8, of two networks
    assert found["plain"] == accuracy_on_images._accuracy(job(spec, "plain"), data)


def test_results_are_gathered_by_method_path_and_seed(monkeypatch):
    monkeypatch.setattr(accuracy_on_images, "_in_a_process", lambda job: job["seed"] + 10 * len(job["path"]))
    found = accuracy_on_images.found(Options(dataset="cifar10", seeds="3,1"))
    assert found["CoTeaching, symmetric:0.4"] == {"peer": [43, 41], "plain": [53, 51], "fast": [43, 41]}
    assert len(found) == 2


@pytest.mark.data
@pytest.mark.skipif(not os.environ.get("LNBENCH_DATA"), reason="LNBENCH_DATA is not set")
def test_a_run_on_real_images_is_a_process_that_tells_its_accuracy():
    asked = {**job(accuracy_on_images.SPECS[0], "peer"), "dataset": "cifar10", "data_dir": str(datasets.data_folder())}
    assert 0 <= accuracy_on_images._in_a_process(asked) <= 1
    with pytest.raises(ValueError, match="unknown dataset 'cifar11'"):
        accuracy_on_images._in_a_process({**asked, "dataset": "cifar11"})


def event(*names):
    """An event of the profiler under others, innermost first."""
    found = None
    for name in reversed(names):
        found = SimpleNamespace(name=name, cpu_parent=found)
    return found


@pytest.mark.parametrize(
    ("names", "group", "in_step"),
    [
        (("aten::mkldnn_convolution", "aten::conv2d", "speed:step"), "convolution", True),
        (
            ("aten::native_batch_norm_backward", "autograd::engine::evaluate_function: X", "speed:step"),
            "batch norm",
            True,
        ),
        (("aten::sort", "speed:step", "speed:records"), "loss and selection", True),
        (("aten::addmm", "speed:step"), "linear", True),
        (("aten::clamp_min", "aten::relu", "speed:step"), "activations, pooling, dropout", True),
        (("aten::copy_", "Optimizer.step#Adam.step", "speed:step"), "optimiser", True),
        (("aten::conv2d", "speed:evaluation", "speed:records"), "evaluation", False),
        (("aten::index", "speed:input pipeline", "speed:records"), "input pipeline", False),
        (("aten::sum", "speed:records and the loop"), "records and the loop", False),
        (("aten::convolution_backward", "autograd::engine::evaluate_function: X"), "convolution", True),
        (("speed:step",), "rest: additions, copies, Python", True),
    ],
)
def test_time_belongs_to_what_it_serves(names, group, in_step):
    assert profiles._group(event(*names)) == (group, in_step)
