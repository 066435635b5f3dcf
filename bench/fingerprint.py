"""Which code made a number: digests of the sources behind it, blind to comments and docstrings.

They are stored in a result, not hashed into the run_id: a comment or a new file must not throw a week of runs away, and
a changed formula must not be mixed in unnoticed.
"""

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def harness_code() -> str:
    """16 hex digits over the code that all runs share: noise, data, training."""
    folders = (ROOT / "noise", ROOT / "bench" / "training", ROOT / "bench" / "data")
    return _digest([ROOT / "bench" / "seeds.py", *(path for folder in folders for path in folder.glob("*.py"))])


def method_code(file: Path) -> str:
    """16 hex digits over a method's file and what it imports of the methods package."""
    return _digest([ROOT / "methods" / "base.py", file, *_of_ours(file, set())])


def _digest(paths: Iterable[Path]) -> str:
    lines = sorted(f"{path.name}:{_shape(path)}" for path in set(paths))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _of_ours(path: Path, seen: set[Path]) -> set[Path]:
    """Files of `methods` that `path` imports, and what these import, but not the registry: it draws nothing."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for name in _imported(node):
            target = ROOT / "methods" / f"{name.removeprefix('methods.')}.py"
            if target.is_file() and target not in seen and target.name != "registry.py":
                seen |= {target}
                _of_ours(target, seen)
    return seen


def _imported(node: ast.AST) -> list[str]:
    """What an import statement may name of `methods`: modules, among names that are none."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.startswith("methods.")]


@functools.cache
def _shape(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            del body[0]  # a docstring
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()
