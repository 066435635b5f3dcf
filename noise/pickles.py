"""Pickles of arrays, read without running what they ask for."""

import pickle
from io import BytesIO
from typing import Any

_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that can make NumPy arrays and plain containers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise ValueError(f"pickle asks for {module}.{name}, which no file of arrays needs; nothing was run")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def unpickle(data: bytes, encoding: str = "bytes") -> object:
    """Read a pickle of NumPy arrays, strings and containers; any other global raises a ValueError.

    Files of Python 2 come out with keys and texts as bytes unless `encoding` is "latin1".
    """
    return _ArrayUnpickler(BytesIO(data), encoding=encoding).load()
