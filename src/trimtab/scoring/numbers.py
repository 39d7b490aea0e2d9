"""Reading the number that an answer ends in, and comparing numbers."""

import re
from collections.abc import Iterable

from trimtab.scoring.dates import MONTH
from trimtab.scoring.markup import plain
from trimtab.scoring.number_words import worded_numbers
from trimtab.scoring.numerals import Numeral, numeral, numerals, worth
from trimtab.scoring.statements import Passage, before, own_answer, sentences, stated, taken_back

_MARK = "####"
# Numerals that count something else than the answer, read only where there is no other: list
# markers, labels of steps, dates, times, ordinals, years, parts of names.
_ASIDE = re.compile(
    rf"""
      ^\s*\(?[0-9]+[.):]\s+(?=\S)
    | \b(?:step|part|case|method|option|question|problem|day|chapter|figure|line|room|no\.)
      \s+\#?[0-9]+\b
    | \b[0-9]{{1,2}}:[0-9]{{2}}(?::[0-9]{{2}})?(?:\s*[ap]\.?m\b)?
    | \b[0-9]{{1,4}}([/-])[0-9]{{1,2}}\1[0-9]{{1,4}}\b
    | \b{MONTH}\s+[0-9]{{1,2}}(?:st|nd|rd|th)?\b(?:,?\s+[0-9]{{4}}\b)?
    | \b[0-9]{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{MONTH},?\s+[0-9]{{4}}\b
    | \b(?:in|since|by|until|year)\s+(?:19|20)[0-9]{{2}}\b(?!\s*[a-z$€£]|,[0-9])
    | \b[0-9]+(?:st|nd|rd|th)\b
    | (?:https?://|www\.)\S+
    | (?<![0-9])[A-Za-z_^\#][0-9]+\w*
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_REVERSED = re.compile(r"\bis\s+(?:the|my)\s+(?:\w+\s+)?answer\b", re.IGNORECASE)
_DENIED = re.compile(r"(?:\bnot|n't|\brather\s+than|\binstead\s+of)\s+(?:be\s+)?$", re.IGNORECASE)
_GOVERNED = re.compile(
    r"\b(?:for|in|after|at|from|per|than|within|every|over|these|those)"
    r"(?:\s+(?:the|all|about|his|her|their))?\s+$|,\s*with\s+$",
    re.IGNORECASE,
)
_LATER = re.compile(r"\s+\w+\s+(?:later|ago|earlier)\b", re.IGNORECASE)
# What ends the part of a statement that holds the number.
_CLAUSE_END = re.compile(
    r"[;(](?=.)|,(?![0-9]{3})|\b(?:because|since|as|so|which|where|while|but|and|after|if)\b|\.\s",
    re.I,
)
# What may begin a new finding after an equation: "4 * 5 = 20, plus 3 is 23".
_NEW_CLAUSE = re.compile(
    r"[,;:→>+]|\.\s|\b(?:is|are|was|were|makes?|leaves?|leaving|gives?|has|have|had|gets?|so|but|plus|and)\b",
    re.I,
)
_CHATTER = re.compile(r"\bhope\s+(?:this|that|it)\b|\blet\s+me\s+know\b|\bfeel\s+free\b", re.I)
_TRAILING = re.compile(
    r"(?:,\s*which\s+(?:is|was|means|are)|\bby\s+[a-z]+ing)\b.*", re.I | re.DOTALL
)
_BRACKETED = re.compile(r"\([^()]*\)")
_ONE_WORD = re.compile(r"\s*[\w-]+[.!]\s")
_OR = re.compile(r"\s*(?:,\s*)?(?:or|or\s+\(?[a-z]\))\s*", re.I)


def read_number(text: str) -> str | None:
    r"""Return the final answer of a text as plain text: digits, `1/3`, or `50%`; or None.

    Read are, the first that there is: the last number that the text states as its answer ("the
    answer is", "Answer:", `####`, `\boxed{}`), or with which it later corrects that ("no, wait,
    7"); else the last number of the last sentence that has one. Of an equation the result counts.
    Numbers of steps, dates, times, ordinals and what is in brackets count where there is nothing
    else; words ("seven", "twenty-one") where there are no digits. A statement of two numbers to
    choose from has no answer.

    Whether 50% is 50 or 0.5 is for the gold answer to say: the sign is kept, see `same_number`.
    """
    text = plain(own_answer(text))
    for statement in reversed(_statements(text)):
        found, ends = _of_statement(statement)
        if found is None:
            continue
        back = taken_back(text, statement.start + ends)
        corrected = _of_prose(text[back:]) if back is not None else None
        return _unless_open(corrected if corrected is not None else found)
    return _unless_open(_of_prose(text))


def same_number(one: str | None, other: str | None) -> bool:
    """Whether two numbers, as text, are worth exactly the same; None is no number.

    A percentage equals a number without the sign that is either its share or its figure: `50%`
    equals `0.5` and `50`, and no other percentage.
    """
    if one is None or other is None:
        return False
    one, other = numeral(one), numeral(other)
    if one is None or other is None or one == other:
        return one is not None and one == other
    left, right = worth(one.removesuffix("%")), worth(other.removesuffix("%"))
    if left is None or right is None:
        return False
    if one.endswith("%") != other.endswith("%"):
        share, figure = (left, right) if one.endswith("%") else (right, left)
        return figure in (share, share / 100)
    return left == right


def gold_number(target: str) -> str | None:
    """Return the number that a target is, or that it ends in after `####`; None if it is text."""
    return numeral(plain(target.rpartition(_MARK)[2]).strip().rstrip("."))


def _statements(text: str) -> list[Passage]:
    """Return what is stated, "150 is the answer" included, in order."""
    found = stated(text)
    for sentence in sentences(text):
        back = _REVERSED.search(sentence.text)
        if back:
            found.append(Passage(sentence.start, sentence.text[: back.start()]))
    return sorted(found, key=lambda passage: passage.start)


def _of_statement(statement: Passage) -> tuple[list[str] | None, int]:
    """Return the number of a statement, or the numbers it leaves open, and where it ends."""
    strong, weak = _sorted_out(statement.text)
    if not strong and not weak:
        words = worded_numbers(statement.text)
        return (words[:1] or None), len(statement.text)
    kept = strong or weak
    first = kept[0]
    clause = _CLAUSE_END.search(statement.text, first.end)
    ends = clause.start() if clause else len(statement.text)
    equals = max(statement.text.rfind(sign, 0, ends) for sign in "=≈")
    results = [found for found in kept if equals < found.start < ends] if equals >= 0 else []
    chosen = results[0] if results else first
    return _with_rivals(chosen, kept, statement.text), chosen.end


def _of_prose(text: str) -> list[str] | None:
    """Return the number that a text without a statement ends in."""
    fallback: list[str] | None = None
    for sentence in reversed(sentences(text)):
        said = _CHATTER.split(sentence.text)[0]
        strong, weak = _sorted_out(said)
        if strong and not _BRACKETED.fullmatch(said.strip()):
            return _with_rivals(_preferred(strong, said), strong, said)
        if (strong or weak) and fallback is None:
            fallback = [(strong or weak)[-1].value]
    opening = _ONE_WORD.match(text)
    words = worded_numbers(opening[0] if opening else "") or worded_numbers(text)[-1:]
    return fallback or words or None


def _preferred(found: list[Numeral], sentence: str) -> Numeral:
    """Return the result of the last equation, else the last number; asides come last.

    Asides are what stands in brackets, in a closing "which is ...", or after a preposition.
    """
    trailing = _TRAILING.search(sentence)
    spans = [match.span() for match in _BRACKETED.finditer(sentence)]
    spans += [trailing.span()] if trailing else []
    outer = [one for one in found if not any(a <= one.start < b for a, b in spans)] or found
    free = [one for one in outer if one.money or not _counts_else(one, sentence)]
    last = (free or outer)[-1]
    equals = max(sentence.rfind(sign, 0, last.start) for sign in "=≈")
    results = [one for one in outer if 0 <= equals < one.start]
    if results and not _NEW_CLAUSE.search(sentence[results[0].end : last.start]):
        return results[0]
    return last


def _counts_else(one: Numeral, sentence: str) -> bool:
    """Whether the words around a number tell a circumstance: "for 5 days", "2 days later"."""
    governed = _GOVERNED.search(before(sentence, one.start))
    return bool(governed or _LATER.match(sentence, one.end))


def _sorted_out(text: str) -> tuple[list[Numeral], list[Numeral]]:
    """Return the numbers of a text that may be an answer, and those that hardly are."""
    asides = [match.span() for match in _ASIDE.finditer(text)]
    strong: list[Numeral] = []
    weak: list[Numeral] = []
    for found in numerals(text):
        if _DENIED.search(before(text, found.start)):
            continue
        aside = any(start < found.end and found.start < end for start, end in asides)
        (weak if aside else strong).append(found)
    return strong, weak


def _with_rivals(chosen: Numeral, among: Iterable[Numeral], text: str) -> list[str]:
    """Return the number, and those that "or" puts beside it."""
    rivals = [
        other.value
        for other in among
        if _OR.fullmatch(text[min(chosen.end, other.end) : max(chosen.start, other.start)])
    ]
    return [chosen.value, *rivals]


def _unless_open(values: list[str] | None) -> str | None:
    """Return the first value if all are the same number."""
    if not values or not all(same_number(values[0], value) for value in values):
        return None
    return values[0]
