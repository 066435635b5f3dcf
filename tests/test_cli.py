"""What a person types and what comes back: one line for a mistake, the table and the progress on two streams."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import cli
from bench.arguments import LISTED, VERBS
from bench.data import datasets
from bench.sweep.planning import cost

ROOT = Path(cli.__file__).resolve().parents[1]
TINY = ["--dataset", "digits", "--noise", "symmetric:0.5", "--methods", "ce", "--seeds", "0-1", "--epochs", "2"]
TINY += ["--train-limit", "64", "--test-limit", "64", "--set", "trace_samples=32"]


def bench(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python run_bench.py ...` from another folder."""
    return subprocess.run(
        [sys.executable, str(ROOT / "run_bench.py"), *words],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def here(*words: str) -> int:
    """The same in this process, for what starts no run."""
    try:
        return cli.main(list(words))
    except SystemExit as leaving:
        return int(leaving.code or 0)


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LNBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with the results of two tiny runs, and what making them said."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, bench("run", *TINY, cwd=folder)


@pytest.mark.parametrize("words", [["--help"], ["-h"], *([verb, "--help"] for verb in VERBS)], ids=" ".join)
def test_every_verb_helps(words, capsys):
    assert here(*words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: run_bench.py")
    assert err == ""


@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["verify", "--help"], ["table", "--help"]], ids=" ".join
)
def test_help_names_every_exit_code(words, capsys):
    assert here(*words) == 0
    told = capsys.readouterr().out.rpartition("exit codes: ")[2]
    assert " ".join(told.split()) == (
        "0 all that was asked for is done; 1 some of it failed, is missing or cannot be compared; "
        "2 bad usage, or what it needs is not there; 3 a stored result is damaged; "
        "75 interrupted: the same command goes on; 130 interrupted twice, or where nothing runs."
    )


