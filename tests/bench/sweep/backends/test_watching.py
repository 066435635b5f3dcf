"""The driver's loop against an engine that does as it is told: what it believes, how often it tries."""

import threading
import time
from collections import deque
from dataclasses import replace

import pytest

from bench.sweep.backends import watching
from bench.sweep.backends.engine import ClusterLost, Need, Told
from bench.sweep.backends.placed import STOP, Request, unpack
from bench.sweep.backends.watching import CLUSTER, Watch
from bench.sweep.records.store import State, Store
from bench.sweep.supervision.sweep import Sweep

from ..conftest import Hearer

DONE = Told(host="far", state="done")
LOST = Told.lost(RuntimeError("the node died. It was old.\nMore on that"))


class Pretence:
    """An engine whose tasks are calls of a function, which says what comes back of a run in a round, from 0."""

    need = Need(1, False)

    def __init__(self, do, rooms=(9,)):
        self.do, self.rooms, self.rounds = do, deque(rooms), {}
        self.open, self.most, self.cancelled = {}, 0, False

    def room(self):
        return self.rooms[0] if len(self.rooms) == 1 else self.rooms.popleft()

    def submit(self, request):
        run = unpack(Request.from_json(request).run)
        number = self.rounds[run.run_id] = self.rounds.get(run.run_id, -1) + 1
        ticket = (run.run_id, number)
        self.open[ticket] = run
        self.most = max(self.most, len(self.open))
        return ticket

    def ended(self, timeout):
        ticket, run = next(iter(self.open.items()))
        told = self.do(run, ticket[1])
        if told is None:
            time.sleep(0.01)
            return []
        del self.open[ticket]
        return [(ticket, told)]

    def cancel(self, launch):
        self.cancelled = True


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    for name in ("LOOK_SECONDS", "ROOM_SECONDS", "PAUSE_SECONDS", "LINGER_SECONDS"):
        monkeypatch.setattr(watching, name, 0.01)


@pytest.fixture
def watch(tmp_path):
    """See runs through on a pretended engine; the sweep, and what was reported, stay to be looked at."""

    def go(runs, engine, most=None, rerun=()):
        store = Store(tmp_path / "results")
        go.sweep = Sweep(store, [CLUSTER], None, "exec", rerun=frozenset(rerun))
        go.hearer = Hearer()
        request = Request(str(store.root), go.sweep.launch, "token", False)
        request.folder.mkdir(parents=True)
        go.stop_file = request.folder / STOP
        return Watch(go.sweep, request, engine, go.hearer, most).execute(runs)

    return go


@pytest.fixture
def folder_of(tmp_path):
    return lambda run: Store(tmp_path / "results").run(run.run_id)


def test_a_run_whose_task_is_lost_goes_on_and_others_do_not_notice(plan, launch, watch, capsys):
    runs = plan("ce", seeds=(0, 1))

    def do(run, number):
        if run is not None and run.run_id == runs[0].run_id and number == 0:
            return LOST
        launch([run])
        return DONE

    outcomes = watch(runs, Pretence(do))
    assert [outcome.state for outcome in outcomes] == [State.DONE, State.DONE]
    assert f"{runs[0].run_id} is placed again: its task was lost: the node died\n" in capsys.readouterr().err
    assert watch.hearer.heard.count(("requeued", runs[0].run_id)) == 1
    assert sorted(entry for entry in watch.hearer.heard if entry[0] == "ended") == sorted(
        ("ended", run.run_id) for run in runs
    )


def test_a_run_that_is_lost_time_and_again_fails_with_the_reason(plan, watch, folder_of):
    (run,) = plan("ce")
    engine = Pretence(lambda run, number: LOST)
    (outcome,) = watch([run], engine)
    assert outcome.state is State.FAILED
    assert outcome.message == "placed 3 times without one epoch more: its task was lost: the node died"
    assert engine.rounds == {run.run_id: watching.FRUITLESS - 1}


def test_a_run_that_gets_on_between_two_losses_is_placed_as_often_as_it_takes(plan, launch, watch, folder_of):
    (run,) = plan("ce")

    def do(run, number):
        if number < 5:
            with folder_of(run).lock():
                folder_of(run).save_checkpoint(number + 1, b"no checkpoint that anybody could go on from")
            return LOST
        launch([run])
        return DONE

    (outcome,) = watch([run], Pretence(do))
    assert outcome.state is State.DONE


