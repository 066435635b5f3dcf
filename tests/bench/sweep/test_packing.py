"""How many runs share a GPU is measured, remembered, and bounded by memory; a run alone and packed is the same run."""

import json
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from bench import cache
from bench.devices import Gpu, Slot
from bench.files import canonical
from bench.sweep.job import RESOURCES
from bench.sweep.supervision import packing
from bench.sweep.supervision.leases import Leases
from bench.sweep.supervision.packing import Measured, Packing, choose, fitting, measure, plan
from bench.training import pace
from bench.training.capture import TRIAL
from bench.training.trainer import Trainer

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
        return Measured({1: 1.0, 2: 1.9, 4: 2.0, 8: 2.0}, 6_200.0)

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
    for file in (tmp_path / "cache" / "lnbench" / "computed" / "packing").iterdir():
        file.write_bytes(file.read_bytes()[:-9])
    plan(tiny, slots, {}, "off")
    assert len(asked) == 4


def test_another_method_and_another_number_of_networks_are_measured_anew(plan_of_runs, make_plan, smi, asked):
    (two,), (one,) = plan_of_runs, make_plan("ce")
    for run in (two, one, replace(two, networks=1), two, one):
        plan(run, [Slot("0", 0)], {}, "off")
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("free", "rates", "again"),
    [
        (70_000, {1: 1.0, 2: 1.0, 4: 1.0}, True),  # eight might have fitted, had nobody else been there
        (72_000, {1: 1.0, 2: 1.0, 4: 1.0}, False),  # the GPU has no room for eight
        (9_000, {1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0}, False),
    ],
)
def test_what_others_left_no_room_for_is_not_remembered(tiny, smi, monkeypatch, free, rates, again):
    (smi / "nvidia-smi").write_text(f"#!/bin/sh\necho NVIDIA H100, {free}, 80000\n")
    calls = []
    monkeypatch.setattr(packing, "measure", lambda *_: calls.append(1) or Measured(rates, 9.0))
    for _ in range(2):
        plan(tiny, [Slot("0", 0)], {}, "off")
    assert len(calls) == 1 + again


def test_a_user_without_a_home_measures_each_time(tiny, smi, asked, monkeypatch):
    monkeypatch.setattr(cache, "folder", lambda kind: None)
    for _ in range(2):
        assert plan(tiny, [Slot("0", 0)], {}, "off").shares == {"cuda:0": 2}
    assert len(asked) == 2


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


@pytest.fixture(name="make_plan")
def runs_like_this(request):
    return request.getfixturevalue("plan")  # a name that a function under test has here


@pytest.fixture
def plan_of_runs(make_plan):
    return make_plan("co_teaching", epochs=3)


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


def test_a_pacer_trains_a_short_run_then_one_for_each_line_of_its_input(tiny):
    job = json.dumps([tiny.spec, tiny.config.to_dict(), asdict(tiny.info)])
    command = [sys.executable, "-m", "bench.training.pace", job, "cpu", "off"]
    done = subprocess.run(command, input="7\n1\n", capture_output=True, text=True, check=True)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["epochs"] for line in told] == [pace.EPOCHS, 7, pace.EPOCHS]
    assert all(line["seconds"] > 0 and line["memory_mb"] == 0.0 for line in told)


@pytest.mark.parametrize(("name", "phases"), [("dividemix", 2), ("pencil", 3), ("pes", 4)])
def test_what_a_pacer_times_goes_through_every_phase_each_time(make_plan, name, phases, monkeypatch, capsys):
    (run,) = make_plan(name, epochs=4)
    monkeypatch.setattr(pace, "BATCHES", 2)
    seen, epoch = [], Trainer.epoch

    def noted(trainer):
        record = epoch(trainer)
        seen.append((id(trainer), trainer.task.clock.phase))
        return record

    monkeypatch.setattr(Trainer, "epoch", noted)
    monkeypatch.setattr(sys, "stdin", ["6\n"])
    job = json.dumps([run.spec, run.config.to_dict(), asdict(run.info)])
    assert pace.main([job, "cpu", "off"]) == 0
    epochs = [json.loads(line)["epochs"] for line in capsys.readouterr().out.splitlines()]
    assert epochs == [4, 6]
    for part in (seen[:4], seen[4:]):
        assert len({phase for _, phase in part}) == phases
    assert len(seen) == 10


