"""Text of others on a terminal: shown, and not obeyed."""


def printable(text: str) -> str:
    """`text` with escapes in place of all that moves a cursor, sets a title or turns the writing direction.

    Line breaks stay. Messages and logs of a results folder may come from somebody else.
    """
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
