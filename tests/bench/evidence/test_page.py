"""What all pages share: escaping, the policy against foreign scripts, and tables that are sorted and filtered."""

from __future__ import annotations

import json

import pytest

from bench.evidence import page

ROWS = [("b", "2.5", "10.5"), ("a", "", "–"), ("c", "-1", "9"), ("d", "2.5", "11")]
TEMPLATE = """{% extends "base.html" %}
{% block title %}{{ name }}{% endblock %}
{% block body %}
<h1>{{ name }}</h1>
<input class="filter" data-table="t" aria-label="rows">
<table class="sortable" id="t"><thead><tr><th>name</th><th data-first="down">value</th><th class="fixed">as it is</th>
</tr></thead><tbody>
{% for name, value, text in rows %}
<tr><td>{{ name }}</td><td data-value="{{ value }}">{{ text }}</td><td>x</td></tr>
{% endfor %}
</tbody></table>
<input class="filter" data-table="many" aria-label="all rows">
<div class="scroll"><table class="sortable" id="many" data-rows="many">
<thead><tr><th>run</th><th data-cells="number">number</th></tr></thead><tbody></tbody></table></div>
{% endblock %}
"""


def write(tmp_path, name="page", many=()):
    from jinja2 import ChoiceLoader, DictLoader

    environment = page._environment().overlay()
    environment.loader = ChoiceLoader([DictLoader({"test.html": TEMPLATE}), environment.loader])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "_environment", lambda: environment)
        text = page.render("test.html", scripts=("sort.js",), data={"many": list(many)}, name=name, rows=ROWS)
    path = tmp_path / "page.html"
    path.write_text(text, encoding="utf-8")
    return path


def column(shown, table, place):
    """The texts of a column, as they stand on the page."""
    cells = f"rows => rows.map(row => row.cells[{place}].textContent)"
    return shown.locator(f"#{table} tbody tr").evaluate_all(cells)


def test_json_between_script_tags_ends_no_script_and_is_read_back():
    told = {"x": "</script><!--<script>&\u2028", "n": [1, None, 0.5]}
    text = page.inert(told)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == told


def test_a_heading_sorts_up_and_down_numbers_by_value_and_what_is_empty_stays_last(tmp_path, opened):
    shown = opened(write(tmp_path))
    assert column(shown, "t", 0) == ["b", "a", "c", "d"]
    heading = shown.get_by_role("button", name="value")
    heading.click()  # data-first="down"; b and d are equal and stay in their order
    assert column(shown, "t", 0) == ["b", "d", "c", "a"]
    assert shown.locator("#t th").nth(1).get_attribute("aria-sort") == "descending"
    heading.press("Enter")
    assert column(shown, "t", 0) == ["c", "b", "d", "a"]
    assert shown.locator("#t th").nth(1).get_attribute("aria-sort") == "ascending"
    shown.get_by_role("button", name="name").press("Enter")
    assert column(shown, "t", 0) == ["a", "b", "c", "d"]
    assert shown.locator("#t th[aria-sort]").count() == 1
    assert shown.locator("#t th.fixed button").count() == 0


def test_a_filter_keeps_the_rows_that_hold_all_its_words_and_counts_them(tmp_path, opened):
    shown = opened(write(tmp_path))
    box = shown.get_by_label("rows", exact=True)
    box.fill("D X")
    assert column(shown, "t", 0) == ["d"]
    assert shown.locator("output").first.inner_text() == "1 of 4 rows"
    shown.get_by_role("button", name="name").click()  # a sort keeps the filter
    assert column(shown, "t", 0) == ["d"]
    box.fill("")
    assert column(shown, "t", 0) == ["a", "b", "c", "d"]
    assert shown.locator("output").first.inner_text() == ""


def test_of_many_rows_some_are_on_the_page_and_all_are_sorted_and_filtered(tmp_path, opened):
    many = [[f"r{number}", [f"{number} %", number if number else None]] for number in range(1000)]
    shown = opened(write(tmp_path, many=many))
    more = shown.locator("button.more")
    assert shown.locator("#many tbody tr").count() == 200
    assert more.inner_text() == "200 of 1000 rows are shown: show 200 more"
    more.press("Enter")
    assert shown.locator("#many tbody tr").count() == 400
    number = shown.locator("#many").get_by_role("button", name="number")
    number.click()
    assert column(shown, "many", 0)[:2] == ["r1", "r2"]
    number.click()
    assert column(shown, "many", 0)[:2] == ["r999", "r998"]
    shown.get_by_label("all rows").fill("r0")
    assert column(shown, "many", 0) == ["r0"]
    assert not more.is_visible()


def test_hostile_text_stays_text_and_a_foreign_script_is_not_run(tmp_path, opened):
    name = "</script><img src=x onerror=\"document.title='got'\"><script>document.title='got'</script>"
    shown = opened(write(tmp_path, name, many=[[name, name]]))
    assert shown.locator("h1").inner_text() == name
    assert column(shown, "many", 0) == [name]
    assert shown.title() == name
    assert shown.locator("img").count() == 0
