"""What a table, a spreadsheet or a page makes of records that are missing, doubled, misplaced or damaged."""

import csv
import io
import json
import shutil
from xml.etree import ElementTree

import pandas as pd
import pytest

from bench.evidence import plots
from bench.evidence.tables import accuracies, accuracy_table, to_csv, to_latex, to_markdown
from bench.sweep.records.store import State, Store
from tests.faults.conftest import contents

TINY = ["--dataset", "digits", "--noise", "symmetric:0.5", "--methods", "ce", "--seeds", "0-1", "--epochs", "1"]
TINY += ["--train-limit", "64", "--test-limit", "64", "--set", "trace_samples=32", "batch_size=16"]


@pytest.fixture
def finished(here, forked, tmp_path, capsys):
    """Two finished runs under results/."""
    where = ["--results", str(tmp_path / "results"), "--devices", "cpu", "--per-device", "1"]
    assert here("run", *TINY, *where) == 0
    capsys.readouterr()
    return Store(tmp_path / "results")


def test_f82_g20_copies_and_strangers_in_the_folder_of_runs_change_no_number(finished, here, tmp_path, capsys):
    assert here("table", *TINY) == 0
    honest = capsys.readouterr().out
    first, second = finished.run_ids()
    runs = finished.runs
    shutil.copytree(runs / first, runs / f"{first} (copy)")
    shutil.copytree(runs / first, runs / ("r" + "0" * 20))
    shutil.copytree(runs / first, runs / first.upper())
    (runs / "notes.txt").write_text("somebody's")
    (runs / ".DS_Store").write_bytes(b"\0")
    (runs / ("r" + "1" * 20)).mkdir()
    for verb in ("table", "status"):
        assert here(verb, *TINY) == 0
        out = capsys.readouterr().out
        assert verb == "status" or out == honest
    assert finished.run("r" + "0" * 20).state() is State.CORRUPT  # it tells another id than its folder's
    assert here("show", "r") == 2
    assert "4 runs under results with an id that starts with 'r'" in capsys.readouterr().err  # of eight names
    shutil.copy(runs / first / "result.json", runs / second / "result.json")
    assert here("table", *TINY) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{second}/result.json" in err
    assert here("table", *TINY, "--allow-incomplete") == 0
    assert "(1/2)" in capsys.readouterr().out


def test_f83_run_ids_and_numbers_survive_a_spreadsheet_that_guesses_types(finished, here, capsys):
    assert here("table", *TINY, "--format", "csv") == 0
    text = capsys.readouterr().out
    guessed = pd.read_csv(io.StringIO(text))
    assert guessed["runs"].tolist() == [" ".join(run["run_id"] for run in by_seed(finished))]
    assert guessed["method"].tolist() == ["ce"]
    (row,) = csv.DictReader(io.StringIO(text))
    assert guessed["mean_percent"].tolist() == [float(row["mean_percent"])]


def by_seed(store: Store) -> list[dict]:
    payloads = [store.run(run_id).result().payload for run_id in store.run_ids()]
    return sorted(payloads, key=lambda payload: payload["config"]["seed"])


@pytest.mark.parametrize("seed", range(30))
def test_f83_ids_that_look_like_numbers_or_nothing_begin_with_a_letter(make, seed):
    run = make(seed=seed)
    assert run["run_id"][0] == "r"
    assert run["noise_id"][0] == "n"
    back = pd.read_csv(io.StringIO(f"a,b\n{run['run_id']},{run['noise_id']}\n"))
    assert back.loc[0].tolist() == [run["run_id"], run["noise_id"]]


def test_f81_a_column_of_nothing_and_a_seed_without_a_number_are_shown_as_missing(make):
    planned = {make.run_id(c): c for c in (make.config("late", seed=s) for s in range(3))}
    table = accuracy_table([make(seed=0), make(seed=1)], expected=planned, methods=["late", "ce"])
    late, known = (row.cells[0] for row in table.rows)
    assert (late.mean, late.n, late.planned, late.text) == (None, 0, 3, "– (0/3)")
    assert (known.n, known.planned) == (2, 2)
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(to_csv(table)))}
    assert (rows["late"]["mean_percent"], rows["late"]["n"], rows["late"]["planned"]) == ("", "0", "3")
    assert "nan" not in (to_csv(table) + to_markdown(table) + to_latex(table)).lower().split()


