"""Many runs: whatever one of them does costs that run alone, and the same command goes on where it stopped."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench import cli
from bench.files import canonical
from bench.findings import figures
from bench.sweep.devices import Slot
from bench.sweep.job import Exit, Job
from bench.sweep.records.store import Conflict, State, Store
from bench.sweep.supervision import attempts as attempting
from bench.sweep.supervision import breaker, executor, interruption, storage
from bench.sweep.supervision.executor import Sweep
from bench.sweep.upkeep import preflight

ROOT = Path(cli.__file__).resolve().parents[1]


def epochs_of(folder: Path) -> list[str]:
    return (folder / "epochs").read_text().split()


def classes_of(store: Store, run_id: str) -> list[str]:
    return [end["class"] if end else "" for _, end in store.run(run_id).attempts()]


def results_of(root: Path) -> dict[str, tuple[int, int, bytes]]:
    paths = sorted(root.glob("runs/*/result.json"))
    return {path.parent.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def payloads(root: Path) -> dict[str, bytes]:
    store = Store(root)
    return {run_id: canonical(store.run(run_id).result().payload) for run_id in store.run_ids()}


def words(odd: Path, *more: str, methods: tuple[str, ...] = (), results: str = "results") -> list[str]:
    """The command that runs the misbehaving method beside others."""
    named = [*methods, f"{odd}:Odd"]
    small = ["--epochs", "3", "--train-limit", "64", "--test-limit", "64"]
    settings = ["--set", "trace_samples=32", "batch_size=16", *more]
    where = ["--results", str(odd.parent / results), "--devices", "cpu", "--per-device", "2"]
    return ["--dataset", "digits", "--noise", "symmetric:0.5", "--methods", *named, *small, *where, *settings]


@pytest.fixture
def command(forked, monkeypatch):
    """`run_bench.py ...` in this process: runs are real processes, own methods are believed, nothing is drawn."""
    monkeypatch.setattr(preflight, "check_methods", lambda todo: None)
    monkeypatch.setattr(figures, "write_all", lambda found, folder: [])
    return lambda *argv: cli.main(list(argv))


def wait_for(folder: Path, order: str) -> None:
    """Wait until the method does what it was told."""
    deadline = time.monotonic() + 40
    while not list(folder.glob(f"done-{order}/*")):
        assert time.monotonic() < deadline, f"{order} did not come to pass"
        time.sleep(0.01)


DRIVER = """
import sys
from bench import cli
from bench.sweep.upkeep import preflight
from bench.findings import figures
preflight.check_methods = lambda todo: None
figures.write_all = lambda found, folder: []
sys.exit(cli.main())
"""


class Hearer:
    """A sweep's reports are of no interest."""

    def started(self, run, slot): ...
    def requeued(self, run): ...
    def ended(self, run, outcome): ...


class Driver:
    """`run_bench.py ...` as a process of its own, short of the checks and plots that only take time here."""

    def __init__(self, argv: list[str], cwd: Path) -> None:
        words = [sys.executable, "-c", DRIVER, *argv]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            words, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.fixture
def drive(tmp_path):
    drivers = []

    def go(argv: list[str]) -> Driver:
        drivers.append(Driver(argv, tmp_path))
        return drivers[-1]

    yield go
    for driver in drivers:
        if driver.process.poll() is None:
            driver.process.kill()
        driver.process.communicate()


