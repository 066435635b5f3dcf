"""What was made of records is remembered between processes, for as long as records, code and libraries stay."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from bench import cache
from bench.config import cast
from bench.files import canonical, sha256
from bench.fingerprint import sources

# on which the numbers and texts of a table rest
LIBRARIES = ("numpy-", "pandas-", "scipy-", "rich-", "tabulate-", "jinja2-")

PAGES = Path(__file__).resolve().parent.parent / "evidence" / "page"


def remembered(inputs: object, make: Callable[[], Any], kind: Any = Any) -> Any:
    """The value that `make` returns, or that it returned to an earlier process for equal inputs and code.

    `kind` is its type, as `bench.config.cast` takes one: plain JSON values, or a dataclass of such.
    """
    name = sha256(canonical([_makers(), inputs]))[:32]
    found = cache.recall("tables", name)
    if found is not None:
        with suppress(ValueError):  # something of another form
            return cast(found, kind, "remembered")
    value = make()
    cache.keep("tables", name, asdict(value) if is_dataclass(value) and not isinstance(value, type) else value)
    return value


@functools.cache
def _makers() -> list[str]:
    """All that decides what is made of records, besides the records."""
    installed = set()
    for folder in sys.path:
        with suppress(OSError):  # a zip archive, or a folder that is not there
            installed |= {name for name in os.listdir(folder or ".") if name.endswith(".dist-info")}
    files = sorted(path for path in PAGES.iterdir() if path.is_file() and path.suffix != ".py")  # not __pycache__
    pages = sha256(b"".join(path.read_bytes() for path in files))
    return [sources(), pages, sys.version, *sorted(name for name in installed if name.startswith(LIBRARIES))]
