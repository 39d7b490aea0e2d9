"""Reading the number that an answer ends in, and comparing numbers."""

import re
from collections.abc import Iterable
from fractions import Fraction

from trimtab.reading.characters import one_form
from trimtab.reading.dates import MONTH
from trimtab.reading.expressions import EQUALS, UNSOLVED, compounded, is_part, result_of
from trimtab.reading.markup import plain
from trimtab.reading.number_words import Worded, worded, worded_numbers
from trimtab.reading.numerals import Numeral, numeral, numerals, worth
from trimtab.reading.spoken import spoken
from trimtab.reading.statements import (
    CHATTER,
    UNKNOWN,
    Passage,
    before,
    sentences,
    stated_either_way,
    taken_back,
)

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
_TRAILING = re.compile(
    r"(?:,\s*which\s+(?:is|was|means|are)|\bby\s+[a-z]+ing)\b.*", re.I | re.DOTALL
)
_BRACKETED = re.compile(r"\([^()]*\)")
_ONE_WORD = re.compile(r"\s*[\w-]+[.!]\s")
# What leaves open which of two numbers is meant; in a statement a list does too.
_OR = re.compile(r"\s*(?:,\s*)?(?:or|or\s+\(?[a-z]\)|or\s+[a-z]\s*=)\s*", re.I)
_LISTED = re.compile(r"\s*(?:,|;|&|,?\s*(?:and|or|to)\b|,?\s*(?:and|or)\s+[a-z]\s*=)\s*", re.I)
# "90 minutes" of "1 hour and 30 minutes (90 minutes)".
_IN_BRACKETS = re.compile(r"[^.;,\n(]{0,20}\(([^()]*)\)")
# What may stand in a statement before a number in words.
_MATRIX = re.compile(r"\\begin\b")
_LEADS = re.compile(r"\W*(?:(?:about|approximately|exactly|only|just|a\s+total\s+of)\s+)?", re.I)
_REMAINS_OPEN: list[str | None] = [None]


# A minus that stands apart from its number.
_APART = re.compile(r"(\b(?:is|be|was|equals)\s|[:=]\s)-\s(?=[$€£]?[0-9])")


