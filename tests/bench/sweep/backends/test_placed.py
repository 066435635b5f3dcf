"""What a worker does with what it is sent: begin, refuse, take a GPU of its own."""

import dataclasses
import socket
import threading
import uuid
from contextlib import ExitStack

import pytest

from bench.fingerprint import sources
from bench.sweep.backends import placed
from bench.sweep.backends.placed import STOP, TOKEN, Request, pack, unpack
from bench.sweep.records.store import State, Store
from bench.sweep.supervision.attempts import Outcome

HOST = socket.gethostname()


@pytest.fixture
def request_of(tmp_path):
    """A request for a run, in a launch that has begun."""

    def make(run, **changes):
        token = uuid.uuid4().hex
        request = Request(str(tmp_path / "results"), "aaaabbbbcccc", token, False, run=pack(run))
        request.folder.mkdir(parents=True, exist_ok=True)
        (request.folder / TOKEN).write_text(token)
        return dataclasses.replace(request, **changes)

    return make


def test_a_run_survives_the_way_to_a_worker(plan, request_of):
    (run,) = plan("ce")
    there = unpack(Request.from_json(request_of(run, how={"run_limit": 5.0}).to_json()).run)
    assert (there.run_id, there.config, there.spec, there.networks) == (run.run_id, run.config, run.spec, run.networks)


def test_a_worker_does_a_run_as_this_machine_does(plan, request_of, launch, tmp_path):
    (run,) = plan("ce")
    told = placed.supervise(request_of(run).to_json())
    assert told == {"host": HOST, "state": "done", "message": "", "reason": "", "refused": ""}
    launch([run], "here")
    there, here = (Store(tmp_path / name).run(run.run_id).result() for name in ("results", "here"))
    assert there.payload_sha256 == here.payload_sha256


def test_who_sees_no_results_folder_or_another_one_does_not_begin(plan, request_of, tmp_path):
    request = request_of(*plan("ce"))
    elsewhere = dataclasses.replace(request, results=str(tmp_path / "elsewhere"))
    assert placed.supervise(elsewhere.to_json())["refused"] == (
        f"{HOST} does not see the results folder {tmp_path / 'elsewhere'} (No such file or directory): all nodes must "
        "share it"
    )
    (request.folder / TOKEN).write_text("of a folder of the same name on another disk")
    other = f"{HOST} has another folder at {tmp_path / 'results'}: all nodes must share one"
    assert placed.supervise(request.to_json())["refused"] == other
    assert placed.probe(request.to_json(), [])["wrong"] == other
    assert not (tmp_path / "results" / "runs").exists()


def test_a_run_that_comes_after_the_sweep_was_stopped_does_not_begin(plan, request_of, tmp_path):
    (run,) = plan("ce")
    request = request_of(run)
    (request.folder / STOP).touch()
    told = placed.supervise(request.to_json())
    assert (told["state"], told["reason"]) == ("planned", "signal")
    assert not (tmp_path / "results" / "runs" / run.run_id / "attempts").exists()


def test_a_node_tells_its_code_and_what_it_cannot_compute(plan, request_of):
    (run,) = plan("ce")
    request, config = request_of(run), run.config.to_dict()
    assert placed.probe(request.to_json(), [config]) == {"host": HOST, "code": sources(), "wrong": ""}
    config["train"]["precision"] = "tf32"
    wrong = placed.probe(request.to_json(), [config])["wrong"]
    assert wrong.startswith(f"{HOST}: precision tf32 is a format of NVIDIA GPUs, and the runs would go to the CPU")
    assert len(list(request.folder.glob("seen-*"))) == 2


def test_runs_of_one_worker_take_gpus_of_their_own(plan, request_of, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    together, gpus = threading.Barrier(4, timeout=20), []

    def execute(sweep, runs, reporter):
        gpus.append(sweep.slots[0].gpu)
        together.wait()
        return [Outcome(runs[0].run_id, State.DONE)]

    monkeypatch.setattr(placed, "execute", execute)
    request = request_of(*plan("ce"), gpu=True, per_device=2).to_json()
    threads = [threading.Thread(target=placed.supervise, args=(request,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(gpus) == ["3", "3", "5", "5"]


def test_a_worker_that_is_shown_no_gpu_says_so(plan, request_of, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    told = placed.supervise(request_of(*plan("ce"), gpu=True).to_json())
    assert told["refused"] == f"{HOST} shows its worker no GPU (CUDA_VISIBLE_DEVICES, nvidia-smi)"


def test_only_what_belongs_to_a_launch_is_killed(plan, request_of, monkeypatch):
    stopped, begun = [], threading.Barrier(3, timeout=20)
    go_on = threading.Event()

    def execute(sweep, runs, reporter):
        sweep.stop = lambda *_: stopped.append(sweep.launch)
        begun.wait()
        go_on.wait(20)
        return [Outcome(runs[0].run_id, State.DONE)]

    monkeypatch.setattr(placed, "execute", execute)
    (run,) = plan("ce")
    with ExitStack() as stack:
        for launch in ("one", "two"):
            request = request_of(run, launch=launch)
            request.folder.mkdir(parents=True)
            (request.folder / TOKEN).write_text(request.token)
            thread = threading.Thread(target=placed.supervise, args=(request.to_json(),))
            thread.start()
            stack.callback(thread.join)
        stack.callback(go_on.set)
        begun.wait()
        placed.kill("two")
        assert stopped == ["two"]
