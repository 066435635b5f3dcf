"""Hyper-parameters of a method: their names, types and meanings, and a given value as the type it is declared to be."""

from __future__ import annotations

import ast
import difflib
import functools
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from methods.card import Card


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
    card: Card | None = None
    shortest: int = 1  # fewest epochs of a run

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
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    allowed: list[str] = []
    for option, text, head in _declared(field.type):
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


@functools.cache
def _declared(annotation: str) -> list[tuple[ast.expr, str, str]]:
    """The alternatives of a type as written, each with its text and the word before its brackets."""
    options = _options(ast.parse(annotation, mode="eval").body)
    return [(option, ast.unparse(option), _head(option)) for option in options]


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
