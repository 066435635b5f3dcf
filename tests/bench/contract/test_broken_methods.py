"""The contract tells a broken method from an honest one: by exactly the right check, in words that say what to do."""

import pytest

from bench.contract import CHECKS
from bench.contract.examining import examine
from tests.bench.contract.broken import BROKEN, HEAD, LOSSES, source

HONEST = ("ok", "does not apply")


def before(name: str) -> list[str]:
    """The checks that come before one because its outcome rests on them, that one last."""
    fundamental = [check.name for check in CHECKS.values() if check.fundamental]
    wanted = {name, *fundamental}
    while more := {other for known in wanted for other in CHECKS[known].after} - wanted:
        wanted |= more
    return [check for check in CHECKS if check in wanted]


# all checks on all of them take a minute
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["known", "whole"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_method_fails_the_check_of_the_rule_that_it_breaks_and_no_other(name, whole, tmp_path):
    broken = BROKEN[name]
    checks = [check for check in CHECKS.values() if whole or check.name in before(broken.check)]
    path = tmp_path / f"{name.replace(' ', '_')}.py"
    path.write_text(source(broken))
    findings = list(examine(f"{path}:Mine", checks))
    failed = [finding for finding in findings if finding.status == "failed"]
    assert [finding.check.name for finding in failed] == [broken.check], [(f.check.name, f.found) for f in failed]
    message = f"{failed[0].found}; {failed[0].change}"
    assert [text for text in broken.said if text not in message] == [], message
    assert failed[0].place is not None
    assert failed[0].place.file == path
    assert broken.line in failed[0].place.code
    assert path.read_text().splitlines()[failed[0].place.line - 1].strip() == failed[0].place.code
    waiting = [finding for finding in findings if finding.status not in (*HONEST, "failed")]
    assert {finding.found for finding in waiting} <= {f"waits for {other.check.name}" for other in findings}


def test_the_honest_one_that_they_are_made_of_passes(tmp_path):
    path = tmp_path / "honest.py"
    path.write_text(HEAD.format(before="", base="LossMethod") + LOSSES)
    findings = list(examine(f"{path}:Mine", list(CHECKS.values())))
    assert [(f.check.name, f.found) for f in findings if f.status not in HONEST] == []
    assert [finding.check for finding in findings] == list(CHECKS.values())


def test_every_check_that_needs_no_gpu_has_a_method_that_breaks_it():
    assert set(CHECKS) - {broken.check for broken in BROKEN.values()} == {"gpu-waits"}


def test_a_check_waits_for_earlier_ones_alone():
    names = list(CHECKS)
    assert [c.name for c in CHECKS.values() if any(names.index(o) >= names.index(c.name) for o in c.after)] == []
