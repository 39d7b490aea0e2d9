"""Texts from files as a terminal may show them: no character steers it, and none is lost."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """Return a text with what is not seen, or has no place in UTF-8, as escapes of Python.

    Args:
        text: any, such as a name in somebody else's file.
        keep: characters that stay, such as line ends.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )
