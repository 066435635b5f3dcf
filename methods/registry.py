"""Methods by name: what they are called, which hyper-parameters they have, and how to get one.

What a suite needs to know about a method (defaults, networks, needs, presets) is read from its source text, so that
expanding a suite, `status` and `table` never import torch. Where the text alone does not tell, the class is imported.
A name is a registered one ("co_teaching"), or names a class elsewhere: "package.module:Class", "path/to/file.py:Class".
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from methods.fields import Field, MethodInfo, suggestion
from methods.reading import FOLDER, NotStatic, parse, static, value_of

if TYPE_CHECKING:
    from methods.base import Method

_CLASSES: dict[str, tuple[type[Any], dict[str, Any]]] = {}  # filled by @register as modules are imported
MethodType = TypeVar("MethodType", bound=type)


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


Registered = tuple[Path, str, dict[str, Any]]  # file, class, overriding defaults


@functools.cache
def _registered_in(path: Path) -> dict[str, Registered]:
    """name -> what it stands for, of every method registered in a file, read from the source."""
    found: dict[str, Registered] = {}
    for node in parse(path).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "register":
                name = ast.literal_eval(mark.args[0])
                found[name] = (path, node.name, {k.arg: value_of(k.value, path) for k in mark.keywords if k.arg})
    return found


@functools.cache
def _texts() -> dict[Path, str]:
    files = (path for path in sorted(FOLDER.glob("*.py")) if path.name != Path(__file__).name)
    return {path: path.read_text(encoding="utf-8") for path in files}


@functools.cache
def _registered() -> dict[str, Registered]:
    """name -> what it stands for, of every method in this folder."""
    return {name: entry for path in _texts() for name, entry in _registered_in(path).items()}


@functools.cache
def _entry(spec: str) -> Registered | None:
    """What a registered name stands for, None for any other word."""
    if ":" in spec:  # no name holds one
        return None
    # a syntax tree of every file takes longer than the rest of `status`: first those alone that hold the word
    named = [path for path, text in _texts().items() if f'"{spec}"' in text]
    found = {name: entry for path in named for name, entry in _registered_in(path).items()}
    return found[spec] if spec in found else _registered().get(spec)


def available() -> list[str]:
    """The registered names, sorted."""
    return sorted(_registered())


def describe(spec: str) -> MethodInfo:
    """What `spec` stands for; ValueError with the nearest name if it stands for nothing."""
    if (entry := _entry(spec)) is not None:
        path, class_name, overrides = entry
        return static(spec, spec, path, class_name, overrides)
    if spec.endswith(".py"):
        raise ValueError(f"method {spec!r}: name the class too, as in {spec}:MyMethod")
    if ":" not in spec:
        raise ValueError(f"unknown method {spec!r}{suggestion(spec, available())}")
    path, class_name = locate(spec)
    name = f"{path.stem}.{class_name}"
    try:
        return static(
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
        classes = [node.name for node in parse(path).body if isinstance(node, ast.ClassDef)]
    except SyntaxError as error:
        raise ValueError(f"method {spec!r}: {path.name} line {error.lineno}: {error.msg}") from error
    if class_name not in classes:
        raise ValueError(f"method {spec!r}: {path.name} has no class {class_name!r}{suggestion(class_name, classes)}")
    return path, class_name


def load(spec: str) -> tuple[type[Method], dict[str, Any]]:
    """Import a method: its class, and the defaults that its registered name overrides. Needs torch."""
    if (entry := _entry(spec)) is not None:
        importlib.import_module(f"methods.{entry[0].stem}")
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
    told = tuple(cls.needs.declared())
    return MethodInfo(
        name,
        spec,
        path,
        summary,
        cls.paper,
        cls.num_networks,
        told,
        cls.presets,
        tuple(fields),
        cls.card,
        cls.shortest,
    )
