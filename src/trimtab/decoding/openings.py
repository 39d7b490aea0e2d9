"""Where the first words, sentences or lines of what a speaker says end: the ends of its turns."""

from __future__ import annotations

import re

from trimtab.decoding.turns import Until

# What ends is seen to end by what follows it. A sentence ends at a mark before white space, or with
# its line; a word takes the white space before it along, and a line its break.
_SENTENCE_ENDS = r"(?:[.!?][\"')\]]*(?=\s)|(?<=\S)(?=\n))"
_UNITS = {
    "words": r"\s*\S+(?=\s)",
    "sentences": rf"\s*(?=\S)(?s:.*?){_SENTENCE_ENDS}",
    "lines": r"\s*\S[^\n]*\n",
}
_LOOKED_BACK = 16  # characters, in which a mark and what closes a quotation behind it lie


def first(count: int, unit: str) -> Until:
    """Return what ends a turn after so many `words`, `sentences` or `lines`."""
    pattern = re.compile(f"(?:{_UNITS[unit]}){{{count}}}")

    def until(text: str, began: int) -> int | None:
        found = pattern.match(text, began)
        return found.end() if found else None

    return until


def sentence(text: str, began: int) -> int | None:
    """End a turn with the sentence in which it began, or at once where that has ended."""
    ends = re.compile(_SENTENCE_ENDS).finditer(text, max(0, began - _LOOKED_BACK))
    return next((end.end() for end in ends if end.end() >= began), None)