def read_number(text: str) -> str | None:
    r"""Return the final answer of a text as plain text: digits, `1/3`, or `50%`; or None.

    Read are, the first that there is: the last number that the text states as its answer ("the
    answer is", "Answer:", `####`, `\boxed{}`), or with which it later corrects that ("no, wait,
    7"); else the last number of the last sentence that has one. Of an equation the result counts.
    Numbers of steps, dates, times, ordinals and what is in brackets count where there is nothing
    else; words ("seven", "twenty-one") where there are no digits. A statement of two numbers to
    choose from has no answer, nor has one in a format that is not read, such as "5 + 7" or "3:2".

    Whether 50% is 50 or 0.5 is for the gold answer to say: the sign is kept, see `same_number`.
    """
    text = _APART.sub(r"\1-", spoken(text))
    for statement in reversed(stated_either_way(text)):
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
    equals `0.5` and `50`, and no other percentage. So do dozens: `5 dozen` equals `60` and `5`.
    """
    if one is None or other is None:
        return False
    one, other = numeral(one), numeral(other)
    if one is None or other is None or one == other:
        return one is not None and one == other
    (left, of_left), (right, of_right) = _measured(one), _measured(other)
    if left is None or right is None:
        return False
    if of_left == of_right:
        return left == right
    return left * of_left == right * of_right or (left == right and 1 in (of_left, of_right))


def _measured(value: str) -> tuple[Fraction | None, Fraction]:
    """Return the figure of a number, and what it is a figure of: hundredths, dozens or ones."""
    for unit, worth_of in (("%", Fraction(1, 100)), (" dozen", Fraction(12))):
        if value.endswith(unit):
            return worth(value.removesuffix(unit)), worth_of
    return worth(value), Fraction(1)


def gold_number(target: str) -> str | None:
    """Return the number that a target is, or that it ends in after `####`; None if it is text."""
    return numeral(plain(one_form(target.rpartition(_MARK)[2])).strip().rstrip("."))


def _of_statement(statement: Passage) -> tuple[list[str | None] | None, int]:
    """Return the number of a statement, or the numbers it leaves open, and where it ends."""
    text = statement.text
    strong, weak = _sorted_out(text)
    kept, words = strong or weak, worded(text)
    before_all = kept[0].start if kept else len(text)
    if UNKNOWN.search(text, 0, before_all) or _MATRIX.search(text, 0, before_all):
        return _REMAINS_OPEN, len(text)
    if words and (not kept or _comes_first(words[0], kept[0], text)):
        return [words[0].value], words[0].end
    start = 0
    while rest := [one for one in kept if one.start >= start]:
        clause = _CLAUSE_END.search(text, rest[0].end)
        ends = clause.start() if clause else len(text)
        within = [one for one in rest if one.start < ends]
        if EQUALS.search(text, start, ends) and UNSOLVED.search(text, start, ends):
            start = ends
            continue
        chosen = result_of(within, text, start, ends)
        if chosen is None or chosen.value is None:
            return _bracketed(text, (chosen or within[-1]).end), ends
        return _with_rivals(chosen, kept, text, _LISTED), chosen.end
    return (_REMAINS_OPEN if kept else None), len(text)


def _comes_first(word: Worded, first: Numeral, text: str) -> bool:
    """Whether a statement is a number in words, and digits only follow."""
    leads = bool(_LEADS.fullmatch(text[: word.start])) and word.end <= first.start
    return leads and not EQUALS.search(text) and not re.search(r"\(", text[word.end : first.start])


def _bracketed(text: str, start: int) -> list[str | None]:
    """Return the number that brackets give for one that is not read."""
    found = _IN_BRACKETS.match(text, start)
    strong = _sorted_out(found[1])[0] if found else []
    return [strong[0].value] if len(strong) == 1 else _REMAINS_OPEN


def _of_prose(text: str) -> list[str | None] | None:
    """Return the number that a text without a statement ends in."""
    fallback: list[str | None] | None = None
    for sentence in reversed(sentences(text)):
        said = CHATTER.split(sentence.text)[0]
        strong, weak = _sorted_out(said)
        if strong and not _BRACKETED.fullmatch(said.strip()):
            if UNKNOWN.search(said):
                return _REMAINS_OPEN
            chosen = _preferred(strong, said)
            if chosen is None or chosen.value is None:
                return _bracketed(said, (chosen or strong[-1]).end)
            return _with_rivals(chosen, strong, said, _OR)
        if (strong or weak) and fallback is None:
            fallback = [(strong or weak)[-1].value]
    opening = _ONE_WORD.match(text)
    words = worded_numbers(opening[0] if opening else "") or worded_numbers(text)[-1:]
    return fallback or [*words] or None


def _preferred(found: list[Numeral], sentence: str) -> Numeral | None:
    """Return the result of the last equation, else the last number; asides come last.

    Asides are what stands in brackets, in a closing "which is ...", or after a preposition. None
    where the number is a part of an expression.
    """
    trailing = _TRAILING.search(sentence)
    spans = [match.span() for match in _BRACKETED.finditer(sentence)]
    spans += [trailing.span()] if trailing else []
    outer = [one for one in found if not any(a <= one.start < b for a, b in spans)] or found
    free = [one for one in outer if one.money or not _counts_else(one, sentence)]
    last = (free or outer)[-1]
    equals = max((sign.start() for sign in EQUALS.finditer(sentence, 0, last.start)), default=-1)
    results = [one for one in outer if 0 <= equals < one.start]
    if results and not _NEW_CLAUSE.search(sentence[results[0].end : last.start]):
        return result_of(outer, sentence, 0, len(sentence))
    return None if is_part(last, sentence) else last


def _counts_else(one: Numeral, sentence: str) -> bool:
    """Whether the words around a number tell a circumstance: "for 5 days", "2 days later"."""
    governed = _GOVERNED.search(before(sentence, one.start))
    return bool(governed or _LATER.match(sentence, one.end))


def _sorted_out(text: str) -> tuple[list[Numeral], list[Numeral]]:
    """Return the numbers of a text that may be an answer, and those that hardly are."""
    asides = [match.span() for match in _ASIDE.finditer(text)]
    strong: list[Numeral] = []
    weak: list[Numeral] = []
    for found in compounded(numerals(text), text):
        if _DENIED.search(before(text, found.start)):
            continue
        aside = any(start < found.end and found.start < end for start, end in asides)
        (weak if aside else strong).append(found)
    return strong, weak


def _with_rivals(
    chosen: Numeral, among: Iterable[Numeral], text: str, joins: re.Pattern[str]
) -> list[str | None]:
    """Return the number, and those that "or" puts beside it."""
    rivals = [
        other.value
        for other in among
        if joins.fullmatch(text[min(chosen.end, other.end) : max(chosen.start, other.start)])
    ]
    return [chosen.value, *rivals]


def _unless_open(values: list[str | None] | None) -> str | None:
    """Return the first value if all are the same number."""
    if not values or not all(same_number(values[0], value) for value in values):
        return None
    return values[0]
