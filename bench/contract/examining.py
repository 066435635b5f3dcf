"""A method held to the contract: an outcome for every check, with the line of its file where one can be told."""

from __future__ import annotations

import builtins
import difflib
import inspect
import linecache
import re
import sys
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

__all__ = ["Finding", "Place", "Status", "examine", "raised"]

Status = Literal["ok", "failed", "does not apply", "not checked"]
SETTLE = "mend the line named: a run would end there too"
HANDED = "the error rose outside of the method's file, from what it handed over: compare that with methods/base.py"
NO_NAME = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")
NO_STEP = re.compile(r"^AttributeError: '(\w+)' object has no attribute '(?:check|detached|losses|network)'")


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
    at = "losses" if issubclass(cls, LossMethod) else "update"
    place = _deepest(cls, traceback.extract_tb(error.__traceback__))
    found, change = _reading(error, at, SETTLE if place else HANDED)
    place = place or _member(cls, at)
    for other in findings.values():
        if other.status == "failed" and other.check.fundamental:
            return Finding(check, "not checked", seconds, f"waits for {other.check.name}")
    return _unless_told(Finding(check, "failed", seconds, found, change, place), findings)


def _reading(error: BaseException, at: str, change: str) -> tuple[str, str]:
    """An error as an author reads it, and what to change; `at` names the function that makes the method's steps."""
    said = raised(error)
    if "does not require grad and does not have a grad_fn" in said:
        must = "return" if at == "losses" else "learn from"
        return said, (
            f"{at}() must {must} losses that carry a gradient, detached nowhere on their way from the logits: look for "
            ".detach(), .data, torch.no_grad, .item(), argmax and numpy"
        )
    if other := NO_STEP.search(said):
        kind = {"NoneType": "None"}.get(other[1], f"a {other[1]}")
        end = "end it in `return Step(...)`, with losses (K,): see Step in methods/base.py"
        return f"{at}() returned {kind} in place of a Step", end
    return said, change


def raised(error: BaseException) -> str:
    """The kind of an error and its text, with the name that was meant where Python finds one."""
    said = f"{type(error).__name__}: {str(error).strip() or 'without a message'}"
    near = difflib.get_close_matches(*_names(error), 1)
    return said + (f"; did you mean {near[0]!r}?" if near else "")


def _names(error: BaseException) -> tuple[str, list[str]]:
    """The name that an error is about, and those that were there to be meant."""
    if isinstance(error, ImportError) and (wanted := NO_NAME.match(str(error))):
        module = sys.modules.get(wanted[2])
        return wanted[1], [*dir(module), *getattr(module, "__all__", [])]
    if isinstance(error, AttributeError) and error.name and error.obj is not None:
        return error.name, dir(error.obj)
    if isinstance(error, NameError) and error.name and error.__traceback__:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        return error.name, [*frame.f_locals, *frame.f_globals, *dir(builtins)]
    return "", []


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
        if name in vars(one) and (place := _assigned(one, name)) is not None:
            return place
    return _defined(cls, cls.__qualname__)


def _assigned(cls: type, name: str) -> Place | None:
    """The line in the body of a class that gives a name its value."""
    try:
        file = inspect.getsourcefile(cls)
        lines, first = inspect.getsourcelines(cls)
    except (OSError, TypeError):
        return None
    for number, text in enumerate(lines, first):
        if file and re.match(rf"\s+{re.escape(name)}\s*[:=]", text):
            return Place(Path(file), number, cls.__qualname__, text.strip())
    return None


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
