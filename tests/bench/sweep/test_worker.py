"""One run in a process of its own: what it computes does not depend on how it was started, cut or killed."""

import errno
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data.datasets import load
from bench.devices import Slot
from bench.files import canonical
from bench.sweep.job import RESOURCES, Exit, Job
from bench.sweep.records import store
from bench.sweep.records.origin import published
from bench.sweep.records.store import State, Store
from bench.sweep.run import saver, worker
from bench.sweep.run.worker import classify
from bench.sweep.supervision.sweep import Sweep
from bench.training.capture import CaptureFailed
from bench.training.trainer import Interrupted


def payloads(root: Path) -> dict[str, bytes]:
    store = Store(root)
    return {run_id: canonical(store.run(run_id).result().payload) for run_id in store.run_ids()}


def epochs_of(folder: Path) -> list[str]:
    return (folder / "epochs").read_text().split()


def wait_for(folder: Path, order: str) -> None:
    """Wait until the method has begun to do what it was told."""
    deadline = time.monotonic() + 20
    while not list(folder.glob(f"done-{order}/*")):
        assert time.monotonic() < deadline, f"{order} did not come to pass"
        time.sleep(0.01)


@pytest.fixture
def start(forked, tmp_path):
    """Start the process of one run and return it with its folder."""
    children = []

    def go(run, results="results", **how):
        store = Store(tmp_path / results)
        sweep = Sweep(store, [Slot(None, 0)], None, "fork")
        folder = store.run(run.run_id)
        folder.path.mkdir(parents=True, exist_ok=True)
        job = Job(run.config.to_dict(), run.spec, str(store.root), None, "cpu", {}, {"launch": "by hand"}, **how)
        children.append(sweep.spawn(job, folder, sweep.slots[0], 1))
        return children[-1], folder

    yield go
    for child in children:
        child.send_signal(signal.SIGKILL)


