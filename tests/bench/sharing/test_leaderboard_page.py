"""The page of a leaderboard in a real browser: ranked tables that sort and filter, and text that stays text."""

from __future__ import annotations

import json

import pytest

from bench.files import sha256
from tests.bench.sharing.conftest import record, relisted, resealed

EVIL = "</script><img src=x onerror=alert(1)><b>bold</b>"


@pytest.fixture
def page(board, say):
    def write(*words):
        assert say("leaderboard", board.folder, *words)[0] == 0
        return board.folder / "leaderboard.html"

    return write


def column(shown, table, place):
    cells = f"rows => rows.map(row => row.cells[{place}].textContent.trim())"
    return shown.locator(f"{table} tbody tr").evaluate_all(cells)


def test_the_page_is_the_same_bytes_each_time_and_sorts_and_filters(files, board, page, opened):
    board.put(files, "a.zip")
    path = page()
    first = path.read_bytes()
    assert page().read_bytes() == first
    _, said = board.check()
    (section,) = said["protocols"]
    shown = opened(path)
    table = f"#t{section['key']}"
    assert column(shown, table, 0) == [f"{line['rank']:.2f}" for line in section["ranked"]]
    methods = [line["method"] for line in section["ranked"]]
    assert column(shown, table, 2) == methods
    means = [line["cells"][0]["mean"] for line in section["ranked"]]
    shown.locator(table).get_by_role("button", name=section["columns"][0]).click()
    by_mean = [method for _, method in sorted(zip(means, methods, strict=True), reverse=True)]
    assert column(shown, table, 2) == by_mean
    shown.get_by_label("Filter the entries of digits, digits_cnn, 2 epochs").fill("dml")
    assert column(shown, table, 2) == ["dml"]
    link = shown.locator(f"{table} a").first
    assert link.get_attribute("href") == "https://example.org/paper"
    assert "noopener noreferrer" in link.get_attribute("rel")


@pytest.mark.parametrize("link", ["javascript:alert(1)", 'https://x.org/"onmouseover=alert(1)', "data:text/html,x"])
def test_hostile_names_and_links_stay_text(link, files, board, page, opened):
    board.put(relisted(files, name=EVIL, by=EVIL, link=link), "evil.zip")
    board.put({**files, EVIL.replace("/", "\\"): b""}, "refused <i>.zip")
    shown = opened(page())
    assert shown.locator("img, a, b b, i").count() == 0
    text = shown.inner_text("body")
    assert text.count(EVIL) >= 4
    assert link in text
    assert "refused <i>.zip" in text
    assert "is no name that an export writes" in text


def test_what_a_method_was_told_and_incomplete_and_refused_entries_are_on_the_page(files, board, page, opened):
    place, found = record(files)
    payload = found["payload"]
    board.put(files, "a.zip")
    kept = {name: data for name, data in files.items() if not name.startswith(place)}
    board.put(relisted(kept, name="Short"), "b.zip")
    board.put(b"no archive", "c.zip")
    shown = opened(page())
    text = shown.inner_text("body")
    assert "1 accepted, 1 incomplete, 0 unchecked, 1 refused." in text
    assert "Incomplete or unchecked, not ranked" in text
    rows = shown.locator("#submissions tbody tr").all_inner_texts()
    assert [row.split("\t")[2] for row in rows] == ["accepted", "incomplete", "refused"]
    assert f"lacks seed {payload['config']['seed']}" in rows[1]
    assert "no sound archive: File is not a zip file" in rows[2]
    assert "python run_bench.py export" in text


def test_a_dagger_marks_who_was_told_more_than_the_labels(files, board):
    changed = files
    names = [name for name in files if name.endswith("/result.json")]
    for name in names:
        found = json.loads(changed[name])
        found["payload"] |= {"needs": ["noise_rate"], "method_code": "0" * 16}
        changed = resealed(changed, name.removesuffix("result.json"), found["payload"], found["provenance"])
    rows = changed["runs.csv"]
    assert sha256(rows) == sha256(files["runs.csv"])
    board.put(relisted(changed))
    _, said = board.check()
    lines = said["protocols"][0]["ranked"]
    assert {(line["method"], *line["told"]) for line in lines} == {("ce†", "noise rate"), ("dml†", "noise rate")}


def test_the_page_fits_a_phone(files, board, page, opened):
    board.put(files, "a.zip")
    shown = opened(page(), width=390, height=800)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390


def test_an_incomplete_row_has_a_cell_for_each_column_in_its_place(files, board, page, opened):
    lost = "pairflip"
    kept = files
    for name in [name for name in files if name.endswith("/result.json")]:
        if json.loads(files[name])["payload"]["config"]["noise"]["family"] == lost:
            kept = {n: data for n, data in kept.items() if not n.startswith(name.removesuffix("result.json"))}
    board.put(relisted(kept), "a.zip")
    shown = opened(page())
    (section,) = board.check()[1]["protocols"]
    table = shown.locator(f"#i{section['key']}")
    heads = [text.strip() for text in table.locator("th").all_inner_texts()]
    (first, *_) = table.locator("tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(c => c.innerText))"
    )
    assert len(first) == len(heads)
    at = next(place for place, head in enumerate(heads) if head.startswith(lost))
    assert first[at].split() == ["–", "(0/2)"]
