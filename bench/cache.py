"""Small files in the user's cache folder that hold what can be computed again.

They save time and decide nothing: one that is absent, damaged, another user's or of another shape is as good as none,
and where the folder cannot be written nothing is kept. They are trusted as Python's own `__pycache__` is, because only
their user can write them. Each begins with the sha256 of what follows, and gets its name in one step.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from bench.files import parse, publish, read_regular, sha256

KEPT = 200  # files of a kind; the oldest go first


def folder(kind: str) -> Path | None:
    """Return where files of a kind lie, None where the user has no home."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:  # no such user, as in some containers
        return None
    return home / "lnbench" / "computed" / kind


def recall(kind: str, name: str) -> Any:
    """Return the JSON value kept under a name, None if there is none that can be believed."""
    if (where := folder(kind)) is None:
        return None
    path = where / f"{name}.json"
    try:
        if os.lstat(path).st_uid != os.geteuid():
            return None
        digest, _, body = read_regular(path).partition(b"\n")
        return parse(body) if digest.decode("ascii") == sha256(body) else None
    except (OSError, ValueError):
        return None


def keep(kind: str, name: str, value: object) -> None:
    """Keep a JSON value under a name in place of the one before; nothing happens where that is impossible."""
    if (where := folder(kind)) is None:
        return
    body = json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    with contextlib.suppress(OSError):
        where.mkdir(parents=True, exist_ok=True)
        publish(where / f"{name}.json", sha256(body).encode() + b"\n" + body, replace=True)
        _drop_oldest(where)


def _drop_oldest(where: Path) -> None:
    with os.scandir(where) as entries:
        found = [(entry.stat(follow_symlinks=False).st_mtime_ns, entry.path) for entry in entries]
    for _, path in sorted(found)[:-KEPT]:
        Path(path).unlink(missing_ok=True)
