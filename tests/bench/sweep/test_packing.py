"""How many runs share a GPU is measured, remembered, and bounded by memory; a run alone and packed is the same run."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from bench.files import canonical
from bench.sweep import packing
from bench.sweep.devices import Gpu, Leases, Slot
from bench.sweep.job import RESOURCES
from bench.sweep.packing import Measured, Packing, choose, fitting, measure, plan

H100 = Gpu("NVIDIA H100", 70_000.0, 80_000.0)


@pytest.mark.parametrize(
    ("rates", "number"),
    [
        ({1: 10.0, 2: 19.0, 4: 27.0, 8: 28.0}, 4),  # eight bring 4 % more than four
        ({1: 10.0, 2: 10.4, 4: 10.2}, 1),
        ({1: 10.0, 2: 19.0, 4: 27.0, 8: 40.0}, 8),
        ({1: 10.0, 2: 9.5, 4: 9.0, 8: 8.0}, 1),
        ({1: 10.0}, 1),
    ],
)
def test_the_fewest_runs_near_the_best_rate_are_taken(rates, number):
    assert choose(rates) == number


def test_what_was_measured_is_said_in_one_line():
    rates = {1: 10.0, 2: 19.0, 4: 27.0, 8: 28.0}
    assert str(Measured(rates, 900.0)) == "4 runs a GPU: 2.7x the rate of one, measured just now"
    assert str(Measured(rates, 900.0, earlier=True)) == "4 runs a GPU: 2.7x the rate of one, measured earlier"
    assert str(Measured({1: 10.0, 2: 10.2}, 9.0)) == "1 run a GPU: 2 have 1.0x the rate of one, measured just now"
    assert str(Measured({1: 10.0}, 9.0)) == "1 run a GPU: there is no memory for two"


@pytest.mark.parametrize(("memory", "number"), [(6_200.0, 10), (6_201.0, 9), (62_001.0, 1), (1e9, 1)])
def test_a_tenth_of_the_memory_stays_free_and_one_run_is_always_tried(memory, number):
    assert fitting(H100, memory) == number


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """A stand-in for nvidia-smi that knows two GPUs, and an empty cache folder; returns the folder of programs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    tool = programs / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho NVIDIA H100, 70000, 80000\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return programs


@pytest.fixture
def asked(monkeypatch):
    """Measurements that answer at once; returns what was asked for."""
    asked = []

    def answer(run, index, room, extra, capture):
        asked.append((index, room(6_200.0), dict(extra), capture))
        return Measured({1: 1.0, 2: 1.9, 4: 2.0}, 6_200.0)

    monkeypatch.setattr(packing, "measure", answer)
    return asked


def test_a_measurement_is_made_once_for_a_kind_of_gpu_and_remembered(tiny, smi, asked, tmp_path, capsys):
    slots = [Slot("0", 0), Slot("1", 0)]
    first = plan(tiny, slots, {}, "off")
    assert asked == [("0", 10, {}, "off")]
    assert first.slots == [Slot("0", 0), Slot("1", 0), Slot("0", 1), Slot("1", 1)]
    assert first.shares == {"cuda:0": 2, "cuda:1": 2}
    assert first.gpus == {"cuda:0": H100, "cuda:1": H100}
    assert "2 runs a GPU: 1.9x the rate of one, measured just now" in capsys.readouterr().err
    assert plan(tiny, slots, {}, "off") == first
    assert len(asked) == 1
    assert "measured earlier" in capsys.readouterr().err
    plan(tiny, slots, {"CUDA_MPS_PIPE_DIRECTORY": "x"}, "off")  # another way to share
    plan(tiny, slots, {}, "auto")
    assert len(asked) == 3
    (path, *_) = (tmp_path / "cache" / "lnbench" / "packing").iterdir()
    for file in path.parent.iterdir():
        file.write_bytes(file.read_bytes()[:-9])
    plan(tiny, slots, {}, "off")
    assert len(asked) == 4


def test_where_nothing_can_be_remembered_or_measured_a_gpu_gets_one_run_and_the_sweep_goes_on(
    tiny, smi, asked, tmp_path, monkeypatch, capsys
):
    (tmp_path / "cache").write_text("no folder")
    assert plan(tiny, [Slot("0", 0)], {}, "off").shares == {"cuda:0": 2}
    monkeypatch.setattr(packing, "measure", lambda *_: None)
    assert plan(tiny, [Slot("0", 0)], {}, "off") == packing.Plan([Slot("0", 0)], {}, {})
    assert "1 run a GPU: nothing could be measured; --per-device N sets more" in capsys.readouterr().err
    (smi / "nvidia-smi").unlink()
    assert plan(tiny, [Slot("0", 0)], {}, "off").slots == [Slot("0", 0)]
    said = "1 run on cuda:0: nvidia-smi tells nothing of it; --per-device N sets more"
    assert said in capsys.readouterr().err


