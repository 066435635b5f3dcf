"""Names in what is said: one that nobody knows, and the first few of many."""

from collections.abc import Iterable, Sequence


def unknown(kind: str, name: str, allowed: Iterable[str]) -> ValueError:
    """The error for an unknown `name` of a `kind`, with the nearest allowed one, or else all of them."""
    import difflib  # 4 ms that no healthy start-up pays

    allowed = sorted(allowed)
    near = difflib.get_close_matches(name, allowed, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(allowed) or 'none'}"
    return ValueError(f"unknown {kind} {name!r}; {hint}")


def few(names: Sequence[str], most: int = 6, between: str = ", ") -> str:
    """Return the first names of a list, and how many more there are."""
    return between.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
