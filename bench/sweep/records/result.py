"""The record that makes a run DONE: how it is sealed, and when it is valid.

result.json is the canonical JSON of {payload, payload_sha256, provenance, sha256}. The payload is what a repetition
of the run must reproduce byte for byte, the provenance is what may differ (hosts, times). `payload_sha256` is the
digest of the canonical payload, `sha256` that of the whole record without its own field.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.files import canonical, is_canonical, parse, parse_loosely, sha256

SCHEMA = 1
ROUNDING = 1e-9  # by which a sum of shares may exceed 1

# what a table needs beside the counts: by which data, labels, code and kind of device they came about
_TOLD = ("noise_id", "dataset_digest", "code", "method_code", "device_kind", "num_networks", "headline", "needs")
_FIELDS = {"payload", "payload_sha256", "provenance", "sha256"}
_DIGEST_LENGTH = 64
_BEFORE_SEAL = b',"sha256":"'
_AFTER_SEAL = b'"}'


class Corrupt(ValueError):
    """A file that exists and must not be believed; `path` names it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class Result:
    """What a finished run found (`payload`) and how it came about (`provenance`).

    By `payload_sha256`, the digest of the canonical payload, two finishers of one run compare what they found.
    """

    payload: dict[str, Any]
    provenance: dict[str, Any]
    payload_sha256: str


def run_id_of(config: Mapping[str, Any]) -> str:
    """Return the name of the run that a resolved config describes: "r" and 20 hexadecimal digits."""
    return run_id_of_bytes(canonical(config))


def run_id_of_bytes(config: bytes) -> str:
    """Return the run_id of a config given as canonical JSON."""
    return "r" + sha256(config)[:20]


def seal(payload: Mapping[str, Any], provenance: Mapping[str, Any]) -> bytes:
    """Return the bytes of a result.json, unchecked."""
    body = canonical(
        {"payload": payload, "payload_sha256": sha256(canonical(payload)), "provenance": provenance},
    )
    return body[:-1] + _BEFORE_SEAL + sha256(body).encode() + _AFTER_SEAL


def open_result(data: bytes, run_id: str) -> Result:
    """Return the result in the bytes of a result.json, or raise ValueError with the first reason not to believe it."""
    if not _seal_holds(data):
        raise ValueError("sha256 does not match the record")
    record = parse_loosely(data)
    if not isinstance(record, dict) or record.keys() != _FIELDS:
        raise ValueError(f"a result has exactly the fields {', '.join(sorted(_FIELDS))}")
    if not is_canonical(data, record):
        parse(data)  # says it better where a key is repeated or a number is none
        raise ValueError("is not canonical JSON")
    payload, provenance = record["payload"], record["provenance"]
    if not isinstance(payload, dict) or not isinstance(provenance, dict):
        raise ValueError("payload and provenance must be objects")
    if not _holds_payload_with_digest(data, record["payload_sha256"]):
        raise ValueError("payload_sha256 does not match the payload")
    try:
        check_payload(payload, run_id)
    except (KeyError, TypeError, AttributeError) as error:  # a payload of another shape fails where it is first touched
        raise ValueError(f"malformed payload: {error!r}") from None
    return Result(payload, provenance, record["payload_sha256"])


def glance(data: bytes, run_id: str) -> bool | None:
    """Say whether the run of an intact result.json diverged, without reading its history; None if that takes more.

    The seal covers every byte, so damage is always noticed. What only open_result notices is a record that was wrong
    when it was sealed, which commit refuses to write.
    """
    start, history = data.find(b'{"payload":'), data.find(b',"history":[')
    if start != 0 or history < 0 or f'"run_id":"{run_id}","schema":{SCHEMA},'.encode() not in data:
        return None
    try:
        before_history = parse(data[:history] + b"}}")
    except ValueError:  # an earlier "history" lies deeper
        return None
    payload = before_history["payload"] if isinstance(before_history, dict) else {}
    config, diverged = payload.get("config"), payload.get("diverged")
    known = isinstance(config, dict) and isinstance(diverged, bool) and run_id_of(config) == run_id
    return diverged if known and _seal_holds(data) else None


def _seal_holds(data: bytes) -> bool:
    end = len(data) - len(_AFTER_SEAL) - _DIGEST_LENGTH
    cut = end - len(_BEFORE_SEAL)
    if cut <= 0 or data[cut:end] != _BEFORE_SEAL or not data.endswith(_AFTER_SEAL):
        return False
    return sha256(data[:cut] + b"}").encode() == data[end : -len(_AFTER_SEAL)]


def _holds_payload_with_digest(data: bytes, digest: object) -> bool:
    # in a canonical record the payload's own bytes stand between these two marks
    start = len(b'{"payload":')
    end = data.find(f',"payload_sha256":"{digest}","provenance":'.encode())
    return end > start and sha256(data[start:end]) == digest


