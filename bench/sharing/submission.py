"""submission.json: who gives which runs of which suite, under which protocol, in which files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bench import config as cfg
from bench.files import canonical, parse
from bench.sharing.protocol import Protocol

SCHEMA = 1
MANIFEST = "submission.json"
RAW = "runs.csv"
LONGEST = 300  # characters of a name
RUN = r"runs/r[0-9a-f]{20}/"
NOISE = r"noise/n[0-9a-f]{16}(?:-unknown)?"
SUITE = r"suites/[A-Za-z0-9][A-Za-z0-9._-]{0,63}/(?:chosen/)?[0-9a-f]{12}\.json"
# every name that an export writes
NAMES = re.compile(
    rf"{RUN}(?:result\.json|config\.json|predictions-[0-9a-f]{{16}}\.npy)|{NOISE}\.(?:npz|json)|noise/files/[0-9a-f]{{64}}"
    rf"|{SUITE}|code/[A-Za-z_][A-Za-z0-9_.-]{{0,99}}\.py|{re.escape(RAW)}"
)
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Listed:
    """A file of a submission."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Suite:
    """A suite as it was asked for; `digest` is the sha256 of its canonical JSON."""

    name: str
    digest: str
    definition: dict[str, Any]


@dataclass(frozen=True)
class Harness:
    """The harness that wrote the archive; `code` is the digest of what its runs share."""

    version: str
    code: str


@dataclass(frozen=True)
class Given:
    """How many runs of a method were planned and are there, and the digests of the code that made them."""

    planned: int
    finished: int
    code: tuple[str, ...]


@dataclass(frozen=True)
class Submission:
    """All that submission.json says; `left_out` counts runs that are not finished, by their state."""

    harness: Harness
    protocols: tuple[Protocol, ...]
    methods: dict[str, Given]
    files: dict[str, Listed]
    name: str = ""
    by: str = ""
    link: str = ""
    suite: Suite | None = None  # None: all that a results folder holds
    left_out: dict[str, int] = field(default_factory=dict)
    schema: int = SCHEMA

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical(cfg.plain(self))

    @classmethod
    def from_bytes(cls, data: bytes) -> Submission:
        """The submission of a file; ValueError, in one line, for whatever an export does not write."""
        try:
            told = parse(data)
            schema = told.get("schema") if isinstance(told, dict) else None
            if type(schema) is not int or schema != SCHEMA:
                raise ValueError(f"schema {schema!r:.40} is unknown; this version reads {SCHEMA}")
            submission: Submission = cfg.typed(cls, told, "submission")
            return submission._checked()
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ValueError(f"{MANIFEST}: {reason[:LONGEST]}") from None

    def _checked(self) -> Submission:
        for kind in ("name", "by", "link"):
            check_words(kind, getattr(self, kind))
        for name, file in self.files.items():
            if not NAMES.fullmatch(name):
                raise ValueError(f"{name!r} is no name that an export writes")
            if not DIGEST.fullmatch(file.sha256) or file.bytes < 0:
                raise ValueError(f"{name} has no size and digest")
        if not any(name.endswith("/result.json") for name in self.files):
            raise ValueError("it lists no run")
        if RAW not in self.files:
            raise ValueError(f"it does not list {RAW}")
        for protocol in self.protocols:
            protocol.checked()
        return self


def check_words(kind: str, text: str) -> str:
    """The text, if it is a line of a reasonable length; else ValueError."""
    if len(text) > LONGEST or not text.isprintable():
        raise ValueError(f"{kind} must be one line of at most {LONGEST} printable characters, got {text[:60]!r}")
    return text


def is_link(text: str) -> bool:
    """Whether a text is an address that a page may link to: http or https, with a host."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not set(text) & set(" <>\"'`\\")
    except ValueError:
        return False
