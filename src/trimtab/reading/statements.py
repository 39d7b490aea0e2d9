"""Where a text states its answer: "the answer is ...", `#### ...`, and what takes that back."""

import re
from typing import NamedTuple

from trimtab.reading.markup import BOX

# A model that goes on writes the next question itself; what follows answers something else.
_NEXT_QUESTION = re.compile(
    r"^[^\w\n]*(?:(?:next|new|another)\s+)?(?:(?:question|q|input)\s*\d*\s*:|q(?:uestion)?\s*\d+\s*[.)]"
    r"|question(?:\s+\d+)?[^\w\n]*$)",
    re.I | re.M,
)
# Headings that a solution may have too.
_MAYBE_NEXT = re.compile(
    r"^[^\w\n]*(?:(?:next|new|another)\s+)?(?:problem|exercise|example(?=\s*\d))\s*\d*\s*:[^\n]*",
    re.I | re.M,
)
_NEXT_TURN = re.compile(
    r"^[^\w\n]*(?:human|user)\s*:|^[^\w\n]*instruction\s*\d*\s*:|\[INST\]", re.I | re.M
)
# What announces a question that is only said again: "Let me restate it.", "Sure!", a question.
_ANNOUNCES = re.compile(
    r"\b(?:restat|understand|rephras|repeat|re-?read|questions?\b|problems?\b|again\b|here(?:'s|\s+is)\b"
    r"|let(?:'s|\s+us|\s+me)\b|sure\b|okay\b|ok\b|certainly\b|of\s+course\b|great\b|given\b)|[:?]\W*$",
    re.I,
)
CHATTER = re.compile(r"\bhope\s+(?:this|that|it)\b|\blet\s+me\s+know\b|\bfeel\s+free\b", re.I)
_FILLER = r"(?:\s*\([^)\n]*\)|\s+(?:to|of|for|in|here|that|among|from|between)\b[^.!?:\n]{0,80}?)?"
_MODAL = r"(?:\s+(?:should|would|must|could|may|might|will|has\s+to))?"
_ADVERB = r"(?:\s+(?:also|therefore|then|thus|indeed|actually|simply|now))?"
# "is", "should be", "to the question is": what joins "the answer" with it.
STATES = rf"{_FILLER}{_MODAL}{_ADVERB}(?:\s+(?:is|was|are|be|equals)|'s)\b"
# What goes before an answer whatever its kind; to be compiled with `re.I | re.M`.
MARKS = (
    rf"\banswers?(?:{STATES}|[\"'>)\]]*\s*(?:[:=→]|[-=]>))|\bans\.?\s*[:=]|答案\W{{0,3}}?:"
    r"|^[^\w\n]*(?:final\s+|correct\s+)?answer\s+[-\u2013\u2014]\s"
    r"|<(?:final[_\s]?)?answer>"
    r"|^[^\w\n]*(?:the\s+)?(?:final\s+|correct\s+)?answer[^\w\n]*$"
    # GSM8K's mark; as a heading of Markdown, as in "#### Step 1", it states nothing.
    r"|^[ \t]*\#{4}(?!\#)(?!\s*(?:step\b|\d+[.):]\s+[a-z]))(?=[^\n]*\w)"
)
_CUE = re.compile(MARKS, re.I | re.M)
# An answer that was only thought of: "I first thought the answer was 27".
_SUPPOSED = re.compile(
    r"\b(?:(?<!second\s)thought|assumed|guessed|(?:might|would)\s+think)\b[^.,;:!?\n]*$", re.I
)
# A statement that there is no answer.
UNKNOWN = re.compile(
    r"\b(?:unknown|undefined|unclear|indeterminate|no\s+(?:valid\s+|real\s+)?solutions?\b"
    r"|(?:can\s?not|can't|could\s+not|couldn't|impossible\s+to|not\s+possible\s+to|unable\s+to)\s+"
    r"(?:be\s+)?(?:determin|answer|know|say|tell|solv|calculat|find|figur)"
    r"|not\s+(?:enough|sufficient|given|sure|known)|insufficient|(?:don't|do\s+not)\s+know)",
    re.I,
)
_REVERSED = re.compile(r"\bis\s+(?:the|my)\s+(?:\w+\s+)?answer\b", re.I)
_DENIED = re.compile(r"[\"'(\[\s]*not\b", re.I)
_RATHER = re.compile(r"\bbut\s+(?:rather\s+|instead\s+)?|[,;]\s*(?:it\s+is|it's|rather)\s+", re.I)
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
    r"(?:^|[.!?,;:(\n-])\s{0,9}(?:(?:but|hmm|oh|or)\b[\s,.]*)?"
    r"(?:no\b[\s,.:-]*(?:wait|actually|sorry)|(?:however,?\s+)?on\s+(?:reflection|second\s+thought)|wait|hold\s+on|actually|correction|sorry|oops|scratch\s+that"
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
    """Return a text up to where it goes on to another question.

    A question that it only says again, before there is an answer, is no other question.
    """
    marks = [
        *_NEXT_QUESTION.finditer(text),
        *_MAYBE_NEXT.finditer(text),
        *_NEXT_TURN.finditer(text),
    ]
    since = 0
    for mark in sorted(marks, key=lambda one: one.start()):
        said = text[since : mark.start()].strip()
        if said and _is_answered(said, mark):
            return text[: mark.start()]
        since = mark.end() if said == "" or mark.re is not _MAYBE_NEXT else since
    return text


def _is_answered(said: str, mark: re.Match[str]) -> bool:
    """Whether what stands before the mark of a question is an answer already."""
    if mark.re is _NEXT_TURN or _CUE.search(said) or BOX.search(said):
        return True
    # Its last sentence, or line, that says something.
    last = next((one for one in reversed(sentences(said)) if not CHATTER.search(one.text)), None)
    if last is None or _ANNOUNCES.search(last.text):
        return False
    return mark.re is _NEXT_QUESTION or mark[0].rstrip().endswith("?")


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
        passage = Passage(start, text[start : _sentence_end(text, start)])
        # "The answer is 5?" is a question, where more is said.
        rest = text[passage.end :]
        if not rest.startswith("?") or not re.search(r"\w", rest):
            found.append(passage)
    found = [passage for passage in found if passage.text.strip()]
    texts = [passage.text for passage in found[-3:]]
    repeats = len(texts) == 3 and texts[0] == texts[1] and texts[1].startswith(texts[2])
    return found[:-1] if repeats and found[-1].end == len(text) else found


def stated_either_way(text: str) -> list[Passage]:
    """Return what is stated, "150 is the answer" included, in order."""
    found = stated(text)
    for sentence in sentences(text):
        back = _REVERSED.search(sentence.text)
        if back:
            found.append(Passage(sentence.start, sentence.text[: back.start()]))
    return sorted(found, key=lambda passage: passage.start)


def is_cut_short(text: str) -> bool:
    """Whether a plain text ends before the answer that it announces."""
    return any(not text[cue.end() :].strip(" \n\"'*:=>.!") for cue in _CUE.finditer(text))


def affirmed(passage: Passage) -> Passage | None:
    """Return what a statement is for: of "not Rome but Paris" the end; None of "not Rome"."""
    if not _DENIED.match(passage.text):
        return passage
    rather = _RATHER.search(passage.text)
    if rather is None:
        return None
    return Passage(passage.start + rather.end(), passage.text[rather.end() :])


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
