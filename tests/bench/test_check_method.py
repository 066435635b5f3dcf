"""`check-method`: what a person is told of a method, in text and in JSON."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.contract import CHECKS
from bench.fingerprint import ROOT
from tests.bench.contract.broken import BROKEN, HEAD, LOSSES, source

OUTSIDE = ROOT / "tests" / "methods" / "outside.py"


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a method beside which commands are given, and return its spec."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "mine", class_name: str = "Mine") -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return f"{name}.py:{class_name}"

    return write


def honest(name: str = "") -> str:
    return HEAD.format(before=name, base="LossMethod") + LOSSES


def test_every_check_has_a_line_and_a_summary_follows(say, written, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, err = say("check-method", written(honest(), "good"), "--only", "identity", "steps", "gpu-waits")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "good.Mine (good.py)"
    assert lines[1] == "  ok              identity      it is compared by identity, so that torch can hash it"
    assert lines[2].startswith("  ok              steps         an epoch goes through; every step holds K finite")
    assert lines[3].startswith(("  does not apply  gpu-waits     no CUDA device", "  ok              gpu-waits"))
    assert re.fullmatch(r"3 checks in \d+\.\d s: (2 ok, 1 does not apply|3 ok)", lines[-1])


def test_a_failure_is_explained_by_what_was_expected_found_where_and_what_to_change(say, written, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    spec = written(source(BROKEN["a selection in numbers"]), "wrong")
    code, out, _ = say("check-method", spec, "--only", "steps", "record")
    assert code == 1
    assert "  FAILED          steps         an epoch goes through" in out
    assert "  not checked     record        waits for steps\n" in out
    told = out.partition("\nFAILED steps\n")[2]
    assert told.startswith("  expected  an epoch goes through; every step holds K finite losses and well-formed traces")
    assert (
        "\n  found     step 0 of the first epoch: selected is torch.float32 of the shape (2, 16), not torch.bool of"
        in told
    )
    assert re.search(r"\n  where     wrong\.py:\d+, in losses: def losses\(self, logits, batch, clock\):\n", told)
    assert (
        "\n  change    compare, or .bool() it; see Step in methods/base.py: losses (K,), selected (K, B) bool" in told
    )
    assert out.splitlines()[-1].endswith("1 not checked") or ": 1 FAILED, 1 not checked" in out


def test_a_source_is_named_on_the_class_or_cited_at_the_top_of_the_file(say, written):
    silent = honest().replace(", after arXiv:1804.06872", "")
    code, out, _ = say("check-method", written(silent, "silent"), "--only", "source")
    assert (code, "found     `paper` is empty, and no paper is cited" in out) == (1, True)
    own = silent.replace("    num_networks", '    paper: ClassVar[str] = "none: an example"\n    num_networks')
    assert say("check-method", written(own, "own_idea"), "--only", "source")[0] == 0
    assert say("check-method", written(honest(), "cited"), "--only", "source")[0] == 0


def test_a_class_without_a_docstring_is_told_where_to_write_one(say, written):
    code, out, _ = say("check-method", written(honest().replace('    """Do almost what is right."""\n', ""), "mute"))
    assert (code, out.count("\nFAILED ")) == (1, 1)
    told = " ".join(out.partition("\nFAILED source\n")[2].split())
    assert "found the class has no docstring" in told
    assert "change write a docstring under the class line: its first line says what the method does" in told


def test_constants_functions_and_what_a_base_declares_need_no_annotation(say, written):
    body = """
    LIMIT: ClassVar[int] = 3
    num_views = 2
    _seen = 0

    class Inner: ...

    @property
    def twice(self):
        return 2

    @staticmethod
    def thrice():
        return 3
