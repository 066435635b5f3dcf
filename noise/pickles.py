"""Pickles of arrays, read without running what they ask for.

NumPy's own way of filling an array or a dtype from a pickle trusts what it is told: forged flags of a dtype crash the
interpreter. What a pickle says of them is therefore checked here and goes to NumPy only then.
"""

import math
import pickle
import pickletools
import re
from collections.abc import Mapping
from io import BytesIO
from types import MappingProxyType
from typing import Any

import numpy as np

_REMEMBERS = {"PUT", "BINPUT", "LONG_BINPUT"}
_PLAIN = (
    None,
    None,
    None,
    -1,
    -1,
    0,
)  # of a dtype: no parts, no names, no fields, size and alignment its own, no flags


class ForbiddenGlobal(ValueError):
    """A pickle asks for something that no file of arrays needs; `module` is where it would come from."""

    def __init__(self, module: str, name: str) -> None:
        super().__init__(f"pickle asks for {module}.{name}, which no file of arrays needs; nothing was run")
        self.module = module


class Kind:
    """What a pickle says of a dtype, which must be one of numbers or booleans."""

    def __init__(self, name: Any, *_: object) -> None:
        self.name, self.order = _text(name), "="
        if not re.fullmatch(r"b1|[iu][1248]|f[248]", self.name):
            raise ValueError(f"pickle holds an array of {self.name!r:.20}, which are no numbers")

    def __setstate__(self, state: Any) -> None:
        self.order = _text(state[1])
        if self.order not in ("<", ">", "|", "=") or tuple(state[2:8]) != _PLAIN:
            raise ValueError("pickle holds an array of a forged dtype")


class Array(np.ndarray):
    """An array that believes a pickle's description of itself only if it fits the bytes."""

    def __new__(cls, *_: object) -> "Array":
        raise ValueError("pickle makes an array by hand")  # of any size, filled with whatever lies in memory

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        data = data.encode("latin1") if isinstance(data, str) else data
        if not isinstance(kind, Kind) or not isinstance(data, bytes):
            raise ValueError("pickle holds an array whose content is not bytes")
        dtype = np.dtype(kind.order + kind.name)
        fits = type(shape) is tuple and all(type(size) is int and size >= 0 for size in shape)
        if not fits or math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError(f"pickle holds an array of shape {shape!r:.40} and {len(data)} bytes of {dtype}")
        super().__setstate__((1, shape, dtype, bool(fortran), data))  # type: ignore[arg-type]  # bool is right


def _empty(*_: object) -> Array:
    return np.ndarray.__new__(Array, (0,))


def _encode(text: str, encoding: Any = "latin1") -> bytes:
    if _text(encoding) != "latin1":
        raise ValueError(f"pickle holds bytes as text of encoding {encoding!r:.20}, expected latin1")
    return text.encode("latin1")


def _text(value: Any) -> str:
    if not isinstance(value, str | bytes):
        raise ValueError(f"pickle holds {value!r:.20} in the place of a text")
    return value.decode("latin1") if isinstance(value, bytes) else value


# global of a pickle -> what it gets; everything else is refused. "ndarray" is only ever handed to _reconstruct.
ALLOWED: Mapping[str, Any] = MappingProxyType(
    {
        "numpy.core.multiarray._reconstruct": _empty,
        "numpy._core.multiarray._reconstruct": _empty,
        "numpy.ndarray": Array,
        "numpy.dtype": Kind,
        "_codecs.encode": _encode,
    }
)


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that can make NumPy arrays and plain containers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in ALLOWED:
            raise ForbiddenGlobal(module, name)
        return ALLOWED[f"{module}.{name}"]


def unpickle(data: bytes, encoding: str = "bytes") -> object:
    """Read a pickle of NumPy arrays, strings and containers; any other global raises ForbiddenGlobal, a ValueError.

    Files of Python 2 come out with keys and texts as bytes unless `encoding` is "latin1".
    """
    content = _ArrayUnpickler(BytesIO(data), encoding=encoding).load()
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    return _plain(content)


def unpickle_foreign(data: bytes, encoding: str = "bytes") -> object:
    """Read a pickle that no checksum vouches for; ValueError in one line for whatever is not one of arrays."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            # each number takes a place in a table that is made as long as the number says
            if opcode.name in _REMEMBERS and isinstance(argument, int) and argument > len(data):
                raise ValueError(f"it numbers an object {argument}, which is more than it can hold")
        return unpickle(data, encoding)
    except ForbiddenGlobal:
        raise
    except Exception as error:  # a damaged pickle calls what it may call with any arguments, and raises anything
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"damaged pickle: {why:.200}") from None


def _plain(value: object) -> object:
    return np.asarray(value) if isinstance(value, Array) else value
