"""Label files that only torch can read: tensors, and archives of its old form. No code in them is run."""

import io
import pickle
import re
import warnings
import zipfile

import numpy as np
import torch

from noise import formats


def read_labels(data: bytes, name: str) -> formats.LabelFile:
    """Return the labels of a .pt file of tensors or arrays; ValueError in one line for anything else.

    torch's own restricted reader knows tensors and, with what is allowed here, NumPy arrays of integers. There is no
    other way in: what it refuses is refused.
    """
    reconstruct = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    integers = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    allowed = [
        (reconstruct, "numpy.core.multiarray._reconstruct"),  # the name in files of NumPy 1
        reconstruct,
        np.ndarray,
        np.dtype,
        *(type(np.dtype(kind)) for kind in integers),
    ]
    try:
        if data.startswith(b"PK"):
            formats.check_sizes(data)
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about old files
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return formats.chosen(_arrays(content))
    except (
        *(pickle.UnpicklingError, zipfile.BadZipFile, EOFError, OSError, MemoryError, AssertionError, RuntimeError),
        *(ValueError, LookupError, AttributeError, TypeError, OverflowError),
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
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
