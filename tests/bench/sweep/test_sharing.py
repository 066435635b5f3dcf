"""Sweeps on GPUs that are none: real processes that compute on the CPU, in slots that open and close."""

import dataclasses
import json
import signal
import subprocess
import threading
import time
from collections import Counter
from contextlib import nullcontext

import pytest

from bench import cli
from bench.devices import Gpu, Slot
from bench.files import canonical
from bench.sweep.job import RESOURCES, SHARE, Exit, Job
from bench.sweep.planning import cost, timings
from bench.sweep.records.store import State, Store
from bench.sweep.supervision import executor, packing, watchdog
from bench.sweep.supervision import sweep as sweeping
from bench.sweep.supervision.packing import Measured
from bench.sweep.supervision.sweep import Sweep
from bench.sweep.upkeep import preflight

SMALL = Gpu("made up", 10_000.0, 10_000.0)


def payloads(root):
    store = Store(root)
    return {run_id: canonical(store.run(run_id).result().payload) for run_id in store.run_ids()}


class Sharing:
    """Remembers what a sweep reports, and how many runs were under way at once."""

    def __init__(self) -> None:
        self.heard, self.now, self.most, self.lock = [], 0, 0, threading.Lock()

    def note(self, event, run, change) -> None:
        with self.lock:
            self.heard.append((event, run.run_id))
            self.now += change
            self.most = max(self.most, self.now)

    def started(self, run, slot) -> None:
        self.note("started", run, 1)

    def requeued(self, run) -> None:
        self.note("requeued", run, -1)

    def ended(self, run, outcome) -> None:
        self.note("ended", run, -1)


@pytest.fixture
def share(forked, tmp_path, monkeypatch):
    """Execute runs in four slots of "GPU" 0, of which two pay; each run tells `memory` when it has begun."""
    spawn = Sweep.spawn
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.02)

    def go(runs, memory: float, results: str = "results"):
        def on_cpu(sweep, job, folder, slot, threads):
            child = spawn(sweep, dataclasses.replace(job, device="cpu"), folder, slot, threads)
            (folder.path / RESOURCES).write_bytes(canonical({"memory_mb": memory}))
            return child

        monkeypatch.setattr(Sweep, "spawn", on_cpu)
        slots = [Slot("0", number) for number in range(2)]
        sweep = Sweep(Store(tmp_path / results), slots, None, "fork", shares={"cuda:0": 2}, gpus={"cuda:0": SMALL})
        heard = go.heard = Sharing()
        go.sweep = sweep
        return executor.execute(sweep, runs, heard)

    return go


def test_slots_close_again_when_a_run_that_is_under_way_has_grown(plan, share, tmp_path):
    runs = plan(order="slow", epochs=10, seeds=range(3))

    def grow() -> None:
        deadline = time.monotonic() + 30
        while (not hasattr(share, "heard") or share.heard.most < 2) and time.monotonic() < deadline:
            time.sleep(0.01)
        (_, under_way), *_ = share.heard.heard  # the one that opened the second slot
        (tmp_path / "results" / "runs" / under_way / RESOURCES).write_bytes(canonical({"memory_mb": 6_000.0}))

    thread = threading.Thread(target=grow)
    thread.start()
    share(runs, memory=1_000.0)
    thread.join()
    assert share.sweep.leases._limits == {"cuda:0": 1}


def test_each_run_of_a_shared_gpu_leaves_which_part_of_its_time_it_had_and_is_priced_by_it(plan, share, tmp_path):
    runs = plan(order="slow", seeds=range(3))
    share(runs, memory=1_000.0)
    store = Store(tmp_path / "results")
    parts = [json.loads((store.runs / run.run_id / SHARE).read_bytes())["share"] for run in runs]
    assert all(0.4 < part <= 1 for part in parts)
    assert min(parts) < 0.9  # though each began alone, or beside one that was about to end
    path = store.runs / runs[0].run_id / SHARE
    infos = {runs[0].config.dataset.name: runs[0].info}
    provenance = store.run(runs[0].run_id).result().provenance
    at_first = 1 / provenance["attempts"][-1]["sharing"]
    for told, part in (({"share": 0.25}, 0.25), ({"share": 0}, at_first), ({}, at_first)):
        path.write_bytes(canonical(told))
        timing = timings._timing(path.with_name("result.json"), infos, "cpu", None)
        assert timing.seconds == pytest.approx(part * (provenance["seconds"] + provenance["start_seconds"]))
        assert timing.outside == pytest.approx(timing.seconds - part * provenance["training_seconds"])


