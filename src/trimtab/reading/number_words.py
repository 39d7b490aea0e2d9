"""Numbers written as words."""

import re
from fractions import Fraction
from typing import NamedTuple

from trimtab.reading.numerals import canonical

_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8}
_SMALL = (
    rf"(?:(?:{'|'.join(_TENS)})(?:[\s-](?:{'|'.join(_UNITS[1:10])})\b)?"
    rf"|(?:{'|'.join(reversed(_UNITS))}))"
)
_SCALE = rf"(?:{'|'.join(_SCALES)})"
_WHOLE = rf"(?:{_SMALL}\b(?:\s+{_SCALE}\b){{0,3}}|an?(?:\s+{_SCALE}\b){{1,3}}|a\s+dozen\b)"
_PART = rf"(?:{'|'.join(_PARTS)}|halve|fifth|sixth)s?\b"
_WORD = re.compile(
    rf"\b(?P<sign>(?:negative|(?<=is\s)minus|^minus)\s+|)(?:"
    rf"(?P<share>(?:an?|{'|'.join(_UNITS[1:10])})[\s-])(?P<of>{_PART})"
    rf"|(?P<whole>{_WHOLE}(?:(?:,?\s+(?:and\s+)?)(?:{_SMALL})\b(?:\s+{_SCALE}\b){{0,3}}){{0,9}})"
    rf"(?:\s+point(?P<point>(?:\s+(?:{'|'.join(_UNITS[:10])})\b){{1,9}})"
    rf"|\s+and\s+(?P<more>an?|{'|'.join(_UNITS[1:10])})[\s-](?P<more_of>{_PART})"
    rf"|(?P<dozen>\s+dozen\b))?)(?!\s+score\b)",
    re.IGNORECASE,
)
# "one" where it is a pronoun.
_PRONOUN = re.compile(
    r"\b(?:no|each|every|any|some|which|this|that|the|other|another)\s+one\b|\bone\s+(?:of|another|can|"
    r"could|would|should|might|may|must|has|knows?|who)\b",
    re.IGNORECASE,
)


class Worded(NamedTuple):
    """A number that a text has as words: its place, and its value as digits."""

    start: int
    end: int
    value: str


def worded(text: str) -> list[Worded]:
    """Return the numbers that a text has as words, in order."""
    text = _PRONOUN.sub(lambda found: " " * len(found[0]), text)
    found = []
    for match in _WORD.finditer(text):
        found += _values(match)
    return found


def worded_numbers(text: str) -> list[str]:
    """Return the values of the numbers that a text has as words, in order, as digits."""
    return [one.value for one in worded(text)]


def _values(match: re.Match[str]) -> list[Worded]:
    sign = -1 if match["sign"] else 1
    if match["of"]:
        share = _share(match["share"].strip(" -"), match["of"])
        return [Worded(match.start(), match.end(), canonical(sign * share))]
    numbers = _grouped(match["whole"])
    more = Fraction(0)
    if match["point"]:
        digits = "".join(str(_UNITS.index(word)) for word in match["point"].lower().split())
        more = Fraction(int(digits), 10 ** len(digits))
    elif match["more"]:
        more = _share(match["more"], match["more_of"])
    *earlier, last = numbers
    unit = " dozen" if match["dozen"] else ""
    return [Worded(match.start(), match.end(), str(sign * one)) for one in earlier] + [
        Worded(match.start(), match.end(), canonical(sign * (last + more)) + unit)
    ]


def _share(count: str, part: str) -> Fraction:
    part = part.lower().removesuffix("s").replace("halve", "half")
    return Fraction(
        1 if count.lower() in ("a", "an") else _UNITS.index(count.lower()), _PARTS[part]
    )


def _grouped(words: str) -> list[int]:
    """Return the numbers that words make: two of them where they do not make one."""
    numbers: list[int] = []
    whole, group, last = 0, 0, ""
    for word in re.split(r"[\s,-]+", words.lower()):
        if word in ("and", "a", "an"):
            group = max(group, 0)
            last = word if word != "and" else last
            continue
        if word == "dozen":
            group = 12
        elif word in _SCALES:
            group = max(group, 1) * _SCALES[word]
            if word != "hundred":
                whole, group = whole + group, 0
        else:
            value = 20 + 10 * _TENS.index(word) if word in _TENS else _UNITS.index(word)
            continues = last in _SCALES or (last in _TENS and 0 < value < 10) or not last
            if not continues and last not in ("a", "an"):
                numbers.append(whole + group)
                whole, group = 0, 0
            group += value
        last = word
    return [*numbers, whole + group]
