"""`verify` counts every cell again, and names the table that is wrong, changed, stale or without its manifest."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.evidence import recount, tables
from bench.findings import tabulating


def synthetic(run_id: str, seed: int, test: list[int], votes: list[int], **more: Any) -> recount.Run:
    """What a cell needs of a record: one head, ten test and four validation samples."""
    counts = [{"test": n, "val_noisy": v, "val_clean": None} for n, v in zip(test, votes, strict=True)]
    config = {"dataset": {"name": "d", "digest": "x"}, "noise": {"rate": 0.5, "seed": seed}, "seed": seed}
    told = {"schema": 1, "code": "c", "method_code": "m", "dataset_digest": "x", "device_kind": "cpu", "noise_id": "n"}
    heads = {"heads": ["net1"], "headline": ["net1"], "num_networks": 1, "totals": {"test": 10, "val": 4}}
    history = [{"heads": {"net1": count}} for count in counts]
    payload = {"run_id": run_id, "config": config, "history": history, **told, **heads, **more}
    return recount.brief(recount.Record(payload, {}, ""))


def test_a_cell_worked_out_by_hand():
    tests = {"a": [3, 1], "b": [5, 2], "c": [4, 3]}
    votes = {"a": [0, 4], "b": [4, 4], "c": [1, 0]}
    runs = [synthetic(name, seed, tests[name], votes[name]) for seed, name in enumerate(tests)]

    def cells(rule: str, head: str, runs: list[recount.Run] = runs) -> dict[str, recount.Number]:
        found = recount.cells(recount.together(runs), rule, head)
        return {"".join(sorted(ids)): number for ids, number in found.items()}

    assert cells("last", "headline") == {"abc": recount.Number(20.0, 10.0, 3)}
    assert cells("oracle", "net1") == {"abc": recount.Number(40.0, 10.0, 3)}
    assert cells("last10", "ensemble")["abc"].mean == 30.0  # an ensemble of one is its network
    assert cells("noisy_val", "net1") == {"abc": recount.Number(100 / 3, pytest.approx(20.816659995), 3)}
    assert cells("clean_val", "net1") == {"abc": recount.Number(None, None, 0)}
    assert cells("last", "net2") == {"abc": recount.Number(None, None, 0)}
    assert cells("last", "net1", runs[:1]) == {"a": recount.Number(10.0, None, 1)}
    long = synthetic("d", 0, [10, *range(10)], [0] * 11)
    assert cells("last10", "net1", [long])["d"].mean == 45.0
    assert set(cells("last", "net1", [*runs[:2], synthetic("c", 2, [4, 3], [1, 0], code="other")])) == {"ab", "c"}
    assert recount.unequal_labels([*runs, synthetic("d", 2, [0], [0], noise_id="o")]) == [
        "runs of one setting and noise seed met different labels: c n, d o"
    ]


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        ("sample_sd", lambda values: float(np.std(values)) if len(values) > 1 else None),
        ("mean", lambda values: float(np.mean(values)) + 1e-8 if len(values) else None),
        ("sample_sd", lambda values: float(np.std(values, ddof=1)) + 1e-8 if len(values) > 1 else None),
        ("accuracy", lambda run, rule, head: 0.5),
    ],
    ids=["population sd", "an eighth digit", "an eighth digit of the sd", "accuracy"],
)
def test_g30_a_table_that_is_computed_wrongly_is_found(place, wrong, verify, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where no right table is remembered
    monkeypatch.setattr(tables, place, wrong)
    code, report = verify()
    assert code == 3
    assert any(
        v["file"].startswith("table of digits-") and "counted again" in v["reason"] for v in report["violations"]
    )


def test_a_table_with_a_row_too_few_or_in_the_wrong_place_is_found(verify, monkeypatch):
    true = tabulating.table_of

    def shuffled(*words: Any) -> Any:
        table = true(*words)
        first, second = table.rows
        rows = (replace(first, cells=second.cells), replace(second, cells=first.cells))
        return replace(table, rows=rows if table.head == "headline" else (first,))

    monkeypatch.setattr(tabulating, "table_of", shuffled)
    code, report = verify()
    reasons = [violation["reason"] for violation in report["violations"]]
    assert code == 3
    assert any("stands in another row or column than its runs" in reason for reason in reasons)
    assert any("has no cell of the runs" in reason for reason in reasons)


def test_f82_a_cell_of_runs_that_do_not_belong_together_is_found(verify, monkeypatch):
    true = tabulating.table_of

    def mixed(*words: Any) -> Any:
        table = true(*words)
        if table.view != "accuracy":
            return table
        first = table.rows[0].cells
        cells = (replace(first[0], runs=first[0].runs + first[1].runs), *first[1:])
        return replace(table, rows=(replace(table.rows[0], cells=cells), *table.rows[1:]))

    monkeypatch.setattr(tabulating, "table_of", mixed)
    code, report = verify()
    assert code == 3
    assert any("averages runs that are not of one setting" in v["reason"] for v in report["violations"])


def _digit(path: Path) -> None:
    """Make the first number of a written table another one, in its second decimal."""
    before = path.read_text()
    after = re.sub(r"(\d\d\.\d)(\d)", lambda found: f"{found[1]}{(int(found[2]) + 1) % 10}", before, count=1)
    assert after != before
    path.write_text(after)


@pytest.mark.parametrize("suffix", [".csv", ".md", ".tex", ".html"])
def test_g21_a_written_table_with_another_digit_is_named(suffix, trained, verify):
    (path,) = trained.glob(f"tables/*/accuracy{suffix}")
    _digit(path)
    code, report = verify()
    assert (code, [violation["file"] for violation in report["violations"]]) == (3, [str(path)])
    said = "its rows are not those of the records" if suffix == ".html" else "it says"
    assert f"stale or changed: {said}" in report["violations"][0]["reason"]


def _without_the_last(text: str) -> str:
    lines = text.splitlines(keepends=True)
    del lines[max(number for number, line in enumerate(lines) if re.match(r'(\| |"|)dml\b', line))]
    return "".join(lines)


def _renamed(text: str) -> str:
    return re.sub(r'(?m)^(\| |"|)(dml|ce)\b("?,"(dml|ce)")?', lambda found: found[0].replace(found[2], "jocor"), text)


def _without_a_number(text: str) -> str:
    number = re.compile(r"\**\d+\.\d+( ± | \\\(\\pm\\\) |,)\d+\.\d+\**")
    last = list(number.finditer(text))[-1]
    return text[: last.start()] + ("," if last[1] == "," else "–") + text[last.end() :]


@pytest.mark.parametrize("suffix", [".csv", ".md", ".tex"])
@pytest.mark.parametrize("change", [_without_the_last, _renamed, _without_a_number], ids=lambda change: change.__name__)
def test_g21_a_written_table_with_other_rows_is_named(change, suffix, trained, verify):
    (path,) = trained.glob(f"tables/*/accuracy{suffix}")
    before = path.read_text()
    path.write_text(change(before))
    assert path.read_text() != before
    code, report = verify()
    assert (code, [violation["file"] for violation in report["violations"]]) == (3, [str(path)])


def test_f87_a_stale_table_and_stale_plots_are_named(trained, verify, runs):
    shutil.rmtree(trained / "runs" / runs[0].run_id)
    code, report = verify()
    (folder,) = (trained / "tables").iterdir()
    assert code == 3
    assert {violation["file"]: violation["reason"] for violation in report["violations"]} == {
        str(folder / f"{name}.manifest.json"): "stale: of 7 results 0 are new or changed since, and 1 that it was made "
        f"of are gone; `{verb} {folder.name}` makes it again"
        for name, verb in (("accuracy", "table"), ("plots", "plot"))
    }


def test_a_table_without_its_manifest_is_not_believed_and_the_table_command_mends_it(trained, verify, suite, say):
    (path,) = trained.glob("tables/*/accuracy.manifest.json")
    path.unlink()
    code, report = verify()
    assert (code, [violation["file"] for violation in report["violations"]]) == (3, [str(path)])
    assert say("table", *suite, "--results", trained)[0] == 0
    assert verify()[0] == 0


def test_tables_of_every_rule_are_looked_at(trained, verify, suite, say):
    assert say("table", *suite, "--results", trained, "--rule", "last10", "--head", "net1")[0] == 0
    assert verify()[1]["checked"]["written tables"] == 8
    (path,) = trained.glob("tables/*/accuracy-last10-net1.md")
    _digit(path)
    code, report = verify()
    assert (code, [violation["file"] for violation in report["violations"]]) == (3, [str(path)])
