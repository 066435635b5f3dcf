"""argparse as this command line wants it."""

from __future__ import annotations

import argparse
import difflib
import textwrap
from typing import Any, NoReturn

from bench.exit_codes import MEANINGS, REFUSED

CODES = [f"{code} {meaning}" for code, meaning in MEANINGS.items()]
EPILOG = textwrap.fill(f"exit codes: {'; '.join(CODES)}.", 79)
CLOSE = 0.7  # of two options' spellings, from which on one may have been meant for the other


class Parser(argparse.ArgumentParser):
    """argparse with exact option names, a suggestion for misspelt ones, and one line for an error."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter, **kwargs})

    def error(self, message: str) -> NoReturn:
        words = message.partition("unrecognized arguments: ")[2].split()
        options = [option for action in self._actions for option in action.option_strings]
        near = difflib.get_close_matches(words[0].partition("=")[0], options, 1, CLOSE) if words else []
        hint = f"; did you mean {near[0]}?" if near else ""
        self.exit(REFUSED, f"{self.prog}: {message}{hint}\n")
