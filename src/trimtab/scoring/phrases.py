"""Reading what follows "the answer is", as a phrase or as letters."""

import re

from trimtab.scoring.markup import plain
from trimtab.scoring.statements import MARKS, STATES, own_answer, stated, taken_back

_FINAL = re.compile(r"answer is:?\s*(.+?)\s*[.!]?\s*$", re.IGNORECASE | re.MULTILINE)
# Names have letters with accents too.
_LATIN = "a-zà-öø-ž"
# What goes before concatenated letters, beside "the answer is".
_CUE = re.compile(
    rf"\b(?:result|concatenation|string|output|word){STATES}|{MARKS}"
    r"|\b(?:gives?|get|makes?|forms?|obtain|have|yields?|results?\s+in|becomes?|spells?)\b(?:\s+us)?:?"
    rf"|(?:=|→|[-=]>)(?=\s*[\"'(]?[{_LATIN}])",
    re.I | re.M,
)
_LEAD = r"[\s\"'(\[:]*(?:(?:the|letters?|word|string|concatenation|result)\s+)*[\"'(\[:]*"
# Letters one by one, with the same kind of gap between all of them.
_SPELLED = re.compile(
    rf"{_LEAD}([{_LATIN}](?:(?P<gap>[\s,+\-\u2013&\"']+)[{_LATIN}](?![{_LATIN}]))+)", re.I
)
_WORD = re.compile(rf"{_LEAD}([{_LATIN}]+)(?![\w-])", re.I)
_QUOTED = re.compile(rf"[\"]([{_LATIN}][{_LATIN}\s,-]*)[\"]", re.I)


def final_phrase(text: str) -> str | None:
    """Return what follows the last "answer is", or None."""
    last = text.lower().rfind("answer is")
    found = _FINAL.match(text, last) if last >= 0 else None
    return found[1].strip("\"'") if found else None


def read_letters(text: str) -> str | None:
    """Return the letters that a text states as its answer, joined and in lower case, or None.

    The last statement counts ("the answer is", "we get", an equals sign), with its corrections; a
    text of one word is its own statement. Letters may be quoted, in upper case, and apart: `yajo`,
    "Y-A-J-O", `y a j o`, `y, a, j, o`.
    """
    text = plain(own_answer(text)).strip()
    whole = _letters(text.strip(".!")) if len(text.split("\n")) == 1 else None
    if whole is not None and (whole[1] >= len(text.rstrip(".!\"')]"))):
        return whole[0]
    for statement in reversed(stated(text, _CUE)):
        found = _letters(statement.text)
        if found is None:
            continue
        back = taken_back(text, statement.start + found[1])
        corrected = _letters(text[back:].lstrip(" ,:.-")) if back is not None else None
        return corrected[0] if corrected else found[0]
    return None


def _letters(text: str) -> tuple[str, int] | None:
    """Return the letters at the start of a text, or in its first quotation, and where they end."""
    for found in (_SPELLED.match(text), _QUOTED.search(text), _WORD.match(text)):
        if found:
            return re.sub(rf"[^{_LATIN}]", "", found[1].lower(), flags=re.I), found.end(1)
    return None
