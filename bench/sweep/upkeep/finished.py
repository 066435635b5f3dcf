"""A finished run where it lies: found sound with all its files, and copied to where it is not done."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from bench.files import make_folder, parse, publish, read_regular, sha256
from bench.sweep.job import SHARE
from bench.sweep.records.sample_files import NAME_PATTERN as TABLE
from bench.sweep.records.store import Corrupt, Result, RunFolder

DIGEST = re.compile(r"[0-9a-f]{64}")
ATTEMPT = re.compile(r"[0-9a-f]{32}(?:\.end)?\.json")


@dataclass(frozen=True)
class Finished:
    """A finished run that was found sound, with the sha256 of its further files by their place in the run's folder."""

    folder: RunFolder
    data: bytes  # of result.json
    result: Result
    digests: dict[str, str]


def inspect(folder: RunFolder) -> Finished | None:
    """Return a finished run, verified with all its files; None if it is not finished, Corrupt if it is not sound."""
    for name in ("attempts", "conflicts", "samples"):
        if (folder.path / name).is_symlink():
            raise Corrupt(folder.path / name, "must be a folder; links are not followed")
    data = folder.result_bytes()
    if data is None:
        return None
    result = folder.opened(data)
    folder.config()
    digests = _digests(folder, result)
    for name, digest in digests.items():
        _verified(folder.path / name, digest)
    return Finished(folder, data, result, digests)


def _digests(folder: RunFolder, result: Result) -> dict[str, str]:
    """The files of a run that its result names, with their sha256; per-sample tables may have been thrown away."""
    named, tables = result.payload.get("predictions_sha256"), result.provenance.get("samples_sha256") or {}
    path = folder.path / "result.json"
    if named is not None and not DIGEST.fullmatch(str(named)):
        raise Corrupt(path, f"names predictions {named!r}")
    if not isinstance(tables, dict) or not all(TABLE.fullmatch(name) for name in tables):
        raise Corrupt(path, "names per-sample tables that can be none")
    found = {} if named is None else {f"predictions-{str(named)[:16]}.npy": str(named)}
    there = {path.name for path in files_of(folder.path / "samples", TABLE)}
    return found | {f"samples/{name}": str(digest) for name, digest in tables.items() if name in there}


def _verified(path: Path, digest: str) -> bytes:
    try:
        data = read_regular(path)
    except OSError as error:
        raise Corrupt(path, error.strerror or str(error)) from None
    if sha256(data) != digest:
        raise Corrupt(path, "its digest is not the one in result.json")
    return data


def payload_of(target: RunFolder) -> str | None:
    """Return the digest of the payload of a run that is done; None if it is not, or its result is damaged."""
    try:
        result = target.result()
    except Corrupt:
        return None
    return None if result is None else result.payload_sha256


def copy(finished: Finished, target: RunFolder) -> None:
    """Make a run that is not done the finished one; its lock is held. The result comes last: before it, nothing is."""
    source, result = finished.folder.path, finished.result
    target.write_config(result.payload["config"])
    for path in files_of(target.path / "samples", TABLE):
        if f"samples/{path.name}" not in finished.digests:  # of an attempt here that was not finished
            target.quarantine(path)
    for name, digest in finished.digests.items():
        put(target.path / name, _verified(source / name, digest), replace=True)
    for path in (source / SHARE, *files_of(source / "attempts", ATTEMPT)):
        if (told := _told(path)) is not None:
            put(target.path / path.relative_to(source), told)
    _lengthen(target.path / "log.txt", source / "log.txt")
    target.commit(result.payload, result.provenance)


def _told(path: Path) -> bytes | None:
    """The bytes of a record of how a run went; None for a damaged one, which counts as none everywhere."""
    try:
        data = read_regular(path)
        parse(data)
    except (OSError, ValueError):
        return None
    return data


def _lengthen(log: Path, by: Path) -> None:
    """Put one log at the end of another, unless it is there."""
    try:
        more, before = read_regular(by), read(log)
    except (FileNotFoundError, ValueError):  # there is none, or it is a link
        return
    if before is None or not before.endswith(more):
        put(log, (before or b"") + more, replace=True)


def put(path: Path, data: bytes, replace: bool = False) -> None:
    """Publish a file and make its folder."""
    make_folder(path.parent)
    publish(path, data, replace)


def read(path: Path) -> bytes | None:
    """The bytes of a regular file, None if there is none; ValueError for a link."""
    try:
        return read_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def names_of(folder: Path) -> list[str]:
    """The names in a folder; none where it is a link or is not there."""
    if folder.is_symlink():
        return []
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def files_of(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """The paths in a folder whose whole names fit."""
    return [folder / name for name in names_of(folder) if pattern.fullmatch(name)]
