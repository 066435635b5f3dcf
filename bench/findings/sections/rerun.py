"""The commands that make each cell, and this report, again."""

from __future__ import annotations

from typing import Any

from bench.findings.sections.subject import Subject
from bench.findings.sections.words import UNKNOWN


def of(subject: Subject) -> dict[str, Any]:
    """`cells` are (method, column, command) in table order; `unknown` counts those without one."""
    cells = subject.cells()
    return {
        "whole": [] if subject.args.everything else [subject.line("run")],
        "report": subject.line("report"),
        "cells": [(method, column, command or UNKNOWN) for method, column, command in cells],
        "unknown": sum(command is None for _, _, command in cells),
    }
