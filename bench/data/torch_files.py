"""Label files that only torch can read: tensors, and archives of its old form. No code in them is run."""

import io
import pickle
import re
import struct
import warnings
import zipfile
from typing import Any

import torch

from noise import formats, pickles


def read_labels(data: bytes, name: str) -> formats.LabelFile:
    """Return the labels of a .pt file of tensors or arrays; ValueError in one line for anything else.

    torch's own restricted reader knows tensors; it is told of NumPy arrays what `noise.pickles` allows. There is no
    other way in: what it refuses is refused.
    """
    allowed: list[Any] = [(made, asked) for asked, made in pickles.ALLOWED.items()]
    try:
        if data.startswith(b"PK"):
            formats.check_sizes(data)
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about old files
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return formats.chosen(_arrays(content))
    except (
        *(pickle.UnpicklingError, zipfile.BadZipFile, struct.error, EOFError, OSError, MemoryError, AssertionError),
        *(ValueError, LookupError, AttributeError, TypeError, ArithmeticError, RuntimeError, SystemError),
    ) as error:
        raise ValueError(f"{name}: no file of labels that torch reads safely: {_why(error)}") from None


def _arrays(content: object) -> object:
    if isinstance(content, torch.Tensor):
        return content.detach().numpy()
    if isinstance(content, dict):
        return {key: _arrays(value) for key, value in content.items()}
    return content


def _why(error: BaseException) -> str:
    """Return in one line what torch has against a file, without its advice to load it unsafely."""
    asked = re.search(r"GLOBAL ([\w.]+)", str(error))
    if asked:
        return f"pickle asks for {asked[1]}, which no file of labels needs; nothing was run"
    if isinstance(error, pickle.UnpicklingError):
        return "its pickle is none of tensors and arrays of integers"
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]
