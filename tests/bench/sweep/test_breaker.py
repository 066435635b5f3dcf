"""When failures say that a device is at fault, when that everything is, and when that a method is broken."""

import pytest

from bench.sweep.supervision import breaker
from bench.sweep.supervision.breaker import Breaker, Trial, Verdict

NOTHING = Verdict()
SAID = "3 runs in a row failed within 60 s (error)"


@pytest.fixture
def now(monkeypatch):
    """A clock that stands still until it is set."""
    time = [1000.0]
    monkeypatch.setattr(breaker.time, "monotonic", lambda: time[0])
    return time


def trial(name: str) -> Trial:
    """The run "a1" is that of method "a" and seed 1; "a1:b" has other noise than "a1"."""
    run, _, noise = name.partition(":")
    return Trial(name, run.rstrip("0123456789"), noise)


def fail(breaker: Breaker, device: str, *names: str, failure: str = "error", several: bool = True) -> list[Verdict]:
    return [breaker.failed(trial(name), device, failure, several) for name in names]


def test_f18_a_device_on_which_runs_of_several_methods_fail_is_retired_and_they_are_tried_elsewhere_once(now):
    breaker = Breaker(["cuda:0", "cuda:1"])
    first, second, third = fail(breaker, "cuda:0", "a1", "a2", "b1")
    assert first == second == NOTHING
    text = f"cuda:0 is retired: {SAID}; other devices go on, and try those runs once more"
    assert third == Verdict((("cuda:0", text),))
    assert breaker.elsewhere() == {"a1", "a2", "b1"}
    assert breaker.elsewhere() == set()
    # a run of its other slot that fails later
    assert fail(breaker, "cuda:0", "b2") == [NOTHING]
    assert breaker.elsewhere() == {"b2"}
    # what fails elsewhere too is to blame itself, and is not tried a third time
    assert fail(breaker, "cuda:1", "a1", "a2", "b1", "b2") == [NOTHING] * 4
    assert breaker.elsewhere() == set()


def test_the_last_device_is_not_retired_but_stops_the_sweep_with_one_message(now):
    breaker = Breaker(["cuda:0", "cuda:1"])
    assert fail(breaker, "cuda:0", "a1", "b1", "a2")[-1].retired
    assert fail(breaker, "cuda:1", "b2", "a3", "b3")[-1] == Verdict((), f"stopped: {SAID} on each of 2 devices")
    assert fail(Breaker(["cpu", "cpu"]), "cpu", "a1", "b1", "a2")[-1] == Verdict((), f"stopped: {SAID}")


def test_one_broken_method_among_several_retires_nothing_and_stops_nothing(now):
    breaker = Breaker(["cuda:0", "cuda:1"])
    names = [f"a{seed}" for seed in range(40)]
    assert fail(breaker, "cuda:0", *names) == [NOTHING] * 40
    assert breaker.done(trial("b1"), "cuda:1", True) == NOTHING
    assert breaker.done(trial("a1:other noise"), "cuda:1", True) == NOTHING
    assert breaker.elsewhere() == set()


def test_a_sweep_of_one_method_is_stopped_by_it(now):
    assert fail(Breaker(["cpu"]), "cpu", "a1", "a2", "a3", several=False)[-1] == Verdict((), f"stopped: {SAID}")


def test_a_run_that_is_done_elsewhere_shows_that_the_device_which_fails_its_other_seeds_is_dead(now):
    breaker = Breaker(["cuda:0", "cuda:1"])
    fail(breaker, "cuda:0", "a1", "a2", "a3", "a4")
    now[0] += 5000
    ((device, _),) = breaker.done(trial("a5"), "cuda:1", True).retired
    assert device == "cuda:0"
    assert breaker.elsewhere() == {"a1", "a2", "a3", "a4"}
    # and in the other order
    breaker = Breaker(["cuda:0", "cuda:1"])
    breaker.done(trial("a5"), "cuda:1", True)
    assert [bool(verdict.retired) for verdict in fail(breaker, "cuda:0", "a1", "a2", "a3")] == [False, False, True]


def test_a_run_that_was_done_on_the_device_itself_shows_nothing(now):
    breaker = Breaker(["cuda:0", "cuda:1"])
    breaker.done(trial("a5"), "cuda:0", True)
    assert fail(breaker, "cuda:0", "a1", "a2", "a3") == [NOTHING] * 3


def test_failures_that_are_slow_or_of_several_classes_or_not_in_a_row_count_for_nothing(now):
    slow = Breaker(["cpu"])
    for name in ("a1", "b1", "a2", "b2"):
        assert fail(slow, "cpu", name) == [NOTHING]
        now[0] += 31
    mixed = Breaker(["cpu"])
    for name, failure in (("a1", "error"), ("b1", "error"), ("a2", "killed"), ("b2", "error"), ("a3", "error")):
        assert fail(mixed, "cpu", name, failure=failure) == [NOTHING]
    broken = Breaker(["cpu"])
    for seed in range(5):
        assert fail(broken, "cpu", f"a{seed}", f"b{seed}") == [NOTHING] * 2
        assert broken.done(trial(f"c{seed}"), "cpu", True) == NOTHING


def test_sixty_seconds_are_still_quick(now):
    breaker = Breaker(["cpu"])
    fail(breaker, "cpu", "a1", "b1")
    now[0] += 60
    assert fail(breaker, "cpu", "a2")[0].stop
