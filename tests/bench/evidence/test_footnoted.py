"""No published number without what it hangs on, in any format; and what is said of ours beside it."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import pytest

from bench.evidence import published
from bench.evidence.footnoted import NOTHING, beside_published
from bench.evidence.published import NOT_STATED, Reference
from bench.evidence.tables import WRITERS, basis

SIZES = {"digits": 100}
OURS = Reference(
    table="made",
    method="ce",
    label="CE",
    dataset="digits",
    noise="symmetric:0.5",
    noise_definition="exclusive exact",
    realised_rate=0.5,
    value=91.25,
    spread=0.5,
    n=3,
    network="small",
    epochs=3,
    split="1k/50",
    rule="last",
    head="",
    hyperparameters="",
    kind="authors",
    source="Nobody, Nowhere, 2020, Table 1",
    note="",
    printed="91.25",
)
UNSURE = replace(
    OURS,
    value=77.5,
    printed="77.5",
    spread=None,
    n=None,
    network="cnn9",
    epochs=None,
    split=NOT_STATED,
    rule="best on test",
)


@pytest.fixture
def runs(make):
    return [make("ce", s, (50, 60, 70 + s)) for s in range(3)] + [make("other", s, (1, 2, 3)) for s in range(3)]


def numbers(table):
    return {value.number: value for extra in table.extras for value in extra.values if value.notes}


def test_each_number_has_a_footnote_of_its_own_and_a_verdict(runs):
    table = beside_published(basis(runs), [OURS, UNSURE], SIZES)
    assert [extra.name for extra in table.extras] == ["published", "published 2"]
    shown = [(value.text, value.value) for extra in table.extras for value in extra.values]
    assert shown == [("91.25 ± 0.50 [1]", 91.25), ("–", None), ("77.5 [2]", 77.5), ("–", None)]
    first, second = table.footnotes
    assert first.startswith(
        "Nobody, Nowhere, 2020, Table 1 (by the method's authors, as 'CE'); network small; noise exclusive exact; "
        "split 1k/50; rule last; 3 epochs; n = 3; ours: -20.25 points, lower than published (Welch's t, p = "
    )
    assert "not comparable: differs in network (cnn9 against small), split (not stated against 1k/50)" in second
    assert "epochs (not stated against 3), rule (best on test against last)" in second


def test_a_row_without_runs_in_a_column_has_a_dash_beside_it(runs, make):
    runs += [make(method, 0, noise={"rate": 0.2}) for method in ("ce", "late")]
    table = beside_published(basis(runs), [OURS], SIZES)
    assert table.view == "published"
    assert NOTHING not in table.notes
    assert table.columns == ("symmetric 20%", "symmetric 50%")
    (extra,) = table.extras
    assert (extra.name, extra.column, extra.after) == ("published", "symmetric 50%", 2)
    texts = {row.label: value.text for row, value in zip(table.rows, extra.values, strict=True)}
    assert texts == {"ce": "91.25 ± 0.50 [1]", "late": "–", "other": "–"}


def test_nothing_known_is_one_clear_note(runs):
    table = beside_published(basis(runs), [replace(OURS, dataset="mnist")], SIZES)
    assert (table.extras, table.footnotes) == ((), ())
    assert table.notes.count(NOTHING) == 1


def test_a_row_that_has_not_run_has_the_number_and_no_verdict(make):
    planned = {make.run_id(c): c for c in (make.config("ce", 0),)}
    table = beside_published(basis([], expected=planned), [OURS], {"digits": 1050})
    assert table.footnotes[0].endswith("ours: not run; n (3 against 0)")


def protocols(text, form):
    """What stands beside each published number, by a reader of the format: a list of (number, note)."""
    if form == "csv":
        rows = [
            row for row in csv.DictReader(io.StringIO(text)) if row["part"].startswith("published") and row["value"]
        ]
        return [(row["text"], row["footnote"]) for row in rows]
    if form == "json":
        told = json.loads(text)
        values = [value for extra in told["extras"] for value in extra["values"] if value["value"] is not None]
        return [(value["number"], told["footnotes"][value["notes"][0] - 1]) for value in values]
    plain = re.sub(r"<[^>]*>", "", text) if form == "html" else text
    plain = " ".join(re.sub(r"[\\{}]|\(pm\)", "", plain).split())
    found = re.findall(r"(\d+\.\d+(?: ± | pm |  )?(?:\d+\.\d+)?) ?(\[\d+\])", plain)
    if form == "html":  # the list there is numbered by the browser
        items = [re.sub(r"<[^>]*>", "", item) for item in re.findall(r'<li id="note-\d+">(.*?)</li>', text)]
        return [(number, items[int(note[1:-1]) - 1]) for number, note in found]
    return [(number, plain[plain.rindex(f"{note} ") :]) for number, note in found]


@pytest.mark.parametrize("form", WRITERS)
def test_no_published_number_in_any_format_without_source_network_noise_split_and_rule(runs, form):
    nasty = replace(OURS, source="=A&B <i>100 % $x$</i>", label="_x_|*", noise_definition="exclusive exact")
    table = beside_published(basis(runs), [OURS, UNSURE, nasty], SIZES)
    text = WRITERS[form](table)
    found = protocols(text, form)
    assert len(found) == len(table.footnotes) >= 2
    for number, note in found:
        assert re.search(r"\d", number)
        for word in ("network ", "noise ", "split ", "rule ", "ours: "):
            assert word in note, (number, word)
        assert "Nobody, Nowhere, 2020" in note or "A&" in note.replace("&amp;", "&")
    assert "<i>" not in text or form in ("text", "json", "csv")


def test_every_reference_of_ours_can_stand_in_a_table(make):
    references = [r for r in published.load() if r.method == "ce" and r.noise.startswith("symmetric:0.4")]
    assert len(references) > 3
    for reference in references:
        run = make("ce", 0, (50,), dataset={"name": reference.dataset}, noise={"rate": 0.4})
        table = beside_published(basis([run]), [reference], SIZES)
        (note,) = table.footnotes
        assert all(word in note for word in (reference.source, "network ", "noise ", "split ", "rule "))
        assert reference.number in numbers(table)
