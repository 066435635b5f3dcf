"""Label files of other groups, read from bytes without running code, and written in their forms.

DivideMix and BadLabels write a JSON list; EvidentialMix and ODNL JSON with foreign images; PLC .npy; SEAL .csv with the
header `label,label_noisy`; CAL, peer loss and CIFAR-N .pt archives, whose pickles hold arrays alone. What needs torch
to be read raises NeedsTorch.
"""

import csv
import io
import json
import lzma
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noise.base import Corruption
from noise.pickles import ForbiddenGlobal, unpickle_foreign

Labels = NDArray[np.int64]

FORMS = ("npz", "json", "npy", "csv")  # that `write_labels` writes
SIZE_CAP = 2**28  # bytes that one member of an archive may unpack to
COUNT_CAP = SIZE_CAP // 8  # labels
TRUTH = {  # key of the given labels in a .pt -> key of the true ones, None where it holds none of that kind
    "noise_label_train": "clean_label_train",
    **dict.fromkeys(("aggre_label", "random_label1", "random_label2", "random_label3", "worse_label"), "clean_label"),
    "noisy_label": "clean_label",
    "noisy_coarse_label": None,
}
_UNREADABLE = (  # what zipfile, NumPy, json and csv raise for bytes that are no file of theirs
    *(ValueError, OSError, EOFError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError),
    *(MemoryError, SyntaxError, struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile, csv.Error, TokenError),
)


class NeedsTorch(ValueError):
    """The file holds tensors, or is of torch's old form: the caller may read it with torch."""


