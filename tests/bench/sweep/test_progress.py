"""What a person is told while a sweep goes on."""

import io
import threading

import pytest

from bench.devices import Slot
from bench.sweep.records.store import State, Store
from bench.sweep.run import gauges, heartbeat
from bench.sweep.run.gauges import Gauge, Gauges
from bench.sweep.run.heartbeat import Heartbeat
from bench.sweep.supervision import progress
from bench.sweep.supervision.attempts import Outcome
from bench.sweep.supervision.progress import DEVICES, LOOKS, RUNS, Progress, clock, label

CPU = Slot(None, 0)


def none_yet() -> dict[str, int]:
    return {"done": 0, "running": 0, "waiting": 2, "failed": 0, "diverged": 0}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def heard(plan, tmp_path, monkeypatch):
    """A progress over ce (1 network) and co_teaching (2), 3 epochs each, and a clock that stands still."""
    monkeypatch.setattr(progress.time, "monotonic", lambda: heard_at[0])
    heard_at = [100.0]
    runs = plan("ce", "co_teaching")

    def make(stream: io.StringIO | None = None, done_before: int = 0) -> Progress:
        shown = Progress(Store(tmp_path), runs, done_before, stream or io.StringIO())
        shown.at = heard_at
        return shown

    return make


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "?"),
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1:00"),
        (60, "1:00"),
        (65.4, "1:05"),
        (3599.6, "1:00:00"),
        (7380, "2:03:00"),
        (95 * 3600, "95:00:00"),
        (96 * 3600, "4 days"),
        (5_018_847, "58 days"),
    ],
)
def test_seconds_are_written_for_a_person(seconds, text):
    assert clock(seconds) == text


def test_a_run_is_called_by_method_data_noise_and_seed(plan):
    assert label(plan("ce", seeds=(3,))[0]) == "ce on digits symmetric:0.5 seed 3"


def test_the_time_left_is_by_epochs_and_networks_done(heard, tmp_path):
    shown = heard()
    ce, co_teaching = shown.runs
    assert shown.left() is None
    shown.started(ce, CPU)
    shown.at[0] += 6
    shown.ended(ce, Outcome(ce.run_id, State.DONE))
    assert shown.done_cost() == (3, 6)
    assert shown.left() == 12  # 2 s a unit, two networks for three epochs
    shown.started(co_teaching, CPU)
    folder = Store(tmp_path).run(co_teaching.run_id)
    folder.path.mkdir(parents=True)
    folder.save_checkpoint(2, b"state")
    assert shown.done_cost() == (3, 6)
    shown.look()
    assert shown.done_cost() == (7, 2)
    Heartbeat(folder.path).finished(3)  # of which no checkpoint is on disk yet
    shown.look()
    assert shown.done_cost() == (9, 0)


def test_the_time_left_is_no_less_than_that_of_the_slowest_run(heard, tmp_path):
    shown = heard()
    ce, co_teaching = shown.runs
    shown.started(co_teaching, CPU)
    shown.at[0] += 90
    shown.started(ce, CPU)
    shown.at[0] += 10
    folder = Store(tmp_path).run(co_teaching.run_id)
    folder.path.mkdir(parents=True)
    Heartbeat(folder.path).finished(1)
    shown.look()
    shown.ended(ce, Outcome(ce.run_id, State.DONE))
    assert shown.done_cost() == (5, 4)
    assert shown.left() == 200  # 100 s an epoch, two of them left; by the mean of all it were 80


@pytest.mark.parametrize("state", [State.FAILED, State.DIVERGED, State.INTERRUPTED])
def test_epochs_that_a_run_will_never_train_are_neither_done_nor_left(heard, state):
    shown = heard()
    ce = shown.runs[0]
    shown.started(ce, CPU)
    shown.at[0] += 1
    shown.ended(ce, Outcome(ce.run_id, state))
    assert shown.done_cost() == (0, 6)
    assert shown.left() is None


def test_a_resumed_run_counts_what_is_left_of_it(heard, tmp_path):
    ce = heard().runs[0]
    folder = Store(tmp_path).run(ce.run_id)
    folder.path.mkdir(parents=True)
    folder.save_checkpoint(2, b"state")
    assert heard().done_cost() == (0, 1 + 6)


