"""Label sets as bytes of an `.npz` file, without pickle and the same on every machine."""

import io
import json
import struct
import zipfile
import zlib
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noise.base import Corruption, checked_labels
from noise.draws import labels_sha256
from noise.spec import NoiseSpec

# Array of the file -> its dtype; "card" is JSON in a 0-d string.
LAYOUT = {
    "given": "<i8",
    "clean": "<i8",
    "is_ood": "|b1",
    "source_index": "<i8",
    "transition": "<f8",
    "flip_rate": "<f8",
}

# What numpy and zipfile raise for bytes that are cut, encrypted, pickled, no archive, or lack an array.
_UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    AttributeError,
    TypeError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    TokenError,
)


def to_bytes(corruption: Corruption, card: dict[str, Any]) -> bytes:
    """Return the `.npz` of a label set and its card.

    Equal input gives equal bytes: entries are uncompressed, in fixed order, with a fixed time stamp.
    """
    c, total = corruption, len(corruption.given)
    arrays: dict[str, NDArray[Any]] = {
        "given": c.given,
        "clean": np.zeros(0, dtype=np.int64) if c.clean is None else c.clean,
        "is_ood": np.zeros(total, dtype=bool) if c.is_ood is None else c.is_ood,
        "source_index": np.full(total, -1) if c.source_index is None else c.source_index,
        "transition": np.zeros((0, 0)) if c.transition is None else c.transition,
        "flip_rate": np.zeros(0) if c.flip_rate is None else c.flip_rate,
    }
    arrays = {name: np.ascontiguousarray(array, dtype=LAYOUT[name]) for name, array in arrays.items()}
    text = json.dumps(card, sort_keys=True, separators=(",", ":"), allow_nan=False)
    arrays["card"] = np.array(text, dtype=f"<U{len(text)}")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # zipfile would note the system it runs on
            body = io.BytesIO()
            np.lib.format.write_array(body, array, version=(1, 0), allow_pickle=False)
            archive.writestr(entry, body.getvalue())
    return out.getvalue()


def from_bytes(data: bytes, expect_id: str | None = None) -> tuple[Corruption, dict[str, Any]]:
    """Return the label set and the card of an `.npz` that `to_bytes` wrote.

    Raises ValueError if the file is damaged or of another layout, if its labels are not the ones its card describes,
    or if their id is not `expect_id`.
    """
    arrays = _read(data)
    try:
        card = json.loads(str(arrays["card"]))
        spec = NoiseSpec.from_dict(card["table"]) if "table" in card else NoiseSpec.parse(card["spec"])
        num_classes, seed = int(card["num_classes"]), int(card["seed"])
        expected = None if card["expected"] is None else float(card["expected"])
        generator, claimed = str(card["generator"]), str(card["noise_id"])
        clean_sha256, known_classes = card["clean_sha256"], card.get("known_classes")
        notes = tuple(str(note) for note in card.get("notes", []))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"noise file has a card that cannot be read: {error}") from None
    given = checked_labels("given labels of the noise file", arrays["given"], num_classes)
    clean = None
    if clean_sha256 is not None:
        clean = checked_labels("clean labels of the noise file", arrays["clean"], num_classes)
    if clean is not None and len(clean) != len(given):
        raise ValueError(f"noise file holds {len(given)} given and {len(clean)} clean labels")
    foreign = bool(arrays["is_ood"].any())
    corruption = Corruption(
        given=given,
        clean=clean,
        num_classes=num_classes,
        spec=spec,
        seed=seed,
        transition=arrays["transition"] if arrays["transition"].size else None,
        flip_rate=arrays["flip_rate"] if arrays["flip_rate"].size else None,
        generator=generator,
        expected=expected,
        is_ood=arrays["is_ood"] if foreign else None,
        source_index=arrays["source_index"] if foreign else None,
        known_classes=known_classes,
        notes=notes,
    )
    for wanted, who in ((claimed, "its card says"), (expect_id, "expected")):
        if wanted is not None and corruption.noise_id != wanted:
            raise ValueError(f"noise file holds labels {corruption.noise_id}, {who} {wanted}")
    if clean is not None and labels_sha256(clean) != clean_sha256:
        raise ValueError("noise file holds clean labels other than its card describes")
    return corruption, card


def _read(data: bytes) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in (*LAYOUT, "card")}
    except _UNREADABLE as error:
        raise ValueError(
            f"not a noise file: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from None
    for name, dtype in LAYOUT.items():
        if arrays[name].dtype.str != dtype:
            raise ValueError(f"noise file: {name} must be {dtype}, got {arrays[name].dtype.str}")
    total, num_classes = arrays["given"].size, len(arrays["transition"])
    shapes: dict[str, set[tuple[int, ...]]] = {
        "is_ood": {(total,)},
        "source_index": {(total,)},
        "transition": {(num_classes, num_classes)},
        "flip_rate": {(total,), (0,)},
    }
    for name, allowed in shapes.items():
        if arrays[name].shape not in allowed:
            raise ValueError(f"noise file: {name} has shape {arrays[name].shape} beside {total} labels")
    return arrays
