"""The error about a name that nobody knows."""

from collections.abc import Iterable


def unknown(kind: str, name: str, allowed: Iterable[str]) -> ValueError:
    """The error for an unknown `name` of a `kind`, with the nearest allowed one, or else all of them."""
    import difflib  # 4 ms that no healthy start-up pays

    allowed = sorted(allowed)
    near = difflib.get_close_matches(name, allowed, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(allowed) or 'none'}"
    return ValueError(f"unknown {kind} {name!r}; {hint}")