def test_help_is_there_at_once(tmp_path):
    bench("--help", cwd=tmp_path)  # compiled once
    started = time.monotonic()
    done = bench("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "exit codes: 0" in done.stdout
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--epoch", "3"], "run_bench.py run: unrecognized arguments: --epoch; did you mean --epochs?"),
        (["table", "--devices", "cpu"], "run_bench.py table: unrecognized arguments: --devices\n"),
        (["run", "--epochs", "x"], "run_bench.py run: argument --epochs: invalid int value: 'x'"),
        (
            ["run", "--per-sample", "first"],
            "run_bench.py run: argument --per-sample: invalid choice: 'first' (choose from",
        ),
        (["table", "--rule", "best"], "run_bench.py table: argument --rule: invalid choice: 'best' (choose from "),
        (["list", "method"], "run_bench.py list: argument methods|noise|datasets|networks|suites: invalid choice: "),
        (["show"], "run_bench.py show: the following arguments are required: RUN_ID"),
        (["tabel"], "run_bench.py run: unknown command or suite 'tabel'; did you mean 'table'?"),
        (["quickstrat"], "run_bench.py run: unknown suite 'quickstrat'; did you mean 'quickstart'?"),
        (["run", "table"], "run_bench.py run: the command comes first: run_bench.py table ..."),
        (["--results", "x", "status"], "run_bench.py run: the command comes first: run_bench.py status ..."),
        (["--methods", "co_teachin"], "run_bench.py run: unknown method 'co_teachin'; did you mean 'co_teaching'?"),
        (["--noise", "symetric:0.5"], "run_bench.py run: unknown noise family 'symetric'; did you mean 'symmetric'?"),
        (["--noise", "symmetric:20"], "run_bench.py run: noise rate must be in [0, 1), got 20; for 20 % write 0.2"),
        (["--noise", "symmetric"], "run_bench.py run: noise 'symmetric' has no rate; write symmetric:0.2"),
        (["--dataset", "digit", *TINY[2:]], "run_bench.py run: unknown dataset 'digit'; did you mean 'digits'?"),
        (["--network", "resnet81"], "run_bench.py run: unknown network 'resnet81'; did you mean 'resnet18'?"),
        (["--preset", "papr"], "run_bench.py run: method 'ce' has no preset 'papr'; it has uniform"),
        (["--seeds", "a"], "run_bench.py run: seeds are whole numbers or ranges such as 0-4, got 'a'"),
        (["--epochs", "0"], "run_bench.py run: epochs must be at least 1, got 0"),
        (["--val", "1"], "run_bench.py run: val must be in [0, 1), got 1.0"),
        (["--set", "epochs=inf"], "run_bench.py run: train.epochs must be a whole number, got inf"),
        (["--set", "optimizer=adam", "optimizer.lr=1"], "run_bench.py run: --set optimizer takes a table;"),
        (["--baseline", "dmll"], "run_bench.py run: unknown baseline 'dmll'; did you mean 'dml'?"),
        (["--devices", "gpu"], "run_bench.py run: --devices takes auto, cpu or cuda:0,1; got 'gpu'"),
        (["--per-device", "0"], "run_bench.py run: --per-device must be at least 1, got 0"),
        (["--methods", "nowhere.py:Mine"], "run_bench.py run: method 'nowhere.py:Mine': there is no file nowhere.py"),
        (["nowhere.toml"], "run_bench.py run: there is no suite file nowhere.toml"),
        (["show", "r123"], "run_bench.py show: no run under results with an id that starts with 'r123'"),
        (["plot"], "run_bench.py plot: no run of 'quickstart' is done under results: nothing to draw"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_f70_f74_a_mistake_is_one_line_and_2_and_nothing_is_created(words, message, empty, capsys):
    assert here(*words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message)
    assert err.count("\n") == 1
    assert list(empty.iterdir()) == []


def test_missing_data_are_one_line_that_says_what_to_do_and_nothing_is_created(empty, capsys):
    words = ["--dataset", "cifar10", *TINY[2:]]
    assert here("run", *words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("run_bench.py run: cifar10: no cifar-10-batches-py/")
    assert err.rstrip().endswith("name the right folder by --data-dir or LNBENCH_DATA, or let --download fetch it")
    assert err.count("\n") == 1
    assert str(datasets.data_folder()) in err
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('it is broken')\nclass Mine:\n    pass\n", "RuntimeError: it is broken"),
        ("class Mine:\n    pass\n", "Mine is not a Method; derive it from methods.LossMethod or methods.Method"),
        ("class Mine(:\n", "own.py line 1: invalid syntax"),
        ("class Other:\n    pass\n", "own.py has no class 'Mine'; allowed: Other"),
    ],
    ids=["raises", "no method", "syntax", "no class"],
)
def test_f74_a_broken_own_method_is_found_before_any_run_exists(source, message, empty, capsys):
    (empty / "own.py").write_text(source)
    assert here("run", *TINY, "--methods", "ce", "own.py:Mine") == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert {path.name for path in empty.iterdir()} - {"__pycache__"} == {"own.py"}


@pytest.mark.parametrize("what", LISTED)
def test_what_can_be_named_is_listed_for_people_and_for_programs(what, capsys):
    assert here("list", what, "--json") == 0
    entries = json.loads(capsys.readouterr().out)
    assert entries
    assert here("list", what) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if line[0] != " "] == [entry["name"] for entry in entries]


