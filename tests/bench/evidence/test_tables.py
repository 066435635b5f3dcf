"""Cells worked out by hand, and what every format must survive."""

import csv
import io
import json
import re
import subprocess
import sys

import pytest

from bench.evidence.tables import accuracy_table, to_csv, to_html, to_json, to_latex, to_markdown, to_text
from bench.sweep.planning import grid

ACCURATE = {"ce": (60, 62, 61, 59, 63), "good": (80, 81, 82, 80, 83), "same": (80, 82, 81, 81, 82)}


@pytest.fixture
def runs(make):
    return [make(m, seed, (10, 20, x)) for m, values in ACCURATE.items() for seed, x in enumerate(values)]


def cells(table):
    return {row.label: row.cells[0] for row in table.rows}


def test_a_cell_is_the_mean_and_the_sample_sd(make):
    cell = accuracy_table([make(seed=s, test=(0, x)) for s, x in enumerate((10, 20, 30))]).rows[0].cells[0]
    assert (cell.mean, cell.sd, cell.n, cell.planned) == (pytest.approx(20), pytest.approx(10), 3, 3)
    assert cell.text == "20.00 ± 10.00 (3)"


def test_two_datasets_are_never_averaged(make):
    table = accuracy_table([make(test=(90,)), make(test=(60,), dataset={"name": "blobs", "digest": "b" * 64})])
    assert table.columns == ("blobs · symmetric 50%", "digits · symmetric 50%")
    assert [cell.text for cell in table.rows[0].cells] == ["60.00 (1)", "90.00 (1)"]


def test_the_best_is_starred_and_the_inseparable_marked(runs):
    found = cells(accuracy_table(runs))
    assert {label: cell.strong for label, cell in found.items()} == {"ce": False, "good": True, "same": True}
    marks = {label: cell.mark for label, cell in found.items()}
    assert marks == {"ce": "", "good": "*", "same": "="}  # 81.2 and 81.2: the first of equals is the best


def test_notes_name_what_does_not_beat_the_baseline(runs):
    notes = "\n".join(accuracy_table(runs, baseline="good").notes)
    assert "symmetric 50%: not shown to be better than good (paired t, Holm over 2): ce (-20.20 points, worse" in notes
    assert "same (+0.00 points, not separable, p = 1)" in notes
    over_ce = "\n".join(accuracy_table(runs, baseline="ce").notes)
    assert "every other method is better than ce (paired t, Holm over 2)" in over_ce


def test_a_baseline_without_a_row_is_said(runs):
    assert any("which has no row" in note for note in accuracy_table(runs, baseline="erm").notes)


def test_one_seed_marks_nothing_and_says_why(make):
    table = accuracy_table([make("a", test=(90,)), make("b", test=(10,))], baseline="a")
    assert not any(cell.best or cell.tied for cell in cells(table).values())
    assert any("n = 1: fewer than two seeds have no spread" in note for note in table.notes)
    assert "\x1b[1m9" not in to_text(table, colour=True)


def test_f81_missing_runs_are_counted_named_and_refused_in_a_paper(make):
    plan = {make.run_id(c): c for c in (make.config(seed=s) for s in range(5))}
    ids = list(plan)
    late = make.config("late")
    plan[make.run_id(late)] = late
    table = accuracy_table(
        [make(seed=s) for s in range(3)], expected=plan, failed={ids[3]: "out of memory"}, methods=["ce", "late"]
    )
    assert cells(table)["ce"].text == "70.00 ± 0.00 (3/5) x"
    assert cells(table)["late"].text == "– (0/1)"
    notes = "\n".join(table.notes)
    assert f"failed: 1 of 6 runs: {ids[3]} (out of memory)" in notes
    assert "x some of its runs failed and have no number" in table.notes
    assert f"not run: 2 of 6 runs: {ids[4]}, {make.run_id(late)}" in notes
    with pytest.raises(ValueError, match="3 of 6 planned runs are missing"):
        accuracy_table([make(seed=s) for s in range(3)], expected=plan, refuse_missing=True)