def test_g3_payloads_are_the_same_bytes_for_fork_and_exec_for_one_and_two_slots_and_in_any_order(
    plan, launch, tmp_path
):
    runs = plan("co_teaching", seeds=(0, 1))
    launch(runs, "forked")
    launch(runs[::-1], "two slots", slots=2)
    launch(runs[:1], "executed", start="exec")
    whole = payloads(tmp_path / "forked")
    assert len(whole) == 2
    assert payloads(tmp_path / "two slots") == whole
    assert payloads(tmp_path / "executed") == {runs[0].run_id: whole[runs[0].run_id]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_f6_a_signalled_run_ends_with_75_keeps_its_checkpoint_and_goes_on_to_the_same_bytes(
    plan, start, launch, tmp_path, number
):
    (run,) = plan(order="wait", at=2)
    child, folder = start(run)
    wait_for(tmp_path, "wait")
    assert folder.state() is State.RUNNING
    child.send_signal(number)
    assert child.wait(10) == Exit.INTERRUPTED
    assert folder.state() is State.INTERRUPTED
    assert folder.epochs_done() == 2
    assert "Traceback" not in (folder.path / "log.txt").read_text()
    assert folder.last_failure() is None
    assert start(run)[0].wait(20) == Exit.OK
    assert epochs_of(tmp_path) == ["wait0", "wait1", "wait2", "wait2"]
    launch([run], "whole")
    assert payloads(tmp_path / "results") == payloads(tmp_path / "whole")


def test_f1_a_run_killed_from_outside_repeats_one_epoch_and_ends_with_the_same_bytes(plan, start, launch, tmp_path):
    (run,) = plan(order="sleep", at=2)
    child, folder = start(run)
    wait_for(tmp_path, "sleep")
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(10) == -signal.SIGKILL
    assert folder.state() is State.INTERRUPTED
    assert start(run)[0].wait(20) == Exit.OK
    assert epochs_of(tmp_path) == ["sleep0", "sleep1", "sleep2", "sleep2"]
    launch([run], "whole")
    assert payloads(tmp_path / "results") == payloads(tmp_path / "whole")
    assert [(s["number"], None if e is None else e["class"]) for s, e in folder.attempts()] == [(1, None), (2, "done")]


def test_a_finished_run_is_not_trained_again_and_its_leftover_checkpoints_go(plan, start, tmp_path):
    (run,) = plan()
    child, folder = start(run)
    assert child.wait(20) == Exit.OK
    before = (folder.path / "result.json").read_bytes()
    assert folder.checkpoints() == []
    folder.save_checkpoint(3, b"left by a kill between commit and clean-up")
    assert start(run)[0].wait(20) == Exit.OK
    assert folder.checkpoints() == []
    assert (folder.path / "result.json").read_bytes() == before
    assert epochs_of(tmp_path) == ["0", "1", "2"]
    assert len(folder.attempts()) == 1


def test_a_run_that_another_process_holds_is_busy_and_untouched(plan, start, tmp_path):
    (run,) = plan()
    folder = Store(tmp_path / "results").run(run.run_id)
    with folder.lock():
        child, _ = start(run)
        assert child.wait(20) == Exit.BUSY
    assert sorted(path.name for path in folder.path.iterdir()) == ["lock", "log.txt"]


def test_f29_a_damaged_result_is_set_aside_and_trained_again(plan, start, launch, tmp_path):
    (run,) = plan()
    assert start(run)[0].wait(20) == Exit.OK
    path = tmp_path / "results" / "runs" / run.run_id / "result.json"
    good = json.loads(path.read_bytes())["payload"]
    path.write_bytes(path.read_bytes().replace(b'"epoch":1,', b'"epoch":7,'))
    child, folder = start(run)
    assert child.wait(20) == Exit.OK
    assert folder.result().payload == good
    assert [p.name.partition(".json")[0] for p in (folder.path / "quarantine").iterdir()] == ["result"]


def test_f31_a_bad_checkpoint_is_set_aside_and_the_older_one_used(plan, start, tmp_path):
    (run,) = plan(order="sleep", at=2)
    child, folder = start(run)
    wait_for(tmp_path, "sleep")
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    newest = folder.checkpoints()[0][1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    assert start(run)[0].wait(20) == Exit.OK
    assert epochs_of(tmp_path) == ["sleep0", "sleep1", "sleep2", "sleep1", "sleep2"]
    assert "resumed after epoch 1" in (folder.path / "log.txt").read_text()


def test_f45_a_checkpoint_of_other_code_is_set_aside_so_that_no_result_mixes_two_codes(plan, start, odd, tmp_path):
    (run,) = plan(order="sleep", at=2)
    child, folder = start(run)
    wait_for(tmp_path, "sleep")
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    source = odd.read_text()
    odd.write_text(source.replace(".mean(-1))", ".mean(-1) * 2)"))
    assert start(run)[0].wait(20) == Exit.OK
    assert epochs_of(tmp_path)[3:] == ["sleep0", "sleep1", "sleep2"]
    mixed = folder.result().payload
    assert len(list((folder.path / "quarantine").iterdir())) == 2
    (again,) = plan(order="sleep", at=2)
    other, whole = start(again, "whole")
    assert other.wait(20) == Exit.OK
    assert whole.result().payload == mixed


def test_f45_a_comment_in_the_method_does_not_cost_its_checkpoints(plan, start, odd, tmp_path):
    (run,) = plan(order="sleep", at=2)
    child, _ = start(run)
    wait_for(tmp_path, "sleep")
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    odd.write_text(odd.read_text() + "\n# a remark\n")
    assert start(run)[0].wait(20) == Exit.OK
    assert epochs_of(tmp_path)[3:] == ["sleep2"]


def test_the_code_of_a_result_is_that_of_its_start_even_if_the_method_is_edited_while_it_trains(
    plan, start, odd, tmp_path
):
    (run,) = plan(order="wait", at=1)
    child, folder = start(run)
    wait_for(tmp_path, "wait")
    (begun,) = [attempt for attempt, _ in folder.attempts()]
    odd.write_text(odd.read_text().replace(".mean(-1))", ".mean(-1) * 2)"))
    (tmp_path / "go on").touch()
    assert child.wait(20) == Exit.OK
    first = folder.result().payload["method_code"]
    assert first == begun["method_code"]
    child, folder = start(run, "edited")
    assert child.wait(20) == Exit.OK
    assert folder.result().payload["method_code"] != first


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Interrupted(), Exit.INTERRUPTED),
        (CaptureFailed("ce, pass 'train': no"), Exit.UNCAPTURED),
        (torch.OutOfMemoryError("CUDA out of memory"), Exit.OOM),
        (MemoryError(), Exit.OOM),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), Exit.OOM),
        (RuntimeError("shapes do not match"), Exit.ERROR),
        (OSError(errno.ENOSPC, "No space left on device"), Exit.IO),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), Exit.IO),
        (FileNotFoundError(errno.ENOENT, "gone"), Exit.ERROR),
        (SystemExit(0), Exit.ERROR),
        (KeyboardInterrupt(), Exit.ERROR),
        (PermissionError(errno.EACCES, "denied", "/elsewhere/file"), Exit.ERROR),  # the method's own affair
        (PermissionError(errno.EACCES, "denied", "/results/runs/r1/result.json"), Exit.IO),
    ],
)
def test_what_ended_a_run_gives_its_exit_code(error, code):
    assert classify(error, "/results") is code


