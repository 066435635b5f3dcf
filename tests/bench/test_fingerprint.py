"""A number remembers the code that made it: its formulas, not its comments."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import fingerprint
from bench.fingerprint import harness_code, method_code

ROOT = fingerprint.ROOT
METHOD = '''"""A method."""

from methods.losses import cross_entropy


class Mine:
    """Mine."""

    def losses(self, logits, batch):
        """Return it."""
        return cross_entropy(logits, batch.y) * 1.0
'''


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Path:
    """The project in another folder, to be edited."""
    for folder in ("noise", "methods", "bench"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    fingerprint._shape.cache_clear()


@pytest.fixture
def own(tmp_path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(METHOD)
    return path


def test_a_digest_is_sixteen_hex_digits_and_does_not_depend_on_the_folder(copy):
    here = harness_code()
    assert len(here) == 16
    assert int(here, 16) >= 0
    done = subprocess.run(
        [sys.executable, "-c", "from bench.fingerprint import harness_code; print(harness_code())"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == here


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A method."""', '"""Another text."""'),
        ('"""Return it."""', ""),
        ("class Mine", "# a remark\nclass Mine"),
        (" * 1.0", " * 1.0  # a remark"),
        ("(logits, batch.y)", "(\n            logits,\n            batch.y,\n        )"),
    ],
)
def test_f45_comments_docstrings_and_layout_do_not_count(own, old, new):
    before = method_code(own)
    edit(own, old, new)
    assert method_code(own) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [(" * 1.0", " * 1.5"), ("cross_entropy(", "cross_entropy(-"), ("def losses(self", "def losses(this")],
)
def test_f45_a_changed_formula_counts(own, old, new):
    before = method_code(own)
    edit(own, old, new)
    assert method_code(own) != before


@pytest.mark.parametrize(
    "statement",
    [
        "from methods.losses import cross_entropy",
        "from methods import losses",
        "import methods.losses",
        "import methods.losses as functions",
    ],
)
def test_f45_what_a_method_imports_of_ours_counts_however_it_is_imported(copy, own, statement):
    edit(own, "from methods.losses import cross_entropy", statement)
    before = method_code(own)
    edit(copy / "methods" / "losses.py", "def cross_entropy(", "SCALE = 2\n\n\ndef cross_entropy(")
    assert method_code(own) != before


def test_what_its_imports_import_counts_too(copy, own):
    edit(own, "from methods.losses import cross_entropy", "from methods.cmd import CMD")
    before = method_code(own)
    edit(copy / "methods" / "schedules.py", "def ramp(", "SCALE = 2\n\n\ndef ramp(")
    assert method_code(own) != before


def test_other_methods_and_the_registry_do_not_count(copy, own):
    before = method_code(own)
    edit(copy / "methods" / "cross_entropy.py", "return Step(", "return Step(0 + ")
    edit(copy / "methods" / "registry.py", "def available(", "SCALE = 2\n\n\ndef available(")
    assert method_code(own) == before


@pytest.mark.parametrize(
    "path", ["noise/symmetric.py", "bench/training/trainer.py", "bench/data/split.py", "bench/seeds.py"]
)
def test_the_code_that_all_runs_share_counts(copy, path):
    before = harness_code()
    (copy / path).write_text((copy / path).read_text() + "\nSCALE = 2\n")
    fingerprint._shape.cache_clear()
    assert harness_code() != before


@pytest.mark.parametrize("path", ["bench/evidence/tables.py", "bench/sweep/executor.py", "bench/commands/run.py"])
def test_code_that_moves_no_number_does_not_count(copy, path):
    before = harness_code()
    (copy / path).write_text((copy / path).read_text() + "\nSCALE = 2\n")
    fingerprint._shape.cache_clear()
    assert harness_code() == before