def test_what_a_worker_says_is_not_believed(plan, launch, watch, monkeypatch):
    monkeypatch.setattr(watching, "ARRIVAL_SECONDS", 0.05)
    (run,) = plan("ce")

    def do(run, number):
        if number == 1:
            launch([run])
        return DONE

    engine = Pretence(do)
    (outcome,) = watch([run], engine)
    assert outcome.state is State.DONE
    assert engine.rounds == {run.run_id: 1}


def test_a_result_that_takes_its_time_to_be_seen_is_waited_for(plan, launch, watch, folder_of):
    (run,) = plan("ce")

    def do(run, number):
        launch([run])
        result = folder_of(run).path / "result.json"
        result.rename(result.with_name("elsewhere"))
        threading.Timer(0.3, lambda: result.with_name("elsewhere").rename(result)).start()
        return DONE

    engine = Pretence(do)
    (outcome,) = watch([run], engine)
    assert outcome.state is State.DONE
    assert engine.rounds == {run.run_id: 0}


def test_a_failure_is_told_with_the_node_and_the_words_of_its_record(plan, watch, folder_of):
    (run,) = plan("ce")

    def do(run, number):
        attempt = folder_of(run).start_attempt({"launch": watch.sweep.launch, "host": "far", "slot": "cuda:3"})
        folder_of(run).end_attempt(attempt, {"class": "oom", "final": True, "message": "no memory for so much"})
        return Told(host="far", state="failed", message="something else")

    (outcome,) = watch([run], Pretence(do))
    assert (outcome.state, outcome.failure) == (State.FAILED, "oom")
    assert outcome.message == "no memory for so much (on far)"


def test_where_a_run_has_begun_its_attempt_says(plan, watch, folder_of):
    (run,) = plan("ce")
    places = []

    def do(run, number):
        if not folder_of(run).attempts():
            folder_of(run).start_attempt({"launch": watch.sweep.launch, "host": "far", "slot": "cuda:3"})
            watch.hearer.started = lambda run, place: places.append(place.name)
            return None
        return LOST

    watch([run], Pretence(do))
    assert places == ["far cuda:3"]


def test_a_failure_that_no_record_tells_of_is_taken_from_the_worker(plan, watch, monkeypatch):
    monkeypatch.setattr(watching, "ARRIVAL_SECONDS", 0.05)
    engine = Pretence(lambda run, number: Told(host="far", state="failed", message="its folder is no folder"))
    (outcome,) = watch(plan("ce"), engine)
    assert (outcome.state, outcome.message) == (State.FAILED, "its folder is no folder (on far)")


def test_a_run_that_another_launcher_holds_is_left_to_it(plan, launch, watch, folder_of):
    (run,) = plan("ce")
    held, go_on = threading.Event(), threading.Event()

    def hold():
        with folder_of(run).lock():
            held.set()
            go_on.wait(20)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(20)
    submitted = []

    def do(run, number):
        submitted.append(go_on.is_set())
        launch([run])
        return DONE

    def later():
        go_on.set()
        other.join()

    threading.Timer(0.3, later).start()
    (outcome,) = watch([run], Pretence(do))
    assert outcome.state is State.DONE
    assert submitted == [True]


def test_a_run_that_another_launcher_has_done_meanwhile_is_not_placed(plan, launch, watch):
    (run,) = plan("ce")
    launch([run])
    engine = Pretence(lambda run, number: LOST)
    (outcome,) = watch([run], engine)
    assert (outcome.state, engine.rounds) == (State.DONE, {})


def test_a_run_to_be_made_again_is_not_taken_for_done_while_its_old_result_stands(plan, launch, watch):
    (run,) = plan("ce")
    launch([run])
    engine = Pretence(lambda run, number: LOST if number == 0 else DONE)
    (outcome,) = watch([run], engine, rerun=[run.run_id])
    assert (outcome.state, engine.rounds) == (State.DONE, {run.run_id: 1})


@pytest.mark.parametrize(("room", "most", "expected"), [(2, None, 2), (2, 1, 1), (1, 4, 4)])
def test_no_more_runs_are_placed_than_there_is_room_for_or_than_are_wanted(plan, watch, room, most, expected):
    engine = Pretence(lambda run, number: LOST, rooms=(room,))
    watch(plan("ce", seeds=range(5)), engine, most)
    assert engine.most == expected


def test_a_cluster_that_stays_empty_ends_the_sweep_with_a_line(plan, watch, monkeypatch):
    monkeypatch.setattr(watching, "EMPTY_SECONDS", 0.1)
    (outcome,) = watch(plan("ce"), Pretence(lambda run, number: LOST, rooms=(0,)))
    assert outcome.state is State.PLANNED
    assert watch.sweep.reason == "cluster"
    assert watch.sweep.halted == "stopped: for 0 s the cluster has had no node with room for a run"


