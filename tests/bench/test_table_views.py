"""`table` with its views, formats and options, on runs really trained; and tables of all that a folder holds."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pandas as pd
import pytest
from scipy import stats

from bench import cli
from bench.arguments.evidence import FORMATS, VIEWS
from bench.evidence import costs, curves, published, recount, tables, views
from bench.evidence.cells import Cell, Row, Table
from bench.evidence.footnoted import NOTHING
from bench.evidence.statistics import highest, not_separable
from bench.evidence.writers import to_html
from bench.findings import compared, figures, gathering, remembering
from bench.sweep.planning.selection import planned
from bench.sweep.records.result import seal
from bench.sweep.records.store import Store
from tests.bench.tampering import alike


@pytest.fixture
def table(trained, suite, say, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    remembering._makers.cache_clear()
    return lambda *words: say("table", *suite, "--results", trained, *words)


def test_every_view_in_every_format_is_the_same_when_it_is_remembered(table, trained):
    for view in VIEWS:
        for form in FORMATS:
            first = table("--view", view, "--format", form)
            assert (first[0], first[2]) == (0, ""), (view, form)
            assert table("--view", view, "--format", form) == first
    (folder,) = (trained / "tables").iterdir()
    written = {f"{view}.{end}" for view in VIEWS for end in ("csv", "md", "tex", "html", "manifest.json")}
    assert written <= {path.name for path in folder.iterdir()}


def test_a_table_that_must_be_complete_names_how_many_are_missing(table, trained, runs):
    assert table("--require-complete")[0] == 0
    lost, broken = runs[0], runs[1]
    (trained / "runs" / lost.run_id / "result.json").unlink()
    assert table("--require-complete") == (1, "", "no table: 1 of 8 planned runs are missing (1 not run)\n")
    path = trained / "runs" / broken.run_id / "result.json"
    path.write_bytes(path.read_bytes()[:-9])
    assert table("--require-complete")[:2] == (3, "")
    words = ("--require-complete", "--allow-incomplete", "--view", "rank")
    code, out, err = table(*words)
    assert (code, out) == (1, "")
    assert str(path) in err
    assert err.endswith("no table: 2 of 8 planned runs are missing (1 damaged, 1 not run)\n")


def test_a_view_of_all_takes_no_word_on_one(table):
    assert table("--view", "rules", "--rule", "last10")[::2] == (
        2,
        "run_bench.py table: --view rules shows every selection rule; leave out --rule last10\n",
    )
    assert table("--view", "heads", "--head", "net1")[::2] == (
        2,
        "run_bench.py table: --view heads shows every head; leave out --head net1\n",
    )


def test_the_rule_is_the_suites_own_unless_another_is_asked_for(trained, say, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('dataset = "digits"\nnoise = ["symmetric:0.5"]\nmethods = ["ce"]\nseeds = "0-1"\nrule = "oracle"\n')
    words = ("table", path, "--results", trained, "--format", "md")
    assert "number: best test accuracy of any epoch (an oracle" in say(*words)[1]
    assert "number: test accuracy after the last epoch" in say(*words, "--rule", "last")[1]


def test_costs_come_from_the_records(table, trained):
    rows = list(csv.DictReader(table("--view", "cost", "--format", "csv")[1].splitlines()))
    told = {}
    for path in trained.glob("runs/*/result.json"):
        record = json.loads(path.read_bytes())
        told.setdefault(record["payload"]["config"]["method"]["name"], []).append(
            record["provenance"]["seconds"] / 3600
        )
    shown = {row["method"]: float(row["value"]) for row in rows if row["part"] == "time/run (h)"}
    assert shown == {name: pytest.approx(sum(hours) / len(hours), abs=1e-6) for name, hours in told.items()}
    assert [row["text"] for row in rows if row["part"] == "passes ratio"] == ["1.0x", "2.0x"]
    text = " ".join(table("--view", "cost")[1].split())
    device = next(iter(record["provenance"]["attempts"]))["device"]
    assert f"time: of one run's process on {device}" in text


def test_published_numbers_stand_beside_ours_where_any_is_known(table, tmp_path, monkeypatch):
    assert NOTHING in " ".join(table("--view", "published")[1].split())
    fields = [name for name in published.Reference.__dataclass_fields__ if name != "printed"]
    known = {
        "table": "made",
        "method": "ce",
        "label": "CE",
        "dataset": "digits",
        "noise": "symmetric:0.5",
        "value": "99.0",
    }
    known |= {"noise_definition": "exclusive exact", "rule": "last", "kind": "authors", "source": "Nobody, 2020"}
    with (tmp_path / "made.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fields, restval="")
        writer.writeheader()
        writer.writerow(known)
    monkeypatch.setattr(published, "FOLDER", tmp_path)
    text = " ".join(table("--view", "published")[1].split())
    assert "99.0 [1]" in text
    assert "[1] Nobody, 2020 (by the method's authors, as 'CE'); network not stated; noise exclusive exact" in text
    assert NOTHING not in text


# --- all that a folder holds


def test_everything_is_the_table_of_all_runs_of_a_folder(trained, suite, say):
    code, out, err = say("table", "--everything", "--results", trained, "--format", "csv")
    assert (code, err) == (0, "")
    one = {tuple(sorted(row.items())) for row in csv.DictReader(out.splitlines())}
    other = say("table", *suite, "--results", trained, "--format", "csv")[1]
    assert one == {tuple(sorted(row.items())) for row in csv.DictReader(other.splitlines())}
    assert say("table", "--everything", "--results", trained)[1].startswith("all 8 runs of a results folder\n")
    code, paths, _ = say("plot", "--everything", "--results", trained, "--kind", "cost", "--format", "svg")
    assert (code, paths) == (0, f"{trained / 'tables' / 'everything' / 'cost.svg'}\n")


@pytest.mark.parametrize(
    ("words", "what"),
    [(["quickstart"], "suite 'quickstart'"), (["--seeds", "0"], "--seeds"), (["--noise-seed", "1"], "--noise-seed")],
)
def test_everything_takes_no_part(trained, say, words, what):
    for verb in ("table", "plot"):
        code, out, err = say(verb, *words, "--everything", "--results", trained)
        told = f"run_bench.py {verb}: --everything takes all runs of the results folder; leave out {what}\n"
        assert (code, out, err) == (2, "", told)


def test_everything_of_nothing_is_one_line(tmp_path, say):
    code, _, err = say("table", "--everything", "--results", tmp_path)
    assert (code, err) == (2, f"run_bench.py table: there is no run under {tmp_path}\n")


def test_everything_keeps_data_sets_and_strange_methods_apart(trained, runs, say):
    def elsewhere(config):
        config["dataset"] |= {"name": "mine.npz", "digest": "e" * 64}
        config["method"] = {"name": "mine.Own", "params": {"drop": 0.3}}

    alike(trained, runs[0].run_id, elsewhere)
    code, out, err = say("table", "--everything", "--results", trained, "--format", "csv")
    assert (code, err) == (0, "")
    rows = list(csv.DictReader(out.splitlines()))
    assert {row["column"] for row in rows if row["n"]} >= {"mine.npz · symmetric 50%", "digits · symmetric 50%"}
    (own,) = (row for row in rows if row["method"] == "mine.Own" and row["n"] == "1")
    assert own["column"].startswith("mine.npz · ")
    ranks = {row["method"]: row["text"] for row in rows if row["part"] == "mean rank"}
    assert ranks.pop("mine.Own") == "–"  # which has run elsewhere
    assert set(ranks.values()) == {"1.00", "2.00"}


def test_everything_names_a_damaged_config_and_goes_on_where_that_is_allowed(trained, runs, say):
    path = trained / "runs" / runs[0].run_id / "config.json"
    path.write_bytes(path.read_bytes().replace(b'"seed":', b'"sead":', 1))
    code, out, err = say("table", "--everything", "--results", trained)
    assert (code, out) == (3, "")
    assert str(path) in err
    code, out, _ = say("table", "--everything", "--results", trained, "--allow-incomplete", "--format", "csv")
    assert code == 0
    assert sum(int(row["n"] or 0) for row in csv.DictReader(out.splitlines())) == 7


# --- what is remembered, and what is held to account


def test_what_python_keeps_beside_the_templates_of_pages_changes_nothing_and_a_template_does(tmp_path, monkeypatch):
    pages = tmp_path / "page"
    shutil.copytree(remembering.PAGES, pages, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(remembering, "PAGES", pages)
    makers = remembering._makers.__wrapped__
    before = makers()
    (pages / "__pycache__").mkdir()
    (pages / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"bytecode")
    assert makers() == before
    (pages / "table.html").write_text("another")
    assert makers() != before


def test_lines_of_a_plot_are_remembered_to_the_last_bit(trained, suite, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    args = cli.parser().parse_args(["plot", *suite, "--results", str(trained)])
    found = gathering.gather(Store(trained), *planned(args))
    ground = figures.Ground(found)
    told = curves.packed(ground.grouping)
    assert curves.packed(ground.lined) == told
    monkeypatch.setattr(curves, "traced", lambda payload: pytest.fail("a history was read again"))
    assert curves.packed(figures.Ground(found).lined) == told
    assert {label for _, label, *_ in told} == {"ce", "dml"}


@pytest.mark.parametrize(
    ("module", "place", "wrong", "said"),
    [
        (views, "_gaps", lambda row, column, head: [0.5 for _ in row.runs(column)], "oracle minus last"),
        (tables, "mean_rank", lambda labels, rows: ([], []), "has no mean ranks"),
        (
            views,
            "_ranked",
            lambda label, at, rows, within: views.Extra("rank", (views.NONE,) * len(rows), 0, label),
            "says None",
        ),
    ],
)
def test_g30_ranks_and_gaps_that_are_computed_wrongly_are_found(
    trained, suite, say, module, place, wrong, said, monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, place, wrong)
    code, out, _ = say("verify", *suite, "--results", trained)
    assert code == 3
    assert any(said in line for line in out.splitlines() if line.startswith("WRONG"))


def test_g21_written_views_with_another_digit_are_named(table, trained, suite, say):
    changed = []
    for view, shape in (("rules", r"\d\d\.\d\d"), ("rank", r"\b[12]\.00\b")):
        table("--view", view)
        for path in sorted(trained.glob(f"tables/*/{view}.*")):
            if path.suffix != ".json":
                text = path.read_text()
                number = re.search(shape, text)
                path.write_text(text[: number.start()] + "77.77" + text[number.end() :])
                changed.append(path)
    code, out, _ = say("verify", *suite, "--results", trained)
    assert (code, len(changed)) == (3, 8)
    wrong = {line for line in out.splitlines() if line.startswith("WRONG")}
    assert wrong == {f"WRONG {path}: stale or changed: its rows are not those of the records" for path in changed}


@pytest.mark.parametrize("form", ["md", "tex", "html"])
def test_a_note_with_another_digit_is_named(table, trained, suite, say, form):
    table("--view", "rank")
    path = next(trained.glob(f"tables/*/rank.{form}"))
    text = path.read_text()
    at = re.search(r"among (\d) rows", text).start(1)
    path.write_text(f"{text[:at]}9{text[at + 1 :]}")
    code, out, _ = say("verify", *suite, "--results", trained)
    assert code == 3
    assert f"WRONG {path}: stale or changed: it does not say: " in out


def test_a_table_against_another_baseline_is_printed_and_nothing_beside_the_records_tells_of_it(
    table, trained, suite, say
):
    before = {path: path.read_bytes() for path in trained.glob("tables/*/*")}
    code, out, _ = table("--view", "cost", "--baseline", "dml")
    assert code == 0
    assert "ratios are to dml" in out
    assert {path: path.read_bytes() for path in trained.glob("tables/*/*")} == before
    assert say("verify", *suite, "--results", trained)[0] == 0


def test_repro_averages_no_runs_that_a_table_keeps_apart(trained, runs, suite):
    run = next(run for run in runs if run.config.method.name == "dml")
    path = trained / "runs" / run.run_id / "result.json"
    record = json.loads(path.read_bytes())
    record["payload"]["device_kind"] = "cuda"
    path.write_bytes(seal(record["payload"], record["provenance"]))
    args = cli.parser().parse_args(["run", *suite, "--results", str(trained)])
    found = gathering.gather(Store(trained), *planned(args))
    lines = [line for line in compared.lines(found, [], args) if (line.method, line.noise) == ("dml", run.noise)]
    assert sorted(line.n for line in lines) == [1, 1]


def test_ranks_by_the_second_road():
    ranks = recount.ranks({"a": [3.0, None, 5.0], "b": [3.0, None, 4.0], "late": [None, None, 9.0]})
    assert ranks == {"a": [1.5, None, 1.0], "b": [1.5, None, 2.0]}
    # a column that two of three lack goes, and with it nobody; a row that lacks one of three goes for the other two
    ranks = recount.ranks({"a": [3.0, 1.0, 5.0], "b": [2.0, 2.0, None], "c": [1.0, 3.0, None]})
    assert ranks == {"a": [1.0, 3.0, None], "b": [2.0, 2.0, None], "c": [3.0, 1.0, None]}
    assert recount.ranks({"a": [1.0], "b": [None]}) == {}


def test_a_page_is_sorted_by_its_headings_and_asks_for_nothing(table, tmp_path, opened):
    path = tmp_path / "table.html"
    path.write_text(table("--view", "cost", "--format", "html")[1], encoding="utf-8")
    page = opened(path)
    names = page.locator("tbody th")
    assert names.all_inner_texts() == ["ce", "dml"]
    heading = page.get_by_role("button", name="passes").first  # which are counted, and do not depend on the hour
    heading.click()
    heading.click()
    assert names.all_inner_texts() == ["dml", "ce"]
    assert "mean ± sample sd over seeds (runs)" in page.inner_text("main")


def test_m11_no_name_runs_on_a_page_of_a_table(tmp_path, opened):
    hostile = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    cell = Cell(50.0, 1.0, 2, 3, failed=1)
    row = Row(hostile, hostile, "{}", 1, hostile, (hostile,), (cell,))
    header = {hostile: hostile}
    table = Table(header, (hostile,), (row,), (hostile,), "last", "headline", None, (), title=hostile)
    path = tmp_path / "table.html"
    path.write_text(to_html(replace(table, footnotes=(hostile,))), encoding="utf-8")
    page = opened(path)  # a dialogue or a request would fail it
    assert page.title() == page.inner_text("h1") == hostile
    assert page.locator("tbody th").inner_text() == f"{hostile}†"
    assert page.locator("tbody td").last.inner_text() == "50.00 ± 1.00 (2/3) x"
    assert page.locator("img, script").count() == 1


def test_g21_costs_are_counted_by_a_second_road(trained, suite, say, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    remembering._makers.cache_clear()
    real = costs.passes
    monkeypatch.setattr(costs, "passes", lambda run: 3 * real(run))
    code, out, _ = say("verify", *suite, "--results", trained)
    assert code == 3
    wrong = [line for line in out.splitlines() if line.startswith("WRONG cost table of ")]
    assert {re.search(r", (\w+): says [\d.]+, counted again \d", line)[1] for line in wrong} == {"passes"}


def test_g21_marks_are_tested_by_a_second_road(trained, suite, say, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    remembering._makers.cache_clear()
    monkeypatch.setattr(tables, "not_separable", lambda seeds: set(map(str, seeds)))  # everybody is as good as the best
    code, out, _ = say("verify", *suite, "--results", trained)
    assert code == 3
    assert re.search(r"WRONG table of .*: says .* =, tested again: no mark\n", out)


def test_marks_by_the_second_road_are_those_of_the_table():
    """Few runs and values, so that ties, equal runs and missing ones abound; few levels, so that some methods lose."""
    draw, seen = random.Random(0), Counter()
    for _ in range(200):
        shares = {}
        for name in range(draw.randint(1, 5)):
            level, width = draw.choice([30, 30, 31, 40, 90]), draw.choice([1, 2, 4])
            own = {seed: level + draw.randrange(width) for seed in range(draw.randint(1, 9)) if draw.randrange(6)}
            shares |= {f"m{name}": own} if own else {}
        long = pd.DataFrame({name: pd.Series({s: v / 360 for s, v in own.items()}) for name, own in shares.items()})
        runs = {
            name: [
                recount.Run(
                    {"config": {"seed": s, "noise": {"seed": s}}, "noise_id": "n"},
                    {},
                    "",
                    {},
                    {("last", "net1"): Fraction(v, 360)},
                )
                for s, v in own.items()
            ]
            for name, own in shares.items()
        }
        best, tied = recount.marks(runs, "last", "net1")
        assert tied == not_separable(long)
        assert best == (highest(long) if tied else None)
        seen[min(len(tied), 2), bool(shares.keys() - tied)] += 1
    assert min(seen[0, True], seen[1, True], seen[2, True], seen[2, False]) >= 5


@pytest.mark.parametrize("n", range(2, 14))
def test_the_p_of_a_paired_test_by_the_second_road(n):
    for numbers in (range(n), [2, *[1] * (n - 1)], [(-1) ** k * (k + 1) for k in range(n)]):
        gaps = [Fraction(number, 360) for number in numbers]
        assert recount._p(gaps) == pytest.approx(stats.ttest_1samp([float(gap) for gap in gaps], 0).pvalue, rel=1e-9)


def test_costs_by_the_second_road():
    def run(epochs: int, forward: int, diverged: bool = False, train: int = 100) -> recount.Run:
        facts = {"config": {"train": {"epochs": epochs}}, "forward_samples": forward, "totals": {"train": train}}
        return recount.Run({**facts, "diverged": diverged}, {}, "", {}, {})

    rows = {
        "base": [[run(2, 400), run(2, 600)], [run(4, 1000)]],
        "twice": [[run(2, 1000)], [run(4, 3000), run(4, 9, diverged=True)]],
        "none": [[], []],
        "unknown": [[run(2, 5, train=0)], []],
    }
    found = recount.costs(rows, "base")
    assert found["base"] == {"epochs": Fraction(8, 3), "passes": Fraction(20, 3), "passes ratio": 1}
    assert found["twice"] == {"epochs": 3, "passes": 20, "passes ratio": Fraction(5, 2)}  # of 2 and 3
    assert found["none"] == {}
    assert found["unknown"] == {"epochs": 2}
    assert "passes ratio" not in recount.costs(rows, None)["twice"]
