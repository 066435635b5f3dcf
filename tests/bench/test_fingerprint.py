"""A number remembers the code that made it: its formulas, not its comments."""

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import cache, fingerprint
from bench.fingerprint import harness_code, method_code, sources

ROOT = fingerprint.ROOT
FILE = ROOT / "methods" / "cross_entropy.py"
METHOD = '''"""A method."""

from methods.losses import cross_entropy


class Mine:
    """Mine."""

    def losses(self, logits, batch):
        """Return it."""
        return cross_entropy(logits, batch.y) * 1.0
'''


def forget() -> None:
    """As if this process had just begun."""
    fingerprint._seen.clear()
    fingerprint._remembered.cache_clear()


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """Where the memory lies, empty at first."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    forget()
    yield tmp_path / "cache" / "lnbench" / "computed" / "code"
    forget()


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
    assert harness_code() != before


@pytest.mark.parametrize(
    "path", ["bench/evidence/tables.py", "bench/sweep/supervision/executor.py", "bench/commands/run.py"]
)
def test_code_that_moves_no_number_does_not_count(copy, path):
    before = harness_code()
    (copy / path).write_text((copy / path).read_text() + "\nSCALE = 2\n")
    assert harness_code() == before


def plainly(paths: list[Path]) -> str:
    """The digest of files, without any memory."""

    def shape(path: Path) -> str:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            match getattr(node, "body", None):
                case [ast.Expr(value=ast.Constant()), *_] as body:
                    body.pop(0)
        return hashlib.sha256(ast.dump(tree).encode()).hexdigest()

    lines = sorted(f"{path.name}:{shape(path)}" for path in paths)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def of_harness() -> str:
    folders = ("noise", "bench/training", "bench/data")
    return plainly([ROOT / "bench/seeds.py", *(path for folder in folders for path in (ROOT / folder).glob("*.py"))])


def named(stems: set[str]) -> set[str]:
    """Modules of ours and those that they import, as they are usually written."""
    texts = [(ROOT / "methods" / f"{stem}.py").read_text() for stem in stems]
    more = {stem for text in texts for stem in re.findall(r"^from methods\.(\w+) import", text, re.MULTILINE)}
    return stems if more <= stems | {"registry"} else named(stems | more - {"registry"})


@pytest.fixture
def small(tmp_path, monkeypatch) -> str:
    """A project of four files, and its digest."""
    texts = {"bench/seeds.py": "SEED = 1", "noise/flip.py": METHOD, "bench/training/step.py": "x = 1"}
    for name, text in {**texts, "bench/data/read.py": "import methods.losses"}.items():
        (tmp_path / "small" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "small" / name).write_text(text)
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path / "small")
    whole = plainly(list((tmp_path / "small").rglob("*.py")))
    assert harness_code() == whole
    forget()
    return whole


def test_a_remembered_digest_is_the_one_that_is_computed(kept):
    first = harness_code(), method_code(FILE)
    assert len(list(kept.iterdir())) == 1
    forget()
    assert (harness_code(), method_code(FILE)) == first
    assert first[0] == of_harness()
    assert first[1] == plainly([ROOT / "methods" / f"{name}.py" for name in named({"base", FILE.stem})])


def test_what_is_remembered_is_not_parsed_again(small, monkeypatch):
    monkeypatch.setattr(ast, "parse", lambda *_: pytest.fail("parsed again"))
    assert harness_code() == small


def test_an_edit_counts_at_once_even_where_size_and_time_stay(own):
    before = method_code(own)
    stamp = own.stat()
    edit(own, "* 1.0", "* 2.0")
    os.utime(own, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    edited = method_code(own)
    assert edited != before
    edit(own, "* 2.0", "* 1.0")
    assert method_code(own) == before
    forget()
    assert method_code(own) == before


def test_new_imports_of_an_edited_method_count(copy, own):
    edit(
        own, "from methods.losses import cross_entropy", "from methods.losses import cross_entropy\nimport methods.cmd"
    )
    with_cmd = method_code(own)
    forget()
    assert method_code(own) == with_cmd
    cmd = copy / "methods" / "cmd.py"
    cmd.write_text(cmd.read_text() + "\nSCALE = 2\n")
    assert method_code(own) != with_cmd


def sealed(value: object) -> bytes:
    body = json.dumps(value).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


KEY = hashlib.sha256(b"SEED = 1").hexdigest()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"{}",
        b"0" * 64 + b"\n{}",
        sealed({})[:-1],
        sealed(None),
        sealed([1, 2]),
        sealed({KEY: None}),
        sealed({KEY: 7}),
        sealed({KEY: "ab"}),
        sealed({KEY: ["short", []]}),
        sealed({KEY: ["0" * 64, "methods.losses"]}),
        sealed({KEY: ["0" * 64, [1]]}),
        sealed({KEY: ["0" * 64, [], 3]}),
        sealed({KEY: [0, []]}),
        b'{"a":' * 100_000,
    ],
    ids=range(16),
)
def test_a_damaged_memory_does_no_harm_and_is_mended(small, kept, data):
    (path,) = kept.iterdir()
    good = path.read_bytes()
    path.write_bytes(data)
    assert harness_code() == small
    assert path.read_bytes() == good


def test_the_memory_is_trusted_as_compiled_files_are_if_it_is_the_users_own(small, kept, monkeypatch):
    (path,) = kept.iterdir()
    path.write_bytes(sealed({**json.loads(path.read_bytes().partition(b"\n")[2]), KEY: ["0" * 64, []]}))
    assert harness_code() != small
    forget()
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert harness_code() == small


@pytest.mark.parametrize("home", ["a file", "/proc/none", "/dev/null/none"])
def test_where_nothing_can_be_written_the_digest_is_the_same(small, home, tmp_path, monkeypatch):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / home))
    assert harness_code() == small


def test_another_python_or_another_way_to_read_code_remembers_apart(monkeypatch):
    name = fingerprint._memory.__wrapped__()
    monkeypatch.setattr(sys, "version", "3.99")
    assert fingerprint._memory.__wrapped__() != name
    monkeypatch.undo()
    monkeypatch.setattr(fingerprint, "__file__", str(FILE))
    assert fingerprint._memory.__wrapped__() != name


def test_processes_that_begin_together_agree_and_leave_a_whole_memory(kept):
    code = "from bench.fingerprint import harness_code; print(harness_code())"
    started = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert {process.communicate()[0].strip() for process in started} == {of_harness()}
    assert all(process.returncode == 0 for process in started)
    assert [path.suffix for path in kept.iterdir()] == [".json"]
    assert len(cache.recall("code", fingerprint._memory())) > 50


def test_a_memory_that_grew_too_long_starts_anew(small, tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "MOST", 3)
    assert len(cache.recall("code", fingerprint._memory())) == 4
    (tmp_path / "small" / "noise" / "flip.py").write_text("x = 2")
    assert harness_code() != small
    assert hashlib.sha256(METHOD.encode()).hexdigest() not in cache.recall("code", fingerprint._memory())
    assert len(cache.recall("code", fingerprint._memory())) == 4


def test_the_digest_of_all_sources_changes_with_every_byte_and_every_file(copy):
    before = sources()
    assert sources() == before
    path = copy / "bench" / "findings" / "gathering.py"
    path.write_bytes(path.read_bytes() + b"# a remark\n")
    remark = sources()
    path.rename(path.with_name("other.py"))
    assert len({before, remark, sources()}) == 3