def test_the_counts_add_up_to_the_suite(heard):
    shown = heard(done_before=5)
    ce, co_teaching = shown.runs
    assert shown.counts() == none_yet() | {"done": 5}
    shown.started(ce, CPU)
    assert shown.counts() == none_yet() | {"done": 5, "running": 1, "waiting": 1}
    shown.requeued(ce)
    assert shown.counts() == none_yet() | {"done": 5}
    shown.started(ce, CPU)
    shown.ended(ce, Outcome(ce.run_id, State.DIVERGED))
    shown.started(co_teaching, CPU)
    shown.ended(co_teaching, Outcome(co_teaching.run_id, State.FAILED, "error", "it fails"))
    assert shown.counts() == {"done": 6, "running": 0, "waiting": 0, "failed": 1, "diverged": 1}
    assert ", 1 of those done DIVERGED (NaN or infinite); 2 worked on" in shown.summary()


def test_a_run_that_went_again_on_another_device_counts_once_by_its_last_outcome(heard):
    shown = heard()
    ce, co_teaching = shown.runs
    for state in (State.FAILED, State.DONE):
        shown.started(ce, CPU)
        shown.ended(ce, Outcome(ce.run_id, state))
    assert shown.counts() == none_yet() | {"done": 1, "waiting": 1}
    assert shown.done_cost() == (3.0, 6.0)
    shown.started(co_teaching, CPU)
    shown.ended(co_teaching, Outcome(co_teaching.run_id, State.DONE))
    assert shown.counts() == none_yet() | {"done": 2, "waiting": 0}
    assert shown.done_cost() == (9.0, 0.0)


def test_an_interrupted_run_is_not_finished_and_not_failed(heard):
    shown = heard()
    shown.ended(shown.runs[0], Outcome(shown.runs[0].run_id, State.INTERRUPTED))
    assert shown.counts() == none_yet()
    assert shown.summary().startswith("0 runs done, 0 failed, 2 not finished; 1 worked on in")


def test_without_a_terminal_each_run_is_a_plain_line(heard):
    stream = io.StringIO()
    shown = heard(stream, done_before=1)
    ce, co_teaching = shown.runs
    with shown:
        for run, outcome in (
            (ce, Outcome(ce.run_id, State.DONE, seconds=6.0)),
            (co_teaching, Outcome(co_teaching.run_id, State.FAILED, "error", "ValueError: [bold]no[/]\n\x1b[2J", 2.0)),
        ):
            shown.started(run, CPU)
            shown.at[0] += 6
            shown.ended(run, outcome)
    assert stream.getvalue().splitlines() == [
        "[2/3] done ce on digits symmetric:0.5 seed 0 in 6.0 s, 12.0 s left",
        "[3/3] failed co_teaching on digits symmetric:0.5 seed 0 in 2.0 s: ValueError: [bold]no[/] \\x1b[2J",
        "2 runs done, 1 failed, 0 not finished; 2 worked on in 12.0 s",
    ]


def test_the_display_names_what_is_running_where_and_how_far(heard, tmp_path):
    shown = heard(done_before=1)
    ce, co_teaching = shown.runs
    shown.started(co_teaching, Slot("1", 0))
    shown.at[0] += 65
    assert shown.display().plain.splitlines() == [
        f"{'━' * 10}{'╌' * 20} 1/3  ? left",
        "  1 done, 1 running, 1 waiting, 0 failed",
        "  cuda:1  1 run",
        "  cuda:1  epoch 0/3  1:05 so far  co_teaching on digits symmetric:0.5 seed 0",
    ]
    folder = Store(tmp_path).run(co_teaching.run_id)
    folder.path.mkdir(parents=True)
    Heartbeat(folder.path).finished(1)
    shown.look()
    shown.started(ce, CPU)
    assert shown.display().plain.splitlines()[2:] == [
        "  cpu     1 run",
        "  cuda:1  1 run",
        "  cuda:1  epoch 1/3  2:10 left     co_teaching on digits symmetric:0.5 seed 0",
        "  cpu     epoch 0/3  0.0 s so far  ce on digits symmetric:0.5 seed 0",
    ]


