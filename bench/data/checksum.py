"""Checksums that a file must have before anything reads its content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Checksum:
    """The published MD5 of a file, and the sha256 that an attacker can't match as well, where one is known."""

    md5: str
    sha256: str | None = None

    def check(self, data: bytes, name: str | Path) -> None:
        """Raise a ValueError that names the file and both digests unless `data` is the content meant."""
        for kind, expected in (("sha256", self.sha256), ("md5", self.md5)):
            if expected is None:
                continue
            found = hashlib.new(kind, data, usedforsecurity=False).hexdigest()
            if found != expected:
                raise ValueError(f"{name}: {kind} is {found}, expected {expected}; the file is damaged or another one")
