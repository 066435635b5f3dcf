"""Views worked out by hand, and every view in every format."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess

import pytest

from bench.evidence import views
from bench.evidence.cells import DASH
from bench.evidence.records import RULES, Spent
from bench.evidence.tables import WRITERS, accuracy_of, accuracy_table, basis
from bench.evidence.writers import to_csv, to_html, to_latex, to_markdown, to_text

VIEWS = ("accuracy", "rules", "heads", "cost", "rank")
RATES = (0.2, 0.5, 0.8)
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def latex():
    """Whether tables can be compiled here."""
    if shutil.which("pdflatex") is None:
        return False
    return subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False).returncode == 0


def view_of(name, found):
    if name == "accuracy":
        return accuracy_of(found)
    return views.cost(found, {}) if name == "cost" else getattr(views, name)(found)


def extra(table, name, column=""):
    (found,) = (extra for extra in table.extras if (extra.name, extra.column) == (name, column))
    return {row.label: value for row, value in zip(table.rows, found.values, strict=True)}


def at(table, label, part, column="symmetric 50%"):
    """The cell of a row in a part of a column."""
    row = next(row for row in table.rows if row.label == label)
    places = [i for i, own in enumerate(table.parts) if own.name == part and table.columns[i] == column]
    (place,) = places
    return row.cells[place]


@pytest.fixture
def ranked(make):
    """Three methods over three noises: a wins twice, and ties with b once."""
    tops = {"a": (90, 80, 70), "b": (85, 80, 60), "c": (10, 20, 65)}
    return [make(m, 0, (1, x), noise={"rate": r}) for m, row in tops.items() for r, x in zip(RATES, row, strict=True)]


# --- ranks


def test_ties_share_the_mean_of_their_ranks(ranked):
    table = views.rank(basis(ranked))
    assert {k: v.number for k, v in extra(table, "rank", "symmetric 50%").items()} == {"a": "1.5", "b": "1.5", "c": "3"}
    means = {label: value.value for label, value in extra(table, "mean rank").items()}
    assert means == pytest.approx({"a": 3.5 / 3, "b": 6.5 / 3, "c": 8 / 3})
    assert extra(accuracy_table(ranked), "mean rank") == extra(table, "mean rank")
    notes = "\n".join(table.notes)
    assert "rank: over 3 columns, among 3 rows; 1 is best, equal means share the mean of their ranks" in notes
    assert "Friedman, 3 methods over 3 settings: p = " in notes
    assert "Nemenyi's critical difference at 0.05 is 1.91: closer mean ranks are not separable" in notes
    assert "3 settings on 1 data set, and settings of one data set are not independent" in notes


@pytest.mark.parametrize(("orders", "differ"), [(["abc", "bca", "cab"], False), (["abc"] * 8, True)], ids=str)
def test_that_no_row_is_shown_to_differ_is_said_where_it_is_so(make, orders, differ):
    runs = [
        make(method, 0, (50 - place,), noise={"rate": (number + 1) / 10})
        for number, order in enumerate(orders)
        for place, method in enumerate(order)
    ]
    (note,) = (note for note in views.rank(basis(runs)).notes if note.startswith("Friedman, 3 methods"))
    assert ("no row is shown to differ from any other" in note) != differ


def test_a_row_that_lacks_a_column_has_no_rank_and_is_named(ranked, make):
    late = make("late", 0, (99,), noise={"rate": 0.2})
    table = accuracy_table([*ranked, late])
    assert extra(table, "mean rank")["late"].number == DASH
    assert extra(table, "mean rank")["a"].value == pytest.approx(3.5 / 3)  # as if it were not there
    assert any("without a rank, as they lack a number in a column: late" in note for note in table.notes)


def test_a_column_that_nobody_has_run_costs_no_rank(ranked, make):
    planned = {make.run_id(c): c for c in (make.config("a", noise={"rate": 0.9}),)}
    table = accuracy_table(ranked, expected=planned)
    assert extra(table, "mean rank")["a"].value == pytest.approx(3.5 / 3)
    assert any("columns left out, as a row has no number there: symmetric 90%" in note for note in table.notes)


def test_a_column_that_most_rows_lack_is_left_out_for_all(ranked, make):
    """Of 3 + 1 columns and 3 rows one has run in the last: what it lacks least is left out, and nobody loses a rank."""
    table = accuracy_table([*ranked, make("a", 0, (99,), noise={"rate": 0.9})])
    assert [value.number for value in extra(table, "mean rank").values()] == [
        value.number for value in extra(accuracy_table(ranked), "mean rank").values()
    ]
    assert any("columns left out, as a row has no number there: symmetric 90%" in note for note in table.notes)


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_columns_or_rows_have_no_test_and_say_so(make, count):
    table = views.rank(
        basis([make(m, 0, (x,), noise={"rate": r}) for m, x in (("a", 9), ("b", 8)) for r in RATES[:count]])
    )
    assert any(note.startswith("no test: ranks compare at least 3 methods, got 2 methods") for note in table.notes)
    assert any(extra.name == "mean rank" for extra in table.extras) == (count == 2)
    one = accuracy_table([make("a", 0, (9,), noise={"rate": r}) for r in RATES])
    assert one.extras == ()


# --- rules and heads


def test_the_oracle_gap_is_paired_run_by_run(make):
    runs = [
        make("a", s, test, val_noisy=[3, 9, 1]) for s, test in enumerate([(50, 80, 70), (60, 61, 61), (90, 20, 60)])
    ]
    table = views.rules(basis(runs))
    gap = at(table, "a", "oracle gap")
    assert (gap.mean, gap.sd, gap.n) == (pytest.approx(40 / 3), pytest.approx(15.275252), 3)  # of 10, 0 and 30
    assert gap.text == "13.33 ± 15.28 (3)"
    assert at(table, "a", "oracle").text == "77.00 ± 14.73 (3)"
    assert at(table, "a", "noisy_val").mean == pytest.approx((80 + 61 + 20) / 3)
    assert at(table, "a", "last10").mean == pytest.approx((200 / 3 + 182 / 3 + 170 / 3) / 3)
    assert [part.name for part in table.parts] == [*RULES, "oracle gap"]
    (block,) = table.blocks()
    assert (block.title, [column.heading for column in block.columns]) == ("symmetric 50%", [*RULES, "oracle gap"])


def test_a_rule_without_anything_to_select_by_is_left_out_and_named(make):
    table = views.rules(basis([make("a", s, (50, 60), val_clean=[None, None]) for s in range(2)]))
    assert "clean_val" not in [part.name for part in table.parts]
    assert "not shown, because no run has anything to select by: clean_val" in table.notes
    two = make("two", heads={"net1": [10], "net2": [30]}, headline=["net1"], networks=2)
    table = views.rules(basis([two], head="ensemble"))  # which this method does not have
    assert (table.columns, table.parts, table.rows[0].cells) == ((), (), ())
    assert f"not shown, because no run has anything to select by: {', '.join(RULES)}" in table.notes


def test_each_network_their_mean_and_the_ensemble(make):
    two = make("two", heads={"net1": [10], "net2": [30], "ensemble": [50]}, headline=["ensemble"], networks=2)
    table = views.heads(basis([two, make("one", test=(40,))]))
    assert [part.name for part in table.parts] == ["net1", "net2", "mean", "ensemble"]
    assert [cell.text for cell in table.rows[0].cells] == ["40.00 (1)", DASH, "40.00 (1)", "40.00 (1)"]
    assert [cell.text for cell in table.rows[1].cells] == ["10.00 (1)", "30.00 (1)", "20.00 (1)", "50.00 (1)"]
    assert table.rows[1].head == "ensemble"  # what counts elsewhere
    assert "the only network of a method is its own mean and ensemble" in table.notes


# --- what is missing is seen everywhere


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("view", VIEWS)
def test_missing_failed_and_diverged_runs_are_in_every_view_and_format(make, view, form):
    plan = {make.run_id(c): c for c in (make.config("a", s, noise={"rate": r}) for s in range(3) for r in RATES)}
    lost = make.run_id(make.config("a", 2))
    runs = [make("a", s, (50, 60, 70), noise={"rate": r}) for s in range(2) for r in RATES]
    runs += [
        make("b", s, (50,), train={"epochs": 3}, diverged=s == 0, noise={"rate": r}) for s in range(3) for r in RATES
    ]
    found = basis(runs, expected=plan, failed={lost: "out of memory"})
    text = WRITERS[form](view_of(view, found))
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert any(
            "(2/3) x" in row["text"] or (row["n"], row["planned"], row["failed"]) == ("2", "3", "1") for row in rows
        )
        assert any("!" in row["text"] or row["diverged"] == "1" for row in rows)
        return
    assert "out of memory" in text
    assert lost in text
    plain = re.sub(r"<[^>]*>", "", text).replace("\\", "")
    assert form == "json" or re.search(r"\(2/3\) [=*{}]*x", plain)
    assert re.search(r"\(3\) [=*{}]*!|\b\d !|diverged\": 1|\"!\"", plain)


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_can_be_written_in_every_format_even_of_nothing(view, form):
    assert WRITERS[form](view_of(view, basis([])))


@pytest.mark.parametrize("view", VIEWS)
def test_rows_that_are_not_comparable_are_split_in_every_view(make, view):
    table = view_of(view, basis([make(seed=0), make(seed=1, protocol=2)]))
    assert [row.label for row in table.rows] == ["ce [protocol=1]", "ce [protocol=2]"]
    assert any("which are not averaged" in note for note in table.notes)


# --- writers


def test_blocks_are_titled_in_text_markdown_latex_and_pages(make):
    table = views.rules(basis([make(m, s, (50, 60 + s)) for m in "ab" for s in range(2)]))
    text = to_text(table, width=70)
    assert max(map(len, text.splitlines())) <= 70
    assert "symmetric 50%\nmethod" in text
    assert "symmetric 50% (continued)\nmethod" in text
    assert "\n\n**symmetric 50%**\n\n| method" in to_markdown(table)
    assert r"\textbf{symmetric 50\%} \\" in to_latex(table)
    assert "<h2>symmetric 50%</h2>" in to_html(table)


def test_csv_says_what_every_number_is(ranked):
    rows = list(csv.DictReader(io.StringIO(to_csv(views.rules(basis(ranked))))))
    gaps = [row for row in rows if row["part"] == "oracle gap"]
    assert {row["rule"] for row in gaps} == {"oracle minus last"}
    assert {row["rule"] for row in rows if row["part"] == "last10"} == {"last10"}
    ranks = [row for row in csv.DictReader(io.StringIO(to_csv(accuracy_table(ranked)))) if row["part"] == "mean rank"]
    assert [(row["method"], row["value"], row["text"], row["n"]) for row in ranks] == [
        ("a", "1.166667", "1.17", ""),
        ("b", "2.166667", "2.17", ""),
        ("c", "2.666667", "2.67", ""),
    ]


def test_a_json_table_holds_everything(ranked):
    told = json.loads(WRITERS["json"](views.rank(basis(ranked))))
    assert told["view"] == "rank"
    assert told["extras"][1]["values"][0] == {"number": "1.5", "value": 1.5, "count": "", "flags": "", "notes": []}


@pytest.mark.parametrize("view", VIEWS)
def test_m11_names_are_text_on_every_page(make, view):
    labels = {"family": "file", "rate": None, "options": {"path": HOSTILE}}
    runs = [make(HOSTILE, s, (50 + s,), needs=[HOSTILE], **more) for s in range(2) for more in ({}, {"noise": labels})]
    page = to_html(
        view_of(view, basis(runs, baseline=HOSTILE, expected={"r1": make.config(seed=9)}, failed={"r1": HOSTILE}))
    )
    assert "<img" not in page
    assert page.count("<script") == 1  # ours
    assert page.count("&lt;script&gt;") > 2


GOLDEN = """\
- dataset: digits
- samples: 1000 train / 50 validation / 100 test
- network: small
- epochs: 2
- preset: uniform
- number: rank of the mean of: test accuracy after the last epoch
- seeds: 0