def check_payload(payload: Mapping[str, Any], run_id: str) -> None:
    """Raise ValueError unless a payload is that of `run_id`, in a known schema, with all epochs and possible counts."""
    if type(payload["schema"]) is not int or payload["schema"] != SCHEMA:
        raise ValueError(f"schema {payload['schema']!r} is unknown; this version reads {SCHEMA}")
    if not run_id == payload["run_id"] == run_id_of(payload["config"]):
        raise ValueError(f"belongs to run {payload['run_id']}, and its config to run {run_id_of(payload['config'])}")
    lacking = [name for name in _TOLD if name not in payload]
    if lacking:
        raise ValueError(f"does not tell its {', '.join(lacking)}")
    _check_length(payload)
    limits = _limits(payload["totals"])
    heads = set(payload["heads"])
    for number, epoch in enumerate(payload["history"]):
        if epoch["epoch"] != number:
            raise ValueError(f"epoch {epoch['epoch']!r} stands where epoch {number} is due")
        if epoch["heads"].keys() != heads:
            raise ValueError(f"epoch {number} has the heads {sorted(epoch['heads'])}, the run {sorted(heads)}")
        for head, counts in epoch["heads"].items():
            _check_counts(counts, limits, f"epoch {number}, {head}")
        _check_diagnostics(epoch, heads, f"epoch {number}")


def _check_diagnostics(epoch: Mapping[str, Any], heads: set[str], where: str) -> None:
    """Check what an epoch tells beside its heads' counts; older records lack some of it."""
    for counts in epoch["selection"]:
        _check_parts(counts, ("seen", "selected", "selected_right"), where)
        if counts.get("right_seen") is not None:
            _check_parts(counts, ("seen", "right_seen", "selected_right"), where)
    for counts in epoch["knowledge"]:
        _check_parts(counts, ("open", "open_right"), where)
        _check_parts(counts, ("shut", "shut_right"), where)
    if epoch.get("correction") is not None:
        _check_correction(epoch["correction"], where)
    if "calibration" in epoch:
        _check_calibration(epoch["calibration"], heads, where)


def _check_correction(counts: Mapping[str, Any], where: str) -> None:
    _check_parts(counts, ("seen", "right"), where)
    if counts.get("wrong_seen") is None:  # the true labels are unknown
        return
    _check_parts(counts, ("seen", "wrong_seen", "wrong_corrected"), where)
    _check_parts(counts, ("seen", "right_seen", "right_broken"), where)
    if counts["wrong_seen"] + counts["right_seen"] > counts["seen"]:
        raise ValueError(f"{where}: wrong_seen and right_seen must be parts of the {counts['seen']} seen")


def _check_calibration(found: Mapping[str, Any], heads: set[str], where: str) -> None:
    if found.keys() != heads:
        raise ValueError(f"{where} has the calibration of {sorted(found)}, the run the heads {sorted(heads)}")
    for head, numbers in found.items():
        for name, most in (("ece", 1.0), ("nll", float("inf"))):
            value = numbers[name]
            if value is not None and (type(value) not in (int, float) or not 0 <= value <= most + ROUNDING):
                raise ValueError(f"{where}, {head}: {name} must be null or in [0, {most}], got {value!r}")


def _check_length(payload: Mapping[str, Any]) -> None:
    epochs, length, diverged = payload["config"]["train"]["epochs"], len(payload["history"]), payload["diverged"]
    if not isinstance(diverged, bool):
        raise ValueError(f"diverged must be true or false, got {diverged!r}")
    # the numbers 0, 1, 2, ... of the epochs are checked one by one: a diverged run ends with the epoch that diverged
    if not (1 <= length <= epochs if diverged else length == epochs):
        raise ValueError(f"has {length} epochs of {epochs}")


def _limits(totals: Mapping[str, Any]) -> dict[str, int]:
    """Return the greatest possible value of each count; a limit of 0 where clean labels are unknown."""
    wrong = totals["trace_wrong"] or 0
    trace = totals["trace"] - (totals.get("trace_foreign") or 0)
    limits = {
        "test": totals["test"],
        "val_noisy": totals["val"],
        "val_clean": totals.get("val_clean", totals["val"]),
        "right_fit": trace - wrong,
        "wrong_fit": wrong,
        "wrong_recovered": wrong,
    }
    for name, limit in limits.items():
        if type(limit) is not int or limit < 0:
            raise ValueError(f"totals leave {limit!r} for {name}")
    return limits


def _check_counts(counts: Mapping[str, Any], limits: Mapping[str, int], where: str) -> None:
    if counts.keys() != limits.keys():
        raise ValueError(f"{where}: counts must be {', '.join(limits)}, got {', '.join(counts)}")
    for name, limit in limits.items():
        count = counts[name]
        if count is None and name not in ("test", "val_noisy"):  # null: the clean labels are unknown
            continue
        if type(count) is not int or not 0 <= count <= limit:
            raise ValueError(f"{where}: {name} must be an integer in [0, {limit}], got {count!r}")


def _check_parts(counts: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    """Check that each count is a part of the one named before it; the last may be null."""
    limit = None
    for name in names:
        count = counts[name]
        if count is None and name == names[-1]:
            return
        if type(count) is not int or count < 0 or (limit is not None and count > limit):
            raise ValueError(f"{where}: {name} must be an integer of at least 0 and at most {limit}, got {count!r}")
        limit = count
