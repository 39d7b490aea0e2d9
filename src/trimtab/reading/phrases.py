"""Reading what a text answers as a phrase, or as letters, and comparing phrases."""

import re
import unicodedata

from trimtab.reading.letters import read_letters
from trimtab.reading.spoken import spoken
from trimtab.reading.statements import (
    affirmed,
    is_cut_short,
    sentences,
    stated_either_way,
    taken_back,
)

__all__ = ["final_phrase", "read_letters", "same_phrase"]

# What may stand before a phrase: "A:", "it is", the mark of a heading, a list or a quotation.
_LEAD = re.compile(
    r"(?:(?:a|output|response)\s*:\s*|(?:it|that)(?:'s|\s+is|\s+was|\s+would\s+be)\s+"
    r"|(?:i'd|i\s+would)\s+(?:say|guess)\s+|,?\s*of\s+course,\s+|(?:simply|clearly|definitely|probably|indeed|just)\s+|[#>]+\s+|[-*•]\s+|[0-9]+[.)]\s+)",
    re.I,
)
_PAIRS = {'"': '"', "'": "'", "(": ")", "[": "]", "{": "}", "$": "$", "_": "_", "*": "*", "`": "`"}
_QUOTED = re.compile(r'"([^"\n]+)"(?!\w)')
# What goes on after a phrase, without being a part of it.
_ASIDE = re.compile(
    r"\s*(?:[;\u2014]|\s\(|\s-\s|,\s*(?=(?:the|an?|which|who|where|not|because|since|as|so|but|and\s+not|of\s+course)\b)"
    r"|\s(?=(?:because|since|which|not|rather\s+than|instead\s+of)\b)|:\s(?=(?:the|an?)\s)).*",
    re.S,
)
# What follows an answer that is explained behind it.
_EXPLAINS = re.compile(
    r"\W*(?:explanation|reason(?:ing)?|note|it|this|that|he|she|they|because|i\s+hope"
    r"|let\s+me\s+know)\b",
    re.I,
)
# A sentence that says what the asked one is, and does not doubt it.
_SAYS = re.compile(
    r"(?!.*(?:n't\b|\b(?:not|never|no|if|whether|doubt|think|may|might|could)\b))[^.!?\n]+?\s(?:is|are|was|were)\s"
    r"+([^.!?\n]+)",
    re.I,
)
_LABELLED = re.compile(r"\(?[A-Z][).:]\s+(?=\S)")


def final_phrase(text: str) -> str | None:
    """Return what a text states as its answer, or the whole text where it states none, or None.

    The last statement counts, with its corrections; markup, quotation marks and a full stop are no
    part of the phrase. None where the text is empty, breaks off before its answer, or only says
    what the answer is not.
    """
    text = spoken(text)
    for statement in reversed(stated_either_way(text)):
        meant = affirmed(statement)
        if meant is None:
            return None
        back = taken_back(text, meant.end)
        corrected = _tidied(text[back:].lstrip(" ,:.-").partition("\n")[0]) if back else None
        phrase = corrected or _tidied(meant.text)
        if phrase:
            return phrase
    return None if is_cut_short(text) else _tidied(text)


def same_phrase(phrase: str | None, target: str) -> bool:
    """Whether a phrase says what a target says; None says nothing.

    Letter case, spaces, quotation marks, markup and ways to write one character do not count, nor
    does what is only added: "(B) Paris, the capital" says "Paris".
    """
    if phrase is None:
        return False
    wanted = _key(_tidied(spoken(target)) or target)
    alike = _key(phrase) == _key(target)  # whatever of both would be taken for markup
    return alike or wanted in {_key(one) for one in _readings(phrase)}


def _readings(phrase: str) -> list[str]:
    """Return a phrase whole, and without what it adds to what it names."""
    parts = [phrase, _ASIDE.sub("", phrase)]
    parts += [quoted[1] for quoted in [_QUOTED.match(phrase)] if quoted]
    first, *others = sentences(phrase)
    if others and _EXPLAINS.match(others[0].text) and taken_back(phrase, first.end) is None:
        parts.append(first.text)
    parts += [says[1] for says in [_SAYS.fullmatch(phrase)] if says]
    forms = [form for part in parts for form in (part, _LABELLED.sub("", part, count=1))]
    return [_tidied(form) or "" for form in forms]


def _key(phrase: str) -> str:
    return " ".join(phrase.casefold().split())


def _tidied(text: str) -> str | None:
    """Return a text without what only sets it off; None where nothing is left to read."""
    before, text = None, text.strip()
    while text != before:
        before = text
        text = _without_symbols(text).rstrip(".!?,;:} \n")
        text = _LEAD.sub("", text, count=1).strip() if _LEAD.match(text) else text
        if len(text) > 1 and _PAIRS.get(text[0]) == text[-1]:
            text = text[1:-1].strip()
        elif text.startswith('"') and text.count('"') == 1:
            text = text[1:]
        elif text.endswith('"') and text.count('"') == 1:
            text = text[:-1]
    return text if re.search(r"\w", text) else None


def _without_symbols(text: str) -> str:
    """Return a text without emoji and the like at its ends."""
    start, end = 0, len(text)
    while start < end and _is_symbol(text[start]):
        start += 1
    while start < end and _is_symbol(text[end - 1]):
        end -= 1
    return text[start:end].strip()


def _is_symbol(one: str) -> bool:
    return unicodedata.category(one) == "So"
