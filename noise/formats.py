"""Label files of other groups, read from bytes without running code, and written in their forms.

DivideMix and BadLabels write a JSON list; EvidentialMix and ODNL JSON with foreign images; PLC .npy; SEAL .csv with the
header `label,label_noisy`; CAL, peer loss and CIFAR-N .pt archives, whose pickles hold arrays alone. What needs torch
to be read raises NeedsTorch.
"""

import csv
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noise.base import Corruption
from noise.pickles import unpickle

Labels = NDArray[np.int64]

SUFFIXES = (".npz", ".npy", ".json", ".csv", ".pt")
SIZE_CAP = 2**29  # bytes of one member: 64 million labels
FORMS = ("npy", "json", "csv")  # that `write_labels` writes
TORCH_KEYS = {"noise_label_train": "clean_label_train"}  # key of the given labels -> key of the true ones
_UNREADABLE = (
    *(ValueError, OSError, EOFError, KeyError, TypeError, AttributeError, IndexError, RecursionError, RuntimeError),
    *(struct.error, zlib.error, zipfile.BadZipFile, OverflowError, MemoryError, ImportError),
)


class NeedsTorch(ValueError):
    """The file holds tensors, or is of torch's old form: the caller may read it with torch."""


@dataclass(frozen=True, eq=False)
class LabelFile:
    """What a file says; arrays are (n,), and absent where it says nothing."""

    given: Labels | None
    clean: Labels | None = None
    is_ood: NDArray[np.bool_] | None = None
    source_index: Labels | None = None
    foreign: tuple[tuple[int, int], ...] = ()  # (index, source index) where the length is not known


def read_labels(data: bytes, name: str) -> LabelFile:
    """Return the labels in the bytes of a .npz, .npy, .json, .csv or .pt file.

    Raises NeedsTorch for tensors, and ValueError in one line, naming the file, for whatever is no file of labels.
    """
    suffix = PurePath(name).suffix.lower()
    readers = {".npz": _npz, ".npy": _npy, ".json": _json, ".csv": _csv, ".pt": _pt, ".pth": _pt}
    if suffix not in readers:
        raise ValueError(f"{name}: labels are read from {', '.join(SUFFIXES)}, got {suffix or 'no suffix'!r}")
    try:
        return readers[suffix](data)
    except NeedsTorch as error:
        raise NeedsTorch(f"{name}: {error}") from None
    except _UNREADABLE as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{name}: no file of labels: {why}") from None


def read_cifar_n(data: bytes) -> dict[str, Labels]:
    """Return the label arrays of CIFAR-10_human.pt or CIFAR-100_human.pt by their keys."""
    try:
        content = _archive(data)
    except _UNREADABLE as error:
        raise ValueError(
            f"no CIFAR-N file: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from None
    if not isinstance(content, dict) or "clean_label" not in content:
        raise ValueError("no CIFAR-N file: it has no clean_label")
    return {str(key): vector(key, value) for key, value in content.items()}


def write_labels(corruption: Corruption, form: str) -> bytes:
    """Return the labels as a .npy vector, DivideMix's JSON list, or a .csv with the columns label and label_noisy.

    Foreign images fit none of them but EvidentialMix's JSON, which is written where there are some.
    """
    given = corruption.given
    if form not in FORMS:
        raise ValueError(f"labels are written as {', '.join(FORMS)}, got {form!r}")
    if form == "json" and corruption.is_ood is not None and corruption.source_index is not None:
        return json.dumps(_evidentialmix(corruption)).encode()
    if corruption.is_ood is not None:
        raise ValueError(f"a .{form} has no place for foreign images; write .npz or .json")
    if form == "json":
        return json.dumps(given.tolist()).encode()
    if form == "npy":
        out = io.BytesIO()
        np.lib.format.write_array(out, np.ascontiguousarray(given, dtype="<i8"), version=(1, 0), allow_pickle=False)
        return out.getvalue()
    if corruption.clean is None:
        raise ValueError("a .csv has a column of true labels, and nobody knows those of these data")
    rows = "".join(f"{y},{g}\n" for y, g in zip(corruption.clean.tolist(), given.tolist(), strict=True))
    return f"label,label_noisy\n{rows}".encode()


def _evidentialmix(corruption: Corruption) -> dict[str, Any]:
    assert corruption.is_ood is not None
    assert corruption.source_index is not None
    foreign = np.flatnonzero(corruption.is_ood)
    closed = np.flatnonzero(corruption.wrong) if corruption.clean is not None else np.zeros(0, dtype=np.int64)
    return {
        "noise_labels": corruption.given.tolist(),
        "open_noise": [[int(i), int(corruption.source_index[i])] for i in foreign],
        "closed_noise": closed.tolist(),
    }


def vector(name: object, values: object) -> Labels:
    """Return labels as int64 (n,), or raise ValueError with the index and value of the first that is none."""
    if isinstance(values, list):
        for index, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise ValueError(f"{name}: labels must be whole numbers, got {value!r} at index {index}")
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "iu":
        raise ValueError(f"{name}: labels must be integers of shape (N,), got {array.dtype} of shape {array.shape}")
    negative = np.flatnonzero(array < 0) if array.dtype.kind == "i" else np.zeros(0, dtype=np.int64)
    if len(negative):
        raise ValueError(f"{name}: labels must be at least 0, got {array[negative[0]]} at index {negative[0]}")
    return array.astype(np.int64)


def _npy(data: bytes) -> LabelFile:
    return LabelFile(vector("array", np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)))