@pytest.fixture
def crowd(plan, tmp_path, monkeypatch):
    """A thousand runs, all going on, on a hundred devices: a clock that stands still, and which folders are read."""
    monkeypatch.setattr(progress.time, "monotonic", lambda: 100.0)
    runs = plan("ce", seeds=range(1000), epochs=200)
    shown = Progress(Store(tmp_path), runs, 0, Terminal())
    for number, run in enumerate(runs):
        shown.started(run, Slot(str(number % 100), number // 100))
    looked = []
    read = heartbeat.read
    monkeypatch.setattr(heartbeat, "read", lambda folder: looked.append(folder.name) or read(folder))
    return shown, looked


def test_a_thousand_running_runs_do_not_fill_the_screen(crowd, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    shown, _ = crowd
    shown.gauges.watch = lambda: None
    shown.console = progress.Console(file=Terminal(), width=60, height=60)
    text = shown.display().plain.splitlines()
    assert len(text) == 2 + DEVICES + 1 + RUNS + 1
    assert [line.split()[0] for line in text[2 : 2 + DEVICES]] == [f"cuda:{number}" for number in range(DEVICES)]
    assert text[1] == "  0 done, 1000 running, 0 failed"
    assert text[2 + DEVICES] == f"  and {100 - DEVICES} more devices"
    assert text[-1] == "  and 988 more running"
    with shown.console.capture() as capture:
        shown.console.print(shown.display())
    assert max(map(len, capture.get().splitlines())) <= 60
    shown.console = progress.Console(file=Terminal(), width=60, height=24)
    assert len(shown.display().plain.splitlines()) == 2 + 4 + 1 + 6 + 1


def test_a_refresh_looks_at_some_of_the_running_runs_in_turn_and_at_no_other(crowd):
    shown, looked = crowd
    ended = shown.runs[0]
    shown.ended(ended, Outcome(ended.run_id, State.DONE))
    for _ in range(2):
        shown.look()
    assert looked == [run.run_id for run in shown.runs[1 : 1 + 2 * LOOKS]]
    for _ in range(14):
        shown.look()
    assert set(looked) == {run.run_id for run in shown.runs[1:]}


def test_a_refresh_of_a_thousand_running_runs_takes_a_few_milliseconds(crowd):
    shown, _ = crowd
    began = progress.time.perf_counter()
    for _ in range(5):
        shown.look()
        shown.display()
    assert (progress.time.perf_counter() - began) / 5 < 0.1  # seconds; a tenth of it on an idle core


def test_what_nvidia_smi_tells_of_a_gpu_stands_beside_its_runs(heard, monkeypatch):
    rows = [["0", "GPU-aa11", "40960", "81920", "97"], ["10", "GPU-bb22", "1024", "81920", "[N/A]"], ["No devices"]]
    monkeypatch.setattr(gauges, "query", lambda fields: [*rows, ["2", "MIG-cc33", "[N/A]", "[N/A]", "[N/A]"]])
    shown = heard(Terminal())
    shown.gauges._seen = gauges.look()
    shown.gauges.watch = lambda: None
    shown.started(shown.runs[0], Slot("0", 0))
    shown.started(shown.runs[1], Slot("GPU-bb", 0))
    text = shown.display().plain.splitlines()
    assert text[2:4] == [
        "  cuda:0       1 run    40.0 of 80.0 GB   97 % busy",
        "  cuda:GPU-bb  1 run     1.0 of 80.0 GB",
    ]
    assert [shown.gauges.of(name) for name in ("1", "2", "MIG-cc33", "GPU-aa11")] == [
        None,
        None,
        None,
        Gauge(40.0, 80.0, 97),
    ]


def test_a_driver_that_hangs_holds_nothing_up(monkeypatch):
    asked, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(gauges, "query", lambda fields: asked.set() or (go_on.wait(30) and []))
    watched = Gauges()
    watched.watch()
    watched.watch()
    assert asked.wait(10)
    assert watched.of("0") is None
    watched.stop()
    go_on.set()
    watched._thread.join(10)
    assert not watched._thread.is_alive()


def test_on_a_terminal_only_failures_leave_a_line(heard, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    shown = heard(stream)
    ce, co_teaching = shown.runs
    with shown:
        shown.started(ce, CPU)
        shown.ended(ce, Outcome(ce.run_id, State.DONE))
        shown.ended(co_teaching, Outcome(co_teaching.run_id, State.FAILED, "error", "it fails", 1.0))
    assert "[1/2] done" not in stream.getvalue()
    assert "[2/2] failed co_teaching on digits symmetric:0.5 seed 0 in 1.0 s: it fails" in stream.getvalue()


def test_a_failure_is_one_line_of_a_terminal_however_much_it_says(heard, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "70")
    stream = Terminal()
    shown = heard(stream)
    with shown:
        shown.ended(shown.runs[0], Outcome(shown.runs[0].run_id, State.FAILED, "error", "it fails " * 30, 1.0))
    (line,) = (line for line in stream.getvalue().splitlines() if "it fails" in line)
    assert line.rstrip().endswith("…")
    assert len(line.partition("[1/2]")[2]) < 70
