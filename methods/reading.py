"""A method's class read from its source text: hyper-parameters, needs, presets and card, without importing torch.

Values must be literals, or be put together from literals by names of constants in the same file or in another one of
this package, by `**`, and by + - * / and |. Where the text alone does not tell, NotStatic is raised.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

from methods.card import Card
from methods.fields import Field, MethodInfo

FOLDER = Path(__file__).parent
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.BitOr: operator.or_,
}


class NotStatic(Exception):
    """The source text alone does not tell; the class must be imported."""


def parse(path: Path) -> ast.Module:
    """The syntax tree of a file, for reading alone: whoever asks again gets the same one while the file stays."""
    now = path.stat()
    return _parsed(path, now.st_mtime_ns, now.st_size)


@functools.lru_cache
def _parsed(path: Path, modified: int, size: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def static(name: str, spec: str, path: Path, class_name: str, overrides: dict[str, Any]) -> MethodInfo:
    """What the text in `path` says of a class; NotStatic if running it alone would tell."""
    fields: dict[str, Field] = {}
    facts: dict[str, Any] = {"num_networks": 1, "needs": (), "paper": "", "presets": {}, "card": None, "shortest": 1}
    lineage = _lineage(path, class_name)
    if len({(source, node.name) for source, node in lineage}) < len(lineage):  # Python's order of bases decides
        raise NotStatic
    for source, node in reversed(lineage):  # the class itself comes last and wins
        _read_class(source, node, fields, facts)
    for key, value in overrides.items():
        fields[key] = dataclasses.replace(fields[key], default=value)
    summary = (ast.get_docstring(lineage[0][1]) or "").split("\n")[0]
    return MethodInfo(name, spec, path, summary, fields=tuple(fields.values()), **facts)


def _lineage(path: Path, class_name: str) -> list[tuple[Path, ast.ClassDef]]:
    """The class and its bases of ours, nearest first; NotStatic where a base is imported from outside `methods`."""
    tree = parse(path)
    node = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == class_name), None)
    if node is None:
        raise NotStatic
    imported = _imports(tree)
    found = [(path, node)]
    for base in (ast.unparse(b).rpartition(".")[2] for b in node.bases):
        if base in ("Method", "LossMethod"):
            continue
        if base in imported:
            found += _lineage(*_home(*imported[base]))
        else:
            found += _lineage(path, base)
    return found


def _read_class(path: Path, node: ast.ClassDef, fields: dict[str, Field], facts: dict[str, Any]) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    is_dataclass = any("dataclass" in ast.unparse(mark) for mark in node.decorator_list)
    for item in node.body:
        if not isinstance(item, ast.AnnAssign | ast.Assign):
            continue
        target = item.target if isinstance(item, ast.AnnAssign) else item.targets[0]
        if not isinstance(target, ast.Name):
            continue
        annotation = _written(item.annotation) if isinstance(item, ast.AnnAssign) else "ClassVar"
        if "ClassVar" in annotation:
            if target.id in facts and item.value is not None:
                facts[target.id] = _fact(target.id, item.value, path)
        elif is_dataclass:
            meaning = lines[(item.end_lineno or item.lineno) - 1].partition("#")[2].strip()
            default = None if item.value is None else value_of(item.value, path)
            fields[target.id] = Field(target.id, annotation, default, meaning, required=item.value is None)


def _written(annotation: ast.expr) -> str:
    """An annotation as text, without the quotes that some put around it."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value
    return ast.unparse(annotation)


def _fact(name: str, node: ast.expr, path: Path) -> Any:
    if name not in ("needs", "card"):
        return value_of(node, path)
    if not isinstance(node, ast.Call) or node.args:
        raise NotStatic
    given: dict[str, Any] = {}
    for keyword in node.keywords:
        value = value_of(keyword.value, path)
        given |= value if keyword.arg is None else {keyword.arg: value}
    if name == "needs":
        return tuple(need for need, value in given.items() if value)
    try:
        return Card(**given)
    except TypeError as error:  # running the module says it better
        raise NotStatic from error


def value_of(node: ast.expr, path: Path) -> Any:
    """What an expression in `path` stands for; NotStatic for anything but literals, constants and arithmetic."""
    try:
        return _value(node, path)
    except (ValueError, TypeError, ArithmeticError) as error:  # an expression, or a wrong one: running it tells
        raise NotStatic from error


def _value(node: ast.expr, path: Path) -> Any:
    if isinstance(node, ast.Name):
        return _constant(node.id, path)
    if isinstance(node, ast.Dict):
        whole: dict[Any, Any] = {}
        for key, item in zip(node.keys, node.values, strict=True):
            whole |= value_of(item, path) if key is None else {value_of(key, path): value_of(item, path)}
        return whole
    if isinstance(node, ast.List | ast.Tuple):
        items: list[Any] = []
        for item in node.elts:
            items += value_of(item.value, path) if isinstance(item, ast.Starred) else [value_of(item, path)]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](value_of(node.left, path), value_of(node.right, path))
    return ast.literal_eval(node)


def _constant(name: str, path: Path) -> Any:
    """The value assigned to `name` at the top of a file, or of the file of ours that it is imported from."""
    tree = parse(path)
    given: list[ast.expr | None] = []
    for item in tree.body:
        if isinstance(item, ast.Assign | ast.AnnAssign | ast.AugAssign) and item.value is not None:
            targets = item.targets if isinstance(item, ast.Assign) else [item.target]
            value = None if isinstance(item, ast.AugAssign) else item.value
            given += [value for target in targets if isinstance(target, ast.Name) and target.id == name]
    if len(given) == 1 and given[0] is not None:
        return value_of(given[0], path)
    if given or name not in _imports(tree):  # written more than once: what counts, only running tells
        raise NotStatic
    home, original = _home(*_imports(tree)[name])
    return _constant(original, home)


def _imports(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """name -> (module, name there) of what a file imports by name."""
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _home(module: str, name: str) -> tuple[Path, str]:
    """The file of this package behind an import; NotStatic where it is imported from elsewhere."""
    file = FOLDER / f"{module.removeprefix('methods').removeprefix('.')}.py"
    if not module.startswith("methods") or not file.is_file():
        raise NotStatic
    return file, name