def test_a_cluster_that_is_empty_for_a_while_is_waited_for(plan, launch, watch):
    def do(run, number):
        launch([run])
        return DONE

    (outcome,) = watch(plan("ce"), Pretence(do, rooms=(0, 0, 0, 1)))
    assert outcome.state is State.DONE


def test_a_cluster_that_is_gone_ends_the_sweep_with_a_line_and_asks_workers_to_stop(plan, watch):
    def do(run, number):
        raise ClusterLost("the scheduler is gone")

    (outcome,) = watch(plan("ce"), Pretence(do))
    assert (outcome.state, watch.sweep.halted) == (State.PLANNED, "stopped: the scheduler is gone")
    assert watch.stop_file.exists()


def test_a_full_disk_on_a_node_ends_the_sweep_as_one_here_does(plan, watch):
    told = Told(host="far", state="interrupted", message="stopped: No space left on device", reason="storage")
    outcomes = watch(plan("ce", seeds=(0, 1)), Pretence(lambda run, number: told), most=1)
    assert {outcome.state for outcome in outcomes} == {State.PLANNED}
    assert (watch.sweep.reason, watch.sweep.halted) == ("storage", "stopped: No space left on device")


def test_if_every_run_fails_at_once_the_sweep_stops(plan, watch, monkeypatch):
    monkeypatch.setattr(watching, "ARRIVAL_SECONDS", 0.0)
    told = Told(host="far", state="failed", message="no driver")
    outcomes = watch(plan("ce", seeds=range(6)), Pretence(lambda run, number: told), most=1)
    assert sum(outcome.state is State.FAILED for outcome in outcomes) == 3
    assert watch.sweep.halted.startswith("stopped: 3 runs in a row failed within 60 s (error)")


def test_workers_are_given_time_to_stop_and_then_killed(plan, watch, monkeypatch):
    monkeypatch.setattr(watching, "STOP_SECONDS", 0.2)
    monkeypatch.setattr(watching, "CANCEL_SECONDS", 0.2)
    asked = []

    def do(run, number):
        if not asked:
            watch.sweep.stop("signal", "interrupted by SIGINT", 15)
        asked.append((time.monotonic(), watch.stop_file.exists()))

    engine = Pretence(do)
    (outcome,) = watch(plan("ce"), engine)
    assert outcome.state is State.PLANNED
    assert engine.cancelled
    assert asked[-1][1]
    assert asked[-1][0] - asked[0][0] >= 0.35


def test_a_busy_cluster_is_told_of_once(plan, watch, monkeypatch, capsys):
    monkeypatch.setattr(watching, "QUIET_SECONDS", 0.05)
    began = time.monotonic()
    watch(plan("ce"), Pretence(lambda run, number: LOST if time.monotonic() - began > 0.5 else None))
    line = "no run has begun yet: the cluster is busy, and each needs 1 CPU core\n"
    assert capsys.readouterr().err.count(line) == 1


def test_a_run_without_a_folder_of_records_is_lost_alone(plan, launch, watch, tmp_path):
    bad, good = plan("ce", seeds=(0, 1))
    (tmp_path / "results" / "runs").mkdir(parents=True)
    (tmp_path / "results" / "runs" / bad.run_id).symlink_to(tmp_path)

    def do(run, number):
        launch([run])
        return DONE

    outcomes = watch([bad, good], Pretence(do))
    assert [outcome.state for outcome in outcomes] == [State.FAILED, State.DONE]
    assert "links are not followed" in outcomes[0].message


@pytest.mark.parametrize(
    ("need", "cpus", "gpus", "room"),
    [
        (Need(1, False), 4, 0, 4),
        (Need(3, False), 8, 8, 2),
        (Need(1, True), 64, 8, 8),
        (Need(1, True), 64, 0, 0),
        (Need(16, True), 64, 8, 4),
        *((Need(1, True, number), 64, 2, 2 * number) for number in (2, 3, 6, 7)),
    ],
)
def test_a_node_has_room_for_as_many_runs_as_its_cores_and_gpus_are_enough_for(need, cpus, gpus, room):
    assert need.fitting(cpus, gpus) == room
    assert need.share * need.per_device <= 1


def test_whether_runs_go_to_gpus_is_settled_by_what_the_cluster_has():
    open_one = Need(2, None, 3)
    assert open_one.settled(0) == replace(open_one, gpu=False)
    assert open_one.settled(8) == replace(open_one, gpu=True)
    assert Need(1, False).settled(8).gpu is False
    assert str(Need(2, True, 3)) == "2 CPU cores and 1/3 of a GPU"
