"""Methods by name: what they are called, which hyper-parameters they have, and how to get one.

What a suite needs to know about a method (defaults, networks, needs, presets) is read from its source text, so that
expanding a suite, `status` and `table` never import torch. Where the text alone does not tell, the class is imported.
A name is a registered one ("co_teaching"), or names a class elsewhere: "package.module:Class", "path/to/file.py:Class".
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import importlib
import importlib.util
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from methods.base import Method

FOLDER = Path(__file__).parent
_CLASSES: dict[str, tuple[type[Any], dict[str, Any]]] = {}  # filled by @register as modules are imported
MethodType = TypeVar("MethodType", bound=type)


@dataclass(frozen=True)
class Field:
    """One hyper-parameter."""

    name: str
    type: str  # as written: "float", "int | None", "Literal['a', 'b']"
    default: Any
    meaning: str = ""
    required: bool = False


@dataclass(frozen=True)
class MethodInfo:
    """What can be said of a method without importing it."""

    name: str  # registered, or "stem.Class" for a class from elsewhere
    spec: str  # what `load` takes: the name, or "file.py:Class"
    file: Path
    summary: str
    paper: str
    num_networks: int
    needs: tuple[str, ...]
    presets: Mapping[str, Mapping[str, Any]]
    fields: tuple[Field, ...]

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All hyper-parameters, the given ones checked and cast to their declared types.

        Raises ValueError, naming the nearest field, for a name that is none, and for a value of another type.
        """
        names = [field.name for field in self.fields]
        for name in given:
            if name not in names:
                raise ValueError(f"method {self.name!r} has no hyper-parameter {name!r}{suggestion(name, names)}")
        missing = [f.name for f in self.fields if f.required and f.name not in given]
        if missing:
            raise ValueError(
                f"method {self.name!r} needs a value for {missing[0]!r}: --set {self.name}.{missing[0]}=..."
            )
        return {f.name: cast(given[f.name], f, self.name) if f.name in given else self._default(f) for f in self.fields}

    def _default(self, field: Field) -> Any:
        """A default as its declared type, as if it had been given; as it stands where the two disagree."""
        try:
            return cast(field.default, field, self.name)
        except ValueError:  # the author's own value works, whatever the annotation says
            return field.default


