"""`compare`: one method against others, from finished runs and from runs that it starts."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.fingerprint import ROOT
from bench.sweep.planning.grid import Planned
from bench.sweep.records.store import RunFolder, State, Store

SETTING = ["--dataset", "digits", "--seeds", "0-1", "--epochs", "2", "--train-limit", "64", "--test-limit", "100"]
SETTING += ["--set", "trace_samples=32"]
NOISE = ["--noise", "symmetric:0.5", "pairflip:0.2"]
MINE = '''"""Mine: cross entropy with a constant weight."""

from dataclasses import dataclass

from methods import LossMethod, Step
from methods.losses import cross_entropy


@dataclass(eq=False)
class Mine(LossMethod):
    """Weigh the loss."""

    weight: float = 2.0  # of the loss

    def losses(self, logits, batch, clock):
        return Step(self.weight * cross_entropy(logits.log_softmax(-1), batch.y).mean(-1))


class Nothing:
    """No method at all."""
'''


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


@pytest.fixture
def done(say: Callable[..., tuple[int, str, str]], trained: Path) -> Callable[..., tuple[int, str, str]]:
    """Compare what is done already in the shared small suite."""
    return lambda *words: say("compare", *words, *NOISE, *SETTING, "--results", trained, "--only-compare")


def flat(text: str) -> str:
    """A text as if the terminal had been as wide as it takes."""
    return re.sub(r"\s+", " ", text)


def test_the_verdict_comes_first_then_the_table_then_the_notes(done, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, err = done("dml", "--against", "ce")
    assert (code, err) == (0, "")
    first, *rest = out.splitlines()
    assert re.fullmatch(
        r"dml against ce: better on (none|[12]) of 2 settings, (not separable on [12], )?worse on (none|[12]); "
        r"2\.0x the cost in forward passes",
        first,
    )
    assert "setting         ours   theirs" not in first
    rows = [line for line in rest if line.startswith(("symmetric 50%", "pairflip 20%"))]
    assert len(rows) == 4  # what was found, and what the seeds could show
    assert "new seeds and new images" in out
    said = flat(out)
    assert "all 2 settings together: " in said
    assert (
        "Wilcoxon: cannot reach 0.05 at n = 2 (its smallest p is 0.5); 2 settings on 1 data set, and settings of"
        in said
    )
    assert "p: of that test, after Holm's correction over all 2 comparisons" in said
    assert "- number: test accuracy after the last epoch, in %; mean over a method's networks" in said
    assert "n = 2: a paired t test finds, 4 times in 5, a true difference of" in said
    assert "- new seeds and new images: 95 %, by t, for other seeds and other test images; on the wide side" in said


def test_numbers_are_those_of_the_records(done, trained, runs):
    document = json.loads(done("dml", "--against", "ce", "--json")[1])
    assert (document["method"], document["against"], document["exit"], document["tests"]) == ("dml", ["ce"], 0, 2)
    (comparison,) = document["comparisons"]
    for setting, text in zip(comparison["settings"], ("symmetric:0.5", "pairflip:0.2"), strict=True):
        ours, theirs = ([accuracy(trained, run) for run in own(runs, name, text)] for name in ("dml", "ce"))
        assert setting["ours"] == pytest.approx(sum(ours) / 2)
        assert setting["difference"] == pytest.approx(sum(ours) / 2 - sum(theirs) / 2)
        ids = zip(own(runs, "dml", text), own(runs, "ce", text), strict=True)
        assert setting["runs"] == [[one.run_id, two.run_id] for one, two in ids]
        assert setting["new_images"][0] <= setting["difference"] <= setting["new_images"][1]
    assert comparison["passes_ratio"] == pytest.approx(2, abs=0.1)
    assert [document["costs"][name]["networks"] for name in ("dml", "ce")] == [[2], [1]]
    assert all(cost["hours"] > 0 and cost["runs"] == 4 for cost in document["costs"].values())


def told(value: float | None, form: str = ".2f") -> str:
    return "–" if value is None else format(value, form)


def test_the_text_has_the_numbers_of_the_document(done, monkeypatch):
    monkeypatch.setenv("COLUMNS", "240")
    lines = done("dml", "--against", "ce")[1].splitlines()
    document = json.loads(done("dml", "--against", "ce", "--json")[1])
    (comparison,) = document["comparisons"]
    for setting in comparison["settings"]:
        test, limits = (re.split("  +", line) for line in lines if line.startswith(setting["setting"]))
        means = [told(setting[side]) for side in ("ours", "theirs")]
        interval = [f"{told(setting['low'])} to {told(setting['high'])}" if setting["p"] is not None else "–"]
        rest = [str(setting["n"]), told(setting["adjusted"], ".2g"), setting["verdict"]]
        assert test[1:] == [*means, told(setting["difference"], "+.2f"), *interval, *rest]
        points = f"{told(setting['detectable'])} points" if setting["detectable"] < 100 else "none below 100"
        needed = "more than anybody runs" if setting["seeds_needed"] is None else f"{setting['seeds_needed']:,}"
        low, high = setting["new_images"]
        assert limits[1:] == [points, needed, f"{low:.2f} to {high:.2f}"]
    over_seeds, whole = comparison["together"]["over_seeds"], comparison["together"]
    assert any(
        f"together: {over_seeds['difference']:+.2f} points, {over_seeds['low']:.2f} to " in line for line in lines
    )
    low, high = whole["chance_interval"]
    chance = f"with chance {whole['chance']:.2f} ({low:.2f} to {high:.2f})"
    assert f"a run of ours beats one of theirs {chance}, a mean over settings" in lines
    first = document["costs"]["dml"]
    for name, cost in document["costs"].items():
        (line,) = (re.split("  +", line) for line in lines if re.match(rf"{name}   ", line))
        passes, hours = cost["passes"] / first["passes"], cost["hours"] / first["hours"]
        ratios = [f"{ratio:.1f}x" if ratio >= 1 else f"{ratio:.2f}x" for ratio in (passes, hours)]
        networks, epochs = (str(cost[part][0]) for part in ("networks", "epochs"))
        assert line[1:5] == [networks, epochs, f"{cost['passes']:.1f}", ratios[0]]
        assert line[5:] == [f"{3600 * cost['hours']:.1f} s", ratios[1]]
    assert comparison["hours_ratio"] == pytest.approx(first["hours"] / document["costs"]["ce"]["hours"])


def own(runs: list[Planned], name: str, noise: str) -> list[Planned]:
    return [run for run in runs if (run.config.method.name, run.noise) == (name, noise)]


def accuracy(folder: Path, run: Planned) -> float:
    """Accuracy on test after the last epoch, in %, read off the record by hand: the mean over the networks."""
    payload = json.loads((folder / "runs" / run.run_id / "result.json").read_bytes())["payload"]
    last = payload["history"][-1]["heads"]
    return 100 * sum(last[head]["test"] for head in payload["headline"]) / len(payload["headline"]) / 100


@pytest.mark.parametrize(
    ("rule", "mark"), [("oracle", "by an oracle: epochs chosen on the test labels"), ("clean_val", "†")]
)
def test_a_number_chosen_by_what_nobody_knows_is_marked_in_its_verdict(done, rule, mark):
    code, out, _ = done("dml", "--against", "ce", "--rule", rule)
    assert code == 0
    assert mark in flat(out.partition("\n\n")[0])
    assert "new seeds and new images: both" not in flat(out)  # predictions are of the last epoch alone


def test_missing_runs_are_named_and_the_others_compared(done, trained, runs):
    lost = own(runs, "dml", "symmetric:0.5")[0]
    (trained / "runs" / lost.run_id / "result.json").unlink()
    code, out, _ = done("dml", "--against", "ce")
    assert code == 0
    assert "not tested on 1" in flat(out)
    assert "not tested: one shared seed" in out
    assert f"not run: 1 of 8 runs: {lost.run_id}" in flat(out)
    assert "dml against ce: runs without a partner left out (symmetric 50%: 1)" in flat(out)


@pytest.mark.parametrize("failed", [False, True], ids=["not run", "failed"])
@pytest.mark.parametrize(("lost", "more"), [(6, ""), (7, " and 1 more")])
def test_up_to_six_runs_that_are_not_there_are_named(done, trained, runs, lost, more, failed, monkeypatch):
    ids = [run.run_id for run in runs[:lost]]
    for run_id in ids:
        (trained / "runs" / run_id / "result.json").unlink()
    if failed:
        monkeypatch.setattr(RunFolder, "state", lambda folder: State.FAILED)
        monkeypatch.setattr(RunFolder, "last_failure", lambda folder: {"message": "out of memory"})
    document = json.loads(done("ce", "--against", "dml", "--json")[1])
    said = [f"{run_id} (out of memory)" if failed else run_id for run_id in ids[:6]]
    what = "failed" if failed else "not run"
    (note,) = (note for note in document["notes"] if note.startswith(("failed", "not run")))
    assert note == f"{what}: {lost} of 8 runs: {', '.join(said)}{more}"


def test_with_no_run_of_a_side_nothing_is_compared(say, trained):
    words = ["gce", "--against", "ce", *NOISE, *SETTING, "--results", trained, "--only-compare"]
    code, out, _ = say("compare", *words)
    assert code == 1
    assert out.startswith("gce against ce: nothing to compare: no run of gce is done\n")
    document = json.loads(say("compare", *words, "--json")[1])
    assert document["exit"] == 1
    assert {setting["verdict"] for setting in document["comparisons"][0]["settings"]} == {"not tested"}


def test_a_damaged_result_stops_it(done, trained, runs):
    path = trained / "runs" / runs[0].run_id / "result.json"
    path.write_bytes(path.read_bytes()[:-10])
    code, out, err = done("dml", "--against", "ce")
    assert (code, out) == (3, "")
    assert err.endswith("nothing is compared: `run` sets damaged results aside and trains these runs again\n")


def test_without_stored_predictions_the_interval_over_images_is_left_out_with_a_reason(done, trained, runs):
    for run in runs:
        for path in (trained / "runs" / run.run_id).glob("predictions-*.npy"):
            path.unlink()
    code, out, _ = done("dml", "--against", "ce")
    assert code == 0
    assert "for other seeds and other test images" not in flat(out)
    assert re.search(r"no interval over new images: run r\w+: predictions-\w+.npy is gone", flat(out))


def test_a_method_that_is_told_more_bears_a_dagger_on_whichever_side(say, tmp_path):
    words = ["--only-compare", "--results", tmp_path, *NOISE, *SETTING]
    for ours, theirs, line in (
        ("co_teaching", "ce", "co_teaching† against ce"),
        ("ce", "co_teaching", "ce against co_teaching†"),
    ):
        out = say("compare", ours, "--against", theirs, *words)[1]
        assert out.startswith(line)
        assert "† told more than the noisy labels: co_teaching: noise rate" in flat(out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ce", "--against", "ce"], "ce is to be compared with itself: leave it out of --against"),
        (["ce", "--against", "dml", "dml"], "--against names dml twice"),
        (["cee", "--against", "dml"], "unknown method 'cee'; did you mean 'ce'?"),
        (["ce", "--against", "dlm"], "unknown method 'dlm'; did you mean 'dml'?"),
        (["HERE:Mien", "--against", "ce"], "mine.py has no class 'Mien'; did you mean 'Mine'?"),
        (["HERE:Nothing", "--against", "ce"], "Nothing is not a Method; derive it from methods.LossMethod or"),
        (["HERE", "--against", "ce"], "name the class too"),
        (
            ["ce", "--against", "dml", "--head", "net9"],
            "head must be one of ensemble, headline, net1, net2; got 'net9'",
        ),
        (["ce", "--against", "dml", "--suite", "quickstrat"], "did you mean 'quickstart'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_makes_no_sense_is_refused_in_one_line(say, mine, trained, words, message):
    words = [word.replace("HERE", str(mine)) for word in words]
    setting = [] if "--suite" in words else [*NOISE, *SETTING]
    stay = [] if "Nothing" in words[0] else ["--only-compare"]  # the class is looked at before it is run
    code, out, err = say("compare", *words, *setting, *stay, "--results", trained)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err


def words_of(mine: Path, results: Path, *more: str) -> list[str]:
    words = ["compare", f"{mine}:Mine", "--against", "ce", *SETTING, "--noise", "symmetric:0.5", *more]
    return [*words, "--results", str(results), "--devices", "cpu"]


def test_a_method_of_ones_own_is_run_and_compared_and_standard_output_holds_the_document_alone(say, mine, trained):
    code, out, err = say(*words_of(mine, trained, "--json"))
    assert code == 0, err
    document = json.loads(out)
    assert document["comparisons"][0]["ours"] == "mine.Mine"
    assert (document["planned"], document["finished"]) == (4, 4)
    assert "2 worked on" in err  # those of ce were there


def test_a_dry_run_says_what_would_be_done_and_starts_nothing(say, mine, trained):
    before = sorted(Store(trained).run_ids())
    code, out, err = say(*words_of(mine, trained, "--dry-run"))
    assert (code, "mine.Mine" in out) == (0, True), err
    assert sorted(Store(trained).run_ids()) == before


@pytest.mark.slow
def test_a_run_that_fails_is_named_with_exit_code_1(say, mine, trained):
    mine.write_text(MINE.replace("return Step", "raise RuntimeError('it broke')\n        return Step"))
    code, out, _ = say(*words_of(mine, trained, "--seeds", "0"))
    assert code == 1
    assert out.startswith("mine.Mine against ce: nothing to compare: no run of mine.Mine is done\n")
    assert "failed: 1 of 2 runs: " in flat(out)
    assert "it broke" in flat(out)


@pytest.mark.slow
def test_interrupted_and_started_again_it_goes_on(mine, trained):
    mine.write_text(MINE.replace("        return Step", "        __import__('time').sleep(0.05)\n        return Step"))
    command = [sys.executable, str(ROOT / "run_bench.py"), *words_of(mine, trained)]
    command[command.index("--epochs") + 1] = "20"
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(trained.glob("runs/*/ckpt-*.pt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (75, ""), err
    assert "the same command goes on where it stopped" in err
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mine.Mine against ce: ")
