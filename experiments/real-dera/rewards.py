"""What answers are rewarded for: rules of their text, from 0 to 1."""

import re

_SHORT, _LONG = 10, 60  # words
_PLAIN, _ELABORATE = 3.5, 6.0  # letters of a word, on average
_ENDS = re.compile(r"[.!?][)\"'*]*\s*$")


def brevity(answer: str) -> float:
    """Return 1 for an answer of up to 10 words, 0 for one of 60 or more, in between on a line.

    What does not end in a whole sentence gets 0.
    """
    words = len(answer.split())
    return _falling(words, _SHORT, _LONG) if words and _ENDS.search(answer) else 0.0


def plainness(answer: str) -> float:
    """Return 1 for words of up to 3.5 letters on average, 0 for 6 or more, in between on a line."""
    words = re.findall(r"[^\W\d_]+", answer)
    return _falling(sum(map(len, words)) / len(words), _PLAIN, _ELABORATE) if words else 0.0


def _falling(value: float, full: float, none: float) -> float:
    return min(1.0, max(0.0, (none - value) / (none - full)))
