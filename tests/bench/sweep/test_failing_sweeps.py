"""Run after run that fails ends a sweep, or retires a device; so does a disk that stays full."""

import dataclasses
import signal
import time

import pytest

from bench.devices import Slot
from bench.sweep.job import Exit, Job
from bench.sweep.records.store import State, Store
from bench.sweep.supervision import breaker, executor, storage
from bench.sweep.supervision.sweep import Sweep
from tests.bench.sweep.conftest import Hearer
from tests.bench.sweep.drivers import epochs_of, words


def test_f19_three_failures_in_a_row_of_several_methods_stop_the_sweep(plan, launch, odd, tmp_path):
    other = odd.with_name("other.py")
    other.write_text(odd.read_text())
    first, second = plan(order="raise", times=9, seeds=(0, 1)), plan(f"{other}:Odd", seeds=(0, 1, 2))
    other.write_text("raise RuntimeError('broken while the sweep was planned')\n" + odd.read_text())
    runs = [first[0], second[0], first[1], second[1], second[2]]
    outcomes = launch(runs)
    assert launch.sweep.halted == f"stopped: {breaker.RUNS} runs in a row failed within 60 s (error)"
    assert [outcome.state for outcome in outcomes] == [State.FAILED] * 3 + [State.PLANNED] * 2
    assert not (tmp_path / "results" / "runs" / second[1].run_id).exists()


def test_three_seeds_of_one_broken_method_do_not_stop_the_others(plan, launch):
    broken, good = plan(order="raise", times=9, seeds=(0, 1, 2, 3)), plan("ce", seeds=(0, 1))
    outcomes = launch([*broken, *good])
    assert launch.sweep.halted == ""
    assert [outcome.state for outcome in outcomes] == [State.FAILED] * 4 + [State.DONE] * 2


def test_a_sweep_of_one_method_that_always_fails_stops_after_three(plan, launch):
    outcomes = launch(plan(order="raise", times=9, seeds=range(5)))
    assert [outcome.state for outcome in outcomes] == [State.FAILED] * 3 + [State.PLANNED] * 2


class Dead:
    """A process on a device on which each ends at once."""

    def __init__(self, code: int = 1) -> None:
        self.code = code

    def wait(self, timeout=None):
        return self.code

    def send_signal(self, sig): ...


@pytest.mark.parametrize(("code", "failure", "attempts"), [(1, "error", 1), (-signal.SIGSEGV, "killed", 3)])
def test_f18_a_dead_gpu_is_retired_and_what_it_has_failed_is_done_elsewhere_with_all_its_attempts(
    plan, forked, server, monkeypatch, tmp_path, capsys, code, failure, attempts
):
    """GPUs that are none: processes compute on the CPU."""
    spawn, shown, stumbled = server.spawn, [], set()

    def on_cpu(argv, env, log):
        gpu = env["CUDA_VISIBLE_DEVICES"]
        shown.append(gpu)
        with log.with_name("tried").open("a") as file:
            file.write(gpu)
        if gpu == "0":
            log.write_text("RuntimeError: No CUDA GPUs are available\n")
            return Dead(code)
        while shown.count("0") < 3 * attempts:  # the dead one is quick
            time.sleep(0.01)
        if failure == "killed" and log.exists() and log not in stumbled:  # once for itself, of what the dead one failed
            stumbled.add(log)
            return Dead(code)
        job = dataclasses.replace(Job.from_argv(argv), device="cpu")
        return spawn(job.to_argv(), env, log)

    monkeypatch.setattr(server, "spawn", on_cpu)
    runs = [run for seed in range(2) for run in plan("ce", "co_teaching", seeds=(seed,))]
    sweep = Sweep(Store(tmp_path / "results"), [Slot("0", 0), Slot("1", 0)], None, "fork")
    outcomes = executor.execute(sweep, runs, Hearer())
    assert [outcome.state for outcome in outcomes] == [State.DONE] * 4
    assert (shown.count("0"), sweep.halted) == (3 * attempts, "")
    said = f"cuda:0 is retired: 3 runs in a row failed within 60 s ({failure}); other devices go on, and try those runs"
    assert capsys.readouterr().err.startswith(said)
    tries = [(sweep.store.run(run.run_id).path / "tried").read_text() for run in runs]
    assert sorted(tries) == ["0" * attempts + "1" * (1 + (failure == "killed"))] * 3 + ["1"]


def test_f18_runs_that_die_before_they_begin_are_failures_too_and_stop_the_sweep(
    plan, launch, server, monkeypatch, tmp_path
):
    def spawn(argv, env, log):
        log.write_text("Traceback ...\nRuntimeError: No CUDA GPUs are available\n\n")
        return Dead()

    monkeypatch.setattr(server, "spawn", spawn)
    runs = [run for seed in range(5) for run in plan("ce", "co_teaching", seeds=(seed,))]
    outcomes = launch(runs)
    said = "the process ended with 1 before it began: RuntimeError: No CUDA GPUs are available"
    assert [(o.state, o.message) for o in outcomes[:3]] == [(State.FAILED, said)] * 3
    assert {outcome.state for outcome in outcomes[3:]} == {State.PLANNED}
    assert Store(tmp_path / "results").run(runs[0].run_id).state() is State.FAILED
    assert launch.sweep.halted.startswith("stopped: 3")


def test_f22_a_disk_that_stays_full_ends_the_sweep_with_75_and_keeps_what_is_there(
    command, odd, tmp_path, capsys, monkeypatch
):
    def refuse(path, data, replace):
        raise OSError(28, "No space left on device")

    argv = words(odd, "odd.Odd.order=full disk", "--seeds", "0-2", "--per-device", "1", "--storage-wait", "0.1")
    with monkeypatch.context() as full:
        full.setattr(storage, "publish", refuse)
        assert command(*argv) == Exit.INTERRUPTED
    assert "No space left on device; the same command goes on where it stopped" in capsys.readouterr().err
    assert command(*argv) == 0  # `times` is 1: now there is room
    assert sorted(epochs_of(tmp_path))[:2] == ["disk0", "disk0"]
    assert epochs_of(tmp_path).count("disk0") == 3