def test_processes_are_told_to_number_gpus_as_nvidia_smi_does(plan, monkeypatch, tmp_path):
    (run,) = plan("ce")
    shown = {}
    monkeypatch.setattr(sweeping, "spawn_exec", lambda argv, environment, log: shown.setdefault("run", environment))
    sweep = Sweep(Store(tmp_path), [Slot("1", 0)], None, "exec")
    sweep.spawn(Job({}, "", "", None, "cuda:0"), sweep.store.run(run.run_id), Slot("1", 0), 1)

    def note(name):
        def start(*_, env, **__):
            shown[name] = env
            raise OSError

        return start

    monkeypatch.setattr(subprocess, "Popen", note("pacer"))
    monkeypatch.setattr(subprocess, "run", note("price"))
    for start in (lambda: packing._Pacer(run, "1", {}, "off"), lambda: cost._probe(run, Slot("1", 0))):
        with pytest.raises(OSError):  # noqa: PT011 - the stand-in's
            start()
    for name in ("run", "pacer", "price"):
        assert (shown[name]["CUDA_VISIBLE_DEVICES"], shown[name]["CUDA_DEVICE_ORDER"]) == ("1", "PCI_BUS_ID"), name


def test_further_runs_start_once_the_first_has_told_its_memory_and_only_if_they_fit(plan, share, capsys):
    runs = plan(order="slow", seeds=range(3))
    outcomes = share(runs, memory=4_000.0)
    assert [outcome.state for outcome in outcomes] == [State.DONE] * 3
    assert share.heard.most == 2
    assert "cuda:0: 2 runs at a time, of 3.9 GB each; 9.8 GB were free" in capsys.readouterr().err
    share(plan(order="slow", seeds=range(3)), memory=5_000.0, results="too large")
    assert share.heard.most == 1


def test_a_run_out_of_memory_beside_another_takes_a_slot_from_the_gpu_and_is_repeated_alone(plan, share, capsys):
    # the long one starts first, and is under way when the other one asks for more than there is
    beside, (hungry,) = plan(order="slow", epochs=6, seeds=(0, 1)), plan(order="memory", at=0)
    outcomes = share([beside[0], hungry, beside[1]], memory=1_000.0)
    assert [outcome.state for outcome in outcomes] == [State.DONE] * 3
    assert ("requeued", hungry.run_id) in share.heard.heard
    assert share.heard.heard[-1] == ("ended", hungry.run_id)
    assert share.sweep.leases._limits == {"cuda:0": 1}
    assert "cuda:0 was out of memory: 1 at a time from here on" in capsys.readouterr().err


def test_runs_that_wait_for_a_slot_do_not_start_when_the_sweep_is_stopped(plan, share, tmp_path):
    runs = plan(order="sleep", at=0, times=9, seeds=range(3))

    def stop() -> None:
        while not list(tmp_path.glob("done-sleep/*")):
            time.sleep(0.01)
        share.sweep.stop("signal", "interrupted", signal.SIGKILL)

    thread = threading.Thread(target=stop)
    thread.start()
    outcomes = share(runs, memory=9_000.0)
    thread.join()
    states = Counter(outcome.state for outcome in outcomes)  # whose thread asks first is not settled
    assert states == {State.INTERRUPTED: 1, State.PLANNED: 2}
    assert [event for event, _ in share.heard.heard] == ["started", "ended"]