def test_f81_a_run_without_a_number_is_not_averaged_away_in_silence(make):
    blind = make(seed=1, val_clean=[None, None, None])
    table = accuracy_table([make(seed=0, val_clean=[1, 2, 3]), blind], rule="clean_val")
    assert cells(table)["ce"].text == "70.00 (1/2)"
    assert any("nothing to select by" in note and blind["run_id"] in note for note in table.notes)


def test_f82_one_run_cannot_count_twice(make):
    with pytest.raises(ValueError, match="given twice"):
        accuracy_table([make(), make()])


def test_f88_mixed_protocols_are_two_rows(make):
    table = accuracy_table([make(seed=0), make(seed=1, protocol=2)])
    assert [row.label for row in table.rows] == ["ce [protocol=1]", "ce [protocol=2]"]
    assert [row.cells[0].n for row in table.rows] == [1, 1]


def test_f88_methods_with_other_wrong_labels_are_not_tested_against_each_other(make):
    runs = [make("a", s, (90 + s,)) for s in range(3)] + [make("b", s, (10 + s,), noise_id=f"n{s}") for s in range(3)]
    table = accuracy_table(runs, baseline="a")
    assert not any(cell.best for cell in cells(table).values())
    assert any("b (no shared seed)" in note for note in table.notes)


def test_diverged_runs_are_shown_and_marked(make):
    table = accuracy_table(
        [make(seed=0, train={"epochs": 3}), make(seed=1, test=(50, 10), train={"epochs": 3}, diverged=True)]
    )
    assert cells(table)["ce"].text == "40.00 ± 42.43 (2) !"
    assert any(note.startswith("diverged: 1 of 2 runs: r") for note in table.notes)
    assert "! includes runs that diverged, with the accuracy they ended at" in table.notes
    assert not any(re.search("diverged|failed", note) for note in accuracy_table([make(seed=0)]).notes)


def test_methods_that_papers_tune_per_noise_are_named_unless_they_have_a_setting_for_each_column(make):
    one = [make(m, params={"beta": 1}, noise={"rate": rate}) for m in ("a", "b") for rate in (0.2, 0.5)]
    each = [make("each", params={"beta": 10 * rate}, noise={"rate": rate}) for rate in (0.2, 0.5)]
    notes = accuracy_table(one + each, tuned={"a", "each"}).notes
    assert "papers choose settings of these per noise setting, here one serves all: a" in notes
    assert not any(note.startswith("papers choose") for note in accuracy_table(each, tuned={"a", "each"}).notes)


def test_the_dagger_says_what_a_method_was_told(make):
    table = accuracy_table([make("a", needs=["noise_rate"]), make("b")])
    assert [row.marked_label for row in table.rows] == ["a†", "b"]
    assert "† told more than the noisy labels: noise rate (a)" in table.notes
    many = [f"fact_{number}" for number in range(9)]  # enough that no set has them in order by chance
    assert accuracy_table([make("a", needs=many[::-1])]).rows[0].needs == tuple(many)


def test_the_reported_head_and_the_networks_are_in_the_row(make):
    two = make("two", heads={"net1": [10], "net2": [30], "ensemble": [50]}, headline=["net1", "net2"], networks=2)
    row = accuracy_table([two]).rows[0]
    assert (row.networks, row.head, row.cells[0].text) == (2, "mean of 2", "20.00 (1)")
    row = accuracy_table([two, make("one")], head="ensemble").rows[1]
    assert (row.head, row.cells[0].text) == ("ensemble", "50.00 (1)")
    table = accuracy_table([two, make("one")], head="net2")
    assert table.rows[0].cells[0].text == "– (0/1)"
    assert "no head 'net2': one" in table.notes


