"""Runs whose steps are to be captured: one that cannot be goes on without, and has not failed."""

from bench.devices import Slot
from bench.sweep.job import Exit, Job
from bench.sweep.records.store import State, Store
from bench.sweep.supervision.sweep import Sweep
from tests.bench.sweep.drivers import classes_of, payloads, words


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
