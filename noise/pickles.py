"""Pickles of arrays, read without running what they ask for."""

import pickle
import pickletools
from io import BytesIO
from typing import Any

_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
_REMEMBERS = {"PUT", "BINPUT", "LONG_BINPUT"}


class ForbiddenGlobal(ValueError):
    """A pickle asks for something that no file of arrays needs; `module` is where it would come from."""

    def __init__(self, module: str, name: str) -> None:
        super().__init__(f"pickle asks for {module}.{name}, which no file of arrays needs; nothing was run")
        self.module = module


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that can make NumPy arrays and plain containers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise ForbiddenGlobal(module, name)
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def unpickle(data: bytes, encoding: str = "bytes") -> object:
    """Read a pickle of NumPy arrays, strings and containers; any other global raises ForbiddenGlobal, a ValueError.

    Files of Python 2 come out with keys and texts as bytes unless `encoding` is "latin1".
    """
    return _ArrayUnpickler(BytesIO(data), encoding=encoding).load()


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
        raise ValueError(f"damaged pickle: {why}") from None
