"""Specs, families and dialects of label noise, and `corrupt`, the one door through which labels go wrong."""

import difflib
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise.draws import Floats, Labels

FLIPS = ("exact", "iid")
RATE_RANGE = "noise rate must be in [0, 1)"


@dataclass(frozen=True)
class NoiseSpec:
    """What noise is asked for; the seed is an argument of its own.

    `flips` says how native noise picks its wrong samples and stays "exact" for other dialects, which have their own
    rule. Options come out complete, defaults included, and cast to their declared types.
    """

    family: str
    rate: float
    dialect: str = "native"
    flips: str = "exact"
    map: str | None = None
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for key in ("family", "dialect", "flips"):
            if not isinstance(getattr(self, key), str):
                raise ValueError(f"noise {key} must be a text, got {getattr(self, key)!r}")
        if not isinstance(self.options, Mapping):
            raise ValueError(f"noise options must be a table of names and values, got {self.options!r}")
        family = family_of(self.family)
        name = f"noise family {self.family!r}"
        if self.dialect not in family.dialects:
            raise ValueError(not_among(f"{name} has no dialect {self.dialect!r}", self.dialect, family.dialects))
        if self.flips not in FLIPS:
            raise ValueError(not_among(f"unknown noise flips {self.flips!r}", self.flips, FLIPS))
        if self.dialect != "native" and self.flips != "exact":
            own = family.dialects[self.dialect].flips
            raise ValueError(
                f"flips={self.flips!r} is for dialect 'native' only; dialect {self.dialect!r} has its own rule: {own}"
            )
        if self.map is not None and self.map not in family.maps:
            raise ValueError(not_among(f"{name} has no map {self.map!r}", self.map, family.maps))
        object.__setattr__(self, "rate", _checked_rate(self.rate))
        injector = family.create(self.options)
        injector.check_rate(self.rate)
        object.__setattr__(self, "options", asdict(injector))

    @classmethod
    def parse(cls, text: str) -> "NoiseSpec":
        """Read FAMILY:RATE with further KEY=VALUE parts after colons or commas, as in pairflip:0.45:flips=iid."""
        family, _, rest = text.strip().partition(":")
        defaults = family_of(family).option_defaults()
        rate, *parts = re.split("[:,]", rest)
        if not rate or "=" in rate:
            raise ValueError(f"noise {text!r} has no rate; write {family}:0.2")
        keys = ("dialect", "flips", "map", *defaults)
        found: dict[str, Any] = {}
        for part in parts:
            key, equals, value = part.partition("=")
            if not equals or not value:
                raise ValueError(f"noise {text!r}: expected KEY=VALUE, got {part!r}")
            if key not in keys:
                raise ValueError(not_among(f"noise family {family!r} has no key {key!r}", key, keys))
            if key in found:
                raise ValueError(f"noise {text!r} gives {key!r} twice")
            found[key] = _number(value) if isinstance(defaults.get(key), float) else value
        options = {key: found.pop(key) for key in defaults if key in found}
        return cls(family, _number(rate), options=options, **found)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "NoiseSpec":
        """Build a spec from what `to_dict` returns; keys that have defaults may be absent."""
        names = [f.name for f in fields(cls)]
        for key in data:
            if key not in names:
                raise ValueError(not_among(f"unknown noise key {key!r}", key, names))
        for key in ("family", "rate"):
            if key not in data:
                raise ValueError(f"noise needs {key!r}, got only: {', '.join(data) or 'nothing'}")
        return cls(**data)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, every default resolved."""
        return asdict(self)

    @property
    def label(self) -> str:
        """A short name for a reader: family and percent, then whatever is not the default, in brackets."""
        parts = [part.removeprefix("dialect=").removeprefix("flips=") for part in self._extras()]
        return f"{self.family} {100 * self.rate:.10g}%" + (f" ({', '.join(parts)})" if parts else "")

    def __str__(self) -> str:
        return ":".join([self.family, repr(self.rate), *self._extras()])

    def _extras(self) -> list[str]:
        defaults = {"dialect": "native", "flips": "exact", "map": None, **family_of(self.family).option_defaults()}
        values = {"dialect": self.dialect, "flips": self.flips, "map": self.map, **self.options}
        return [f"{key}={value}" for key, value in values.items() if value != defaults[key]]


@dataclass(frozen=True)
class Request:
    """What a dialect draws from: checked inputs and the spec."""

    clean: Labels  # (N,)
    images: NDArray[Any] | None  # (N, ...), always there for families that need them
    num_classes: int
    spec: NoiseSpec
    seed: int


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a dialect hands back; `expected` is the wrong share that its definition implies."""

    given: Labels  # (N,)
    expected: float
    transition: Floats | None = None  # (C, C), where the noise depends on the class alone
    flip_rate: Floats | None = None  # (N,), where every sample has a rate of its own