| method   | nets   | head   | symmetric 20%   | symmetric 50%   | symmetric 80%   | mean rank   |
|----------|--------|--------|-----------------|-----------------|-----------------|-------------|
| a        | 1      | net1   | 1               | 1.5             | 1               | 1.17        |
| b        | 1      | net1   | 2               | 1.5             | 3               | 2.17        |
| c        | 1      | net1   | 3               | 3               | 2               | 2.67        |

"""


def test_the_view_of_ranks_in_markdown_to_the_letter(ranked):
    assert to_markdown(views.rank(basis(ranked))).startswith(GOLDEN)


@pytest.mark.slow
@pytest.mark.skipif(not latex(), reason="pdflatex or its package booktabs is not installed")
@pytest.mark.parametrize("view", VIEWS)
def test_f86_latex_compiles(make, view, tmp_path):
    nasty = "a&b%c_d#e$f{g}h~i^j\\k[l]<m>|* é ß τ 漢 \u202e \x1b[2J ©"
    runs = [make(m, s, (50 + s,), noise={"rate": r}) for m in (nasty, "ce") for s in range(3) for r in RATES]
    body = to_latex(view_of(view, basis(runs, baseline="ce")))
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-1500:]
    assert (tmp_path / "t.pdf").stat().st_size > 1000


def test_times_told_in_no_record_are_dashes(make):
    table = views.cost(basis([make("a"), make("b", networks=2)], baseline="a"), {})
    assert extra(table, "time/run")["a"].number == DASH
    assert extra(table, "passes ratio")["b"].number == "1.0x"
    runs = [make("a"), make("b")]
    spent = {run["run_id"]: Spent(3600.0 * (i + 1), "a GPU") for i, run in enumerate(runs)}
    table = views.cost(basis(runs, baseline="a"), spent)
    assert [extra(table, "time ratio")[m].number for m in "ab"] == ["1.0x", "2.0x"]
    assert [extra(table, "time/run")[m].number for m in "ab"] == ["1.0 h", "2.0 h"]


@pytest.mark.parametrize(
    ("hours", "times", "ratio"),
    [
        (1e-9, "under .1 s", "0.00x"),
        (0.0156, "56.2 s", "0.02x"),
        (59.97 / 3600, "1.0 min", "0.02x"),
        (0.0625, "3.8 min", "0.06x"),
        (0.99, "59.4 min", "0.99x"),
        (0.9999, "1.0 h", "1.00x"),
        (1, "1.0 h", "1.0x"),
        (99.94, "99.9 h", "99.9x"),
        (100, "100.0 h", "100x"),
        (12345.6, "12,345.6 h", "12,346x"),
    ],
)
def test_times_and_ratios_are_short_whatever_their_size(make, hours, times, ratio):
    runs = [make("a"), make("b")]
    spent = {run["run_id"]: Spent(3600.0 * own, "a GPU") for run, own in zip(runs, (1, hours), strict=True)}
    table = views.cost(basis(runs, baseline="a"), spent)
    assert extra(table, "time/run")["b"].number == times
    assert extra(table, "time ratio")["b"].number == ratio
