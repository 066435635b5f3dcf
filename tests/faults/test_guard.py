"""Words that must not stand in the sources, not even in the text of a program for another process."""

import ast
import re
from pathlib import Path

import pytest

from bench.fingerprint import ROOT

FILES = [
    *sorted(p for package in ("noise", "methods", "bench") for p in (ROOT / package).rglob("*.py")),
    ROOT / "run_bench.py",
]

BANNED = {
    "a pickle is read": r"\bpickle\.loads?\(|\bread_pickle\(|\bjoblib\.load\(|\bmarshal\.loads?\(|\bshelve\.open\(",
    "torch's reader is told to trust": r"weights_only\s*=\s*(False|None)|\btorch\.jit\.load\(|\btorch\.hub\.load\(",
    "numpy's reader is told to trust": r"allow_pickle\s*=\s*True",
    "YAML is read": r"\byaml\.(unsafe_|full_)?load|\bimport yaml\b",
    "an archive is unpacked": r"\.extractall\(|\.extract\(|\bunpack_archive\(",
    "a shell is asked": r"shell\s*=\s*True|\bos\.(system|popen)\(|\bgetoutput\(",
    "text is run": r"(?<![\w.])(eval|exec)\(",
    "names are looked up by text": r"\bglobals\(\)\s*\[",
}
# the same by names that were imported on their own
FROM = {
    "pickle": {"load", "loads", "Unpickler"},
    "yaml": None,
    "os": {"system", "popen"},
    "marshal": None,
    "shelve": None,
}


def found(text: str) -> list[str]:
    hits = [what for what, pattern in BANNED.items() if re.search(pattern, text)]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module in FROM:
            names = {alias.name for alias in node.names}
            if FROM[node.module] is None or names & FROM[node.module]:
                hits.append(f"from {node.module} import {', '.join(sorted(names))}")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load", "torch.load"):
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            safe = ("weights_only", "True") if "torch" in ast.unparse(node.func) else ("allow_pickle", "False")
            if safe not in given.items():
                hits.append(f"{ast.unparse(node)} does not say {'='.join(safe)}")
    return hits


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_g26_no_source_lets_data_run_code(path):
    assert found(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "pickle.load(f)",
        "'''import pickle; pickle.loads(x)'''",
        "from pickle import loads",
        "from os import system as s",
        "torch.load(f)",
        "torch.load(f, weights_only = False)",
        "torch.load(f, weights_only=None)",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
        "yaml.safe_load(f) or yaml.unsafe_load(f)",
        "tar.extractall(path)",
        "shutil.unpack_archive(x)",
        "run(x, shell=True)",
        "os.system(x)",
        "eval(x)",
        "exec(x)",
        "globals()[name]()",
        "pd.read_pickle(x)",
    ],
)
def test_g26_the_guard_sees_what_it_bans(text):
    assert found(text)


def test_g26_the_guard_lets_pass_what_is_meant():
    for text in (
        "method.eval()",
        "re.compile(x)",
        "torch.load(f, weights_only=True)",
        "np.load(f, allow_pickle=False)",
        "literal_eval(x)",
        "tar.extractfile(member)",
        "class U(pickle.Unpickler): pass",
    ):
        assert found(text) == []
    assert len(FILES) > 150
    assert Path(__file__) not in FILES