def test_runs_alone_and_packed_with_those_of_another_method_give_the_same_bytes(plan, share, launch, tmp_path):
    runs = plan("co_teaching", "ce", seeds=(0, 1))
    launch(runs, "alone")
    launch(runs, "packed", slots=2)
    share(runs, memory=1_000.0, results="shared")
    whole = payloads(tmp_path / "alone")
    assert len(whole) == 4
    assert payloads(tmp_path / "packed") == whole
    assert payloads(tmp_path / "shared") == whole
    (_, begun), *_ = share.heard.heard
    first = json.loads((tmp_path / "shared" / "runs" / begun / "result.json").read_bytes())
    assert first["provenance"]["attempts"][0]["sharing"] == 1


@pytest.fixture
def gpu(tmp_path, monkeypatch):
    """`run_bench.py run` on a GPU that nvidia-smi makes up, up to where runs would start; returns the sweeps."""
    programs = tmp_path / "bin"
    programs.mkdir()
    said = {"nvidia-smi": "echo Made up, 70000, 80000", "nvidia-cuda-mps-control": "exit 0"}
    for name, line in said.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(preflight, "check", lambda *_: None)
    rates = Measured({1: 1.0, 2: 1.9, 4: 3.0}, 1000.0)
    measured, sweeps = [], []
    monkeypatch.setattr(packing, "measure", lambda run, *how: measured.append((run, *how)) or rates)
    monkeypatch.setattr(executor, "execute", lambda sweep, runs, progress: sweeps.append((sweep, runs)) or [])

    def go(*words):
        small = ["--dataset", "digits", "--noise", "symmetric:0.5", "--methods", "ce", "co_teaching", "--seeds", "0-2"]
        small += ["--epochs", "3", "--results", str(tmp_path / "results"), "--set", "precision=float32"]
        assert cli.main(["run", *small, *words]) == Exit.INTERRUPTED
        return sweeps[-1]

    go.measured = measured
    return go


def test_on_a_gpu_the_sweep_has_as_many_slots_as_pay_and_begins_with_one(gpu, capsys):
    sweep, runs = gpu()
    assert runs[0].networks == 2  # longest first
    assert gpu.measured[0][0] == runs[0]
    assert sweep.slots == [Slot("0", number) for number in range(4)]
    assert sweep.leases._limits == {"cuda:0": 1}
    assert sweep.shares == {"cuda:0": 4}
    assert (sweep.checkpoint_seconds, sweep.environment, sweep.start) == (30.0, {}, "exec")
    assert "4 runs a GPU: 3.0x the rate of one, measured just now" in capsys.readouterr().err


def test_a_number_of_runs_and_a_time_between_checkpoints_are_taken_as_given(gpu):
    sweep, _ = gpu("--per-device", "3", "--checkpoint-every", "0")
    assert gpu.measured == []
    assert sweep.slots == [Slot("0", number) for number in range(3)]
    assert sweep.leases._limits == {"cuda:0": 3}
    assert (sweep.packing, sweep.checkpoint_seconds) == (None, 0.0)


def test_nothing_is_measured_for_a_single_run(gpu):
    sweep, _ = gpu("--methods", "ce", "--seeds", "0", "--per-device", "auto")
    assert gpu.measured == []
    assert sweep.slots == [Slot("0", 0)]


def test_with_mps_the_runs_and_the_measurement_get_its_folders(gpu):
    sweep, _ = gpu("--mps")
    assert sweep.environment.keys() == {"CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"}
    assert sweep.environment in gpu.measured[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--per-device", "two"], "argument --per-device: takes a number of runs or auto, got 'two'"),
        (["--checkpoint-every", "-1"], "--checkpoint-every must be a number of seconds, 0 or more, got -1.0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(words, message, capsys, tmp_path):
    with pytest.raises(SystemExit) if "argument" in message else nullcontext():
        assert cli.main(["run", "--results", str(tmp_path / "none"), *words]) == 2
    assert capsys.readouterr().err == f"run_bench.py run: {message}\n"