@dataclass(frozen=True)
class Dialect:
    """One way to draw a family: ours ("native"), or the draw order of somebody's code, bit for bit.

    `flips` reads "iid" where every sample is drawn on its own; the card then shows how far chance went.
    """

    draw: Callable[..., Drawn]  # draw(injector, request)
    definition: str
    used_by: str
    convention: str  # "exclusive": a flip never lands on the true class; "inclusive": it may
    flips: str
    generator: str  # "PCG64", "RandomState" or "Random"


@dataclass(frozen=True)
class Injector:
    """A family of noise; the fields of a subclass are its options, the first line of its docstring its definition."""

    dialects: ClassVar[Mapping[str, Dialect]]
    maps: ClassVar[tuple[str, ...]] = ()
    needs_images: ClassVar[bool] = False
    family: ClassVar[str] = ""  # set by `register`

    @classmethod
    def option_defaults(cls) -> dict[str, Any]:
        """Return the options in the order of their declaration, with defaults."""
        return {f.name: f.default for f in fields(cls)}

    @classmethod
    def create(cls, options: Mapping[str, Any]) -> "Injector":
        """Build the family with these options, each cast to its declared type."""
        types = {f.name: f.type for f in fields(cls)}
        for key, value in options.items():
            if key not in types:
                raise ValueError(not_among(f"noise family {cls.family!r} has no option {key!r}", key, types))
            if types[key] is float and (isinstance(value, bool) or not isinstance(value, Real)):
                raise ValueError(f"noise option {key!r} must be a number, got {value!r}")
            if types[key] is str and not isinstance(value, str):
                raise ValueError(f"noise option {key!r} must be a text, got {value!r}")
        return cls(**{key: float(value) if types[key] is float else value for key, value in options.items()})

    def check_rate(self, rate: float) -> None:
        """Raise ValueError if the options do not go with `rate`; any rate in [0, 1) goes with most."""


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


def dialect_of(spec: NoiseSpec) -> Dialect:
    """Return what is known about the dialect a spec names."""
    return family_of(spec.family).dialects[spec.dialect]


def describe(family: str) -> dict[str, Any]:
    """Return what a listing shows of a family, in plain JSON types."""
    cls = family_of(family)
    return {
        "family": family,
        "definition": (cls.__doc__ or "").strip().splitlines()[0],
        "needs_images": cls.needs_images,
        "maps": list(cls.maps),
        "options": cls.option_defaults(),
        "dialects": {
            name: {
                "definition": dialect.definition,
                "used_by": dialect.used_by,
                "convention": dialect.convention,
                "flips": dialect.flips,
                "generator": dialect.generator,
            }
            for name, dialect in cls.dialects.items()
        },
    }


@dataclass(frozen=True, eq=False)
class Corruption:
    """Labels before and after, and where they come from. Arrays are read-only."""

    given: Labels  # (N,)
    clean: Labels  # (N,)
    num_classes: int
    spec: NoiseSpec
    seed: int
    transition: Floats | None  # (C, C) or None
    flip_rate: Floats | None  # (N,) or None
    generator: str
    expected: float
    is_ood: NDArray[np.bool_] | None = None  # (N,): the image is foreign, no label is right
    source_index: Labels | None = None  # (N,): which image of the foreign data set, -1 for none

    def __post_init__(self) -> None:
        for array in (self.given, self.clean, self.transition, self.flip_rate, self.is_ood, self.source_index):
            if array is not None:
                array.setflags(write=False)

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """The (N,) mask of given labels that are not the true ones."""
        return self.given != self.clean

    @property
    def noise_id(self) -> str:
        """The name of these labels, whatever recipe made them."""
        return noise_id(self.given, self.is_ood, self.source_index)


