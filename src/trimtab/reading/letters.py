"""Reading letters that are strung together: `yajo`, "Y-A-J-O"."""

import re

from trimtab.reading.spoken import spoken
from trimtab.reading.statements import MARKS, STATES, UNKNOWN, affirmed, stated, taken_back

# Names have letters with accents too.
_LATIN = "a-zà-öø-ž"
# What goes before concatenated letters, beside "the answer is".
_CUE = re.compile(
    rf"\b(?:result|concatenation|string|output|word)(?:{STATES}|\s*[:=])|{MARKS}"
    r"|\b(?:gives?|get|makes?|forms?|obtain|have|yields?|results?\s+in|becomes?|spells?)\b(?:\s+us)?:?"
    rf"|(?:=|[-=]>)(?=\s*[\"'(]?[{_LATIN}])"
    # What a text ends in, behind a colon.
    rf"|:(?=\s*[\"']?[{_LATIN}]+[\"'.!]*\s*\Z)",
    re.I | re.M,
)
_LEAD = (
    r"[\s\"'(\[:$]{0,9}(?:(?:the|letters?|word|string|concatenation|result|it(?:'s|\s+is))\s+){0,5}"
    r"[\"'(\[:$]{0,9}"
)
# Letters one by one, with the same kind of gap between all of them.
_SPELLED = re.compile(
    rf"{_LEAD}([{_LATIN}](?:(?:[\s,;_+\-\u2013&\"'/|·→.]|,\s*and\s)+[{_LATIN}](?![{_LATIN}]))+)"
    rf"(?:[\"'.\s]*[:=→]\s*[\"']?(?P<joined>[{_LATIN}]+))?",
    re.I,
)
# A word that nothing follows in its clause.
_WORD = re.compile(
    rf"{_LEAD}([{_LATIN}]+)(?![\w-])(?=\W*$|[\"')\]$]*\s*[.,;:!?()\n\[\u2013\u2014]|[\"')\]$]+"
    r"|\s+(?:because|since|as|which|not|and\s+not|when|by|from)\b)",
    re.I,
)
_QUOTED = re.compile(rf"[\"]([{_LATIN}][{_LATIN}\s,-]*)[\"]", re.I)
_EITHER = re.compile(rf"[\"']*\s*(?:or|/)\s*[\"']*[{_LATIN}]{{2}}", re.I)
_LABEL = re.compile(r"\s*a\s*:\s*", re.I)


def read_letters(text: str) -> str | None:
    """Return the letters that a text states as its answer, joined and in lower case, or None.

    The last statement counts ("the answer is", "we get", an equals sign), with its corrections; a
    text of one word is its own statement. Letters may be quoted, in upper case, and apart: `yajo`,
    "Y-A-J-O", `y a j o`, `y, a, j, o`.
    """
    text = _LABEL.sub("", spoken(text), count=1) if _LABEL.match(text) else spoken(text)
    whole = _letters(text) if len(text.split("\n")) == 1 else None
    if whole is not None and not re.search(r"\w", text[whole[1] :]):
        return whole[0]
    for statement in reversed(stated(text, _CUE)):
        meant = affirmed(statement)
        if meant is None or UNKNOWN.match(meant.text):
            return None
        found = _letters(meant.text)
        if found is None:
            continue
        if _EITHER.match(meant.text, found[1]):
            return None
        back = taken_back(text, meant.start + found[1])
        corrected = _letters(text[back:].lstrip(" ,:.-")) if back is not None else None
        return corrected[0] if corrected else found[0]
    return None


def _letters(text: str) -> tuple[str, int] | None:
    """Return the letters at the start of a text, or in its first quotation, and where they end."""
    spelled = _SPELLED.match(text)
    if spelled and spelled["joined"]:
        return spelled["joined"].lower(), spelled.end()
    for found in (spelled, _QUOTED.search(text), _WORD.match(text)):
        if found:
            return re.sub(rf"[^{_LATIN}]", "", found[1].lower()), found.end(1)
    return None