def test_f82_two_records_of_one_cell_and_seed_are_an_error_and_no_average(make):
    from bench.evidence.grouping import group

    one, other = make(seed=0), make(seed=0)
    other["run_id"] = "r" + "f" * 20
    other["noise_id"] = one["noise_id"]
    grouping = group([one, other])
    with pytest.raises(ValueError, match="duplicate entries"):
        accuracies(grouping, grouping.columns[0])


SCRIPT = '<script>alert(1)</script>" onload="alert(1)'


def test_f84_no_drawing_or_page_of_ours_runs_or_fetches_anything(make):
    figure = plots.accuracy_over_epochs([make(SCRIPT), make("ce")])
    drawing = plots.save(figure)[".svg"]
    assert SCRIPT in "".join(ElementTree.fromstring(drawing).itertext())  # it is there, as text
    for element in ElementTree.fromstring(drawing).iter():
        assert element.tag.rpartition("}")[2] not in ("script", "image", "foreignObject", "a", "iframe")
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert "url(http" not in value
            assert not name.endswith("href") or value.startswith("#")
    page = to_markdown(accuracy_table([make(SCRIPT), make("ce")]))
    assert "<" not in page
    assert "://" not in page


LATEX = [
    "&",
    "%",
    "_",
    "#",
    "$",
    "{",
    "}",
    "~",
    "^",
    "\\",
    "\\\\",
    "[b]",
    "*",
    "\\end{tabular}",
    "^^M",
    "%\n",
    "\\write18{x}",
]


@pytest.mark.parametrize("text", LATEX)
def test_f86_no_character_of_a_name_acts_in_latex(make, text):
    nasty, tame = (to_latex(accuracy_table([make(name, needs=[name]), make("ce")])) for name in (f"a{text}b", "ab"))

    def acting(source: str) -> dict[str, int]:
        for spelled in (r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}", "{[}", "{]}", "{*}"):
            source = source.replace(spelled, "")
        for character in "&%$#_{}":
            source = source.replace("\\" + character, "")
        return {character: source.count(character) for character in "\\&%$#_{}~^[]*"}

    assert acting(nasty) == acting(tame)
    assert len(nasty.splitlines()) == len(tame.splitlines())


def test_f87_the_manifest_of_a_table_names_every_record_behind_it(finished, here, tmp_path, capsys):
    assert here("table", *TINY) == 0
    (manifest,) = (tmp_path / "results" / "tables").glob("*/accuracy.manifest.json")
    digests = {run_id: finished.run(run_id).result().payload_sha256 for run_id in finished.run_ids()}
    assert json.loads(manifest.read_bytes()) == digests


def test_g27_looking_writes_nothing_but_the_table(finished, here, tmp_path, capsys):
    before = contents(tmp_path)
    for words in (["status", *TINY], ["status", *TINY, "--json"], ["show", finished.run_ids()[0]], ["list", "methods"]):
        assert here(*words) == 0
    assert here("run", *TINY, "--results", str(tmp_path / "results"), "--dry-run", "--devices", "cpu") == 0
    assert contents(tmp_path) == before


COMMANDS = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"  # of a terminal: a title, a wiped screen, a colour, a turned line


def test_f84_what_a_strangers_results_say_of_a_failure_moves_no_cursor(here, plan, tmp_path, capsys):
    (run,) = plan("ce")
    folder = Store(tmp_path / "results").run(run.run_id)
    with folder.lock():
        folder.write_config(run.config.to_dict())
        attempt = folder.start_attempt({"host": COMMANDS, "device": COMMANDS, "torch": COMMANDS, "pid": 1})
        end = {"class": "error", "final": True, "message": f"broke {COMMANDS}", "traceback": f"line\n{COMMANDS}"}
        folder.end_attempt(attempt, end)
    (folder.path / "log.txt").write_text(f"said {COMMANDS}\n")
    small = ["--dataset", "digits", "--noise", "symmetric:0.5", "--methods", "ce", "--seeds", "0", "--epochs", "3"]
    small += ["--train-limit", "64", "--test-limit", "64", "--set", "trace_samples=32", "batch_size=16"]
    shown = ""
    for words in (["status", *small], ["table", *small], ["show", run.run_id], ["doctor"]):
        here(*words)
        out, err = capsys.readouterr()
        shown += out + err
    assert "broke" in shown
    assert [c for c in shown if c != "\n" and not c.isprintable()] == []