def suggestion(given: str, allowed: list[str]) -> str:
    """The end of an error text: the nearest allowed word, or all of them where none is near."""
    near = difflib.get_close_matches(given, allowed, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; allowed: {', '.join(allowed) or 'none'}"


def cast(value: Any, field: Field, method: str) -> Any:
    """`value` as the type that `field` declares (1 and 1.0 must not make two different runs), or ValueError."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    allowed: list[str] = []
    for option in _options(ast.parse(field.type, mode="eval").body):
        text, head = ast.unparse(option), _head(option)
        if text == "None" and value is None:
            return None
        if text == type(value).__name__ and text in ("bool", "str"):
            return value
        if text == "int" and number and value == int(value):
            return int(value)
        if text == "float" and number:
            return float(value)
        if head == "Literal" and isinstance(option, ast.Subscript):
            for literal in _elements(option):
                word = ast.literal_eval(literal)
                if word == value and isinstance(word, bool) == isinstance(value, bool):
                    return word  # not the value: 1.0 given for 1 would be another run
                allowed.append(str(word))
        if head in ("list", "tuple", "dict") and isinstance(value, list | tuple | dict):
            return value
    wanted = f"one of {', '.join(allowed)}" if allowed else f"of type {field.type}"
    near = suggestion(value, allowed) if isinstance(value, str) and difflib.get_close_matches(value, allowed, 1) else ""
    raise ValueError(f"{method}.{field.name} must be {wanted}, got {value!r}{near}")


def _options(annotation: ast.expr) -> list[ast.expr]:
    """The alternatives of `X | Y`, Union[X, Y] and Optional[X], in the order written."""
    if isinstance(annotation, ast.BinOp):
        return [*_options(annotation.left), *_options(annotation.right)]
    if isinstance(annotation, ast.Subscript) and _head(annotation) in ("Union", "Optional"):
        none = [ast.Constant(None)] if _head(annotation) == "Optional" else []
        return [option for element in _elements(annotation) for option in _options(element)] + none
    return [annotation]


def _head(annotation: ast.expr) -> str:
    """The word before the brackets, without its module: "Literal" for typing.Literal["a"]."""
    return ast.unparse(annotation).partition("[")[0].rpartition(".")[2]


def _elements(option: ast.Subscript) -> list[ast.expr]:
    return option.slice.elts if isinstance(option.slice, ast.Tuple) else [option.slice]


def register(name: str, **overrides: Any) -> Callable[[MethodType], MethodType]:
    """Class decorator: make a method available as `name`, with these defaults in place of the class's own."""

    def add(cls: MethodType) -> MethodType:
        known = _CLASSES.get(name)
        if known and (known[0].__module__, known[0].__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"method name {name!r} is already taken by {known[0].__module__}.{known[0].__qualname__}")
        if cls.__hash__ is None:
            raise ValueError(
                f"{cls.__qualname__}: write @dataclass(eq=False); a module that compares by value can't be hashed"
            )
        _CLASSES[name] = (cls, overrides)
        return cls

    return add


@functools.cache
def _registered() -> dict[str, tuple[Path, str, dict[str, Any]]]:
    """name -> (file, class, overriding defaults) of every method in this folder, read from the sources."""
    found: dict[str, tuple[Path, str, dict[str, Any]]] = {}
    for path in sorted(FOLDER.glob("*.py")):
        if path.name == Path(__file__).name:
            continue
        for node in _parse(path).body:
            if not isinstance(node, ast.ClassDef):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "register":
                    name = ast.literal_eval(mark.args[0])
                    found[name] = (path, node.name, {k.arg: ast.literal_eval(k.value) for k in mark.keywords if k.arg})
    return found


def available() -> list[str]:
    """The registered names, sorted."""
    return sorted(_registered())


def describe(spec: str) -> MethodInfo:
    """What `spec` stands for; ValueError with the nearest name if it stands for nothing."""
    if spec in _registered():
        path, class_name, overrides = _registered()[spec]
        return _static(spec, spec, path, class_name, overrides)
    if spec.endswith(".py"):
        raise ValueError(f"method {spec!r}: name the class too, as in {spec}:MyMethod")
    if ":" not in spec:
        raise ValueError(f"unknown method {spec!r}{suggestion(spec, available())}")
    path, class_name = locate(spec)
    name = f"{path.stem}.{class_name}"
    try:
        return _static(
            name, f"{path}:{class_name}" if spec.partition(":")[0].endswith(".py") else spec, path, class_name, {}
        )
    except NotStatic:
        return _imported(name, spec, path)


def locate(spec: str) -> tuple[Path, str]:
    """The file and class name behind "path/to/file.py:Class" or "package.module:Class"."""
    where, _, class_name = spec.rpartition(":")
    if where.endswith(".py"):
        path = Path(where).expanduser().resolve()
        if not path.is_file():
            raise ValueError(f"method {spec!r}: there is no file {where}")
    else:
        try:
            found = importlib.util.find_spec(where)
        except (ImportError, ValueError) as error:  # a parent package that is missing or broken
            raise ValueError(f"method {spec!r}: cannot find module {where}: {error}") from error
        if found is None or not found.origin:
            raise ValueError(f"method {spec!r}: there is no module {where}")
        path = Path(found.origin)
    try:
        classes = [node.name for node in _parse(path).body if isinstance(node, ast.ClassDef)]
    except SyntaxError as error:
        raise ValueError(f"method {spec!r}: {path.name} line {error.lineno}: {error.msg}") from error
    if class_name not in classes:
        raise ValueError(f"method {spec!r}: {path.name} has no class {class_name!r}{suggestion(class_name, classes)}")
    return path, class_name


def load(spec: str) -> tuple[type[Method], dict[str, Any]]:
    """Import a method: its class, and the defaults that its registered name overrides. Needs torch."""
    if spec in _registered():
        importlib.import_module(f"methods.{_registered()[spec][0].stem}")
        return _CLASSES[spec]
    path, class_name = locate(spec)
    module = (
        _import_file(path)
        if spec.rpartition(":")[0].endswith(".py")
        else importlib.import_module(spec.rpartition(":")[0])
    )
    cls: Any = getattr(module, class_name)
    from methods.base import Method

    if not issubclass(cls, Method):
        raise ValueError(
            f"method {spec!r}: {class_name} is not a Method; derive it from methods.LossMethod or methods.Method"
        )
    if cls.__abstractmethods__:
        raise ValueError(f"method {spec!r}: {class_name} lacks {', '.join(sorted(cls.__abstractmethods__))}")
    usable = dataclasses.is_dataclass(cls) and cls.__hash__ is not None
    if not usable:
        raise ValueError(
            f"method {spec!r}: put @dataclass(eq=False) on {class_name}; its fields are its hyper-parameters"
        )
    return cls, {}


def create(spec: str, **params: Any) -> Method:
    """A method with these hyper-parameters, its other ones at their defaults; `setup` makes its networks."""
    cls, _ = load(spec)
    return cls(**describe(spec).resolve(params))


@functools.cache
def _import_file(path: Path) -> ModuleType:
    name = f"lnbench_method_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the file does as it is imported is for its author to know, on one line
        del sys.modules[name]
        raise ValueError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


class NotStatic(Exception):
    """The source text alone does not tell; the class must be imported."""


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _static(name: str, spec: str, path: Path, class_name: str, overrides: dict[str, Any]) -> MethodInfo:
    fields: dict[str, Field] = {}
    facts: dict[str, Any] = {"num_networks": 1, "needs": (), "paper": "", "presets": {}}
    lineage = _lineage(path, class_name)
    for source, node in reversed(lineage):  # the class itself comes last and wins
        _read_class(source, node, fields, facts)
    for key, value in overrides.items():
        fields[key] = dataclasses.replace(fields[key], default=value)
    summary = (ast.get_docstring(lineage[0][1]) or "").split("\n")[0]
    return MethodInfo(name, spec, path, summary, fields=tuple(fields.values()), **facts)


def _lineage(path: Path, class_name: str) -> list[tuple[Path, ast.ClassDef]]:
    """The class and its bases of ours, nearest first; NotStatic where a base is imported from outside `methods`."""
    tree = _parse(path)
    node = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == class_name), None)
    if node is None:
        raise NotStatic
    imported = {
        a.asname or a.name: (n.module or "", a.name)
        for n in tree.body
        if isinstance(n, ast.ImportFrom)
        for a in n.names
    }
    found = [(path, node)]
    for base in (ast.unparse(b).rpartition(".")[2] for b in node.bases):
        if base in ("Method", "LossMethod"):
            continue
        if base in imported:
            module, original = imported[base]
            stem = module.removeprefix("methods").removeprefix(".")
            if not module.startswith("methods") or not (FOLDER / f"{stem}.py").is_file():
                raise NotStatic
            found += _lineage(FOLDER / f"{stem}.py", original)
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
                facts[target.id] = _needs(item.value) if target.id == "needs" else _literal(item.value)
        elif is_dataclass:
            meaning = lines[(item.end_lineno or item.lineno) - 1].partition("#")[2].strip()
            default = None if item.value is None else _literal(item.value)
            fields[target.id] = Field(target.id, annotation, default, meaning, required=item.value is None)


def _written(annotation: ast.expr) -> str:
    """An annotation as text, without the quotes that some put around it."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value
    return ast.unparse(annotation)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError as error:  # an expression: only running the module tells
        raise NotStatic from error


def _needs(node: ast.expr) -> tuple[str, ...]:
    if not isinstance(node, ast.Call) or node.args:
        raise NotStatic
    return tuple(k.arg for k in node.keywords if k.arg and _literal(k.value))


def _imported(name: str, spec: str, path: Path) -> MethodInfo:
    cls: Any = load(spec)[0]
    fields = []
    for f in (f for f in dataclasses.fields(cls) if f.init):
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        default = (
            f.default_factory() if f.default_factory is not dataclasses.MISSING else None if required else f.default
        )
        text = f.type if isinstance(f.type, str) else f.type.__name__ if isinstance(f.type, type) else str(f.type)
        fields.append(Field(f.name, text.replace("typing.", ""), default, required=required))
    summary = (cls.__doc__ or "").split("\n")[0]
    presets = getattr(cls, "presets", {})
    return MethodInfo(
        name, spec, path, summary, cls.paper, cls.num_networks, tuple(cls.needs.declared()), presets, tuple(fields)
    )