def test_a_disk_that_takes_no_record_at_all_still_gives_its_class(plan, tmp_path, monkeypatch):
    (run,) = plan()
    job = Job(run.config.to_dict(), run.spec, str(tmp_path / "results"), None, "cpu")

    def full(*_: object, **__: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "publish", full)
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    assert worker.main(job.to_argv()) == Exit.IO


def test_an_attempt_records_where_and_by_what_it_was_made(plan, start):
    (run,) = plan()
    child, folder = start(run)
    assert child.wait(20) == Exit.OK
    ((begun, ended),) = folder.attempts()
    assert begun["torch"] == torch.__version__
    assert begun.keys() >= {"host", "pid", "device", "python", "numpy", "cuda", "code", "method_code", "launch"}
    assert begun["pid"] == child.pid
    assert (ended["class"], ended["final"]) == ("done", True)
    provenance = folder.result().provenance
    assert provenance["epochs_this_attempt"] == 3
    assert provenance["attempts"] == [published(begun)]


def test_the_predictions_are_those_of_the_last_epoch(plan, start):
    (run,) = plan()
    child, folder = start(run)
    assert child.wait(20) == Exit.OK
    (path,) = folder.path.glob("predictions-*.npy")
    predicted = np.load(path, allow_pickle=False)
    right = int((predicted[0] == load("digits").test_labels[:64]).sum())
    assert (predicted.shape, predicted.dtype) == ((1, 64), np.uint8)
    assert right == folder.result().payload["history"][-1]["heads"]["net1"]["test"]


def test_a_job_survives_the_way_through_a_command_line(plan):
    (run,) = plan()
    job = Job(run.config.to_dict(), run.spec, "a folder", None, "cpu", {"killed": True}, {"launch": "x"})
    assert Job.from_argv(job.to_argv()) == job


def test_a_whole_file_that_holds_no_state_is_set_aside_for_the_older_one(plan, start):
    (run,) = plan(order="wait", at=2)
    child, folder = start(run)
    wait_for(folder.path.parents[2], "wait")
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == Exit.INTERRUPTED
    folder.save_checkpoint(3, b"intact by its digest, and no state at all")
    child, folder = start(run)
    assert child.wait(20) == Exit.OK
    assert len(folder.result().payload["history"]) == 3
    assert any(path.name.startswith("ckpt-000003") for path in (folder.path / "quarantine").iterdir())


def test_a_checkpoint_of_another_kind_of_device_is_set_aside(plan, start):
    (run,) = plan(order="wait", at=2)
    child, folder = start(run)
    wait_for(folder.path.parents[2], "wait")
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == Exit.INTERRUPTED
    (started,) = [path for path in (folder.path / "attempts").iterdir() if not path.name.endswith(".end.json")]
    started.write_bytes(started.read_bytes().replace(b'"device_kind":"cpu"', b'"device_kind":"cuda"'))
    child, folder = start(run)
    assert child.wait(20) == Exit.OK
    assert folder.result().provenance["epochs_this_attempt"] == 3


@pytest.mark.parametrize(("strict", "epochs"), [(False, 1), (True, 3)])
def test_f46_a_checkpoint_of_another_torch_is_gone_on_from_unless_told_otherwise(plan, start, strict, epochs):
    (run,) = plan(order="wait", at=2)
    child, folder = start(run)
    wait_for(folder.path.parents[2], "wait")
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == Exit.INTERRUPTED
    (started,) = [path for path in (folder.path / "attempts").iterdir() if not path.name.endswith(".end.json")]
    older = started.read_bytes().replace(f'"torch":"{torch.__version__}"'.encode(), b'"torch":"2.0"')
    started.write_bytes(older)
    child, folder = start(run, strict_env=strict)
    assert child.wait(20) == Exit.OK
    assert folder.result().provenance["epochs_this_attempt"] == epochs
    assert [begun["torch"] for begun, _ in folder.attempts()] == ["2.0", torch.__version__]


@pytest.mark.parametrize("data", [b"", b"PK", bytes(400), b"\x80\x02}q\x00."])
def test_whatever_bytes_a_checkpoint_has_they_are_refused_in_one_way(plan, data, tmp_path):
    (run,) = plan()
    job = Job(run.config.to_dict(), run.spec, str(tmp_path), None, "cpu")
    with pytest.raises(ValueError, match=r"no state of a run \(\w+: "):
        worker.TorchTraining(job, run.config).read(data)


