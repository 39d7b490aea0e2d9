"""Where a text states its answer: "the answer is ...", `#### ...`, and what takes that back."""

import re
from typing import NamedTuple

# A model that goes on writes the next question itself; what follows answers something else.
_NEXT_QUESTION = re.compile(
    r"^[^\w\n]*(?:(?:question|q|instruction)\s*\d*|human|user)\s*:|\[INST\]", re.I | re.M
)
_FILLER = r"(?:\s*\([^)\n]*\)|\s+(?:to|of|for|in|here|that)\b[^.!?:\n]{0,80}?)?"
_MODAL = r"(?:\s+(?:should|would|must|could|may|might|will|has\s+to))?"
_ADVERB = r"(?:\s+(?:also|therefore|then|thus|indeed|actually|simply|now))?"
# "is", "should be", "to the question is": what joins "the answer" with it.
STATES = rf"{_FILLER}{_MODAL}{_ADVERB}(?:\s+(?:is|was|are|be|equals)|'s)\b"
# What goes before an answer whatever its kind; to be compiled with `re.I | re.M`.
MARKS = (
    rf"\banswer(?:{STATES}|[\"'>)\]]*\s*(?:[:=→]|[-=]>))"
    r"|<answer>"
    r"|^[^\w\n]*(?:the\s+)?(?:final\s+|correct\s+)?answer[^\w\n]*$"
    # GSM8K's mark; as a heading of Markdown, as in "#### Step 1", it states nothing.
    r"|^[ \t]*\#{4}(?!\#)(?!\s*(?:step\b|\d+[.):]\s+[a-z]))(?=[^\n]*\w)"
)
_CUE = re.compile(MARKS, re.I | re.M)
# An answer that was only thought of: "I first thought the answer was 27".
_SUPPOSED = re.compile(
    r"\b(?:thought|assumed|guessed|(?:might|would)\s+think)\b[^.,;:!?\n]*$", re.I
)
_LEAD = re.compile(r"[\s:=>]*")
# Longer ones are no sentences: a model that repeats itself is read in linear time.
_LONGEST = 1000
_SPACE = re.compile(r"\s")
_END = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)|\n")
# What a full stop may follow without ending a sentence: abbreviations, labels and list markers.
_NO_END = re.compile(
    r"(?:\b(?:i\.e|e\.g|approx|vs|mrs?|ms|dr|st)|(?:^|\n|[\s(])[A-Za-z]|(?:^|\n)\s*\d+)$", re.I
)
_TAKEN_BACK = re.compile(
    r"(?:^|[.!?,;:(\n-])\s*(?:(?:but|hmm|oh|or)\b[\s,.]*)?"
    r"(?:no\b[\s,.:-]*(?:wait|actually|sorry)|wait|hold\s+on|actually|correction|sorry|oops|scratch\s+that"
    r"|(?:i\s+(?:made|see)\s+an?\s+(?:mistake|error))|i\s+was\s+wrong|let\s+me\s+(?:re|correct|fix)\w*"
    r"|that(?:'s|\s+is|\s+was)\s+(?:wrong|incorrect|not\s+(?:right|correct)))\b",
    re.I,
)


class Passage(NamedTuple):
    """Part of a text.

    Attributes:
        start: its first character in the text.
        text: what it says.
    """

    start: int
    text: str

    @property
    def end(self) -> int:
        """The first character after it."""
        return self.start + len(self.text)


def own_answer(text: str) -> str:
    """Return a text up to where it goes on to another question."""
    starts = [found.start() for found in _NEXT_QUESTION.finditer(text)]
    later = [start for start in starts if text[:start].strip()]
    return text[: later[0]] if later else text


def stated(text: str, cue: re.Pattern[str] = _CUE) -> list[Passage]:
    """Return what a plain text states as its answer, each to the end of its sentence, in order.

    What is only supposed is no statement, nor is the cut end of one that repeats itself.

    Args:
        text: plain text, as `markup.plain` gives it.
        cue: what goes before an answer.
    """
    found = []
    for lead in cue.finditer(text):
        if _SUPPOSED.search(before(text, lead.start())):
            continue
        gap = _LEAD.match(text, lead.end())
        start = gap.end() if gap else lead.end()
        found.append(Passage(start, text[start : _sentence_end(text, start)]))
    found = [passage for passage in found if passage.text.strip()]
    texts = [passage.text for passage in found[-3:]]
    repeats = len(texts) == 3 and texts[0] == texts[1] and texts[1].startswith(texts[2])
    return found[:-1] if repeats and found[-1].end == len(text) else found


def sentences(text: str) -> list[Passage]:
    """Return the sentences and lines of a plain text."""
    parts, start = [], 0
    while start < len(text):
        end = _sentence_end(text, start)
        mark = _END.match(text, end)
        after = mark.end() if mark else end
        parts.append(Passage(start, text[start:after]))
        start = max(after, start + 1)
    return [part for part in parts if part.text.strip()]


def taken_back(text: str, start: int) -> int | None:
    """Return where, from `start` on, a text last corrects itself ("no, wait"), or None."""
    ends = [found.end() for found in _TAKEN_BACK.finditer(text, start)]
    return ends[-1] if ends else None


def before(text: str, end: int, reach: int = 80) -> str:
    """Return the few characters of a text before a place, for patterns that end there."""
    return text[max(0, end - reach) : end]


def _sentence_end(text: str, start: int) -> int:
    space = _SPACE.search(text, start + _LONGEST)
    longest = space.start() if space else len(text)
    for mark in _END.finditer(text, start, longest):
        if mark[0].rstrip("\"')]") != "." or not _NO_END.search(before(text, mark.start(), 12)):
            return mark.start()
    return longest
