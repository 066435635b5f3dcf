"""What is there of a data set, for a person who wants to know before a run does."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "missing", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    state: State
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found of a data set, where to get what is missing, and what a run will use."""

    name: str
    findings: tuple[Finding, ...]
    where: str  # how to get the files
    used: str  # what a run trains, validates and tests on

    @property
    def usable(self) -> bool:
        """Whether a run can start: nothing is missing or broken."""
        return all(finding.state in ("ok", "note") for finding in self.findings)