def test_where_checkpoints_are_rare_a_stop_keeps_every_finished_epoch_and_the_bytes(plan, start, launch, tmp_path):
    (run,) = plan(order="wait", at=2)
    child, folder = start(run, checkpoint_seconds=1000.0)
    wait_for(tmp_path, "wait")
    assert folder.checkpoints() == []
    child.send_signal(signal.SIGTERM)
    assert child.wait(30) == Exit.INTERRUPTED
    assert folder.epochs_done() == 2
    assert start(run, checkpoint_seconds=1000.0)[0].wait(30) == Exit.OK
    assert epochs_of(tmp_path) == ["wait0", "wait1", "wait2", "wait2"]
    launch([run], "whole")
    assert payloads(tmp_path / "results") == payloads(tmp_path / "whole")


def test_where_checkpoints_are_rare_a_failure_keeps_every_finished_epoch(plan, start):
    (run,) = plan(order="raise", at=2)
    child, folder = start(run, checkpoint_seconds=1000.0)
    assert child.wait(30) == Exit.ERROR
    assert folder.epochs_done() == 2


def test_a_killed_run_loses_what_it_has_trained_since_its_last_checkpoint_and_no_more(plan, start, launch, tmp_path):
    # every epoch takes 0.1 s and more, so that each second one is due at the latest
    (run,) = plan(order="slow", epochs=20)
    child, folder = start(run, checkpoint_seconds=0.15)
    deadline = time.monotonic() + 40
    while len(epochs_of(tmp_path) if (tmp_path / "epochs").exists() else []) < 12:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    begun = len(epochs_of(tmp_path))
    kept = [epoch for epoch, _ in folder.checkpoints()]
    assert kept[0] >= begun - 1 - 2  # of the finished ones, at most 0.15 s and one epoch are lost
    assert start(run)[0].wait(40) == Exit.OK
    assert len(epochs_of(tmp_path)) == begun + 20 - kept[0]
    launch([run], "whole")
    assert payloads(tmp_path / "results") == payloads(tmp_path / "whole")


def test_what_a_run_takes_of_a_gpu_is_told_after_its_first_epoch_and_when_it_has_grown(plan, tmp_path, monkeypatch):
    (run,) = plan(epochs=5)
    root, sizes, told = tmp_path / "results", iter([100.0, 100.0, 350.5, 350.5, 350.5]), []
    job = Job(run.config.to_dict(), run.spec, str(root), None, "cpu")
    monkeypatch.setattr(worker, "memory_mb", lambda device: next(sizes))
    monkeypatch.setattr(worker, "publish", lambda path, data, replace: told.append((path, json.loads(data))))
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    assert worker.main(job.to_argv()) == Exit.OK
    path = root / "runs" / run.run_id / RESOURCES
    assert told == [(path, {"memory_mb": 100.0}), (path, {"memory_mb": 350.5})]


def test_a_capture_that_fails_is_told_even_if_the_device_then_gives_no_state_back(plan, tmp_path, monkeypatch):
    (run,) = plan()

    def fail(*_: object) -> None:
        raise CaptureFailed("a step could not be recorded")

    def lost(_: object) -> None:
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    monkeypatch.setattr(worker.Trainer, "run", fail)
    monkeypatch.setattr(saver.Saver, "flush", lost)
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    job = Job(run.config.to_dict(), run.spec, str(tmp_path / "results"), None, "cpu")
    assert worker.main(job.to_argv()) == Exit.UNCAPTURED


def test_the_age_of_a_process_is_told_by_a_clock_that_goes_on_in_a_suspended_machine(monkeypatch):
    monotonic = time.clock_gettime(time.CLOCK_BOOTTIME) - 3600.0  # as after an hour of sleep
    monkeypatch.setattr(worker.time, "monotonic", lambda: monotonic)
    before = worker._process_age()
    assert before > 0.1  # torch alone took longer to import
    monkeypatch.setattr(worker.time, "clock_gettime", lambda clock: {time.CLOCK_BOOTTIME: 0.0}[clock])
    assert worker._process_age() == 0.0
    monkeypatch.undo()
    time.sleep(0.05)
    assert 0.03 < worker._process_age() - before < 30


def test_a_run_tells_how_long_it_trained_and_how_long_its_process_took_to_begin(plan, start):
    (run,) = plan()
    child, folder = start(run)
    assert child.wait(30) == Exit.OK
    provenance = folder.result().provenance
    assert 0 < provenance["training_seconds"] < provenance["seconds"]
    assert 0 <= provenance["start_seconds"] < 30