"""
    code, out, _ = say("check-method", written(honest() + body, "declared"), "--only", "description")
    assert code == 0, out


def test_an_error_of_the_method_is_shown_with_its_line_and_without_a_traceback_of_ours(say, written):
    code, out, err = say("check-method", written(source(BROKEN["an error of its own"]), "broken"), "--only", "steps")
    assert (code, err) == (1, "")
    assert "found     AttributeError: 'Mine' object has no attribute 'nothing'" in out
    assert re.search(r"where     broken\.py:\d+, in losses: missing = self\.nothing", out)
    assert "Traceback" not in out


def test_one_error_is_explained_once_and_what_it_stops_is_not_called_a_failure(say, written):
    code, out, _ = say("check-method", written(source(BROKEN["an error of its own"]), "stuck"), "--only", *FEW)
    assert code == 1
    assert out.count("\nFAILED ") == 1
    assert out.count("not checked") == len(FEW) - 1 + 1  # and once in the summary


FEW = ("steps", "state", "training", "memory")


def test_what_a_method_prints_is_not_part_of_the_document(say, written):
    spec = written(honest().replace("return Step", "print('hello')\n        return Step"), "chatty")
    code, out, err = say("check-method", spec, "--only", "steps", "identity", "--json")
    document = json.loads(out)
    assert (code, document["exit"], "hello" in err) == (0, 0, True)
    (method,) = document["methods"]
    assert (method["method"], method["spec"]) == ("chatty.Mine", spec)
    assert [(row["check"], row["status"]) for row in method["checks"]] == [("identity", "ok"), ("steps", "ok")]
    assert method["counts"] == {"ok": 2, "failed": 0, "does not apply": 0, "not checked": 0}


def test_what_a_method_prints_is_shown_once_and_after_its_checks(say, written, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    noise = "print('hello'); print(f'at {clock.progress:.3f}', file=sys.stderr); print('\\x1b[2Jx' * 90)"
    spec = written("print('imported')\n" + honest().replace("return Step", f"{noise}\n        return Step"), "loud")
    code, out, err = say("check-method", spec, "--only", "identity", "steps", "scalars")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[1] for line in lines[1:4]] == ["identity", "steps", "scalars"]
    assert re.fullmatch(r"\d+ lines printed while it was checked, of which 5:", lines[5])
    assert lines[6:10] == ["  imported", "  hello", "  at 0.083", "  ..."]
    assert lines[11] == ""
    assert re.fullmatch(r"3 checks in .* 3 ok", lines[12])
    assert "\x1b" not in out


def test_the_document_tells_the_place_of_a_failure(say, written):
    spec = written(source(BROKEN["a step that waits"]), "slow_step")
    code, out, _ = say("check-method", spec, "--only", "waits", "--json")
    (row,) = json.loads(out)["methods"][0]["checks"]
    assert (code, row["status"], row["where"]["function"]) == (1, "failed", "losses")
    assert row["where"]["file"] == str(Path("slow_step.py").resolve())
    assert "logits.abs().max().item()" in row["where"]["code"]


def test_names_that_would_move_the_cursor_are_shown_escaped(say, written):
    text = honest().replace("return Step", "raise RuntimeError('\\x1b[2J gone')\n        return Step")
    _, out, _ = say("check-method", written(text, "rude"), "--only", "steps")
    assert "\x1b" not in out
    assert r"RuntimeError: \x1b[2J gone" in out


def test_all_checks_can_be_listed(say):
    code, out, _ = say("check-method", "--only", "list")
    assert code == 0
    assert [name for name in CHECKS if f"\n  {name} " not in out] == []
    assert out.startswith("what it is\n  construction")
    told = json.loads(say("check-method", "--only", "list", "--json")[1])
    assert [check["check"] for check in told] == list(CHECKS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name a method: path/to/mine.py:Mine, or one of `list methods`"),
        (["mine.py:Mine", "--only", "step"], "unknown check 'step'; did you mean 'steps'?"),
        (["--only", "steps", "mine.py:Mine"], "methods come before --only: check-method mine.py:Mine --only ..."),
        (["nowhere.py:Mine"], "there is no file nowhere.py"),
        (["mine.py:Mien"], "mine.py has no class 'Mien'; did you mean 'Mine'?"),
        (["mine.py"], "name the class too, as in mine.py:MyMethod"),
        (["mine.py:Other"], "Other is not a Method; derive it from methods.LossMethod or methods.Method"),
        (["mine.py:Plain"], "put @dataclass(eq=False) on Plain"),
        (["cee"], "unknown method 'cee'; did you mean 'ce'?"),
        (["torn.py:Mine"], "torn.py line 1: "),
        (["leaves.py:Mine"], "leaves.py cannot be imported: it ends the process (0)"),
        (["raises.py:Mine"], "raises.py cannot be imported: line 1: RuntimeError: not today"),
        (["typo.py:Mine"], "typo.py cannot be imported: line 14: ImportError: cannot import name 'LosMethod' from"),
        (["typo.py:Mine"], "; did you mean 'LossMethod'?"),
        (["unbound.py:Mine"], "line 20: NameError: name 'LosMethod' is not defined; did you mean 'LossMethod'?"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_what_is_no_method_is_refused_in_one_line(say, written, words, message):
    plain = honest().replace("@dataclass(eq=False)\nclass Mine", "@dataclass\nclass Plain").partition('"""Do')[0]
    written(
        honest()
        + "\n\nclass Other:\n    pass\n\n\n"
        + "@dataclass"
        + plain.partition("@dataclass")[2].rstrip()
        + "\n"
        + LOSSES
    )
    written("class Mine(:\n", "torn")
    written("import sys\n\nsys.exit(0)\n\n\nclass Mine: ...\n", "leaves")
    written("raise RuntimeError('not today')\n\n\nclass Mine: ...\n", "raises")
    written(honest().replace("Clock, LossMethod", "Clock, LosMethod"), "typo")
    written(honest().replace("class Mine(LossMethod", "class Mine(LosMethod"), "unbound")
    code, out, err = say("check-method", *words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err


def test_several_methods_are_checked_one_after_the_other_and_one_failure_decides(say, written):
    good, bad = written(honest(), "fine"), written(source(BROKEN["a hyper-parameter that torch has"]), "bad")
    code, out, _ = say("check-method", good, bad, "--only", "shadows")
    assert code == 1
    assert out.index("fine.Mine (fine.py)") < out.index("\n1 check in ") < out.index("bad.Mine (bad.py)")


@pytest.mark.slow
def test_the_method_of_the_readme_and_those_of_the_tests_keep_the_contract(tmp_path):
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    printed = re.search(r"<!-- file: (\S+) -->\n```python\n(.*?)```", page, flags=re.S)
    assert printed is not None
    (tmp_path / printed[1]).write_text(printed[2], encoding="utf-8")
    specs = [f"{printed[1]}:SmallLoss", f"{OUTSIDE}:Remembering", f"{OUTSIDE}:TwoPhases"]
    command = [sys.executable, str(ROOT / "run_bench.py"), "check-method", *specs]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
