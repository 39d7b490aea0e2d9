"""What of an answer can be told while it is being made: what nothing will change any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from trimtab.decoding.completion import Span


class News(NamedTuple):
    """Spans of an answer that is being made, the next ones of its trace."""

    spans: tuple[Span, ...]


class Telling:
    """Tells an answer's spans once each, as soon as nothing will change them.

    Text that may turn out to be the beginning of a stop string waits until it is more or none.

    Args:
        streamed: whether anybody listens.
        stop_strings: what ends the answer.
    """

    def __init__(self, streamed: bool, stop_strings: Sequence[str]) -> None:
        self.streamed = streamed
        self._stops = stop_strings
        self._told = 0

    def of(self, trace: Sequence[Span]) -> Iterator[News]:
        """Yield what is new in a trace of which only stop strings can still take anything back."""
        if not self.streamed or len(trace) <= self._told:
            return
        settled, waiting = len(trace), self._waiting(trace)
        while waiting > 0 and settled > self._told:
            settled -= 1
            waiting -= len(trace[settled].text)
        if settled > self._told:
            yield News(tuple(trace[self._told : settled]))
            self._told = settled

    def _waiting(self, trace: Sequence[Span]) -> int:
        """Return how many of the last characters may begin a stop string."""
        longest = max(map(len, self._stops), default=1) - 1
        if not longest:
            return 0
        end = ""
        for span in reversed(trace):
            if len(end) >= longest:
                break
            end = span.text + end
        return max(
            length
            for length in range(min(longest, len(end)) + 1)
            if not length or any(s.startswith(end[-length:]) for s in self._stops)
        )
