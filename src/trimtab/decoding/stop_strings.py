"""Texts that end an answer: it ends before the first of them that is said to its last character."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trimtab.decoding.completion import Span

STOPPED = "stop_string"


class StopStrings:
    """Finds the end of a text that grows.

    Args:
        strings: what ends it.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = tuple(strings)

    def end(self, text: str, before: int = 0) -> int | None:
        """Return the length at which a text ends; None where it goes on.

        Of strings that are complete at the same place, the one that begins first counts.

        Args:
            text: the text.
            before: how much of it has been looked at.
        """
        found = [
            (start + len(string), start)
            for string in self._strings
            if (start := text.find(string, max(0, before - len(string) + 1))) >= 0
        ]
        return min(found)[1] if found else None


def cut(trace: Iterable[Span], length: int) -> list[Span]:
    """Return the spans of a text's first characters."""
    kept = []
    for span in trace:
        text = span.text[:length]
        length -= len(text)
        if text:
            kept.append(Span(text=text, speaker=span.speaker, probability=span.probability))
    return kept