@pytest.fixture
def tiny(plan_of_runs):
    return plan_of_runs[0]


@pytest.fixture
def plan_of_runs(plan):
    return plan("co_teaching", epochs=3)


def test_real_processes_are_timed_alone_and_side_by_side(tiny):
    told = []
    measured = measure(tiny, None, lambda memory: told.append(memory) or 2, {}, counts=(1, 2, 4), seconds=0.3)
    assert told == [0.0]  # on the CPU no GPU memory is held
    assert measured.rates.keys() == {1, 2}  # there was no room for four
    assert all(rate > 0 for rate in measured.rates.values())


def test_processes_that_die_leave_what_was_measured_before_or_nothing(tiny, monkeypatch):
    real = packing._Pacer
    started = []

    def second_dies(*args):
        started.append(real(*args))
        if len(started) == 2:
            started[-1].process.kill()
        return started[-1]

    monkeypatch.setattr(packing, "_Pacer", second_dies)
    measured = measure(tiny, None, lambda memory: 2, {}, counts=(1, 2), seconds=0.1)
    assert measured.rates.keys() == {1}
    assert all(pacer.process.poll() is not None for pacer in started)
    monkeypatch.setattr(packing, "LIMIT_SECONDS", 0.0)
    assert measure(tiny, None, lambda memory: 2, {}, counts=(1, 2), seconds=0.1) is None


def test_a_pacer_trains_only_when_told_and_ends_with_its_input(tiny):
    job = json.dumps([tiny.spec, tiny.config.to_dict(), asdict(tiny.info)])
    command = [sys.executable, "-m", "bench.training.pace", job, "cpu", "off"]
    done = subprocess.run(command, input="0\n0.2\n", capture_output=True, text=True, check=True)
    ready, short, longer = map(json.loads, done.stdout.splitlines())
    assert ready == {"memory_mb": 0.0}
    assert short["epochs"] == 1  # whole epochs, and never none
    assert longer["epochs"] > 1
    assert longer["seconds"] > 0.2


def tell(folder, memory: float) -> None:
    folder.mkdir(exist_ok=True)
    (folder / RESOURCES).write_bytes(canonical({"memory_mb": memory}))


def test_slots_open_when_the_first_run_of_a_gpu_tells_its_memory_and_close_for_larger_ones(tmp_path, capsys):
    slots = [Slot(gpu, number) for number in range(8) for gpu in ("0", "1")]
    leases = Leases(slots, {"cuda:0": 1, "cuda:1": 1})
    packed = Packing(leases, {"cuda:0": 8, "cuda:1": 8}, {"cuda:0": H100, "cuda:1": H100})
    run = tmp_path / "run"
    assert not packed.heard(slots[0], run)
    assert leases._limits == {"cuda:0": 1, "cuda:1": 1}
    tell(run, 12_400.0)
    assert packed.heard(slots[0], run)
    assert leases._limits == {"cuda:0": 5, "cuda:1": 1}  # nothing has run on the other one yet
    assert "cuda:0: 5 runs at a time, of 12.1 GB each; 68.4 GB were free" in capsys.readouterr().err
    tell(run, 3_000.0)
    assert packed.heard(slots[1], run)
    assert leases._limits == {"cuda:0": 5, "cuda:1": 5}  # by the largest run that was seen
    tell(run, 31_000.0)
    assert packed.heard(slots[1], run)
    assert leases._limits == {"cuda:0": 2, "cuda:1": 2}
    leases.lower("cuda:0")
    packed.heard(slots[0], run)
    assert leases._limits == {"cuda:0": 1, "cuda:1": 2}


def test_no_more_runs_share_a_gpu_than_was_found_to_pay(tmp_path):
    leases = Leases([Slot("0", number) for number in range(8)], {"cuda:0": 1})
    packed = Packing(leases, {"cuda:0": 4}, {"cuda:0": H100})
    tell(tmp_path / "run", 700.0)
    assert packed.heard(Slot("0", 0), tmp_path / "run")
    assert leases._limits == {"cuda:0": 4}
