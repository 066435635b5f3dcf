"""`leaderboard` believes no submission: what holds is ranked, what lacks runs is shown, what is wrong is refused."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import noise
from bench.data import datasets
from bench.evidence.ranks import average_ranks
from bench.sharing import archive, checking
from tests.bench.sharing.conftest import Board, record, relisted, resealed, told

SUITE = """
dataset = "digits"
noise = ["symmetric:0.5", "pairflip:0.2"]
methods = ["ce"]
seeds = [0, 1]
train_limit = 64
test_limit = 100
[train]
epochs = 2
trace_samples = 32
"""


@pytest.fixture
def protocol(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SUITE)
    return path


def sections(said):
    return [[(line["entry"], line["method"]) for line in section["ranked"]] for section in said["protocols"]]


def take_the_data_away(monkeypatch):
    """Nothing can be drawn or counted again from here on."""

    def missing(*_):
        raise datasets.MissingDataError("digits: not here")

    monkeypatch.setattr(datasets, "load", missing)


# --- what holds


def test_numbers_marks_and_ranks_are_those_of_the_table(files, board, trained, suite, say):
    board.put(files)
    code, said = board.check()
    assert (code, said["counts"]) == (0, {"accepted": 1, "incomplete": 0, "unchecked": 0, "refused": 0})
    (section,) = said["protocols"]
    table = json.loads(say("table", *suite, "--results", trained, "--format", "json")[1])
    assert section["columns"] == table["columns"]
    ours = {line["method"]: line["cells"] for line in section["ranked"]}
    for row in table["rows"]:
        cells = ours[row["label"]]
        for name in ("mean", "sd", "n", "best", "tied"):
            assert [cell[name] for cell in cells] == [cell[name] for cell in row["cells"]], name
    means = pd.DataFrame({row["label"]: [cell["mean"] for cell in row["cells"]] for row in table["rows"]})
    assert {line["method"]: line["rank"] for line in section["ranked"]} == dict(average_ranks(means))
    ranks = [line["rank"] for line in section["ranked"]]
    assert ranks == sorted(ranks)


def test_a_suite_is_a_protocol_that_entries_must_keep(files, board, protocol, say):
    board.put(files)
    assert board.check("--suite", str(protocol))[0] == 0
    protocol.write_text(SUITE.replace("seeds = [0, 1]", "seeds = [0, 1, 2]"))
    code, said = board.check("--suite", str(protocol))
    assert (code, said["submissions"][0]["verdict"]) == (1, "incomplete")
    lacks = "symmetric 50% lacks seed 2; pairflip 20% lacks seed 2"
    assert said["submissions"][0]["reasons"] == [f"ce: {lacks}", f"dml: {lacks}"]
    assert (said["protocols"][0]["ranked"], len(said["protocols"][0]["partial"])) == ([], 2)
    assert said["protocols"][0]["partial"][0]["cells"][0]["count"] == "(2/3)"
    protocol.write_text(SUITE.replace("epochs = 2", "epochs = 3"))
    code, said = board.check("--suite", str(protocol))
    reason = "8 runs keep another protocol: train.epochs 2 instead of 3"
    assert (code, said["submissions"][0]["reasons"]) == (3, [reason])
    protocol.write_text(SUITE.replace('"pairflip:0.2"', '"pairflip:0.3"').replace("[0, 1]", "[0]"))
    code, said = board.check("--suite", str(protocol))
    assert (code, said["submissions"][0]["notes"]) == (1, ["6 runs beside the suite, not looked at"])
    assert said["submissions"][0]["reasons"] == [f"{name}: pairflip 30% lacks all seeds" for name in ("ce", "dml")]


def test_entries_of_one_protocol_share_a_section_and_others_have_their_own(files, board, own, tmp_path, say):
    board.put(files)
    out = board.folder / "deep" / "er" / "mine.zip"
    out.parent.mkdir(parents=True)
    assert say("export", *own.words, "--out", out, "--name", "Mine", "--with-code")[0] == 0
    code, said = board.check()
    assert code == 0
    assert [sorted(section) for section in sections(said)] == [
        [("Ours", "ce"), ("Ours", "dml")],
        [("Mine", "mine.Mine")],
    ]
    (line,) = said["protocols"][1]["ranked"]
    assert line["source"] == "own: source enclosed, which its runs were made by"
    assert all(line["source"] == "" for line in said["protocols"][0]["ranked"])


def test_an_unpacked_submission_is_as_good_as_its_archive(files, board):
    for name, data in files.items():
        path = board.folder / "unpacked" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert board.check()[0] == 0
    (board.folder / "unpacked" / "more.txt").write_bytes(b"")
    assert board.refusal() == "more.txt is not listed in submission.json"
    (board.folder / "unpacked" / "more.txt").unlink()
    path = board.folder / "unpacked" / "runs.csv"
    path.rename(board.folder / "runs.csv")
    path.symlink_to(board.folder / "runs.csv")
    assert board.refusal() == "runs.csv is a link"


def test_the_same_runs_in_two_submissions_are_shown_once_and_two_of_one_name_are_told_apart(files, board):
    board.put(files, "a.zip")
    board.put(relisted(files, by="B"), "b.zip")
    code, said = board.check()
    assert code == 0
    assert [one["entry"] for one in said["submissions"]] == ["Ours (a.zip)", "Ours (b.zip)"]
    assert len(said["protocols"][0]["ranked"]) == 2
    repeated = "Ours (b.zip) · ce: the same runs as Ours (a.zip) · ce, shown once"
    assert repeated in said["protocols"][0]["notes"]
    assert said["conflicts"] == []


def test_a_title_made_to_look_like_another_with_its_place_is_told_apart(files, board):
    for name, place in (("Ours", "a.zip"), ("Ours", "b.zip"), ("Ours (a.zip)", "c.zip")):
        board.put(relisted(files, name=name), place)
    _, said = board.check()
    entries = [one["entry"] for one in said["submissions"]]
    assert len(set(entries)) == 3
    assert [entry.endswith(f"({place}.zip)") for entry, place in zip(entries, "abc", strict=True)] == [True] * 3


def test_one_run_with_two_results_is_named_and_both_are_ranked(files, board):
    board.put(files, "a.zip")
    place, found = record(files)
    found["payload"]["history"][0]["loss"][0] += 1.0
    other = resealed(files, place, found["payload"], found["provenance"])
    board.put(relisted(other, name="Theirs"), "b.zip")
    code, said = board.check()
    assert code == 0
    method = found["payload"]["config"]["method"]["name"]
    same_run = f"Ours and Theirs found other numbers in the same run: {found['payload']['run_id']}"
    assert said["conflicts"] == [f"{method}: {same_run}"]
    lines = [(line["entry"], line["method"]) for line in said["protocols"][0]["ranked"]]
    assert len(lines) == 3
    assert ("Theirs", method) in lines


def test_a_missing_seed_and_a_missing_method_make_an_entry_incomplete(files, board):
    place, found = record(files)
    config = found["payload"]["config"]
    given = told(files)["methods"] | {"elr": {"planned": 4, "finished": 0, "code": []}}
    kept = {name: data for name, data in files.items() if not name.startswith(place)}
    board.put(relisted(kept, methods=given))
    code, said = board.check()
    label = {"symmetric": "symmetric 50%", "pairflip": "pairflip 20%"}[config["noise"]["family"]]
    (one,) = said["submissions"]
    assert (code, one["verdict"]) == (1, "incomplete")
    assert one["reasons"] == [
        f"{config['method']['name']}: {label} lacks seed {config['seed']}",
        "elr: none of 4 runs",
    ]
    assert (said["protocols"][0]["ranked"], len(said["protocols"][0]["partial"])) == ([], 2)


def test_where_the_data_are_not_at_hand_it_is_unchecked_and_not_ranked(files, board, monkeypatch):
    take_the_data_away(monkeypatch)
    board.put(relisted(files, by="nobody else"))
    code, said = board.check()
    (one,), (section,) = said["submissions"], said["protocols"]
    reason = "not checked: predictions against test labels, and labels drawn again: digits: not here"
    assert (code, one["verdict"], one["reasons"]) == (1, "unchecked", [reason])
    assert (section["ranked"], [line["why"] for line in section["partial"]]) == ([], [f"unchecked: {reason}"] * 2)
    monkeypatch.undo()
    assert board.check()[1]["submissions"][0]["verdict"] == "accepted"  # an unfinished check is not remembered


# --- what is wrong


def forged(files, change):
    """A run whose record says something else, with every digest made right again."""
    place, found = record(files)
    payload = found["payload"]
    change(payload)
    return relisted(resealed(files, place, payload, found["provenance"]))


def one_more_right(payload):
    for counts in payload["history"][-1]["heads"].values():
        counts["test"] += 1 if counts["test"] < 100 else -1


def test_an_accuracy_that_the_predictions_do_not_bear_out_is_refused(files, board):
    board.put(forged(files, one_more_right))
    assert "by result.json" in board.refusal()


def test_an_accuracy_that_runs_csv_does_not_bear_out_is_refused(files, board):
    def change(payload):
        for counts in payload["history"][0]["heads"].values():
            counts["test"] = 100

    board.put(forged(files, change))
    refusal = board.refusal()
    assert refusal.startswith("runs.csv: r")
    assert ", last10, headline is 0." in refusal


def test_a_rule_without_a_number_is_accepted_where_runs_csv_has_none_either(files, board):
    def unknown(payload):
        for epoch in payload["history"]:
            for counts in epoch["heads"].values():
                counts["val_clean"] = None

    blind = forged(files, unknown)
    board.put(blind)
    refusal = board.refusal()
    assert re.fullmatch(r"runs\.csv: r\w{20}, clean_val, headline is 0\.\d+, the record says None", refusal)
    run_id = refusal.split()[1].rstrip(",")
    rows = list(csv.DictReader(io.StringIO(blind["runs.csv"].decode(), newline="")))
    for row in rows:
        row["accuracy"] = "" if (row["run_id"], row["rule"]) == (run_id, "clean_val") else row["accuracy"]
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    board.put(relisted({**blind, "runs.csv": out.getvalue().encode()}))
    assert board.check()[1]["submissions"][0]["verdict"] == "accepted"


def test_impossible_counts_are_refused(files, board):
    def change(payload):
        payload["history"][0]["heads"]["net1"]["test"] = 101

    board.put(forged(files, change))
    assert "test must be an integer in [0, 100], got 101" in board.refusal()


def test_a_run_without_predictions_is_refused(files, board):
    board.put(forged(files, lambda payload: payload.update(predictions_sha256=None)))
    assert "has no predictions: its number cannot be counted again" in board.refusal()


def test_another_split_network_or_number_of_epochs_keeps_another_protocol(files, board):
    def change(payload):
        payload["config"]["dataset"]["val"] = 0.25

    board.put(forged(files, change))
    assert "1 run keeps another protocol: dataset.val 0.25 instead of 0.1" in board.refusal()


def test_other_counts_than_the_stored_labels_have_are_refused(files, board):
    def change(payload):
        payload["totals"]["train_wrong"] += 1

    board.put(forged(files, change))
    assert "(train_wrong), its stored labels of" in board.refusal()


def other_loss(files):
    """The same with other results: what a run on another machine might give."""
    for place in sorted({name.removesuffix("result.json") for name in files if name.endswith("/result.json")}):
        found = json.loads(files[f"{place}result.json"])
        found["payload"]["history"][0]["loss"][0] += 1.0
        files = resealed(files, place, found["payload"], found["provenance"])
    return relisted(files)


def with_other_labels(files):
    """One run met labels of its own, stored as soundly as the others."""
    place, found = record(files)
    payload = found["payload"]
    labels, card = noise.from_bytes(files[f"noise/{payload['noise_id']}.npz"])
    given = labels.given.copy()
    wrong = np.flatnonzero(given != labels.clean)
    given[wrong[0]] = next(k for k in range(10) if k not in (given[wrong[0]], labels.clean[wrong[0]]))
    other = replace(labels, given=given)
    stored = noise.to_bytes(other, {**card, "noise_id": other.noise_id})
    payload["noise_id"] = other.noise_id
    changed = resealed(files, place, payload, found["provenance"])
    return relisted({**changed, f"noise/{other.noise_id}.npz": stored})


def the_odd_one(files):
    """The run that met labels of its own, without the others."""
    odd = with_other_labels(files)
    place = next(name for name in odd if name.endswith("result.json") and odd[name] != files.get(name))
    return {n: d for n, d in odd.items() if not n.startswith("runs/") or n.startswith(place[:-11])}


def test_other_wrong_labels_are_refused_within_a_submission(files, board):
    board.put(with_other_labels(files))
    refusal = board.refusal()
    assert "runs of one setting and noise seed met different labels" in refusal
    assert "gives other labels when drawn again" in refusal


def test_other_wrong_labels_than_everybodys_are_refused_where_nothing_can_be_drawn_again(files, board, monkeypatch):
    take_the_data_away(monkeypatch)
    alone = the_odd_one(files)
    board.put(relisted(files, name="A"), "a.zip")
    board.put(other_loss(relisted(files, name="B")), "b.zip")
    board.put(relisted(alone, name="Odd"), "odd.zip")
    code, said = board.check()
    assert (code, [one["verdict"] for one in said["submissions"]]) == (3, ["unchecked", "unchecked", "refused"])
    assert "met other wrong labels (n" in said["submissions"][2]["reasons"][0]
    board.put(relisted(alone, name="Odd", by="a copy"), "copy.zip")
    board.put(relisted(alone, name="Odd", by="another"), "copies.zip")  # of one set of results: one vote
    verdicts = {one["place"]: one["verdict"] for one in board.check()[1]["submissions"]}
    assert verdicts == {"a.zip": "unchecked", "b.zip": "unchecked"} | dict.fromkeys(
        ("copies.zip", "copy.zip", "odd.zip"), "refused"
    )
    (board.folder / "b.zip").unlink()  # one against one: nobody can tell
    assert {one["verdict"] for one in board.check()[1]["submissions"]} == {"refused"}


def test_labels_that_were_drawn_again_stand_against_any_number_that_were_not(files, board, monkeypatch):
    board.put(relisted(files, name="Drawn"), "drawn.zip")
    assert board.check()[0] == 0  # and is remembered
    take_the_data_away(monkeypatch)
    alone = the_odd_one(files)
    board.put(relisted(alone, name="Odd"), "odd.zip")
    board.put(other_loss(relisted(alone, name="Odder")), "odder.zip")
    verdicts = [one["verdict"] for one in board.check()[1]["submissions"]]
    assert verdicts == ["accepted", "refused", "refused"]


def test_reasons_are_lines_of_bounded_length_eight_of_a_kind_and_what_weighs_most_comes_first():
    faults = [f"fault {number}" for number in range(10)]
    found = checking.Checked("deep/one.zip", faults=[*faults, *faults], unchecked=["u" * 301], gaps=["two\nlines"])
    found.notes = [*faults[:8], "n" * 300][1:]
    checking._shorten(found)
    assert found.faults == [*faults[:8], "and 2 more of the kind"]
    assert found.notes == [*faults[1:8], "n" * 300]
    assert found.reasons == [*found.faults, f"not checked: {'u' * 300}...", "two lines"]
    assert (found.title, replace(found, name="Ours").title) == ("one", "Ours")


def test_a_fault_weighs_more_than_what_is_unchecked_and_that_more_than_a_gap():
    said = [{"faults": ["f"]}, {"unchecked": ["u"]}, {"gaps": ["g"]}]
    for kinds, verdict in ((said, "refused"), (said[1:], "unchecked"), (said[2:], "incomplete"), ([], "accepted")):
        whole = {name: reasons for kind in kinds for name, reasons in kind.items()}
        assert checking.Checked("one.zip", **whole).verdict == verdict


def test_a_table_of_nothing_but_refused_entries_is_a_page_all_the_same(files, board, say):
    board.put(forged(files, one_more_right))
    code, out, err = say("leaderboard", board.folder)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("refused     Ours (one.zip): runs/r")
    assert out.splitlines()[-2:] == ["1 refused; 0 protocols", f"written: {board.folder / 'leaderboard.html'}"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "there is no folder nowhere"),
        (["board/one.zip"], "board/one.zip is a file: name the folder in which submissions lie"),
        (["empty"], "empty holds no submission: neither an archive of `export` nor an unpacked one"),
        (["board", "--suite", "quickstrat"], "unknown suite 'quickstrat'; did you mean 'quickstart'?"),
        (["board", "--out", "notes.txt"], "notes.txt is no page: name another file by --out"),
        (["board", "--out", "nowhere/x.html"], "there is no folder nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_2(words, message, files, board, tmp_path, say, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("notes.txt").write_text("notes")
    board.put(files)
    code, out, err = say("leaderboard", *words)
    assert (code, out, err) == (2, "", f"run_bench.py leaderboard: {message}\n")
    assert Path("notes.txt").read_text() == "notes"


def test_a_check_writes_nothing_and_its_verdicts_are_told_in_lines(files, board, say):
    board.put(files, "a.zip")
    shutil.copy(board.folder / "a.zip", board.folder / ".hidden")
    os.symlink("a.zip", board.folder / "b.zip")
    before = sorted(path.name for path in board.folder.iterdir())
    code, out, _ = say("leaderboard", board.folder, "--check")
    assert out.splitlines() == [
        "accepted    Ours (a.zip): 2 methods, 8 runs",
        "refused     b (b.zip): is a link, which is not followed",
        "1 accepted, 1 refused; 1 protocol",
    ]
    assert (code, sorted(path.name for path in board.folder.iterdir())) == (3, before)


def test_a_check_is_remembered_by_the_archives_bytes(files, board: Board, monkeypatch):
    board.put(relisted(files, by="remembered"), "a.zip")
    first = board.check()
    monkeypatch.setattr(archive, "opened", lambda path: pytest.fail("it is unpacked again"))
    assert board.check() == first
    monkeypatch.undo()
    board.put(forged(files, one_more_right), "a.zip")
    assert board.check()[0] == 3
