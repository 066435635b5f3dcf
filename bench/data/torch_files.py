"""Label files that only torch can read: tensors, and archives of its old form. No code in them is run."""

import io
import pickle
import warnings

import numpy as np
import torch

from noise import formats


def read_labels(data: bytes, name: str) -> formats.LabelFile:
    """Return the labels of a .pt file of tensors or arrays; ValueError in one line for anything else.

    torch's own restricted reader knows tensors and, with what is allowed here, NumPy arrays of integers.
    """
    reconstruct = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    allowed = [
        (reconstruct, "numpy.core.multiarray._reconstruct"),
        reconstruct,
        np.ndarray,
        np.dtype,
        *(type(np.dtype(kind)) for kind in ("int64", "int32", "uint8")),
    ]
    try:
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about old files
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return formats.chosen(_arrays(content))
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        why = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ValueError(f"{name}: no file of labels that torch reads safely: {why}") from None


def _arrays(content: object) -> object:
    if isinstance(content, torch.Tensor):
        return content.numpy()
    if isinstance(content, dict):
        return {key: _arrays(value) for key, value in content.items()}
    return content
