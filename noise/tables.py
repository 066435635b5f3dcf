"""Matrices of numbers from files: transition matrices and class scores, read without running code."""

import csv
import io
import json
import lzma
import struct
import zipfile
import zlib
from pathlib import PurePath
from tokenize import TokenError

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SUFFIXES = (".npy", ".npz", ".csv", ".txt", ".json")
SIZE_CAP = 2**31  # bytes of one array; the scores of a million samples for 100 classes have 800 MB
_UNREADABLE = (
    TokenError,
    MemoryError,
    ArithmeticError,
    lzma.LZMAError,
    csv.Error,
    ValueError,
    OSError,
    EOFError,
    KeyError,
    TypeError,
    RecursionError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read_table(data: bytes, name: str) -> Floats:
    """Return the (rows, columns) float64 numbers in the bytes of a .npy, .npz, .csv, .txt or .json file.

    An .npz must hold one array, text one row a line with commas or blanks between its numbers, and JSON a list of
    rows. Raises ValueError, naming the file, for anything else, and for what is no finite number.
    """
    suffix = PurePath(name).suffix.lower()
    readers = {".npy": _npy, ".npz": _npz, ".csv": _text, ".txt": _text, ".json": _json}
    if suffix not in readers:
        raise ValueError(f"{name}: a matrix is read from {', '.join(SUFFIXES)}, got {suffix or 'no suffix'!r}")
    try:
        table = readers[suffix](data)
    except _UNREADABLE as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{name}: no matrix of numbers: {why}") from None
    if table.ndim != 2 or not table.size or table.dtype.kind not in "iuf":
        raise ValueError(f"{name}: a matrix has rows and columns of numbers, got {table.dtype} of shape {table.shape}")
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        row, column = bad[0]
        raise ValueError(f"{name}: row {row}, column {column} holds {table[row, column]}, no finite number")
    return table.astype(np.float64)


def _npy(data: bytes) -> NDArray[np.generic]:
    array: NDArray[np.generic] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return array


def _npz(data: bytes) -> NDArray[np.generic]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if len(members) != 1:
            names = ", ".join(member.filename for member in members) or "none"
            raise ValueError(f"an .npz with a matrix holds one array, this one: {names}")
        if members[0].file_size > SIZE_CAP:
            raise ValueError(f"{members[0].filename} unpacks to {members[0].file_size} bytes, allowed are {SIZE_CAP}")
        with archive.open(members[0]) as file:
            return _npy(file.read(SIZE_CAP))


def _text(data: bytes) -> NDArray[np.generic]:
    lines = [line for line in data.decode("utf-8-sig").splitlines() if line.strip()]
    rows = [row if len(row) > 1 else row[0].split() for row in csv.reader(lines)]
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(f"row {number} has {len(row)} numbers, row 0 has {len(rows[0])}")
    return np.array([[float(value) for value in row] for row in rows])


def _json(data: bytes) -> NDArray[np.generic]:
    rows = json.loads(data)
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == len(rows[0]) for row in rows):
        raise ValueError("a matrix in JSON is a list of rows of one length")
    if any(isinstance(value, bool) or not isinstance(value, int | float) for row in rows for value in row):
        raise ValueError("a matrix in JSON holds numbers alone")
    return np.array(rows, dtype=np.float64)
