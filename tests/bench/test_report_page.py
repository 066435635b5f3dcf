"""The report in a browser: a hundred made-up runs, some of them failed, under names that would like to be scripts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from bench import cli
from bench.evidence.page import inert
from bench.files import canonical
from bench.sweep.planning.selection import planned
from bench.sweep.records.result import seal
from bench.sweep.records.store import Store
from tests.bench.test_many_runs import KINDS, Many, make

HOSTILE = "</script><img src=x onerror=\"document.title='got'\"><script>document.title='got'</script>{{ 7 * 7 }}"
LOOKS = 8  # at a run's files for a report, at most


class Made(NamedTuple):
    many: Many
    page: Path
    data: dict


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    """A report of 100 runs, of which one has failed, one was interrupted, one not begun, and one diverged."""
    folder = tmp_path_factory.mktemp("report")
    many = make(folder, seeds=5, epochs=5)
    many.suite.write_text(f"title = {json.dumps(HOSTILE)}\n" + many.suite.read_text())
    _spoil(many)
    page = folder / "page.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        _, printed, looks = many.say("report", "--out", str(page))
    assert printed.split()[0] == str(page)
    assert looks <= LOOKS * len(many.runs)
    data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"))[1])
    return Made(many, page, data)


def _spoil(many: Many) -> None:
    """Give one failure a message and traceback, one result a device, and let one run diverge."""
    for number, run in enumerate(many.runs):
        folder = Store(many.root).run(run.run_id).path
        if number == 7:
            (end,) = folder.glob("attempts/*.end.json")
            record = {"class": "error", "final": True, "message": HOSTILE, "traceback": f"Traceback\n{HOSTILE}"}
            end.write_bytes(canonical(record))
            (folder / "log.txt").write_text("the log")
        if number in (0, 1):
            payload = json.loads((folder / "result.json").read_bytes())["payload"]
            if number == 1:
                payload |= {"diverged": True, "history": payload["history"][:3]}
            attempt = {"device": HOSTILE, "torch": HOSTILE, "started": "2026-01-02T03:04:05+00:00", "commit": HOSTILE}
            provenance = {"seconds": 12.5, "attempts": [attempt]}
            (folder / "result.json").write_bytes(seal(payload, provenance))


@pytest.fixture
def shown(made, opened):
    return opened(made.page)


def text(place) -> str:
    return place.text_content().strip()


def visible(shown, place=0) -> list[str]:
    """A column of the table that is shown."""
    rows = shown.locator(".variant:not([hidden]) tbody tr")
    return rows.evaluate_all(f"rows => rows.map(row => row.cells[{place}].textContent)")


def listed(shown, place=0, table="all-runs") -> list[str]:
    rows = shown.locator(f"#{table} tbody tr")
    return rows.evaluate_all(f"rows => rows.map(row => row.cells[{place}].textContent)")


def test_hostile_text_is_shown_as_text_wherever_it_stands(shown):
    assert shown.title() == HOSTILE
    assert text(shown.locator("h1")) == HOSTILE
    assert HOSTILE in text(shown.locator("#failures details").first)
    assert HOSTILE in listed(shown, 5, "failed")
    assert HOSTILE in listed(shown, 6)  # the device
    assert HOSTILE in text(shown.locator("#provenance"))
    assert shown.locator("img").count() == 0


def test_counts_and_failures_are_complete(shown, made):
    counts = shown.locator(".counts li").evaluate_all("all => all.map(one => one.textContent)")
    done = made.many.count(None)
    assert counts == [
        f"{done - 1} done",
        "1 diverged, counted with the accuracy they ended at",
        *("1 failed", "1 interrupted", "1 not started"),
    ]
    assert sorted(listed(shown, 0, "failed")) == sorted(
        ["diverged", *(kind.replace("planned", "not started") for kind in KINDS.values())]
    )
    row = listed(shown, 5, "failed").index(HOSTILE)
    words = listed(shown, 6, "failed")[row].split()
    (alone,) = planned(cli.parser().parse_args(words[2:]))[1]
    assert alone.run_id == listed(shown, 8, "failed")[row] == made.many.runs[7].run_id
    assert listed(shown, 7, "failed")[row] == str(made.many.root / "runs" / alone.run_id / "log.txt")


def test_another_rule_shows_its_table_and_the_runs_follow(shown, made):
    warning = shown.locator(".variant:not([hidden]) p.alarm")
    assert warning.count() == 0
    before = visible(shown, 3)
    shown.select_option("#rule", "oracle")
    assert text(warning).startswith("An oracle: the epoch of every number below was chosen on the test labels.")
    after = visible(shown, 3)
    assert before != after
    values = made.data["accuracies"]["oracle headline"]
    expected = [
        "" if place is None else f"{values[place] / 100:.2f}" for place in made.data["of_record"][: len(listed(shown))]
    ]
    assert listed(shown, 3) == expected
    shown.select_option("#head", "net2")
    assert visible(shown, 3)[0].startswith("–")  # the first method has one network
    shown.select_option("#head", "headline")
    shown.select_option("#rule", "last")
    assert visible(shown, 3) == before


def test_a_sort_and_a_filter_stay_when_the_rule_changes(shown):
    table = shown.locator(".variant:not([hidden])")
    table.get_by_role("button", name="symmetric 10%").click()
    numbers = [float(cell.split()[0]) for cell in visible(shown, 3)]
    assert numbers == sorted(numbers, reverse=True)
    table.get_by_role("searchbox").fill("e")
    kept = set(visible(shown))
    shown.select_option("#rule", "last10")
    assert set(visible(shown)) == kept
    assert table.get_by_role("searchbox").input_value() == "e"
    numbers = [float(cell.split()[0]) for cell in visible(shown, 3)]
    assert numbers == sorted(numbers, reverse=True)
    assert table.locator("th[aria-sort=descending]").count() == 1


def test_all_runs_are_sorted_and_filtered_and_some_stand_on_the_page(shown, made):
    assert len(listed(shown)) == 100
    table = shown.locator("#all-runs")
    table.get_by_role("button", name="accuracy").press("Enter")
    cells = [float(cell) for cell in listed(shown, 3) if cell]
    assert cells == sorted(cells)
    assert listed(shown, 3)[-3:] == [""] * 3  # those without a number come last
    run = made.many.runs[0]
    shown.locator("#runs").get_by_role("searchbox").fill(f"{run.run_id} SYMMETRIC")
    assert listed(shown, 8) == [run.run_id]
    assert text(shown.locator("#runs output")) == "1 of 100 rows"
    assert listed(shown, 5) == ["12.5"]


def reading(shown) -> str:
    return text(shown.locator("#reading"))


def value_of(shown, row) -> str:
    return text(shown.locator(f'#rows li[data-row="{row}"] output'))


def told(made, name, row, column, epoch) -> str:
    measure = next(one for one in made.data["curves"]["measures"] if one["name"] == name)
    line = next(one for one in measure["lines"] if one[:2] == [row, column])
    return f"{line[4][epoch] / measure['scale']:.2f} ± {line[5][epoch] / measure['scale']:.2f}"


def test_a_curve_says_its_values_under_the_pointer_and_by_the_arrow_keys(shown, made):
    plot = shown.locator("#plot")
    assert "after the last epoch" in reading(shown)
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    shown.mouse.move(box["x"] + 54, box["y"] + 100)  # the first epoch stands at the axis
    assert "symmetric 10%, after epoch 1:" in reading(shown)
    for row in range(4):
        assert value_of(shown, row) == told(made, "accuracy", row, 0, 0)
    shown.mouse.move(box["x"] + box["width"] - 14, box["y"] + 100)
    assert "after epoch 5:" in reading(shown)
    shown.mouse.move(0, 0)
    plot.focus()
    plot.press("Home")
    plot.press("ArrowRight")
    assert "after epoch 2:" in reading(shown)
    assert value_of(shown, 2) == told(made, "accuracy", 2, 0, 1)
    plot.press("End")
    plot.press("ArrowRight")
    assert "after epoch 5:" in reading(shown)


def test_measure_column_rows_and_single_runs_are_chosen(shown, made):
    names = [measure["name"] for measure in made.data["curves"]["measures"]]
    assert names == ["accuracy", "memorised", "recovered", "selected", "precision", "recall", "calibration", "auc"]
    shown.select_option("#measure", str(names.index("memorised")))
    shown.select_option("#column", "1")
    assert value_of(shown, 3) == told(made, "memorised", 3, 1, -1)
    lines, band = shown.locator("#plot path.line"), shown.locator("#plot path.band")
    assert (lines.count(), band.count()) == (4, 4)
    shown.locator('#rows li[data-row="0"] input').uncheck()
    assert (lines.count(), band.count()) == (3, 3)
    shown.click("#no-rows")
    assert lines.count() == 0
    assert reading(shown) == "no row is shown"
    shown.locator('#rows li[data-row="1"] input').check()
    shown.locator("#singles").check()
    drawn = shown.locator("#plot path.single title").evaluate_all("all => all.map(one => one.textContent)")
    runs = [run for run in made.many.runs if (run.spec, run.noise) == (made.data["curves"]["rows"][1], "symmetric:0.2")]
    done = set(listed_done(made))
    assert sorted(drawn) == sorted(
        f"{run.spec}, seed {run.config.seed}, {run.run_id}" for run in runs if run.run_id in done
    )
    assert band.count() == 0


def listed_done(made) -> list[str]:
    return [row[8] for row in made.data["runs"] if row[7] in ("done", "diverged")]


def test_a_run_that_diverged_is_marked_where_it_ended(shown, made):
    line = next(one for one in made.data["curves"]["measures"][0]["lines"] if one[6])
    ((epoch, _),) = line[6]
    assert epoch == 3
    shown.locator("#rows li").first.wait_for()
    crosses = shown.locator("#plot path.line").evaluate_all(
        "all => all.filter(one => / 8l|m0-8l-8 8$/.test(one.getAttribute('d'))).length"
    )
    assert crosses == 1


def test_of_many_rows_no_bands_are_drawn_and_the_page_says_so(made, opened, tmp_path):
    curves = json.loads(json.dumps(made.data["curves"]))
    curves["rows"] = [f"row {number}" for number in range(13)]
    first = curves["measures"][0]
    first["lines"] = [[number, *first["lines"][0][1:]] for number in range(13)]
    page = made.page.read_text(encoding="utf-8")
    before = re.search(r'(?<=id="data">).*?(?=</script>)', page)
    told = inert(made.data | {"curves": curves | {"measures": [first | {"runs": None}]}})
    path = tmp_path / "many.html"
    path.write_text(page[: before.start()] + told + page[before.end() :], encoding="utf-8")
    shown = opened(path)
    assert (shown.locator("#plot .line").count() >= 13, shown.locator("#plot .band").count()) == (True, 0)
    assert reading(shown).endswith(", and 9 more beside the plot; bands are drawn of 12 rows at most")
    assert shown.locator("#singles").is_disabled()
    shown.locator("#rows input").first.uncheck()
    assert shown.locator("#plot .band").count() == 12
    assert text(shown.locator("#plot .title")) == "accuracy on test, % · symmetric 10%"


def test_on_a_phone_nothing_is_wider_than_the_page(made, opened):
    shown = opened(made.page, width=390)
    widths = shown.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert widths[0] <= widths[1]
    assert shown.locator("#plot svg").bounding_box()["width"] <= 390


def test_on_paper_every_card_is_open_and_closes_again(shown):
    closed = shown.locator("details:not([open])")
    before = closed.count()
    assert before > 0
    shown.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert closed.count() == 0
    shown.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert closed.count() == before


def test_without_its_script_the_page_shows_the_table_that_was_asked_for(made, browser):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(made.page.as_uri())
    assert page.locator(".variant:visible").count() == 1
    assert page.locator(".variant:visible tbody tr").count() == 4
    assert "Without its script" in page.locator("noscript").inner_text()
    context.close()


@pytest.mark.slow
def test_a_thousand_runs_are_few_rows_of_the_page(tmp_path, monkeypatch, opened):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    many, page = make(tmp_path, seeds=50, epochs=100), tmp_path / "page.html"
    _, _, first = many.say("report", "--out", str(page))
    seconds, _, _ = many.say("report", "--out", str(page))
    assert len(many.runs) == 1000
    assert first <= LOOKS * 1000
    assert seconds < 10  # of a core, once the records are remembered
    assert page.stat().st_size < 4e6
    shown = opened(page)
    assert shown.evaluate("document.getElementsByTagName('*').length") < 10_000
    assert text(shown.locator("#runs button.more")) == "200 of 1000 rows are shown: show 200 more"
    shown.locator("#all-runs").get_by_role("button", name="seconds").click()
    assert len(listed(shown)) == 200
    shown.locator("#runs").get_by_role("searchbox").fill("done 30%")
    assert re.fullmatch(r"1\d\d of 1000 rows", text(shown.locator("#runs output")))
