"""Many runs: whatever one of them does costs that run alone."""

from bench.sweep.records.store import State, Store
from tests.bench.sweep.drivers import classes_of, epochs_of, payloads, words


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


def test_a_run_folder_that_cannot_be_used_costs_that_run_alone(plan, launch, tmp_path):
    runs = plan("ce", seeds=(0, 1))
    (tmp_path / "results" / "runs" / runs[0].run_id / "log.txt").mkdir(parents=True)
    outcomes = launch(runs)
    assert [outcome.state for outcome in outcomes] == [State.FAILED, State.DONE]
    assert "Is a directory" in outcomes[0].message
    assert Store(tmp_path / "results").run(runs[0].run_id).state() is State.FAILED


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


def test_records_that_cannot_be_kept_cost_that_run_alone(plan, launch, tmp_path):
    broken, good = plan("ce", seeds=(0, 1))
    folder = Store(tmp_path / "results").run(broken.run_id)
    folder.path.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (folder.path / "attempts").symlink_to(tmp_path / "elsewhere")
    outcomes = launch([broken, good])
    assert [outcome.state for outcome in outcomes] == [State.FAILED, State.DONE]
