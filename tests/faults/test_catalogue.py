"""The catalogue is complete, names tests that exist, and the page beside it is the one that it prints."""

import ast
from functools import cache
from pathlib import Path

import pytest

from bench.fingerprint import ROOT
from tests.faults.catalogue import Line, at, page
from tests.faults.listed import EXECUTION
from tests.faults.listed_data import INPUT
from tests.faults.promised import GUARANTEES, HOSTILE

FAULTS = (*EXECUTION, *INPUT)
LINES = (*FAULTS, *GUARANTEES, *HOSTILE)


@cache
def names_in(file: str) -> frozenset[str]:
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[:5] == "test_")


def wrong(line: Line) -> list[str]:
    """What is wrong with a line."""
    faults = [
        f"{test} does not exist" for test in line.tests if test.split("::")[1] not in names_in(test.split("::")[0])
    ]
    faults += [f"{line.number} is told in no words"] if not (line.what and line.right) else []
    faults += [f"{line.number} has neither a test nor a reason"] if not (line.tests or line.elsewhere) else []
    faults += [f"{line.number} names a test twice"] if len(set(line.tests)) < len(line.tests) else []
    return faults


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.number)
def test_every_line_has_tests_that_exist_or_a_reason(line):
    assert wrong(line) == []


def test_what_is_wrong_with_a_line_is_noticed():
    assert wrong(Line("F1", "a", "b")) == ["F1 has neither a test nor a reason"]
    assert wrong(Line("F1", "", "b", elsewhere="needs a GPU")) == ["F1 is told in no words"]
    here = at(faults__catalogue="test_what_is_wrong_with_a_line_is_noticed")
    assert wrong(Line("F1", "a", "b", here)) == []
    assert wrong(Line("F1", "a", "b", here * 2)) == ["F1 names a test twice"]
    for gone in (at(faults__catalogue="test_gone"), at(gone="test_gone")):
        assert wrong(Line("F1", "a", "b", gone)) == [f"{gone[0]} does not exist"]


def test_no_number_is_left_out_or_given_twice():
    assert [line.number for line in FAULTS] == [f"F{n}" for n in range(1, 89)]
    assert [line.number for line in GUARANTEES] == [f"G{n}" for n in range(1, 31)]
    assert [line.number for line in HOSTILE] == [f"M{n}" for n in range(1, 13)]


def test_every_hostile_input_has_a_test_that_runs_here():
    assert all(line.tests and not line.elsewhere for line in HOSTILE)


def test_every_test_of_this_folder_stands_in_the_catalogue_under_each_number_it_bears():
    named = {test: line.number for line in LINES for test in line.tests}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        file = str(path.relative_to(ROOT))
        for test in names_in(file):
            numbers = [word.upper() for word in test.split("_")[1:] if word[0] in "fgm" and word[1:].isdecimal()]
            for number in numbers:
                line = next(line for line in LINES if line.number == number)
                assert f"{file}::{test}" in line.tests, f"{number} does not name {file}::{test}"
            assert not numbers or f"{file}::{test}" in named


def test_the_page_is_the_one_that_the_catalogue_prints():
    stored = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    assert stored == page(), "python -m tests.faults.catalogue > tests/faults/README.md"