def test_the_header_states_the_conditions(runs):
    header = accuracy_table(runs, rule="oracle").header
    assert header["dataset"] == "digits"
    assert header["samples"] == "1000 train / 50 validation / 100 test"
    assert "oracle" in header["number"]
    assert header["seeds"] == "0, 1, 2, 3, 4"


@pytest.mark.parametrize(
    ("seeds", "text"),
    [
        (range(500), "0-499"),
        (range(10), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        (range(11), "0-10"),
        ([*range(3, 14), 15, *range(20, 22), *range(30, 50)], "3-13, 15, 20, 21, 30-49"),
    ],
)
def test_many_seeds_in_a_row_are_written_as_run_takes_them(make, seeds, text):
    shown = accuracy_table([make(seed=seed, noise={"seed": 7}) for seed in seeds]).header["seeds"]
    assert shown == f"{text}; noise seeds 7"
    assert grid.parse_seeds([shown.partition(";")[0]]) == tuple(seeds)


SHARED = "all seeds have one set of wrong labels: spread and tests tell of training anew, not of labels drawn anew"


def test_seeds_that_share_their_wrong_labels_are_told(make):
    def notes(*runs):
        return [note for note in accuracy_table(runs).notes if "labels" in note]

    assert notes(*(make(seed=seed) for seed in range(3))) == []  # labels are drawn anew for each seed
    assert notes(make(seed=0)) == []
    fixed = [make(method, seed, noise={"seed": 0}) for method in ("ce", "elr") for seed in range(3)]
    assert notes(*fixed) == [SHARED]
    other = [make(seed=seed, noise={"rate": 0.2}) for seed in range(3)]
    places = "ce, symmetric 50%; elr, symmetric 50%"
    assert notes(*fixed, *other) == [f"{places}: {SHARED}"]
    assert notes(*fixed[:3], *(make("dml", seed) for seed in range(3)))[-1] == f"ce, symmetric 50%: {SHARED}"
    for run in fixed:  # labels that are all right, as those of a rate of 0 are, are no draw
        run["totals"]["train_wrong"] = 0
    assert notes(*fixed) == []


def test_seeds_crossed_with_noise_seeds_are_not_taken_for_independent(make):
    def notes(cells):
        runs = [make(seed=seed, noise={"seed": noise_seed}) for seed, noise_seed in cells]
        return [note for note in accuracy_table(runs).notes if "independent" in note]

    (note,) = notes((seed, noise_seed) for seed in range(3) for noise_seed in range(2))
    assert note.endswith("take them to be: ce, symmetric 50% (6 runs of 3 seeds and 2 sets of labels)")
    (note,) = notes([(0, 0), (1, 1), (2, 1), (2, 2)])
    assert note.endswith("(4 runs of 3 seeds and 3 sets of labels)")
    (note,) = notes([(0, 0), (1, 0), (2, 1), (3, 1)])  # two seeds for each set of labels
    assert note.endswith("(4 runs of 4 seeds and 2 sets of labels)")
    assert notes([(0, 5), (1, 6), (2, 7)]) == []


@pytest.mark.parametrize(
    ("clean", "trusted", "said"),
    [
        (None, 0, "1000 train / 50 validation / 100 test"),
        (50, 0, "1000 train / 50 validation / 100 test"),
        (0, 0, "1000 train / 50 validation / 100 test"),
        (40, 0, "1000 train / 50 validation / 100 test / 40 clean validation"),
        (40, 9, "1000 train / 50 validation / 100 test / 40 clean validation / 9 trusted, taken out of training"),
    ],
)
def test_the_header_counts_clean_validation_and_trusted_samples_apart(make, clean, trusted, said):
    run = make(dataset={"trusted": trusted})
    run["totals"] |= {} if clean is None else {"val_clean": clean}
    assert accuracy_table([run]).header["samples"] == said


def test_seeds_of_the_noise_are_in_the_header_where_they_are_others(make):
    table = accuracy_table([make(seed=seed, noise={"seed": 10 - seed}) for seed in (3, 2)])
    assert table.header["seeds"] == "2, 3; noise seeds 7, 8"


@pytest.mark.parametrize(("count", "more"), [(6, ""), (7, " and 1 more")])
def test_six_of_many_columns_without_a_rank_are_named(make, count, more):
    runs = [make(m, 0, (x,), noise={"rate": rate}) for m, x in (("a", 9), ("b", 8)) for rate in (0.2, 0.3)]
    planned = [make.config("a", noise={"rate": 0.4 + number / 20}) for number in range(count)]
    notes = accuracy_table(runs, expected={make.run_id(config): config for config in planned}).notes
    named = ", ".join(f"symmetric {40 + 5 * number}%" for number in range(6))
    ranked = "mean rank: over 2 columns, among 2 rows; 1 is best, equal means share the mean of their ranks"
    assert f"{ranked}; columns left out, as a row has no number there: {named}{more}" in notes


def test_an_empty_table_can_be_written():
    table = accuracy_table([])
    for write in (to_text, to_csv, to_markdown, to_latex, to_json):
        assert write(table)


def test_text_without_colour_is_plain_and_fits(make):
    runs = [make(m, s, (70 + s,), noise={"rate": r / 10}) for m in ("a", "b") for s in range(3) for r in range(1, 9)]
    table = accuracy_table(runs)
    text = to_text(table, width=60)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 60
    for column in table.columns:
        assert column in text
    assert "\x1b[1m" in to_text(table, width=60, colour=True)
    wide = to_text(table, width=400)
    assert [line.count("symmetric") for line in wide.splitlines() if line.startswith("method ")] == [8]
    assert "\n\n\n" not in wide
    several = [line.count("symmetric") for line in to_text(table, width=100).splitlines() if line[:7] == "method "]
    assert several[0] > 1  # as many as fit
    assert sum(several) == 8


def test_a_page_has_the_parts_of_a_cell_and_the_value_that_it_is_sorted_by(runs):
    page = to_html(accuracy_table(runs))
    for value, number, spread, meaning, mark in (
        (81.2, "<b>81.20</b>", "1.30", "highest mean of the column", r"\*"),
        (81.2, "<b>81.20</b>", "0.84", "not separable from the highest mean", "="),
    ):
        parts = [rf'<span class="soft">{part}</span>' for part in (f"± {spread}", r"\(5\)")]
        cell = rf'<td data-value="(\S+)" [^>]*>{number} {" ".join(parts)} <span title="{meaning}">{mark}</span></td>'
        (found,) = re.findall(cell, page)
        assert float(found) == pytest.approx(value)
    (found,) = re.findall(
        r'<td data-value="(\S+)" [^>]*>61.00 <span class="soft">± 1.58</span>[^/]*\(5\)</span></td>', page
    )
    assert float(found) == pytest.approx(61)


def test_labels_with_brackets_survive_the_terminal(make):
    assert "ce [protocol=2]" in to_text(accuracy_table([make(seed=0), make(seed=1, protocol=2)]))


def test_f84_markup_is_escaped_in_markdown(make):
    text = to_markdown(accuracy_table([make("<script>alert(1)</script>")]))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_markdown_keeps_numbers_and_escapes_pipes(make):
    runs = [make("a|b"), make("007")]
    rows = [line for line in to_markdown(accuracy_table(runs)).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    assert any(r"a\|b" in row for row in rows)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_f85_text_cells_that_a_spreadsheet_would_run_are_prefixed(make, start):
    table = accuracy_table([make(f"{start}cmd|x")])
    row = next(csv.DictReader(io.StringIO(to_csv(table), newline="")))
    assert row["method"] == row["row"] == f"'{start}cmd|x"


def test_csv_holds_numbers_counts_and_the_runs_by_seed(runs):
    rows = {row["row"]: row for row in csv.DictReader(io.StringIO(to_csv(accuracy_table(runs))))}
    assert float(rows["ce"]["mean_percent"]) == 61
    assert float(rows["ce"]["sd_points"]) == pytest.approx(1.581139)
    assert (rows["ce"]["n"], rows["ce"]["planned"], rows["good"]["best"], rows["same"]["tied"]) == ("5", "5", "1", "1")
    assert rows["ce"]["runs"].split() == [run["run_id"] for run in runs[:5]]


def test_a_table_of_one_row_has_no_notes_and_ends_with_its_row(make):
    table = accuracy_table([make(seed=seed, test=(70 + seed,)) for seed in range(2)])
    assert table.notes == ()
    assert to_markdown(table).endswith("| 70.50 ± 0.71 (2) |\n")


def test_markdown_keeps_names_that_look_like_numbers(make):
    text = to_markdown(accuracy_table([make("007"), make("1e5")]))
    assert "| 007 " in text
    assert "| 1e5 " in text


def unescaped(text, characters):
    return re.findall(rf"(?<!\\)(?:\\\\)*[{characters}]", text)


def test_f86_latex_is_escaped_and_its_braces_balance(make):
    nasty = r"a&b%c_d#e$f{g}h~i^j\k[l]<m>|*"
    runs = [make(nasty, s, (50 + s,)) for s in range(3)] + [make("ce", s, (50 + s * s,)) for s in range(3)]
    text = to_latex(accuracy_table(runs, baseline="ce"))
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    assert not unescaped(text.partition("\n")[2], "%#$")  # but for the remark in front
    assert r"a\&b\%c\_d\#e\$f\{g\}h\textasciitilde{}i\textasciicircum{}j\textbackslash{}k" in text
    assert text.isascii()


def test_latex_has_equally_many_cells_in_every_row(runs):
    text = to_latex(accuracy_table(runs))
    lines = text.split(r"\toprule")[1].split(r"\bottomrule")[0].splitlines()
    rows = [line for line in lines if line.endswith(r"\\")]
    assert len(rows) == 4
    assert {len(unescaped(row, "&")) for row in rows} == {3}
    assert text.count(r"\begin{") == text.count(r"\end{")
    assert r"\textbf{81.20" in text


def test_json_holds_the_cells_unrounded(runs):
    loaded = json.loads(to_json(accuracy_table(runs, baseline="ce")))
    assert loaded["rows"][0]["cells"][0]["mean"] == pytest.approx(61)
    assert loaded["baseline"] == "ce"


def test_the_order_of_the_payloads_changes_nothing(make, runs):
    runs += [make("ce", 0, (1, 2, 3, 4), noise={"rate": 0.2}), make("ce", 0, noise={"rate": 0.2}, params={"beta": 1})]
    assert to_json(accuracy_table(runs, baseline="ce")) == to_json(accuracy_table(runs[::-1], baseline="ce"))


def test_tables_start_without_what_they_do_not_need():
    code = (
        "import sys, bench.evidence.tables; "
        "print([m for m in ('scipy.stats', 'matplotlib', 'torch', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_rows_of_different_seeds_are_told_and_whoever_shares_none_with_the_best_is_not_called_worse(make):
    runs = [make("a", seed, (90 + seed,)) for seed in range(3)] + [
        make("b", seed, (80 + 2 * seed,)) for seed in range(2)
    ]
    notes = accuracy_table(runs).notes
    assert any(
        "rows have different seeds; means and the highest one are of the runs that each row has" in n for n in notes
    )
    late = [make("late", seed, (10 + seed,)) for seed in (7, 8)]
    table = accuracy_table([*runs, *late])
    assert any("not tested for want of two seeds that a has too: late" in note for note in table.notes)
    assert any(
        "Holm" not in note and "not separable from it (paired t over shared seeds, p" in note for note in table.notes
    )
    apart = accuracy_table([run for run in runs if run["config"]["method"]["name"] == "a"] + late)
    assert any("no marks, as the highest mean shares no two seeds with another row" in note for note in apart.notes)