def children_of(folder: Path) -> list[int]:
    """Living processes that have an open file under `folder`: runs hold their lock and their log."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                targets = [os.readlink(fd) for fd in (entry / "fd").iterdir()]
            except OSError:  # it ended meanwhile
                continue
            if any(target.startswith(str(folder)) for target in targets):
                found.append(int(entry.name))
    return found


def test_f8_f9_f10_every_way_to_die_costs_that_run_alone_and_is_told_by_its_class(plan, launch, tmp_path):
    ways = {
        "leave 0": ("error", 1, "the process ended with 0 but left no valid result"),
        "leave 73": ("error", 1, "the process ended with 73"),
        "exit": ("error", 1, "SystemExit: 3"),
        "interrupt": ("error", 1, "KeyboardInterrupt"),
        "raise": ("error", 1, "RuntimeError: the method gave up"),
        "segfault": ("killed", 3, "killed by SIGSEGV"),
        "signal 40": ("killed", 3, "killed by signal 40"),
        "memory": ("oom", 2, "MemoryError: no more"),
    }
    doomed = {order: plan(order=order, at=0, times=9)[0] for order in ways}
    good = plan("ce", seeds=(0, 1))
    outcomes = launch([good[0], *doomed.values(), good[1]], slots=2)
    assert launch.sweep.halted == ""
    assert [outcomes[0].state, outcomes[-1].state] == [State.DONE, State.DONE]
    store = Store(tmp_path / "results")
    for (order, (failure, attempts, message)), outcome in zip(ways.items(), outcomes[1:-1], strict=True):
        run_id = doomed[order].run_id
        assert (outcome.state, outcome.failure, outcome.message) == (State.FAILED, failure, message), order
        assert store.run(run_id).state() is State.FAILED, order
        assert classes_of(store, run_id) == [failure] * attempts, order
        assert [end["final"] for _, end in store.run(run_id).attempts()] == [False] * (attempts - 1) + [True], order
    log = (store.run(doomed["segfault"].run_id).path / "log.txt").read_text()
    assert "Segmentation fault" in log
    assert "odd.py" in log


def test_f6_a_run_that_somebody_else_asks_to_stop_goes_on_and_not_for_ever(plan, launch, tmp_path, capsys):
    once, often = (plan(order="signal 15", at=1, times=times)[0] for times in (1, 9))
    outcomes = launch([once, often], slots=1)  # one after the other: they share the count of what was done
    assert [outcome.state for outcome in outcomes] == [State.DONE, State.INTERRUPTED]
    store = Store(tmp_path / "results")
    assert classes_of(store, once.run_id) == ["interrupted", "done"]
    assert classes_of(store, often.run_id) == ["interrupted"] * 3
    assert f"{once.run_id} was asked to stop, not by this sweep" in capsys.readouterr().err


def test_f1_a_killed_run_is_tried_again_from_its_checkpoint_and_repeats_one_epoch(plan, launch, tmp_path):
    (run,) = plan(order="signal 9", at=2, times=2)
    (outcome,) = launch([run])
    assert outcome.state is State.DONE
    assert epochs_of(tmp_path)[1::2] == ["90", "91", "92", "92", "92"]  # "signal 9" and the epoch
    assert classes_of(Store(tmp_path / "results"), run.run_id) == ["killed", "killed", "done"]
    launch([run], "whole")
    assert payloads(tmp_path / "results") == payloads(tmp_path / "whole")


def test_f16_a_run_out_of_memory_beside_others_is_tried_once_more_alone(plan, launch, tmp_path):
    (hungry,) = plan(order="memory", times=1)
    outcomes = launch([hungry, *plan("ce", seeds=(0, 1))], slots=2)
    assert [outcome.state for outcome in outcomes] == [State.DONE] * 3
    assert classes_of(Store(tmp_path / "results"), hungry.run_id) == ["oom", "done"]


def test_a_run_whose_steps_cannot_be_captured_goes_on_without_in_another_process_and_has_not_failed(
    plan, launch, tmp_path
):
    (run,), plain = plan("co_teaching"), plan()[0]
    (captured, other) = launch([run, plain], capture="always")  # there is no GPU for graphs
    assert (captured.state, captured.failure, other.state) == (State.DONE, "", State.DONE)
    store = Store(tmp_path / "results")
    assert classes_of(store, run.run_id) == ["uncaptured", "done"]
    assert classes_of(store, plain.run_id) == ["done"]  # its method does not ask to be captured
    ((_, end), _) = store.run(run.run_id).attempts()
    assert end["final"] is False
    assert end["message"].startswith("CaptureFailed: co_teaching, pass 'train': ")
    log = (store.run(run.run_id).path / "log.txt").read_text()
    assert f"capture failed, to be run without: {end['message']}" in log.splitlines()
    assert "Traceback" not in log
    launch([run], "whole")
    assert payloads(tmp_path / "results")[run.run_id] == payloads(tmp_path / "whole")[run.run_id]


def test_on_a_cpu_asking_for_a_capture_changes_nothing(command, odd, tmp_path):
    assert command(*words(odd, methods=("ce",)), "--seeds", "0", "--capture", "auto") == 0
    assert command(*words(odd, methods=("ce",), results="plain"), "--seeds", "0") == 0
    assert payloads(tmp_path / "results") == payloads(tmp_path / "plain")


def test_a_capture_that_fails_in_a_fresh_interpreter_ends_with_a_code_of_its_own(plan, tmp_path):
    (run,) = plan("ce")
    sweep = Sweep(Store(tmp_path / "results"), [Slot(None, 0)], None, "exec")
    job = Job(run.config.to_dict(), run.spec, str(sweep.store.root), None, "cpu", capture="always")
    folder = sweep.store.run(run.run_id)
    folder.path.mkdir(parents=True)
    assert sweep.spawn(job, folder, Slot(None, 0), 1).wait(60) == Exit.UNCAPTURED
    assert classes_of(sweep.store, run.run_id) == ["uncaptured"]


def test_a_run_that_blames_a_capture_it_does_not_make_has_failed(plan, launch, tmp_path):
    (run,) = plan(order="leave 76", times=9)
    (outcome,) = launch([run])
    assert (outcome.state, outcome.failure, outcome.message) == (State.FAILED, "error", "the process ended with 76")
    assert classes_of(Store(tmp_path / "results"), run.run_id) == ["uncaptured", "error"]


def test_a_captured_run_that_dies_is_tried_again_without(plan, launch, monkeypatch, tmp_path):
    (run,) = plan(order="signal 9", at=1, times=1)
    asked = []
    spawn = Sweep.spawn
    monkeypatch.setattr(Sweep, "spawn", lambda sweep, job, *more: asked.append(job.capture) or spawn(sweep, job, *more))
    assert launch([run], capture="auto")[0].state is State.DONE
    assert asked == ["auto", "off"]


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


def test_f15_after_a_kill_from_outside_one_run_less_is_under_way_and_after_other_signals_as_many(
    plan, launch, tmp_path, capsys
):
    (segfault,), others = plan(order="segfault"), plan("ce", seeds=(0, 1))
    assert {outcome.state for outcome in launch([segfault, *others], slots=3)} == {State.DONE}
    assert launch.sweep.leases.fewer() == 2  # of three
    assert capsys.readouterr().err == ""
    # two at once count as one
    killed, others = plan(order="signal 9", seeds=(0, 1), times=2), plan("co_teaching", seeds=(0, 1))
    assert {outcome.state for outcome in launch([*killed, *others], slots=3)} == {State.DONE}
    said = "a run was killed, as the kernel does for want of memory: 2 at a time from here on\n"
    assert capsys.readouterr().err == said
    assert launch.sweep.leases.fewer() == 1  # of two
    ends = [classes_of(Store(tmp_path / "results"), run.run_id) for run in killed]
    assert sorted(end for both in ends for end in both) == ["done", "done", "killed", "killed"]


def test_f15_what_is_killed_three_times_has_failed_and_the_last_job_stays(plan, launch, capsys, tmp_path):
    (killed,), good = plan(order="signal 9", times=9), plan("ce")
    outcomes = launch([killed, *good], slots=2)
    assert [(outcome.state, outcome.failure) for outcome in outcomes] == [(State.FAILED, "killed"), (State.DONE, "")]
    assert classes_of(Store(tmp_path / "results"), killed.run_id) == ["killed"] * 3
    assert capsys.readouterr().err.count("1 at a time from here on") == 1


def test_a_stop_file_ends_a_sweep_in_order_wherever_its_thread_is_and_it_goes_on_without(
    plan, forked, tmp_path, monkeypatch
):
    monkeypatch.setattr(interruption, "LOOK_SECONDS", 0.05)
    runs, stop = plan(order="wait", seeds=(0, 1)), tmp_path / "stop"

    def launched() -> Sweep:
        sweep = Sweep(Store(tmp_path / "results"), [Slot(None, 0)], None, "fork", stop_file=stop)
        thread = threading.Thread(target=lambda: outcomes.append(executor.execute(sweep, runs, Hearer())))
        outcomes = sweep.outcomes = []
        thread.start()
        sweep.thread = thread
        return sweep

    sweep = launched()
    wait_for(tmp_path, "wait")
    stop.touch()
    sweep.thread.join(20)
    assert (sweep.reason, sweep.halted) == ("signal", "asked to stop by stop")
    assert [outcome.state for outcome in sweep.outcomes[0]] == [State.INTERRUPTED, State.PLANNED]
    assert classes_of(sweep.store, runs[0].run_id) == ["interrupted"]
    # while it lies there, nothing is begun
    with monkeypatch.context() as watched:
        watched.setattr(Sweep, "spawn", lambda *_: pytest.fail("begun"))
        sweep = launched()
        sweep.thread.join(20)
    assert [outcome.state for outcome in sweep.outcomes[0]] == [State.INTERRUPTED, State.PLANNED]
    stop.unlink()
    sweep = launched()
    sweep.thread.join(20)
    assert [outcome.state for outcome in sweep.outcomes[0]] == [State.DONE] * 2


def test_a_stop_file_kills_what_does_not_end_in_its_grace_time(plan, launch, forked, tmp_path, monkeypatch):
    monkeypatch.setattr(interruption, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(interruption, "GRACE_SECONDS", 0.3)
    stop = tmp_path / "stop"
    sweep = Sweep(Store(tmp_path / "results"), [Slot(None, 0)], None, "fork", stop_file=stop)
    thread = threading.Thread(target=lambda: (wait_for(tmp_path, "sleep"), stop.touch()))
    thread.start()
    started = time.monotonic()
    (outcome,) = executor.execute(sweep, plan(order="sleep"), Hearer())
    thread.join()
    assert outcome.state is State.INTERRUPTED
    assert time.monotonic() - started < 20


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


def test_a_run_folder_that_cannot_be_used_costs_that_run_alone(plan, launch, tmp_path):
    runs = plan("ce", seeds=(0, 1))
    (tmp_path / "results" / "runs" / runs[0].run_id / "log.txt").mkdir(parents=True)
    outcomes = launch(runs)
    assert [outcome.state for outcome in outcomes] == [State.FAILED, State.DONE]
    assert "Is a directory" in outcomes[0].message
    assert Store(tmp_path / "results").run(runs[0].run_id).state() is State.FAILED


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


def test_one_dying_run_of_three_costs_one_run_exits_1_and_is_named_with_its_traceback(command, odd, capsys):
    argv = words(odd, "odd.Odd.order=raise", "odd.Odd.times=9", "--seeds", "0", methods=("ce", "co_teaching"))
    assert command(*argv) == 1
    out, err = capsys.readouterr()
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith(("ce ", "co_teaching", "odd.Odd"))}
    assert rows["ce"].split()[-1] == rows["co_teaching†"].split()[-1] == "(1)"
    assert rows["odd.Odd"].split()[-3:] == ["–", "(0/1)", "x"]
    tail = err[err.index("\nFAILED r") :]
    assert "odd.Odd on digits symmetric:0.5 seed 0: RuntimeError: the method gave up" in tail
    assert 'raise RuntimeError("the method gave up")' in tail
    assert tail.splitlines()[-1].endswith("log.txt")


def test_a_failed_run_is_tried_by_a_new_launch_and_left_alone_when_asked(command, odd, tmp_path):
    argv = words(odd, "odd.Odd.order=raise", "--seeds", "0")
    assert command(*argv) == 1
    before = epochs_of(tmp_path)
    assert command(*argv, "--no-retry-failed") == 1
    assert epochs_of(tmp_path) == before == ["raise0", "raise1"]
    assert command(*argv) == 0
    assert epochs_of(tmp_path)[2:] == ["raise1", "raise2"]


def test_f35_an_odd_results_folder_works(command, odd, tmp_path):
    assert command(*words(odd, "--seeds", "0", results="a folder, 100 % ünusual")) == 0
    assert len(results_of(tmp_path / "a folder, 100 % ünusual")) == 1


def test_f49_more_seeds_train_only_the_new_ones(command, odd, tmp_path):
    assert command(*words(odd, "--seeds", "0-1")) == 0
    two = results_of(tmp_path / "results")
    assert command(*words(odd, "--seeds", "0-2")) == 0
    three = results_of(tmp_path / "results")
    assert len(epochs_of(tmp_path)) == 3 * 3
    assert {run_id: three[run_id] for run_id in two} == two
    assert len(three) == 3


def test_f45_results_of_an_edited_method_are_kept_and_said_or_trained_again_when_asked(command, odd, tmp_path, capsys):
    argv = words(odd, "--seeds", "0")
    assert command(*argv) == 0
    ((run_id, first),) = results_of(tmp_path / "results").items()
    odd.write_text(odd.read_text().replace(".mean(-1))", ".mean(-1) * 3)"))
    capsys.readouterr()
    assert command(*argv) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 runs were made by other code than today's: odd.Odd (run --stale rerun trains them again)" in said
    assert results_of(tmp_path / "results") == {run_id: first}
    assert command(*argv, "--stale", "rerun") == 0
    old, new = json.loads(first[2])["payload"], Store(tmp_path / "results").run(run_id).result().payload
    assert old["method_code"] != new["method_code"]
    assert old["history"] != new["history"]
    (kept,) = (tmp_path / "results" / "runs" / run_id / "quarantine").iterdir()
    assert kept.read_bytes() == first[2]
    capsys.readouterr()
    assert command(*argv) == 0
    assert "other code" not in capsys.readouterr().out


def test_f29_an_edited_result_is_refused_by_table_and_trained_again_by_run(command, odd, tmp_path, capsys):
    argv = words(odd, "--seeds", "0-1")
    assert command(*argv) == 0
    path = sorted((tmp_path / "results").glob("runs/*/result.json"))[0]
    good = path.read_bytes()
    payload = Store(tmp_path / "results").run(path.parent.name).result().payload
    path.write_bytes(good.replace(b'"test":', b'"test":1', 1))
    capsys.readouterr()
    where = argv.index("--devices")
    selection = argv[:where] + argv[where + 4 :]
    assert command("table", *selection) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert str(path) in err
    assert command("table", *selection, "--allow-incomplete") == 0
    assert "(1/2)" in capsys.readouterr().out
    assert command("run", *argv) == 0
    assert Store(tmp_path / "results").run(path.parent.name).result().payload == payload
    assert len(list(path.parent.glob("quarantine/result.json.*"))) == 1
    assert command("table", *selection) == 0


def test_f14_a_run_that_came_out_in_two_ways_is_an_alarm_for_run_and_table(command, odd, tmp_path, capsys):
    argv = words(odd, "--seeds", "0")
    assert command(*argv) == 0
    store = Store(tmp_path / "results")
    (folder,) = [store.run(run_id) for run_id in store.run_ids()]
    result = folder.result()
    with pytest.raises(Conflict):
        folder.commit(result.payload | {"forward_samples": 1}, result.provenance)
    (other,) = (folder.path / "conflicts").iterdir()
    where = argv.index("--devices")
    capsys.readouterr()
    assert command("table", *argv[:where], *argv[where + 4 :]) == 3
    assert str(other) in capsys.readouterr().err
    assert command(*argv) == 3
    assert str(other) in capsys.readouterr().err
    assert folder.result() == result


def test_f4_runs_end_with_their_killed_driver_and_the_same_command_finishes(drive, command, odd, tmp_path, capsys):
    argv = words(odd, "odd.Odd.order=sleep", "--seeds", "0-1")
    driver = drive(argv)
    wait_for(tmp_path, "sleep")
    assert children_of(tmp_path / "results")
    driver.process.kill()
    driver.process.wait()
    deadline = time.monotonic() + 1.5
    while (alive := children_of(tmp_path / "results")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive == []
    assert command(*argv) == 0
    assert "(2)" in capsys.readouterr().out
    assert len(epochs_of(tmp_path)) <= 2 * 3 + 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_f5_f7_the_first_signal_ends_the_sweep_in_order_with_75_and_the_same_command_goes_on(
    command, odd, tmp_path, capsys, number
):
    argv = words(odd, "odd.Odd.order=wait", "odd.Odd.at=2", "--seeds", "0-1", "--per-device", "1")

    def interrupt() -> None:
        wait_for(tmp_path, "wait")
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    code = command(*argv)
    thread.join()
    err = capsys.readouterr().err
    assert code == Exit.INTERRUPTED
    assert f"interrupted by {number.name}; the same command goes on where it stopped" in err
    assert "Traceback" not in err
    store = Store(tmp_path / "results")
    assert [store.run(run_id).state() for run_id in store.run_ids()] == [State.INTERRUPTED]
    assert command(*argv) == 0
    assert epochs_of(tmp_path)[:4] == ["wait0", "wait1", "wait2", "wait2"]
    assert len(epochs_of(tmp_path)) == 2 * 3 + 1


def test_f7_a_second_ctrl_c_kills_the_runs_at_once_and_ends_with_130(drive, odd, tmp_path):
    driver = drive(words(odd, "odd.Odd.order=sleep", "--seeds", "0"))
    wait_for(tmp_path, "sleep")
    driver.process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert driver.process.poll() is None
    driver.process.send_signal(signal.SIGINT)
    started = time.monotonic()
    code, _, err = driver.end()
    assert code == 130
    assert time.monotonic() - started < 5
    assert "Traceback" not in err
    assert children_of(tmp_path / "results") == []


HANGING = """
import sys, time
from types import SimpleNamespace
from bench.sweep.supervision.interruption import stopped_by_signals

