"""`report` of runs that were really made: what it writes, what it refuses, and that its commands mean these runs."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import cli
from bench.findings import gathering, tabulating
from bench.fingerprint import ROOT
from bench.sweep.planning.selection import planned
from bench.sweep.records.store import Store

TORCHLESS = "import sys; sys.modules['torch'] = sys.modules['torchvision'] = None; from bench.cli import main; "


@pytest.fixture(autouse=True)
def _nothing_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def report(trained: Path, suite: list[str], say, tmp_path) -> Callable[..., str]:
    """Write the report of the suite, which must end well, and return the page."""

    def written(*more: str) -> str:
        code, _, error = say("report", *suite, "--results", trained, "--out", tmp_path / "page.html", *more)
        assert (code, error) == (0, "")
        return (tmp_path / "page.html").read_text(encoding="utf-8")

    return written


def commands(page: str) -> list[str]:
    """The commands that a page prints for cells, as a person would copy them."""
    return [html.unescape(text) for text in re.findall(r"<td><code>(python .*?)</code></td>", page)]


def meant(command: str) -> set[str]:
    """The runs that a command of a page plans."""
    first, second, *words = shlex.split(command)
    assert [first, second] == ["python", "run_bench.py"]
    return {run.run_id for run in planned(cli.parser().parse_args(words))[1]}


def test_the_report_is_written_beside_the_table_without_torch_and_is_the_same_again(trained, suite):
    words = ["report", *suite, "--results", str(trained)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    texts = []
    for _ in range(2):
        code = TORCHLESS + "sys.exit(main(sys.argv[1:]))"
        done = subprocess.run([sys.executable, "-c", code, *words], env=environment, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        path, size = done.stdout.decode().split()[0], done.stdout.decode().split()[1:]
        texts.append(Path(path).read_bytes())
        assert size == [f"{len(texts[-1]) / 1e3:.0f}", "kB"]
    assert Path(path).name == "report.html"
    assert Path(path).parent.parent == trained / "tables"
    assert texts[0] == texts[1]
    assert b"http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'sha256-" in texts[0]
    assert not re.search(rb"\b(?:src|href)=[\"'](?!data:|#)", texts[0])


def test_every_number_of_every_table_and_every_note_is_in_the_page(report, trained, suite):
    page = report()
    chosen, runs = planned(cli.parser().parse_args(["table", *suite, "--results", str(trained)]))
    found = gathering.gather(Store(trained), chosen, runs)
    for rule in ("last", "last10", "noisy_val", "clean_val", "oracle"):
        for head in ("headline", "ensemble", "net1", "net2"):
            table = tabulating.table_of(found, rule, head, "ce")
            variant = page.split(f'data-name="{rule} {head}"')[1].split('<div class="variant"')[0]
            shown = re.findall(r'<td class="(?:plain|marked)"[^>]*>([^<]*)</td>', variant)
            columns = [cells for _, _, cells in table.placed()]  # mean ranks, too
            assert shown == [cell.text for cells in zip(*columns, strict=True) for cell in cells]
            assert (">mean rank</th>" in variant) == bool(table.extras)
            notes = [html.unescape(text) for text in re.findall(r"<li>([^<]*)</li>", variant.split("</section>")[0])]
            assert notes == list(table.notes)
    assert page.count("An oracle: the epoch of every number below was chosen on the test labels.") == 4
    assert page.count('<div class="variant"') == 20
    assert 'data-name="last headline">' in page  # the one that is not hidden
    assert page.count("hidden>") == 19


def test_the_rule_and_head_asked_for_are_shown_first(report):
    page = report("--rule", "oracle", "--head", "ensemble")
    assert 'data-name="oracle ensemble">' in page
    assert '<option value="oracle" selected>' in page
    assert '<option value="ensemble" selected>' in page


def test_each_cell_has_a_command_that_plans_its_runs(report, runs):
    found = [meant(command) for command in commands(report())]
    assert len(found) == 4
    assert all(len(ids) == 2 for ids in found)
    assert set.union(*found) == {run.run_id for run in runs}


def test_everything_in_a_folder_has_commands_found_from_the_records(trained, runs, say, tmp_path):
    unusual = [
        "--dataset",
        "digits",
        "--noise",
        "symmetric:0.3",
        "--methods",
        "elr",
        "--seeds",
        "3",
        "--noise-seed",
        "7",
    ]
    unusual += [
        "--epochs",
        "2",
        "--train-limit",
        "64",
        "--set",
        "trace_samples=32",
        "optimizer.lr=0.01",
        "elr.beta=0.6",
    ]
    (run,) = planned(cli.parser().parse_args(["run", *unusual, "--results", str(trained)]))[1]
    Store(trained).run(run.run_id).path.mkdir()
    Store(trained).run(run.run_id).write_config(run.config.to_dict())
    page = tmp_path / "page.html"
    assert say("report", "--everything", "--results", trained, "--out", page)[0] == 0
    text = page.read_text(encoding="utf-8")
    found = [meant(command) for command in commands(text)]
    assert sorted(map(len, found)) == [1, 2, 2, 2, 2]
    assert set.union(*found) == {run.run_id, *(run.run_id for run in runs)}
    assert "8 of 9 runs have a number" in text


def test_what_the_records_say_of_their_making_is_in_the_page(report, trained, runs):
    page = html.unescape(report())
    record = json.loads((trained / "runs" / runs[0].run_id / "result.json").read_bytes())
    (start,) = record["provenance"]["attempts"]
    for text in (start["host_hash"], start["torch"], start["cpu"]["kernels"], start["system"], start["commit"]):
        assert text in page
    assert f"digest {record['payload']['dataset_digest']}" in page
    assert "<h3>8 runs</h3>" in page
    listed = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    row = next(row for row in listed["runs"] if row[8] == runs[0].run_id)
    assert row[5] == [f"{record['provenance']['seconds']:.1f}", round(record["provenance"]["seconds"], 4)]
    assert row[9] == record["payload"]["noise_id"]


def test_the_checklist_says_what_is_known_and_what_is_not(report):
    page = html.unescape(report())
    asked = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page.split('<section id="checklist">')[1]))
    assert asked["Number of runs"] == "8 planned, 8 with a number (8 done)"
    assert asked["Runs of each cell"] == "2"
    assert asked["Energy"] == "not known from the records"
    assert asked["How hyper-parameters were chosen"] == (
        "preset uniform. Which search came before that is not known from the records"
    )
    assert asked["Definition of the number"] == "test accuracy after the last epoch; head: headline"
    assert asked["Clean labels used for selection"] == "no"
    assert asked["Data left out"] == "only the first or drawn samples were used: train 64, test 100"


def test_a_damaged_result_stops_the_report_unless_it_is_allowed(report, trained, suite, runs, say, tmp_path):
    path = trained / "runs" / runs[0].run_id / "result.json"
    path.write_bytes(path.read_bytes()[:-40])
    page = tmp_path / "page.html"
    code, out, error = say("report", *suite, "--results", trained, "--out", page)
    assert (code, out, page.exists()) == (3, "", False)
    assert error == (
        f"{path}: sha256 does not match the record\n"
        "no report: `run` sets damaged results aside and trains these runs again\n"
    )
    text = html.unescape(report("--allow-incomplete"))
    assert "7 of 8 runs have a number" in text
    assert f"<li>{path}: sha256 does not match the record</li>" in text
    assert '<li class="corrupt"><b>1</b> damaged</li>' in text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--head", "net9"], "head must be one of ensemble, headline, net1, net2; got 'net9'"),
        (["--baseline", "dmll"], "unknown baseline 'dmll'; did you mean 'dml'?"),
        (["--out", "."], "--out must be a file, and . is a folder"),
        (
            ["--everything"],
            "--everything takes all runs of the results folder; leave out --methods, "
            "--dataset, --noise, --seeds, --epochs, --train-limit, --test-limit, --set",
        ),
    ],
)
def test_what_makes_no_sense_is_one_line_and_writes_nothing(trained, suite, say, more, said):
    code, out, error = say("report", *suite, "--results", trained, *more)
    assert (code, out, error) == (2, "", f"run_bench.py report: {said}\n")
    assert not list(trained.rglob("report.html"))


def test_no_finished_run_is_one_line(suite, say, tmp_path):
    code, out, error = say("report", *suite, "--results", tmp_path / "none")
    assert (code, out) == (2, "")
    assert re.fullmatch(r"run_bench.py report: no run of '.*' is done under .*/none: nothing to report\n", error)
    assert not (tmp_path / "none").exists()
