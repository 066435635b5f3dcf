"""A method held to the contract: an outcome for every check, with the line of its file where one can be told."""

from __future__ import annotations

import inspect
import linecache
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.contract import world
from bench.contract.checks import Check, DoesNotApply, Violation
from methods import registry
from methods.base import LossMethod, Method

Status = Literal["ok", "failed", "does not apply", "not checked"]
SETTLE = "mend the line named: a run would end there too"
HANDED = "the error rose outside of the method's file, from what it handed over: compare that with methods/base.py"


@dataclass(frozen=True)
class Place:
    """A line of a method's file."""

    file: Path
    line: int
    function: str
    code: str


@dataclass(frozen=True)
class Finding:
    """What came of a check. `found` says what happened, or why nothing was checked; `change` what to do about it."""

    check: Check
    status: Status
    seconds: float
    found: str = ""
    change: str = ""
    place: Place | None = None


def examine(spec: str, checks: Sequence[Check]) -> Iterator[Finding]:
    """Hold a method to checks, one after the other; a check is not made where an earlier failure is all it could tell.

    Raises ValueError where the method cannot be loaded at all.
    """
    cls = registry.load(spec)[0]
    findings: dict[str, Finding] = {}
    for check in checks:
        begun = time.monotonic()
        if broken := [name for name in check.after if name in findings and not _fine(findings[name])]:
            finding = Finding(check, "not checked", 0.0, f"waits for {broken[0]}")
        else:
            finding = _held(cls, spec, check, begun, findings)
        findings[check.name] = finding
        yield finding


def _fine(finding: Finding) -> bool:
    return finding.status in ("ok", "does not apply")


def _held(cls: type[Method], spec: str, check: Check, begun: float, findings: dict[str, Finding]) -> Finding:
    with world.torch_as_found():
        try:
            check(spec)
        except DoesNotApply as reason:
            return Finding(check, "does not apply", time.monotonic() - begun, str(reason))
        except Violation as violation:
            calls = violation.calls or traceback.extract_tb(violation.__traceback__)
            place = _deepest(cls, calls) or _member(cls, violation.member)
            finding = Finding(check, "failed", time.monotonic() - begun, violation.found, violation.change, place)
            return _unless_told(finding, findings)
        except (Exception, SystemExit) as error:  # whatever somebody's method raises is what the check has found
            return _crashed(cls, check, error, time.monotonic() - begun, findings)
    return Finding(check, "ok", time.monotonic() - begun)


def _crashed(
    cls: type[Method], check: Check, error: BaseException, seconds: float, findings: dict[str, Finding]
) -> Finding:
    found = f"{type(error).__name__}: {str(error).strip() or 'without a message'}"
    place = _deepest(cls, traceback.extract_tb(error.__traceback__))
    for other in findings.values():
        if other.status == "failed" and other.check.fundamental:
            return Finding(check, "not checked", seconds, f"waits for {other.check.name}")
    change = SETTLE if place else HANDED
    return _unless_told(Finding(check, "failed", seconds, found, change, place or _member(cls, "")), findings)


def _unless_told(finding: Finding, findings: dict[str, Finding]) -> Finding:
    """A failure, unless an earlier check has told the same of the same line: then this one waits for that."""
    for other in findings.values():
        if other.status == "failed" and (other.found, other.place) == (finding.found, finding.place):
            return Finding(finding.check, "not checked", finding.seconds, f"waits for {other.check.name}")
    return finding


def _deepest(cls: type[Method], calls: Sequence[traceback.FrameSummary]) -> Place | None:
    """The last of the frames that lies in a file of the method."""
    files = {file for one in _own(cls) if (file := inspect.getsourcefile(one))}
    for frame in reversed(calls):
        if frame.filename in files and frame.lineno is not None:
            return Place(Path(frame.filename), frame.lineno, frame.name, (frame.line or "").strip())
    return None


def _own(cls: type[Method]) -> list[type]:
    """The class and those of its bases that are somebody's method."""
    return [one for one in cls.__mro__ if issubclass(one, Method) and one not in (Method, LossMethod)]


def _member(cls: type[Method], name: str) -> Place | None:
    """Where a class defines a function; the class itself where it leaves that to the base of all methods."""
    for one in _own(cls):
        if name in vars(one) and (place := _defined(vars(one)[name], name)) is not None:
            return place
    return _defined(cls, cls.__qualname__)


def _defined(thing: Any, name: str) -> Place | None:
    try:
        file = inspect.getsourcefile(thing)
        lines, first = inspect.getsourcelines(thing)
    except (OSError, TypeError):  # made by a decorator, or its source is not there
        return None
    if file is None:
        return None
    start = next((n for n, text in enumerate(lines) if text.lstrip().startswith(("def ", "class "))), 0)
    return Place(Path(file), first + start, name, linecache.getline(file, first + start).strip())
