"""`check-method`: hold methods to the contract, and explain each failure."""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sys
import textwrap
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.contract import CHECKS, Check
from bench.contract.examining import Finding, Place, Status, examine, raised
from bench.exit_codes import DONE, INCOMPLETE
from bench.names import unknown
from bench.printable import printable
from methods import registry
from methods.fields import MethodInfo

LIST = "list"
SHOWN: dict[Status, str] = {
    "ok": "ok",
    "failed": "FAILED",
    "does not apply": "does not apply",
    "not checked": "not checked",
}
STATUS, NAME = max(map(len, SHOWN.values())), max(map(len, CHECKS))
WIDEST = 120
LINES = 5  # shown of what a method prints


def main(args: argparse.Namespace) -> int:
    if args.only == [LIST]:
        return _list(args.json)
    checks = _chosen(args.only, args.method)
    if not args.method:
        raise ValueError(
            "name a method: path/to/mine.py:Mine, or one of `list methods`; `--only list` lists the checks"
        )
    printed = {spec: Printed() for spec in args.method}
    infos = {spec: _loaded(spec, heard) for spec, heard in printed.items()}
    documents, broken = [], False
    for spec, info in infos.items():
        begun = time.monotonic()
        findings = []
        if not args.json:
            print(_line(f"{info.name}  ({_near(info.file)})"), flush=True)
        for finding in _examined(spec, checks, printed[spec]):
            findings.append(finding)
            if not args.json:
                print(_row(finding, _width()), flush=True)
        seconds = time.monotonic() - begun
        documents.append(_document(spec, info, findings, seconds))
        broken = broken or any(finding.status == "failed" for finding in findings)
        if told := printed[spec].told(_width()):
            print(told, file=sys.stderr if args.json else sys.stdout)
        if not args.json:
            print(_explained(findings, seconds, _width()), end="")
    code = INCOMPLETE if broken else DONE
    if args.json:
        print(json.dumps({"exit": code, "methods": documents}, indent=1, default=str))  # paths
    return code


def _chosen(only: Sequence[str] | None, methods: Sequence[str]) -> list[Check]:
    for name in only or ():
        if name not in CHECKS:
            if ":" in name and not methods:
                raise ValueError(f"{name!r} is no check; methods come before --only: check-method {name} --only ...")
            raise unknown("check", name, [*CHECKS, LIST])
    return [check for name, check in CHECKS.items() if not only or name in only]


class Printed(io.TextIOBase):
    """What a method prints while it is looked at: the first few of its lines, each once, and how many came in all."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, None] = {}
        self.count = 0
        self._open = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *whole, self._open = (self._open + text).split("\n")
        for line in filter(str.strip, whole):
            self._take(line)
        return len(text)

    def _take(self, line: str) -> None:
        self.count += 1
        if len(self.lines) < LINES:
            self.lines[line] = None

    def told(self, width: int) -> str:
        """The lines under a heading; nothing where nothing was printed."""
        if self._open.strip():
            self._take(self._open)
        self._open = ""
        if not self.lines:
            return ""
        many = f"{self.count} line{'' if self.count == 1 else 's'} printed while it was checked"
        many += f", of which {len(self.lines)}" if len(self.lines) < self.count else ""
        shown = [f"  {textwrap.shorten(_line(line), width - 2, placeholder=' ...')}" for line in self.lines]
        return "\n".join([f"\n{many}:", *shown])

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Take all that goes to standard output and standard error within."""
        with redirect_stdout(self), redirect_stderr(self):
            yield


def _loaded(spec: str, printed: Printed) -> MethodInfo:
    """What is known of a method; ValueError for one that cannot be held to anything."""
    try:
        with printed.heard():
            info = registry.describe(spec)
            registry.load(spec)
    except SystemExit as error:  # a script that was meant to be run
        file = registry.locate(spec)[0]
        raise ValueError(f"{file} cannot be imported: it ends the process ({error})") from None
    except ValueError as error:
        if (cause := error.__cause__) is not None and (told := _unimportable(spec, cause)):
            raise ValueError(told) from error
        raise
    return info


