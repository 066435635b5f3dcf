"""What a check of the contract is: a name, one line that says what is expected, and a function that looks."""

from __future__ import annotations

import hashlib
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
Function = Callable[..., None]
CHECKS: dict[str, Check] = {}  # by name, in the order in which the files of checks are imported


class Violation(AssertionError):
    """A method does not keep the contract: what was found, and what its author should change.

    `member` names the function of the class that is at fault; `calls` are the frames that led there, outermost first.
    """

    def __init__(self, found: str, change: str, member: str = "", calls: Sequence[traceback.FrameSummary] = ()) -> None:
        super().__init__(f"{found}; {change}")
        self.found, self.change, self.member, self.calls = found, change, member, tuple(calls)


class DoesNotApply(Exception):
    """The check says nothing about this method, or nothing on this machine; raised by the contract's files alone."""


@dataclass(frozen=True)
class Check:
    """`run(spec)`, or `run(spec, case)` for each case, raises Violation where the method breaks the rule.

    `fundamental`: what fails here stops others. `after`: checks whose failure this one would only repeat.
    """

    name: str
    meaning: str
    theme: str
    run: Function
    cases: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    fundamental: bool = False

    def __call__(self, spec: str, case: str | None = None) -> None:
        """Hold a method to the rule, in one case or in all."""
        try:
            for each in self.cases if case is None else (case,):
                self.run(spec, each)
            if not self.cases:
                self.run(spec)
        except DoesNotApply as reason:
            calls = traceback.extract_tb(reason.__traceback__)
            if Path(calls[-1].filename).parent != HERE:  # a method would excuse itself
                change = "raise no DoesNotApply: what a method is not held to, the contract alone decides"
                raise Violation(f"it raised DoesNotApply: {reason}", change, calls=calls) from None
            raise


def about(theme: str) -> Callable[..., Callable[[Function], Function]]:
    """Return the decorator that registers a function as a check of a theme."""

    def check(name: str, meaning: str, **more: Any) -> Callable[[Function], Function]:
        def add(run: Function) -> Function:
            CHECKS[name] = Check(name, meaning, theme, run, **more)
            return run

        return add

    return check


def require(holds: bool, found: str, change: str, member: str = "") -> None:
    """Raise Violation unless it holds."""
    if not holds:
        raise Violation(found, change, member)


def refused(kind: type[Exception], pattern: str, call: Callable[..., object], *args: Any, **named: Any) -> str:
    """Return "" if the call raises this kind of error with a text that matches; else what it did instead."""
    try:
        call(*args, **named)
    except kind as error:
        return "" if re.search(pattern, str(error)) else f"it said: {error}"
    return "nothing was raised"


def generator(*names: str) -> torch.Generator:
    """A generator seeded by names, such as those of a check and a method."""
    return torch.Generator().manual_seed(
        int.from_bytes(hashlib.sha256("\0".join(names).encode()).digest()[:7], "little")
    )


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first names of many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
