"""Errors about names that nobody knows."""

import difflib
from collections.abc import Iterable


def unknown(kind: str, name: str, allowed: Iterable[str]) -> ValueError:
    """Return the error for an unknown `name`, with the nearest allowed one or else all of them."""
    allowed = sorted(allowed)
    near = difflib.get_close_matches(name, allowed, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(allowed)}"
    return ValueError(f"unknown {kind} {name!r}; {hint}")