@dataclass(frozen=True, eq=False)
class LabelFile:
    """What a file says of n samples; what it says nothing about is None."""

    given: Labels | None  # (n,) in 0..; None: labels stay as they are, and only images are replaced
    clean: Labels | None = None  # (n,)
    is_ood: NDArray[np.bool_] | None = None  # (n,): the image is foreign
    source_index: Labels | None = None  # (n,): which image of the foreign data set, -1 for none or for its own image
    foreign: Labels | None = None  # (k, 2), where `given` is None: sample, image of the foreign data set
    num_classes: int | None = None
    form: str = ""  # whose form the file has, for a reader

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is there by name; `given` is empty where labels stay as they are."""
        given = np.zeros(0, dtype=np.int64) if self.given is None else self.given
        arrays = {"given": given, "clean": self.clean, "is_ood": self.is_ood, "source_index": self.source_index}
        return {key: value for key, value in (arrays | {"foreign": self.foreign}).items() if value is not None}


def read_labels(data: bytes, name: str) -> LabelFile:
    """Return the labels in the bytes of a .npz, .npy, .json, .csv or .pt file; `name` tells which it is.

    Raises NeedsTorch for tensors, and ValueError in one line, naming the file, for whatever is no file of labels.
    """
    suffix = PurePath(name).suffix.lower()
    readers = {".npz": _npz, ".npy": _npy, ".json": _json, ".csv": _csv, ".pt": _pt, ".pth": _pt}
    if suffix not in readers:
        raise ValueError(f"{name}: labels are read from {', '.join(readers)}, got {suffix or 'no suffix'!r}")
    try:
        return readers[suffix](data)
    except NeedsTorch as error:
        raise NeedsTorch(f"{name}: {error}") from None
    except _UNREADABLE as error:
        raise ValueError(f"{name}: no file of labels: {_first_line(error)}") from None


def read_cifar_n(data: bytes) -> dict[str, Labels]:
    """Return the (n,) label arrays of CIFAR-10_human.pt or CIFAR-100_human.pt by their keys.

    Raises ValueError in one line for anything else.
    """
    try:
        content = _archive(data)
        if not isinstance(content, dict) or "clean_label" not in content:
            raise ValueError("it has no clean_label")
        labels = {str(key): vector(key, value) for key, value in content.items()}
    except _UNREADABLE as error:
        raise ValueError(f"no CIFAR-N file: {_first_line(error)}") from None
    for key, values in labels.items():
        if len(values) != len(labels["clean_label"]):
            raise ValueError(f"no CIFAR-N file: {len(values)} {key}, but {len(labels['clean_label'])} clean_label")
    return labels


def write_labels(corruption: Corruption, form: str) -> bytes:
    """Return the labels as bytes of a .npz, a .npy vector, DivideMix's JSON list, or SEAL's .csv.

    Foreign images fit the .npz alone, or EvidentialMix's JSON, which is written where there are some. Raises ValueError
    where the form has no place for what these labels are. The .npz is that of others; ours is `to_bytes`.
    """
    c = corruption
    if form not in FORMS:
        raise ValueError(f"labels are written as {', '.join(FORMS)}, got {form!r}")
    if form == "npz":
        out = io.BytesIO()
        parts = {"given": c.given, "clean": c.clean, "is_ood": c.is_ood, "source_index": c.source_index}
        np.savez_compressed(out, **{key: array for key, array in parts.items() if array is not None})  # type: ignore[arg-type]
        return out.getvalue()
    foreign = c.is_ood is not None and bool(c.is_ood.any())
    if form == "json":
        return json.dumps(_evidentialmix(c) if foreign else c.given.tolist()).encode()
    if foreign:
        raise ValueError(f"a .{form} has no place for foreign images; write .npz or .json")
    if form == "npy":
        out = io.BytesIO()
        np.lib.format.write_array(out, np.ascontiguousarray(c.given, dtype="<i8"), version=(1, 0), allow_pickle=False)
        return out.getvalue()
    if c.clean is None:
        raise ValueError("a .csv has a column of true labels, and nobody knows those of these data")
    rows = "".join(f"{y},{g}\n" for y, g in zip(c.clean.tolist(), c.given.tolist(), strict=True))
    return f"label,label_noisy\n{rows}".encode()


def _evidentialmix(corruption: Corruption) -> dict[str, Any]:
    assert corruption.is_ood is not None
    foreign, source = np.flatnonzero(corruption.is_ood), corruption.source_index
    if source is None or (source[foreign] < 0).any():
        raise ValueError("EvidentialMix's JSON names an image of another data set for each foreign one; write .npz")
    closed = [] if corruption.clean is None else np.flatnonzero(corruption.wrong).tolist()
    pairs = [[int(i), int(source[i])] for i in foreign]
    return {"noise_labels": corruption.given.tolist(), "open_noise": pairs, "closed_noise": closed}


def vector(name: object, values: object) -> Labels:
    """Return labels as int64 (n,) with n > 0, or raise ValueError with the index and value of the first that is none.

    Texts, booleans and floats are none, whole or not; of integers, those below 0 and beyond int64.
    """
    if isinstance(values, list | tuple):
        _check_each(name, values)
    elif not isinstance(values, np.ndarray):
        raise ValueError(f"{name}: labels are an array or a list, got {type(values).__name__}")
    array: NDArray[Any] = np.asarray(values)
    shape: tuple[int, ...] = array.shape
    if shape[1:] == (1,):
        array = array.reshape(-1)
    if array.ndim != 1 or not 0 < len(array) <= COUNT_CAP:
        raise ValueError(f"{name}: labels are one integer per sample, shape (N,), got {array.dtype} of shape {shape}")
    if array.dtype.kind not in "iu":
        broken = array != np.floor(array) if array.dtype.kind == "f" else np.zeros(1, dtype=bool)
        first = int(np.argmax(broken))  # the first one that is not whole, else simply the first
        raise ValueError(f"{name}: labels must be integers, got {array.dtype}, {array[first]!s:.40} at index {first}")
    bad = np.flatnonzero((array < 0) | (array > np.iinfo(np.int64).max))
    if len(bad):
        raise ValueError(f"{name}: labels must be at least 0, got {array[bad[0]]} at index {bad[0]}")
    return array.astype(np.int64)


def _check_each(name: object, values: Sequence[object]) -> None:
    for index, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            plain = value is None or isinstance(value, bool | str | float)  # others may say anything, at any length
            shown = f"{value!r:.40}" if plain else type(value).__name__
            raise ValueError(f"{name}: labels must be integers, got {shown} at index {index}")
        if not 0 <= value < 2**63:
            raise ValueError(f"{name}: labels must be at least 0, got {value!r:.40} at index {index}")


def _array(data: bytes) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, about files that Python 2 wrote
        array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return array


def _npy(data: bytes) -> LabelFile:
    return LabelFile(vector("array", _array(data)), form=".npy vector")


def _npz(data: bytes) -> LabelFile:
    known = ("given", "clean", "is_ood", "source_index", "card")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [member.filename.removesuffix(".npy") for member in archive.infolist()]
        wanted = "given" if "given" in names else names[0] if len(names) == 1 else None
        if wanted is None:
            raise ValueError(f"an .npz of labels holds an array `given`, or one array; this one: {', '.join(names)}")
        arrays = {n: _array(_member(archive, f"{n}.npy")) for n in names if n in known or n == wanted}
    given, clean = vector(wanted, arrays[wanted]), arrays.get("clean")
    truth = vector("clean", clean) if clean is not None and clean.size else None
    ood, source = _marks(arrays, len(given))
    card = json.loads(str(arrays["card"])) if "card" in arrays else {}
    classes = card.get("num_classes")
    form = "this package's .npz" if "card" in arrays else ".npz of arrays"
    return LabelFile(given, truth, ood, source, None, classes if type(classes) is int else None, form)


def _marks(arrays: Mapping[str, NDArray[Any]], total: int) -> tuple[NDArray[np.bool_] | None, Labels | None]:
    """Return which images are foreign and where they come from, (None, None) where none is."""
    ood, source = arrays.get("is_ood"), arrays.get("source_index")
    if ood is not None and (ood.dtype != bool or ood.shape != (total,)):
        raise ValueError(f"is_ood must be bool of shape ({total},), got {ood.dtype} of {ood.shape}")
    if ood is None or not ood.any():
        return None, None
    if source is None or source.dtype.kind not in "iu" or source.shape != (total,):
        what = "nothing" if source is None else f"{source.dtype} of {source.shape}"
        raise ValueError(f"foreign images need source_index, integers of shape ({total},), got {what}")
    return ood, source.astype(np.int64)


def _json(data: bytes) -> LabelFile:
    content = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_unique)
    if isinstance(content, list) and content and isinstance(content[0], list):
        return LabelFile(None, foreign=_pairs(content), form="ODNL's JSON of foreign images")
    if isinstance(content, list):
        return LabelFile(vector("list", content), form="DivideMix's JSON list")
    if not isinstance(content, dict) or "noise_labels" not in content:
        raise ValueError("JSON labels are a list of integers, a list of [sample, image], or EvidentialMix's table")
    given = vector("noise_labels", content["noise_labels"])
    ood, source = placed(_pairs(content.get("open_noise", [])), len(given))
    form = "EvidentialMix's JSON"
    return LabelFile(given, None, ood, source, form=form) if ood.any() else LabelFile(given, form=form)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) < len(pairs):  # Python would keep the last in silence
        raise ValueError("JSON gives one key twice")
    return table


def _pairs(rows: object) -> Labels:
    if not isinstance(rows, list):
        raise ValueError(f"foreign images are a list of [sample, image], got {rows!r:.40}")
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != 2 or any(type(v) is not int or not 0 <= v < 2**63 for v in row):
            raise ValueError(f"foreign images are [sample, image], integers from 0 on; got {row!r:.40} at {number}")
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def placed(pairs: Labels, total: int) -> tuple[NDArray[np.bool_], Labels]:
    """Return the (total,) mask and source of foreign images given as (k, 2) pairs of sample and image.

    Raises ValueError for a sample out of range, or one that two images replace.
    """
    is_ood, source = np.zeros(total, dtype=bool), np.full(total, -1, dtype=np.int64)
    for sample, image in pairs.tolist():
        if not 0 <= sample < total:
            raise ValueError(f"foreign image {image} replaces sample {sample}, but samples are 0..{total - 1}")
        if is_ood[sample]:
            raise ValueError(f"foreign images {source[sample]} and {image} both replace sample {sample}")
        is_ood[sample], source[sample] = True, image
    return is_ood, source


def _csv(data: bytes) -> LabelFile:
    rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    columns = list(rows.fieldnames or [])
    if "label" not in columns or "label_noisy" not in columns:
        raise ValueError(f"a .csv of labels has the columns label and label_noisy, got {', '.join(columns) or 'none'}")
    found: dict[str, list[int]] = {"label": [], "label_noisy": []}
    for number, row in enumerate(rows):
        for column, values in found.items():
            text = row[column]
            if text is None or not text.strip().removeprefix("-").isdecimal():
                raise ValueError(f"{column}: labels must be integers, got {text!r:.40} at index {number}")
            values.append(int(text))
    return LabelFile(vector("label_noisy", found["label_noisy"]), vector("label", found["label"]), form="SEAL's .csv")


def _pt(data: bytes) -> LabelFile:
    return chosen(_archive(data))


def chosen(content: object) -> LabelFile:
    """Return the labels of an unpickled .pt file: a bare array or list, or a table with one key that is known."""
    if not isinstance(content, Mapping):
        return LabelFile(vector("array", content), form=".pt vector")
    found = [key for key in TRUTH if key in content]
    if len(found) != 1:
        sets = f"one of {', '.join(TRUTH)}; this one has {', '.join(map(str, content)) or 'nothing'}"
        hint = "; write human:NAME for CIFAR-N's" if found else ""
        raise ValueError(f"a .pt of labels holds one label set, under {sets:.300}{hint}")
    truth = TRUTH[found[0]]
    clean = None if truth is None or truth not in content else vector(truth, content[truth])
    return LabelFile(vector(found[0], content[found[0]]), clean, form=f".pt with {found[0]}")


def _archive(data: bytes) -> object:
    """Return what the pickle of a torch archive holds, if it holds NumPy arrays and lists alone."""
    if not data.startswith(b"PK"):
        raise NeedsTorch("a .pt file of the old form, or none at all, is read with torch")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise ValueError(f"a .pt archive has one data.pkl, this one has {len(names)}")
        pickled = _member(archive, names[0])
    try:
        return unpickle_foreign(pickled, encoding="latin1")
    except ForbiddenGlobal as error:
        if error.module.split(".")[0] in ("torch", "collections"):  # OrderedDict, which torch knows
            raise NeedsTorch("tensors are read with torch") from None
        raise


def check_sizes(data: bytes) -> None:
    """Raise ValueError for an archive that unpacks to more than files of labels hold."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        total = sum(member.file_size for member in archive.infolist())
    if total > SIZE_CAP:
        raise ValueError(f"it unpacks to {total} bytes, allowed are {SIZE_CAP}")


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.file_size > SIZE_CAP:
        raise ValueError(f"{name} unpacks to {info.file_size} bytes, allowed are {SIZE_CAP}")
    with archive.open(info) as file:  # which stops at the size that was just checked, whatever follows
        return file.read()


def _first_line(error: BaseException) -> str:
    lines = (line for line in str(error).splitlines() if line.strip())
    return next(lines, type(error).__name__)[:300]
