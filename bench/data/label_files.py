"""Label files of any known form, torch's own included, as the arrays that the noise package takes."""

from typing import Any

from numpy.typing import NDArray

from noise import formats


def load(data: bytes, name: str) -> formats.LabelFile:
    """Return the labels in a file's bytes; torch is imported only for what cannot be read without it."""
    try:
        return formats.read_labels(data, name)
    except formats.NeedsTorch:
        from bench.data import torch_files

        return torch_files.read_labels(data, name)


def read(data: bytes, name: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a label file by the names that the family `file` asks for."""
    return load(data, name).arrays()
