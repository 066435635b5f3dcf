"""Meta-Weight-Net's meta set: samples that the dialect `mwnet` of a family leaves clean.

How many they are is an option of that dialect alone. Specs of all other dialects do not carry it, so that whatever is
named after those stays as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass
from typing import Any

import numpy as np

from noise.base import Request
from noise.draws import Labels, by_class
from noise.families import Asked, Injector

N_META = 1000  # the paper's: 100 of each class of CIFAR-10, 10 of each class of CIFAR-100
_SIZE = [("n_meta", int, N_META)]


@dataclass(frozen=True)
class MetaFamily(Injector):
    """A family with the dialect `mwnet`, whose option `n_meta` is the number of samples that it keeps clean."""

    @classmethod
    def option_defaults(cls, dialect: str = "native") -> dict[str, Any]:
        """Return the one option, for a text may name it before its dialect is known."""
        return {"n_meta": N_META}

    @classmethod
    def create(cls, options: Mapping[str, Any]) -> Injector:
        """Build the family, with a field for the option only where it is given, as it is for every `mwnet`."""
        kind: type[MetaFamily] = cls
        if "n_meta" in options:
            kind = make_dataclass(cls.__name__, _SIZE, bases=(cls,), frozen=True)
        return super(MetaFamily, kind).create(options)

    def check(self, spec: Asked) -> None:
        """Refuse the option to other dialects, and a negative one to `mwnet`."""
        super().check(spec)
        size = getattr(self, "n_meta", None)
        if size is not None and spec.dialect != "mwnet":
            raise ValueError(f"noise option 'n_meta' is for dialect 'mwnet' only, got dialect {spec.dialect!r}")
        if size is not None and size < 0:
            raise ValueError(f"noise option 'n_meta' must be at least 0, got {size}")


def without_meta(state: np.random.RandomState, request: Request) -> tuple[Labels, str]:
    """Return the indices that are left, class by class in shuffled order, and a note on those that are set apart.

    Every class loses the first n_meta / C of its shuffled samples. Raises ValueError for a class that has fewer.
    """
    each = request.spec.options["n_meta"] // request.num_classes
    rest = []
    for label, members in enumerate(by_class(request.clean, request.num_classes)):
        if len(members) < each:
            raise ValueError(
                f"dialect 'mwnet' keeps {each} of each class clean; class {label} has {len(members)}: "
                "give a smaller n_meta, or 0"
            )
        state.shuffle(members)
        rest.append(members[each:])
    kept = each * request.num_classes
    note = f"{kept:,} samples stay clean: the method's meta set" if kept else "no meta set is kept clean"
    return np.concatenate(rest), note