def _unimportable(spec: str, cause: BaseException) -> str:
    """Which line of a method's file ended its import, and how; nothing where that was none of its lines."""
    file = registry.locate(spec)[0]
    lines = [frame.lineno for frame in traceback.extract_tb(cause.__traceback__) if Path(frame.filename) == file]
    return f"{file} cannot be imported: line {lines[-1]}: {raised(cause)}" if lines else ""


def _examined(spec: str, checks: Sequence[Check], printed: Printed) -> Iterator[Finding]:
    """The findings; what a method prints is kept for later."""
    made = examine(spec, checks)
    while True:
        with printed.heard():
            finding = next(made, None)
        if finding is None:
            return
        yield finding


def _list(as_json: bool) -> int:
    if as_json:
        told = [{"check": c.name, "theme": c.theme, "meaning": c.meaning, "cases": c.cases} for c in CHECKS.values()]
        print(json.dumps(told, indent=1))
        return DONE
    theme = ""
    for check in CHECKS.values():
        if check.theme != theme:
            theme = check.theme
            print(theme)
        print(_wrapped(f"  {check.name:{NAME}s}  ", check.meaning, _width()))
        if check.cases:
            print(_wrapped(f"  {'':{NAME}s}  ", f"({'; '.join(check.cases)})", _width()))
    return DONE


def _width() -> int:
    return min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)


def _line(text: str) -> str:
    """Text of others on one line of a terminal."""
    return " ".join(printable(text).split())


def _near(path: Path) -> Path:
    """A path as seen from here, where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _row(finding: Finding, width: int) -> str:
    head = f"  {SHOWN[finding.status]:{STATUS}s}  {finding.check.name:{NAME}s}  "
    told = finding.check.meaning if finding.status in ("ok", "failed") else finding.found
    return head + textwrap.shorten(_line(told), max(20, width - len(head)), placeholder=" ...")


def _explained(findings: Sequence[Finding], seconds: float, width: int) -> str:
    """Each failure in full, then how it went."""
    parts = []
    for finding in findings:
        if finding.status != "failed":
            continue
        told = {"expected": finding.check.meaning, "found": finding.found}
        told |= {"where": _where(finding.place)} if finding.place else {}
        told["change"] = finding.change
        lines = [_wrapped(f"  {name:8s}  ", text, width) for name, text in told.items()]
        parts.append("\n".join([f"\nFAILED {finding.check.name}", *lines]))
    counts = Counter(finding.status for finding in findings)
    said = ", ".join(f"{counts[status]} {word}" for status, word in SHOWN.items() if counts[status])
    return (
        "\n".join(
            [*parts, f"\n{len(findings)} {'check' if len(findings) == 1 else 'checks'} in {seconds:.1f} s: {said}"]
        )
        + "\n"
    )


def _where(place: Place) -> str:
    return f"{_near(place.file)}:{place.line}, in {place.function}: {place.code}"


def _wrapped(head: str, text: str, width: int) -> str:
    return textwrap.fill(
        _line(text),
        max(40, width),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _document(spec: str, info: MethodInfo, findings: Sequence[Finding], seconds: float) -> dict[str, Any]:
    rows = []
    for finding in findings:
        where = None if finding.place is None else asdict(finding.place)
        told = {"check": finding.check.name, "theme": finding.check.theme, "status": finding.status}
        told |= {"expected": finding.check.meaning, "found": finding.found, "change": finding.change}
        rows.append({**told, "where": where, "seconds": round(finding.seconds, 3)})
    counts = Counter(finding.status for finding in findings)
    head = {"method": info.name, "spec": spec, "source": info.file, "seconds": round(seconds, 3)}
    return {**head, "counts": {status: counts[status] for status in SHOWN}, "checks": rows}
