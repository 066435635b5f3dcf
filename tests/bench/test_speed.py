"""What every level of the benchmark shares: turns, ratios, CPU-seconds, refusals, records; times are nobody's test."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from bench.fingerprint import ROOT
from bench.speed import __main__ as command
from bench.speed import noise as level
from bench.speed.options import CheckFailed, Report
from bench.speed.ours import in_our_words
from bench.speed.pairs import Cost, Pair, cpu_seconds, in_turns, measured, paired
from bench.speed.side import Request, SideLost, sides


def test_rounds_are_timed_in_turns_after_a_warm_up_of_every_side():
    calls = []

    def side(name):
        return lambda: calls.append(name) or Cost(1.0, float(len(calls)))

    costs = in_turns({name: side(name) for name in "abc"}, 3)
    assert calls == ["a", "b", "c", *("a", "b", "c"), *("c", "b", "a"), *("a", "b", "c")]
    # costs are those of the rounds, in the order of the rounds: call 4 is the first that counts
    assert [cost.cpu for cost in costs["a"]] == [4.0, 9.0, 10.0]
    assert [cost.cpu for cost in costs["c"]] == [6.0, 7.0, 12.0]
    assert in_turns({"a": side("a")}, 1, warm_ups=0) == {"a": (Cost(1.0, 13.0),)}


def test_ratios_are_paired_and_the_median_is_told():
    pair = Pair("x", ours=(1.0, 2.0, 1.0), peer=(10.0, 10.0, 30.0), peak_mib=12.4)
    assert pair.ratios == [5.0, 10.0, 30.0]
    assert pair.line() == "x: 10.0x (5.0 to 30.0 in 3 rounds); ours 1.000 s, peer 10.000 s; peak 12 MiB"
    assert pair.to_dict()["ratio"] == 10.0


def test_the_figure_of_a_level_stands_first_and_both_ratios_are_recorded():
    own, theirs = (Cost(1.0, 2.0), Cost(2.0, 2.0), Cost(4.0, 4.0)), (Cost(2.0, 8.0), Cost(2.0, 4.0), Cost(8.0, 12.0))
    pair = paired("x", own, theirs, figure="cpu", bar=3.0, samples=12)
    assert pair.cpu_ratios == [2.0, 3.0, 4.0]
    assert pair.ratios == [1.0, 2.0, 2.0]
    assert pair.line() == (
        "x: 3.0x (2.0 to 4.0) CPU-seconds, 2.00x (1.00 to 2.00) wall in 3 rounds; bar 3x; ours 2.000 s, peer 2.000 s; "
        "6 and 2 samples a core-second"
    )
    told = pair.to_dict()
    assert (told["ratio"], told["cpu_ratio"]) == (2.0, 3.0)
    assert told["samples_per_second"] == [6.0, 6.0]
    assert told["samples_per_cpu_second"] == [6.0, 1.5]


BUSY = "import time\nwhile time.process_time() < 0.3: pass"


def test_cpu_seconds_include_children_that_have_ended_and_no_waiting():
    assert measured(lambda: subprocess.run([sys.executable, "-c", BUSY], check=True)).cpu >= 0.3
    asleep = measured(lambda: time.sleep(0.2))
    assert asleep.wall >= 0.2
    assert asleep.cpu < 0.1
    before = cpu_seconds()
    with subprocess.Popen([sys.executable, "-c", BUSY]) as child:
        started = cpu_seconds() - before
        child.wait()
    assert cpu_seconds() - before >= 0.3 > started


def test_other_labels_than_the_loop_makes_are_not_timed(monkeypatch):
    case = replace(level.CASES[-1], samples=50, pixels=12)
    honest = level.ptd_loop
    monkeypatch.setattr(level, "ptd_loop", lambda *a, **k: (honest(*a, **k) + 1) % 10)
    with pytest.raises(CheckFailed, match="labels differ from the loop's"):
        level._measured(3, case, 1, True)
    monkeypatch.setattr(level, "multinomial_loop", lambda labels, transition, seed: labels)
    with pytest.raises(CheckFailed, match="are no draws of one definition"):
        level._measured(0, replace(level.CASES[0], samples=5000), 1, True)


def test_a_failed_check_is_one_line_and_exit_code_1_without_a_figure(monkeypatch, capsys):
    monkeypatch.setattr(level, "multinomial_loop", lambda labels, transition, seed: labels)
    assert command.main(["--level", "noise", "--quick", "--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("python -m bench.speed: symmetric, 1,000,000 labels, 100 classes: wrong shares")
    assert len(said.err.splitlines()) == 1
    assert "x (" not in said.out
    assert len(said.out.splitlines()) == 2  # the machine


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--samples", "3"], "--samples must be at least 16, got 3"),
        (["--network", "resnet81"], "unknown network 'resnet81'; did you mean 'resnet18'?"),
        (["--device", "cuda:99"], "--device takes auto, cpu or cuda:N; got 'cuda:99', this machine has"),
        (["--level", "nois"], "invalid choice: 'nois'"),
        (["--quik"], "unrecognized arguments: --quik"),
    ],
)
def test_wrong_arguments_end_with_2_and_one_line(words, said):
    done = subprocess.run(
        [sys.executable, "-m", "bench.speed", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert not done.stdout
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


def test_json_without_a_file_goes_to_a_file_of_its_own_for_each_level(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "FOLDER", tmp_path / "speed")
    monkeypatch.setattr(level, "measure", lambda options: Report(("a line",), {"pairs": []}, "| a table |\n"))
    assert command.main(["--level", "noise", "--rounds", "7", "--json", "--device", "cpu"]) == 0
    assert "a line" in capsys.readouterr().out
    (path,) = (tmp_path / "speed").glob("*-noise.json")
    assert path.with_suffix(".md").read_text() == "| a table |\n"
    found = json.loads(path.read_text())
    assert found["levels"]["noise"]["rounds"] == 7
    assert len(found["levels"]["noise"]["load_before"]) == len(found["levels"]["noise"]["load_after"]) == 3
    assert {"torch", "processor", "instructions", "cores", "device"} <= set(found["machine"])
    assert found["machine"]["numpy"] == np.__version__


def test_where_no_level_is_named_the_short_ones_are_taken_and_all_means_all():
    def levels(*words):
        return command._levels(command.parser().parse_args(list(words)))

    assert levels() == list(command.SHORT)
    assert levels("--level", "all") == list(command.LEVELS)
    assert levels("--level", "step", "--level", "input", "--level", "step") == ["step", "input"]
    assert levels("--profile") == ["profile"]


def test_what_is_written_by_default_is_not_committed():
    where = subprocess.run(["git", "check-ignore", "results/speed/x.json"], cwd=ROOT, check=False, capture_output=True)
    if where.returncode == 128:
        pytest.skip("this is no checkout")
    assert where.returncode == 0


def test_a_side_that_breaks_ends_the_comparison_with_its_last_words():
    started = sides({"ours": Request("bench.speed.input:nobody")})
    with pytest.raises(SideLost, match=r"a side ended early: AttributeError: .*nobody"), started:
        raise AssertionError("it must not start")


def test_a_card_is_named_as_the_command_line_names_it_and_not_as_torch_counts_it(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert [in_our_words(device) for device in ("cuda:0", "cuda:1", "cpu")] == ["cuda:3", "cuda:1", "cpu"]


def test_sides_that_are_both_ours_are_called_what_they_are():
    pair = Pair("x", ours=(1.0,), peer=(2.0,), sides=("2 at a time", "one"))
    assert pair.line() == "x: 2.00x (2.00 to 2.00 in 1 round); 2 at a time 1.000 s, one 2.000 s"