def corrupt(labels: ArrayLike, images: ArrayLike | None, num_classes: int, spec: NoiseSpec, seed: int) -> Corruption:
    """Return the labels that `spec` and `seed` make of true `labels` (N,).

    Pure: no file, no global generator, inputs untouched. Rate 0 changes no label whatever the family. `images`
    (N, H, W, A) or (N, D) matter only to families that look at them. Raises ValueError for labels that are not
    integers in 0..C-1 and for images that are missing or of another number.
    """
    if isinstance(num_classes, bool) or not isinstance(num_classes, int | np.integer) or num_classes < 2:
        raise ValueError(f"noise needs at least 2 classes, got {num_classes!r}")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise ValueError(f"noise seed must be an integer in [0, 2**32), got {seed!r}")
    clean = checked_labels("labels", labels, int(num_classes))
    family = family_of(spec.family)
    pixels = _checked_images(family, images, len(clean))
    dialect = family.dialects[spec.dialect]
    if spec.rate == 0:
        drawn = Drawn(clean.copy(), 0.0, transition=np.eye(num_classes))
    else:
        request = Request(clean, pixels, int(num_classes), spec, int(seed))
        drawn = dialect.draw(family.create(spec.options), request)
    return Corruption(
        given=drawn.given,
        clean=clean,
        num_classes=int(num_classes),
        spec=spec,
        seed=int(seed),
        transition=drawn.transition,
        flip_rate=drawn.flip_rate,
        generator=dialect.generator,
        expected=float(drawn.expected),
    )


def noise_id(given: ArrayLike, is_ood: NDArray[np.bool_] | None = None, source_index: ArrayLike | None = None) -> str:
    """Return "n" and 16 hex digits that name the labels, and the foreign images where there are any."""
    digest = hashlib.sha256(np.ascontiguousarray(given, dtype="<i8").tobytes())
    if is_ood is not None and np.any(is_ood):
        if source_index is None:
            raise ValueError("foreign samples need source_index to be named, got None")
        digest.update(np.ascontiguousarray(is_ood, dtype=np.uint8).tobytes())
        digest.update(np.ascontiguousarray(source_index, dtype="<i8").tobytes())
    return "n" + digest.hexdigest()[:16]


def checked_labels(name: str, values: ArrayLike, num_classes: int) -> Labels:
    """Return a read-only int64 copy of labels, or raise ValueError with the index and value of the first bad one."""
    array = np.asarray(values)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"{name} must be one label per sample, shape (N,), got shape {array.shape}")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} must be integers, got dtype {array.dtype}")
    bad = np.flatnonzero((array < 0) | (array >= num_classes))
    if len(bad):
        raise ValueError(f"{name} must lie in 0..{num_classes - 1}, got {array[bad[0]]} at index {bad[0]}")
    copy = array.astype(np.int64, copy=True)
    copy.setflags(write=False)
    return copy


def not_among(problem: str, given: object, allowed: Iterable[str]) -> str:
    """Return one line: the problem, the nearest allowed name, all allowed names."""
    names = sorted(allowed)
    close = difflib.get_close_matches(str(given), names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{problem}{hint} available: {', '.join(names) or 'none'}"


def _checked_images(family: type[Injector], images: ArrayLike | None, count: int) -> NDArray[Any] | None:
    if images is None:
        if family.needs_images:
            raise ValueError(f"noise family {family.family!r} depends on the images, got none")
        return None
    pixels = np.asarray(images)
    if pixels.ndim < 2 or len(pixels) != count:
        raise ValueError(f"images must be one row per label, shape ({count}, ...), got shape {pixels.shape}")
    if not (np.issubdtype(pixels.dtype, np.integer) or np.issubdtype(pixels.dtype, np.floating)):
        raise ValueError(f"images must be integers or floats, got dtype {pixels.dtype}")
    return pixels


def _checked_rate(rate: object) -> float:
    if isinstance(rate, bool | np.bool_) or not isinstance(rate, Real):
        raise ValueError(f"noise rate must be a number in [0, 1), got {rate!r}")
    value = float(rate)
    if not 0 <= value < 1:
        hint = f"; for {value:.10g} % write {value / 100:.10g}" if 1 < value < 100 else ""
        raise ValueError(f"{RATE_RANGE}, got {value:.10g}{hint}")
    return value


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:  # the check of the value it is meant for says what is wrong
        return text