def _npz(data: bytes) -> LabelFile:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [member.filename.removesuffix(".npy") for member in archive.infolist()]
        wanted = "given" if "given" in names else names[0] if len(names) == 1 else None
        if wanted is None:
            raise ValueError(f"an .npz of labels holds an array `given`, or one array; this one: {', '.join(names)}")
        arrays = {
            name: np.lib.format.read_array(io.BytesIO(_member(archive, f"{name}.npy")), allow_pickle=False)
            for name in (wanted, *(n for n in ("clean", "is_ood", "source_index") if n in names))
        }
    given, clean, ood = vector(wanted, arrays[wanted]), arrays.get("clean"), arrays.get("is_ood")
    foreign = ood is not None and ood.dtype == bool and ood.shape == given.shape and bool(ood.any())
    return LabelFile(
        given,
        vector("clean", clean) if clean is not None and clean.size else None,
        ood if foreign else None,
        arrays["source_index"].astype(np.int64) if foreign and "source_index" in arrays else None,
    )


def _json(data: bytes) -> LabelFile:
    content = json.loads(data.decode("utf-8-sig"))
    if isinstance(content, list) and content and isinstance(content[0], list):
        return LabelFile(None, foreign=_pairs(content))
    if isinstance(content, list):
        return LabelFile(vector("list", content))
    if not isinstance(content, dict) or "noise_labels" not in content:
        raise ValueError("JSON labels are a list of integers, a list of [index, source], or EvidentialMix's table")
    labels = content["noise_labels"]
    if isinstance(labels, dict):  # EvidentialMix writes the index as a key
        labels = [labels[str(index)] for index in range(len(labels))]
    given = vector("noise_labels", labels)
    return placed(given, _pairs(content.get("open_noise", [])))


def placed(given: Labels, foreign: tuple[tuple[int, int], ...]) -> LabelFile:
    """Return labels with the mask and the source of their foreign images; ValueError for an index out of range."""
    if not foreign:
        return LabelFile(given)
    is_ood, source = np.zeros(len(given), dtype=bool), np.full(len(given), -1, dtype=np.int64)
    for index, origin in foreign:
        if not 0 <= index < len(given) or origin < 0:
            raise ValueError(f"foreign image [{index}, {origin}] lies outside 0..{len(given) - 1}")
        is_ood[index], source[index] = True, origin
    return LabelFile(given, None, is_ood, source)


def _pairs(rows: Any) -> tuple[tuple[int, int], ...]:
    pairs = []
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != 2 or any(type(value) is not int for value in row):
            raise ValueError(f"foreign images are [index, source] pairs of whole numbers, got {row!r} at {number}")
        pairs.append((row[0], row[1]))
    return tuple(pairs)


def _csv(data: bytes) -> LabelFile:
    rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig")))
    columns = rows.fieldnames or []
    if "label_noisy" not in columns:
        raise ValueError(f"a .csv of labels has the header label,label_noisy; got {','.join(columns) or 'nothing'}")
    given: list[int] = []
    clean: list[int] = []
    for number, row in enumerate(rows):
        for column, values in (("label_noisy", given), ("label", clean)):
            text = row.get(column)
            if column not in columns:
                continue
            if text is None or not text.strip().lstrip("-").isdecimal():
                raise ValueError(f"{column}: labels must be whole numbers, got {text!r} at index {number}")
            values.append(int(text))
    return LabelFile(vector("label_noisy", given), vector("label", clean) if clean else None)


def _pt(data: bytes) -> LabelFile:
    return chosen(_archive(data))


def chosen(content: object) -> LabelFile:
    """Return the labels of an unpickled file: a bare array or list, or a table with known keys."""
    if not isinstance(content, Mapping):
        return LabelFile(vector("array", content))
    for key, true in TORCH_KEYS.items():
        if key in content:
            clean = content.get(true)
            return LabelFile(vector(key, content[key]), None if clean is None else vector(true, clean))
    names = ", ".join(str(key) for key in content)
    hint = "; a CIFAR-N file is read by the family `human`" if "clean_label" in content else ""
    raise ValueError(f"a .pt of labels has one of {', '.join(TORCH_KEYS)}; this one has {names or 'nothing'}{hint}")


def _archive(data: bytes) -> object:
    """Return what the pickle of a torch archive holds, if it holds NumPy arrays and lists alone."""
    if not data.startswith(b"PK"):
        raise NeedsTorch("a .pt file of the old form, or none at all, is read with torch")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise ValueError("a .pt archive has one data.pkl")
        pickled = _member(archive, names[0])
    try:
        return unpickle(pickled, encoding="latin1")
    except ValueError as error:
        if "torch" in str(error) and "_rebuild_tensor" in str(error):
            raise NeedsTorch("tensors are read with torch") from None
        raise
    except Exception as error:
        if "persistent" in str(error):
            raise NeedsTorch("tensors are read with torch") from None
        raise ValueError(f"the pickle is damaged: {error}") from None


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.file_size > SIZE_CAP:
        raise ValueError(f"{name} unpacks to {info.file_size} bytes, allowed are {SIZE_CAP}")
    with archive.open(info) as file:
        data = file.read(SIZE_CAP + 1)
    if len(data) > SIZE_CAP:
        raise ValueError(f"{name} unpacks to more than {SIZE_CAP} bytes")
    return data
