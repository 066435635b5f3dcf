"""Where runs come from: the code of this checkout and the command, found once by the driver and told to every run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.fingerprint import ROOT

CODE = ("noise", "methods", "bench", "run_bench.py")  # whose files count although git does not know them
PRIVATE = ("host",)  # in the record of an attempt and not in a result, which is what one gives to others


def origin() -> dict[str, Any]:
    """Commit and command, for the provenance of the runs of a launch.

    Where the checkout differs from its commit there is the sha256 of the difference, and one over the paths and bytes
    of code that git does not know. Outside a checkout of its own there is the command alone.
    """
    return {**version(), "command": [_homeless(word) for word in sys.argv[1:]]}


def version(root: Path = ROOT) -> dict[str, Any]:
    """The commit of the checkout at `root` and digests of what differs from it; nothing where there is none."""
    found = _git(root, "rev-parse", "HEAD", "--show-toplevel")
    head, _, top = (found or b"").decode(errors="replace").strip().partition("\n")
    if not top or Path(top).resolve() != root.resolve():  # no git, or the project that this one is installed within
        return {}
    if not _git(root, "status", "--porcelain"):
        return {"commit": head, "dirty": False}
    told: dict[str, Any] = {"commit": head, "dirty": True}
    if difference := _git(root, "diff", "HEAD", "--binary", "--no-ext-diff", "--no-textconv", "--no-color"):
        told["diff_sha256"] = hashlib.sha256(difference).hexdigest()
    if unknown := _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *CODE):
        told["untracked_sha256"] = _digest(root, unknown)
    return told


def published(attempt: Mapping[str, Any]) -> dict[str, Any]:
    """The start record of an attempt as a result tells it."""
    return {name: value for name, value in attempt.items() if name not in PRIVATE}


def _git(root: Path, *words: str) -> bytes | None:
    variables = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}  # a look must not stand in the way of a commit
    try:
        done = subprocess.run(["git", *words], cwd=root, env=variables, capture_output=True, check=False)
    except OSError:  # git is not installed
        return None
    return done.stdout if done.returncode == 0 else None


def _digest(root: Path, listed: bytes) -> str:
    digest = hashlib.sha256()
    for name in sorted(filter(None, listed.split(b"\0"))):
        path, data = root / os.fsdecode(name), b""
        with suppress(OSError):  # removed since it was listed
            data = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()
        digest.update(b"%d %b %d\n" % (len(name), name, len(data)) + data)
    return digest.hexdigest()


def _homeless(word: str) -> str:
    """A word of a command without the name of somebody's home folder."""
    home = os.path.expanduser("~")
    return word.replace(home, "~") if len(home) > 1 else word
