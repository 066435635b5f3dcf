"""Which code made a number: a digest of the sources behind it, blind to comments and docstrings."""

import ast
import functools
import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@functools.cache
def fingerprint(method_file: Path) -> str:
    """16 hex digits over the syntax trees of the method's file, the shared parts of `methods`, `noise` and the training code.

    It is stored in a result, not hashed into the run_id: a comment or a new file must not throw a week of runs away,
    and a changed formula must not be mixed in unnoticed.
    """
    imported = {ROOT / "methods" / "base.py"} | _of_ours(method_file, set())
    shared = [
        *(ROOT / "noise").glob("*.py"),
        *(ROOT / "bench" / "training").glob("*.py"),
        *(ROOT / "bench" / "data").glob("*.py"),
    ]
    digest = hashlib.sha256()
    for path in sorted({*imported, *shared, ROOT / "bench" / "seeds.py"}):
        digest.update(f"{path.name}:{_shape(path)}\n".encode())
    digest.update(_shape(method_file).encode())
    return digest.hexdigest()[:16]


def _of_ours(path: Path, seen: set[Path]) -> set[Path]:
    """Files of the methods package that `path` imports, and what these import; not the registry, which draws nothing."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("methods."):
            target = ROOT / "methods" / f"{(node.module or '').removeprefix('methods.')}.py"
            if target.is_file() and target not in seen and target.name != "registry.py":
                seen |= {target}
                _of_ours(target, seen)
    return seen


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
