"""Which noise is asked for: a family, a rate, a dialect, and whatever else one must name to repeat it."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from numbers import Real
from typing import Any

import numpy as np

from noise.families import Dialect, Injector, family_of, not_among

FLIPS = ("exact", "total", "iid")
RATE_RANGE = "noise rate must be in [0, 1)"


@dataclass(frozen=True)
class NoiseSpec:
    """What noise is asked for; the seed is an argument of its own.

    `rate` is None for a family whose labels come as they are, such as human ones, and lies in [0, 1) for all others.
    `flips` says how our own dialects pick their wrong samples (exactly many in every class, exactly many in total, or
    each on its own) and stays "exact" for other dialects, which have their own rule. Options come out complete,
    defaults included, and cast to their declared types.
    """

    family: str
    rate: float | None = None
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
        if self.flips != "exact" and not family.dialects[self.dialect].ours:
            own = family.dialects[self.dialect].flips
            raise ValueError(
                f"flips={self.flips!r} is for our own dialects only; dialect {self.dialect!r} has its own rule: {own}"
            )
        if self.map is not None and self.map not in family.maps:
            raise ValueError(not_among(f"{name} has no map {self.map!r}", self.map, family.maps))
        object.__setattr__(self, "rate", _checked_rate(family, self.rate))
        injector = family.create({**family.dialects[self.dialect].defaults, **self.options})
        injector.check(self)
        object.__setattr__(self, "options", asdict(injector))

    @classmethod
    def parse(cls, text: str) -> "NoiseSpec":
        """Read FAMILY:RATE with further KEY=VALUE parts after colons or commas, as in pairflip:0.45:flips=iid.

        A family without a rate has its first option there, if any, as in human:worst.
        """
        family, _, rest = text.strip().partition(":")
        injector = family_of(family)
        defaults = injector.option_defaults()
        first, *parts = re.split("[:,]", rest)
        found: dict[str, Any] = {}
        if injector.rated or injector.leading:
            if not first or "=" in first:
                what = "rate" if injector.rated else injector.leading
                raise ValueError(f"noise {text!r} has no {what}; write {injector.example()}")
            if not injector.rated:
                found[injector.leading] = first
        elif first:
            parts.insert(0, first)
        keys = ("dialect", "flips", "map", *defaults)
        for part in parts:
            key, equals, value = part.partition("=")
            if not equals or not value:
                raise ValueError(f"noise {text!r}: expected KEY=VALUE, got {part!r}")
            if key not in keys:
                raise ValueError(not_among(f"noise family {family!r} has no key {key!r}", key, keys))
            if key in found:
                raise ValueError(f"noise {text!r} gives {key!r} twice")
            found[key] = _number(value) if isinstance(defaults.get(key), int | float) else value
        options = {key: found.pop(key) for key in defaults if key in found}
        return cls(family, _number(first) if injector.rated else None, options=options, **found)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "NoiseSpec":
        """Build a spec from what `to_dict` returns; keys that have defaults may be absent."""
        names = [f.name for f in fields(cls)]
        for key in data:
            if key not in names:
                raise ValueError(not_among(f"unknown noise key {key!r}", key, names))
        if "family" not in data:
            raise ValueError(f"noise needs 'family', got only: {', '.join(data) or 'nothing'}")
        return cls(**data)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, every default resolved."""
        return asdict(self)

    @property
    def label(self) -> str:
        """A short name for a reader: family and percent, then whatever is not the default, in brackets."""
        extras = [part[:19] if part.startswith("sha256=") else part for part in self._extras()]  # twelve digits of it
        parts = [part.removeprefix("dialect=").removeprefix("flips=") for part in extras]
        leading = self.options.get(family_of(self.family).leading, "")
        name = f"{self.family} {leading}".rstrip() if self.rate is None else f"{self.family} {100 * self.rate:.10g}%"
        return name + (f" ({', '.join(parts)})" if parts else "")

    def __str__(self) -> str:
        leading = self.options.get(family_of(self.family).leading)
        first = leading if self.rate is None else repr(self.rate)
        return ":".join([self.family, *([str(first)] if first is not None else []), *self._extras()])

    def _extras(self) -> list[str]:
        family = family_of(self.family)
        defaults = {"dialect": "native", "flips": "exact", "map": None, **family.option_defaults(self.dialect)}
        values = {"dialect": self.dialect, "flips": self.flips, "map": self.map, **self.options}
        hidden = () if self.rate is not None else (family.leading,)
        return [f"{key}={value}" for key, value in values.items() if value != defaults[key] and key not in hidden]


def dialect_of(spec: NoiseSpec) -> Dialect:
    """Return what is known about the dialect a spec names."""
    return family_of(spec.family).dialects[spec.dialect]


def _checked_rate(family: type[Injector], rate: object) -> float | None:
    if not family.rated:
        if rate is not None:
            raise ValueError(f"noise family {family.family!r} takes no rate, got {rate!r}; write {family.example()}")
        return None
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
