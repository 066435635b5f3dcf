"""What a person is told while a sweep goes on."""

import io

import pytest

from bench.sweep import progress
from bench.sweep.devices import Slot
from bench.sweep.executor import Outcome
from bench.sweep.progress import Progress, clock, label
from bench.sweep.store import State, Store

CPU = Slot(None, 0)


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
    assert shown.done_cost() == (7, 2)


def test_a_resumed_run_counts_what_is_left_of_it(heard, tmp_path):
    ce = heard().runs[0]
    folder = Store(tmp_path).run(ce.run_id)
    folder.path.mkdir(parents=True)
    folder.save_checkpoint(2, b"state")
    assert heard().done_cost() == (0, 1 + 6)


def test_the_counts_add_up_to_the_suite(heard):
    shown = heard(done_before=5)
    ce, co_teaching = shown.runs
    assert shown.counts() == {"done": 5, "running": 0, "failed": 0, "waiting": 2}
    shown.started(ce, CPU)
    assert shown.counts() == {"done": 5, "running": 1, "failed": 0, "waiting": 1}
    shown.ended(ce, Outcome(ce.run_id, State.DIVERGED))
    shown.started(co_teaching, CPU)
    shown.ended(co_teaching, Outcome(co_teaching.run_id, State.FAILED, "error", "it fails"))
    assert shown.counts() == {"done": 6, "running": 0, "failed": 1, "waiting": 0}


def test_an_interrupted_run_is_not_finished_and_not_failed(heard):
    shown = heard()
    shown.ended(shown.runs[0], Outcome(shown.runs[0].run_id, State.INTERRUPTED))
    assert shown.counts() == {"done": 0, "running": 0, "failed": 0, "waiting": 2}
    assert shown.summary().startswith("0 runs done, 0 failed, 2 not finished; 1 worked on in")


def test_without_a_terminal_each_run_is_a_plain_line(heard):
    stream = io.StringIO()
    shown = heard(stream, done_before=1)
    ce, co_teaching = shown.runs
    with shown:
        for run, outcome in (
            (ce, Outcome(ce.run_id, State.DONE, seconds=6.0)),
            (co_teaching, Outcome(co_teaching.run_id, State.FAILED, "error", "ValueError: [bold]no[/]", 2.0)),
        ):
            shown.started(run, CPU)
            shown.at[0] += 6
            shown.ended(run, outcome)
    assert stream.getvalue().splitlines() == [
        "[2/3] done ce on digits symmetric:0.5 seed 0 in 6.0 s, 12.0 s left",
        "[3/3] failed co_teaching on digits symmetric:0.5 seed 0 in 2.0 s: ValueError: [bold]no[/]",
        "2 runs done, 1 failed, 0 not finished; 2 worked on in 12.0 s",
    ]


def test_the_display_names_what_is_running_where_and_how_far(heard, tmp_path):
    shown = heard(done_before=1)
    co_teaching = shown.runs[1]
    shown.started(co_teaching, Slot("1", 0))
    text = shown.display().plain.splitlines()
    assert text[0].endswith("1/3 done, 1 running, 0 failed, ? left")
    assert text[1] == "  cuda:1  co_teaching on digits symmetric:0.5 seed 0  epoch 0/3"


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