def test_steps_that_may_be_captured_get_epochs_in_which_their_trial_can_be_made(tiny):
    assert pace._batches(tiny.config, tiny.info, False) == pace.BATCHES
    assert pace._batches(tiny.config, tiny.info, True) == pace.CAPTURED > 2 * (2 * TRIAL + 1)
    photographs = replace(tiny.info, shape=(3, 224, 224))
    many = replace(tiny.config, train=replace(tiny.config.train, batch_size=128))
    assert pace._batches(many, photographs, True) == 13  # of 19 MB each
    assert pace._batches(replace(many, train=replace(many.train, batch_size=512)), photographs, True) == pace.BATCHES


def test_all_runs_side_by_side_do_what_one_alone_does_in_the_window(tiny, monkeypatch):
    told = []

    class Made:
        def __init__(self, *_):
            self.process = self
            self.next = {"epochs": 4, "seconds": 2.0, "memory_mb": 9.0}

        def kill(self): ...

        def end(self): ...

        def go(self, epochs):
            told.append(epochs)
            self.next = {"epochs": epochs, "seconds": epochs / 4, "memory_mb": 9.0}

        def answer(self):
            return self.next

    monkeypatch.setattr(packing, "_Pacer", Made)
    measured = measure(tiny, "0", lambda memory: 2, {}, seconds=5.0)
    assert told == [10, 10, 10]  # at 2 epochs a second
    assert measured == Measured({1: 4.0, 2: 8.0}, 9.0)
    told.clear()
    measure(tiny, "0", lambda memory: 1, {}, seconds=0.1)
    assert told == [4]  # a whole short run at least


def tell(folder, memory: float) -> None:
    folder.mkdir(exist_ok=True)
    (folder / RESOURCES).write_bytes(canonical({"memory_mb": memory}))


def test_slots_open_when_the_first_run_of_a_gpu_tells_its_memory_and_close_for_larger_ones(tmp_path, capsys):
    slots = [Slot(gpu, number) for number in range(8) for gpu in ("0", "1")]
    leases = Leases(slots, {"cuda:0": 1, "cuda:1": 1})
    packed = Packing(leases, {"cuda:0": 8, "cuda:1": 8}, {"cuda:0": H100, "cuda:1": H100})
    run = tmp_path / "run"
    packed.look(slots[0], run)
    assert leases._limits == {"cuda:0": 1, "cuda:1": 1}
    tell(run, 12_400.0)
    packed.look(slots[0], run)
    assert leases._limits == {"cuda:0": 5, "cuda:1": 1}  # nothing has run on the other one yet
    assert "cuda:0: 5 runs at a time, of 12.1 GB each; 68.4 GB were free" in capsys.readouterr().err
    tell(run, 3_000.0)
    packed.look(slots[1], run)
    assert leases._limits == {"cuda:0": 5, "cuda:1": 5}  # by the largest run that was seen
    tell(run, 31_000.0)
    packed.look(slots[1], run)
    assert leases._limits == {"cuda:0": 2, "cuda:1": 2}
    leases.lower("cuda:0")
    packed.look(slots[0], run)
    assert leases._limits == {"cuda:0": 1, "cuda:1": 2}


def test_no_more_runs_share_a_gpu_than_was_found_to_pay(tmp_path):
    leases = Leases([Slot("0", number) for number in range(8)], {"cuda:0": 1})
    packed = Packing(leases, {"cuda:0": 4}, {"cuda:0": H100})
    tell(tmp_path / "run", 700.0)
    packed.look(Slot("0", 0), tmp_path / "run")
    assert leases._limits == {"cuda:0": 4}
