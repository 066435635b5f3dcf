"""What a stranger's run may name: known data, or files by their content, and no place on this machine."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.config import RunConfig
from bench.data import datasets
from bench.data.attachments import LABELS_ONLY

OWN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(?:\.npz|/)")  # data of one's own, without its folder
DIGEST = re.compile(r"[0-9a-f]{64}")


def check(config: RunConfig) -> None:
    """Raise ValueError if reading the run's data, or drawing its noise again, would look at a place that it chooses.

    So do known data of other content than the pinned one: nothing could be checked against them.
    """
    name, options = config.dataset.name, config.noise.options
    if name not in datasets.available() and not OWN.fullmatch(name):
        raise ValueError(f"{name!r:.60} is no data set")
    if (pinned := pinned_digest(name)) and config.dataset.digest != pinned:
        given = config.dataset.digest
        raise ValueError(f"{name} has the digest {pinned[:12]}, and {given:.12} is told: these are other data")
    if "path" in options and not _is_pinned(options):
        raise ValueError(
            f"the noise is read from {options['path']!r:.60}, which is no file that is known by its content"
        )
    source = options.get("source", "")  # of labels from a file that names no foreign images
    if source != "" and source not in (*datasets.available(), *LABELS_ONLY):
        raise ValueError(f"the noise takes images of {source!r:.60}, which is no data set")


@functools.cache
def pinned_digest(name: str) -> str:
    """The digest of a data set that is known beforehand; "" where files decide, or the data are one's own."""
    if name not in datasets.available():
        return ""
    try:
        return datasets.source(name).info(Path(os.devnull)).digest
    except (ValueError, OSError):  # it asks for files
        return ""


def folder_of(config: RunConfig, data_dir: Path | None, store: Path) -> Path | None:
    """Where a run's data are looked for: own data nowhere, unless somebody has said where."""
    return data_dir if data_dir is not None or config.dataset.name in datasets.available() else store / "data"


def _is_pinned(options: Mapping[str, Any]) -> bool:
    path, digest = options["path"], options.get("sha256")
    bare = isinstance(path, str) and Path(path).name == path
    return bare and isinstance(digest, str) and DIGEST.fullmatch(digest) is not None
