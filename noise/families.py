"""Families of label noise and their dialects: what they are, and which ones are known."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from noise.draws import Floats, Labels


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a dialect hands back; `expected` is the wrong share that its definition implies, if it implies one."""

    given: Labels  # (N,)
    expected: float | None
    transition: Floats | None = None  # (C, C), where the noise depends on the class alone
    flip_rate: Floats | None = None  # (N,), where every sample has a rate of its own
    is_ood: NDArray[np.bool_] | None = None  # (N,): the image is foreign, no label is right
    source_index: Labels | None = None  # (N,): which image of the foreign data set, -1 for none or for its own image
    known_classes: int | None = None  # classes from this one on are foreign, where some of them are
    notes: tuple[str, ...] = ()  # what a reader of the card must know about this draw, a line each


@dataclass(frozen=True)
class Dialect:
    """One way to draw a family: ours ("native"), or the draw order of somebody's code, bit for bit.

    `flips` reads "iid" where every sample is drawn on its own; the card then shows how far chance went. `formula` says
    who flips to what in the letters r (rate asked), C, N, T, and `effective` what share comes out wrong.
    """

    draw: Callable[..., Drawn]  # draw(injector, request)
    definition: str
    used_by: str
    convention: str  # "exclusive": a flip never lands on the true class; "inclusive": it may
    flips: str
    generator: str  # "PCG64", "RandomState", "Random" or "none"
    formula: str = ""
    effective: str = ""
    source: str = ""  # the paper, or the repository whose code it is
    maps: tuple[str, ...] | None = None  # of the family's, those it is defined for; None: all
    defaults: Mapping[str, Any] = field(default_factory=dict)  # options whose default differs from the family's
    ours: bool = False  # drawn by our generator, and so with a choice of `flips`


class Asked(Protocol):
    """What a family checks its options against: a `NoiseSpec` whose own options are not complete yet."""

    @property
    def family(self) -> str: ...

    @property
    def rate(self) -> float | None: ...

    @property
    def dialect(self) -> str: ...

    @property
    def map(self) -> str | None: ...


@dataclass(frozen=True)
class Injector:
    """A family of noise; the fields of a subclass are its options, the first line of its docstring its definition."""

    dialects: ClassVar[Mapping[str, Dialect]]
    maps: ClassVar[tuple[str, ...]] = ()
    needs_images: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()  # names of the arrays that must be attached
    uses: ClassVar[tuple[str, ...]] = ()  # names of arrays that are attached where the harness knows them
    keeps_labels: ClassVar[bool] = False  # True: may be told labels that are not the true ones
    rated: ClassVar[bool] = True  # False: the labels come as they are, and no rate is asked
    leading: ClassVar[str] = ""  # of a family without a rate: the option that stands in its place
    family: ClassVar[str] = ""  # set by `register`

    @classmethod
    def example(cls) -> str:
        """Return a spec of this family as one would type it."""
        return f"{cls.family}:0.2" if cls.rated else f"{cls.family}:{cls.leading.upper()}".rstrip(":")

    @classmethod
    def option_defaults(cls, dialect: str = "native") -> dict[str, Any]:
        """Return the options in the order of their declaration, with the defaults of a dialect."""
        own = cls.dialects[dialect].defaults if dialect in cls.dialects else {}
        return {f.name: own.get(f.name, f.default) for f in fields(cls)}

    @classmethod
    def create(cls, options: Mapping[str, Any]) -> "Injector":
        """Build the family with these options, each cast to its declared type."""
        types = {f.name: f.type for f in fields(cls)}
        cast: dict[str, Any] = {}
        for key, value in options.items():
            if key not in types:
                raise ValueError(not_among(f"noise family {cls.family!r} has no option {key!r}", key, types))
            cast[key] = _cast(key, value, types[key])
        return cls(**cast)

    def check(self, spec: Asked) -> None:
        """Raise ValueError if rate, dialect, map and options do not go together; here: a map the dialect lacks."""
        maps = self.dialects[spec.dialect].maps
        if spec.map is not None and maps is not None and spec.map not in maps:
            what = f"dialect {spec.dialect!r} of noise family {spec.family!r} has no map {spec.map!r}"
            raise ValueError(not_among(what, spec.map, maps))


def _cast(key: str, value: Any, wanted: Any) -> Any:
    if isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value):
        if wanted is float:
            return float(value)
        if wanted is int and float(value).is_integer():
            return int(value)
    if wanted is str and isinstance(value, str):
        return value
    what = {float: "a number", int: "a whole number", str: "a text"}[wanted]
    raise ValueError(f"noise option {key!r} must be {what}, got {value!r}")


_FAMILIES: dict[str, type[Injector]] = {}


def register(name: str) -> Callable[[type[Injector]], type[Injector]]:
    """Make a family known under `name`."""

    def add(cls: type[Injector]) -> type[Injector]:
        if name in _FAMILIES:
            raise ValueError(f"noise family {name!r} is registered twice: {_FAMILIES[name].__name__}, {cls.__name__}")
        cls.family = name
        _FAMILIES[name] = cls
        return cls

    return add


def available() -> list[str]:
    """Return the names of all families, sorted."""
    return sorted(_FAMILIES)


def family_of(name: str) -> type[Injector]:
    """Return a family's class, or raise ValueError with the nearest name."""
    if name not in _FAMILIES:
        raise ValueError(not_among(f"unknown noise family {name!r}", name, available()))
    return _FAMILIES[name]


def describe(family: str) -> dict[str, Any]:
    """Return what a listing shows of a family, in plain JSON types."""
    cls = family_of(family)
    return {
        "family": family,
        "definition": (cls.__doc__ or "").strip().splitlines()[0],
        "needs_images": cls.needs_images,
        "needs": list(cls.needs),
        "rated": cls.rated,
        "example": cls.example(),
        "maps": list(cls.maps),
        "options": cls.option_defaults(),
        "dialects": {
            name: {
                "formula": dialect.formula,
                "effective": dialect.effective,
                "source": dialect.source,
                "definition": dialect.definition,
                "used_by": dialect.used_by,
                "convention": dialect.convention,
                "flips": dialect.flips,
                "generator": dialect.generator,
            }
            for name, dialect in cls.dialects.items()
        },
    }


def not_among(problem: str, given: object, allowed: Iterable[str]) -> str:
    """Return one line: the problem, the nearest allowed name, all allowed names."""
    names = sorted(allowed)
    close = difflib.get_close_matches(str(given), names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{problem}{hint} available: {', '.join(names) or 'none'}"