def test_a_dry_run_prints_every_run_and_its_cost_and_creates_nothing(empty, monkeypatch, capsys):
    monkeypatch.setattr(cost, "_probe", lambda run, slot: {"train": 0.01, "evaluate": 0.001})
    assert here("run", *TINY, "--dry-run", "--devices", "cpu", "--per-device", "1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(": 2 runs, 0 done already, 2 to do")
    assert [line.split()[:2] for line in lines[1:3]] == [["to", "do"]] * 2
    assert lines[-2] == "on cpu x 1, results in results"
    price = "about 4.7 s on 1 slot (4.7 s of one), by a few steps of each network here, just now, and the arithmetic "
    price += "of each method counted on a small set"
    assert lines[-1] == f"cost: 4 epochs of one network, {price}"  # 4 (58 * .01 + 102 * .001) + 2
    assert list(empty.iterdir()) == []


def test_the_table_goes_to_one_stream_and_the_progress_to_the_other(finished):
    _, done = finished
    assert done.returncode == 0, done.stderr
    assert "symmetric 50%" in done.stdout
    assert "(2)" in done.stdout
    assert "done ce on digits" not in done.stdout
    assert "[2/2] done ce on digits symmetric:0.5 seed" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("2 runs done, 0 failed, 0 not finished; 2 worked on in")
    assert "symmetric 50%" not in done.stderr


def test_status_tells_people_and_programs_how_far_a_suite_is(finished, monkeypatch, capsys):
    folder, _ = finished
    monkeypatch.chdir(folder)
    more = [*TINY, "--seeds", "0-2"]
    assert here("status", *more) == 0
    assert "\n  1 planned, 2 done\n" in capsys.readouterr().out
    assert here("status", *more, "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["counts"] == {"done": 2, "planned": 1}
    assert [run["state"] for run in data["runs"]] == ["done", "done", "planned"]
    assert data["runs"][0]["what"] == "ce symmetric:0.5 seed 0"


@pytest.mark.parametrize("form", ["csv", "md", "tex", "json"])
def test_a_table_in_another_format_is_that_format_alone(finished, monkeypatch, capsys, form):
    folder, _ = finished
    monkeypatch.chdir(folder)
    assert here("table", *TINY, "--format", form) == 0
    out, err = capsys.readouterr()
    assert err == ""
    start = {"csv": '"row",', "md": "- dataset: digits", "tex": r"% \usepackage{booktabs}", "json": "{"}[form]
    assert out.startswith(start)
    if form == "json":
        assert json.loads(out)["rows"][0]["cells"][0]["n"] == 2
    else:
        (stored,) = folder.glob(f"results/tables/*/accuracy.{form}")
        assert stored.read_text() == out


def test_show_takes_the_first_letters_of_a_run(finished, monkeypatch, capsys):
    folder, _ = finished
    monkeypatch.chdir(folder)
    first, second = sorted(path.name for path in (folder / "results" / "runs").iterdir())
    assert here("show", first[:8]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{first}  done  results/runs/{first}\n")
    assert "attempt 1 on " in out
    assert re.search(
        r"^  net1     fits right labels [\d.]+ %, wrong ones [\d.]+ %, recovers [\d.]+ %; "
        r"calibration error [\d.]+ %; nll \d\.\d{3}$",
        out,
        flags=re.M,
    )
    assert here("show", second[:8], "--json") == 0
    assert json.loads(capsys.readouterr().out)["payload"]["run_id"] == second
    assert here("show", "r") == 2
    assert capsys.readouterr().err == ("run_bench.py show: 2 runs under results with an id that starts with 'r'\n")


def test_a_finished_run_is_not_trained_again_for_its_table_and_one_line_says_so(finished, monkeypatch, capsys):
    folder, _ = finished
    monkeypatch.chdir(folder)
    runs = sorted(path.name for path in (folder / "results" / "runs").iterdir())
    before = {path: path.stat().st_mtime_ns for path in (folder / "results" / "runs").rglob("*")}
    for words in ([], ["--dry-run"]):
        assert here("run", *TINY, "--per-sample", "last", *words) == 0
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("--per-sample last: 2 finished runs have no such table, and only training makes one: ")
        assert all(run in line for run in runs)
    assert {path: path.stat().st_mtime_ns for path in (folder / "results" / "runs").rglob("*")} == before


@pytest.mark.parametrize("buffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_reader_that_leaves_early_gets_no_traceback(tmp_path, buffered):
    command = [sys.executable, str(ROOT / "run_bench.py"), "list", "datasets"]
    # so short a text, if buffered, is written only as the interpreter ends
    environment = {**os.environ, "PYTHONUNBUFFERED": buffered}
    reader, writer = os.pipe()
    os.close(reader)  # `| head -1` that has already seen enough
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_f7_ctrl_c_before_any_run_is_one_word_and_130(monkeypatch, capsys):
    from bench.commands import status

    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(status, "main", interrupted)
    assert here("status") == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_results_that_cannot_be_written_are_one_line_and_2(empty, capsys):
    (empty / "results").write_text("a file")
    assert here("run", *TINY) == 2
    err = capsys.readouterr().err
    assert err == "run_bench.py run: cannot write results to results: File exists\n"