sweep = SimpleNamespace(signals=0, signal_number=0, reason="", halted="", children=[1], stop=lambda *_: time.sleep(60))
with stopped_by_signals(sweep):
    print("ready", flush=True)
    while True:
        time.sleep(0.01)
        print(sweep.signals, flush=True)
"""


def test_f7_a_third_signal_leaves_at_once_although_nothing_ends_the_runs():
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING], env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    for number in range(1, 3):
        process.send_signal(signal.SIGTERM)
        while process.stdout.readline() != f"{number}\n":
            assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.stdout.close()
    assert process.wait(10) == 128 + signal.SIGTERM


def test_runs_that_somebody_else_keeps_stopping_end_with_75_and_a_line_that_says_so(
    command, odd, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(attempting, "HEARSAY_SECONDS", 0.01)
    argv = words(odd, f"odd.Odd.order=signal {int(signal.SIGTERM)}", "odd.Odd.times=9", "--seeds", "0")
    assert command(*argv) == Exit.INTERRUPTED
    said = "1 run is not done: something else than this sweep keeps stopping them; the same command goes on"
    assert said in capsys.readouterr().err
    assert command(*argv) == Exit.INTERRUPTED  # and is no failure


def test_f38_a_run_that_another_launcher_holds_is_waited_for_and_no_failure(plan, launch, tmp_path):
    (run,) = plan()
    folder = Store(tmp_path / "results").run(run.run_id)
    hold = (
        "import sys, time; from pathlib import Path; from bench.sweep.records.store import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).lock():\n"
        "    print('held', flush=True); time.sleep(3)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(folder.path)], env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    (outcome,) = launch([run])
    holder.communicate()
    assert (outcome.state, outcome.failure) == (State.DONE, "")
    assert [ended["class"] for _, ended in folder.attempts()] == ["done"]


def test_f38_two_launchers_of_one_suite_train_each_run_once_and_both_exit_0(drive, command, odd, tmp_path, capsys):
    argv = words(odd, "odd.Odd.order=slow", "--seeds", "0-3", "--per-device", "1")
    other = drive(argv)
    wait_for(tmp_path, "slow")
    assert command(*argv) == 0
    code, out, err = other.end()
    assert code == 0, err
    assert out == capsys.readouterr().out
    assert len(epochs_of(tmp_path)) == 4 * 3
    store = Store(tmp_path / "results")
    assert [classes_of(store, run_id) for run_id in store.run_ids()] == [["done"]] * 4


def test_a_held_run_is_left_for_later_and_keeps_no_slot_from_the_others(plan, launch, tmp_path):
    held, *others = plan("ce", seeds=(0, 1, 2))
    folder = Store(tmp_path / "results").run(held.run_id)
    order = []
    with folder.lock():
        thread = threading.Thread(target=lambda: order.extend(launch([held, *others])))
        thread.start()
        deadline = time.monotonic() + 30
        while any(Store(tmp_path / "results").run(run.run_id).state() is not State.DONE for run in others):
            assert time.monotonic() < deadline, "the others waited for the held run"
            time.sleep(0.02)
        assert folder.result() is None
    thread.join(30)
    assert [outcome.state for outcome in order] == [State.DONE] * 3


def test_records_that_cannot_be_kept_cost_that_run_alone(plan, launch, tmp_path):
    broken, good = plan("ce", seeds=(0, 1))
    folder = Store(tmp_path / "results").run(broken.run_id)
    folder.path.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (folder.path / "attempts").symlink_to(tmp_path / "elsewhere")
    outcomes = launch([broken, good])
    assert [outcome.state for outcome in outcomes] == [State.FAILED, State.DONE]
