"""Which code made a number: digests of the sources behind it, blind to comments and docstrings.

They are stored in a result, not hashed into the run_id: a comment or a new file must not throw a week of runs away, and
a changed formula must not be mixed in unnoticed. Every call reads the files anew; what a file's bytes come to is
remembered between processes, because each run of a sweep asks.
"""

import ast
import functools
import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from bench import cache

ROOT = Path(__file__).resolve().parent.parent
MOST = 4000  # files remembered


class Source(NamedTuple):
    """What counts of a file of code."""

    shape: str  # sha256 of its syntax tree without docstrings
    imports: tuple[str, ...]  # what its import statements may name of `methods`: modules, among names that are none


def harness_code() -> str:
    """16 hex digits over the code that all runs share: noise, data, training."""
    folders = (ROOT / "noise", ROOT / "bench" / "training", ROOT / "bench" / "data")
    return _digest([ROOT / "bench" / "seeds.py", *(path for folder in folders for path in folder.glob("*.py"))])


def method_code(file: Path) -> str:
    """16 hex digits over a method's file and what it imports of the methods package."""
    return _digest([ROOT / "methods" / "base.py", file, *_of_ours(file, set())])


def sources() -> str:
    """The sha256 over every byte of this project's code: where it stays, so does all that the code says."""
    digest = hashlib.sha256()
    for path in sorted(path for package in ("noise", "methods", "bench") for path in (ROOT / package).rglob("*.py")):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)}:{len(data)}\n".encode() + data)
    return digest.hexdigest()


def _digest(paths: Iterable[Path]) -> str:
    found = {path: _source(path) for path in set(paths)}
    lines = sorted(f"{path.name}:{source.shape}" for path, source in found.items())
    _remember()
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _of_ours(path: Path, seen: set[Path]) -> set[Path]:
    """Files of `methods` that `path` imports, and what these import, but not the registry: it draws nothing."""
    for name in _source(path).imports:
        target = ROOT / "methods" / f"{name.removeprefix('methods.')}.py"
        if target.is_file() and target not in seen and target.name != "registry.py":
            seen |= {target}
            _of_ours(target, seen)
    return seen


def _source(path: Path) -> Source:
    data = path.read_bytes()
    key = hashlib.sha256(data).hexdigest()
    if key not in _seen:
        remembered = _remembered().get(key)
        _seen[key] = _analysed(data.decode("utf-8")) if remembered is None else remembered
    return _seen[key]


def _analysed(text: str) -> Source:
    tree = ast.parse(text)
    names: dict[str, None] = {}
    for node in ast.walk(tree):
        names |= dict.fromkeys(_imported(node))
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            del body[0]  # a docstring
    return Source(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(names))


def _imported(node: ast.AST) -> list[str]:
    """What an import statement may name of `methods`."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.startswith("methods.")]


# sha256 of a file's bytes -> what counts of it, for the files that this process asked for
_seen: dict[str, Source] = {}


@functools.cache
def _memory() -> str:
    """The name of the memory: a syntax tree depends on Python, and what is read off it on this file."""
    return hashlib.sha256(sys.version.encode() + Path(__file__).read_bytes()).hexdigest()[:20]


@functools.cache
def _remembered() -> dict[str, Source]:
    """What earlier processes found, entries of another form left out."""
    found = cache.recall("code", _memory())
    known = {}
    for key, entry in found.items() if isinstance(found, dict) else ():
        match entry:
            case [str(shape), [*imports]] if len(shape) == 64 and all(isinstance(name, str) for name in imports):
                known[key] = Source(shape, tuple(imports))
    return known


def _remember() -> None:
    """Keep what this process has found out, if that is more than what was known."""
    if _seen.keys() <= _remembered().keys():
        return
    _remembered.cache_clear()  # others may have written since
    known = _remembered()
    if len(known) > MOST:
        known.clear()
    known |= _seen
    cache.keep("code", _memory(), known)
