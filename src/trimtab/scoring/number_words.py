"""Numbers written as words: up to ninety-nine, and so many hundreds, thousands or millions."""

import re

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
_SMALL = (
    rf"(?:(?:{'|'.join(_TENS)})(?:[\s-](?:{'|'.join(_UNITS[1:10])})\b)?"
    rf"|(?:{'|'.join(reversed(_UNITS))}))"
)
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6}
_WORD = re.compile(
    rf"\b(?P<small>{_SMALL})(?:\s(?P<scale>{'|'.join(_SCALES)})(?:\s(?:and\s)?(?P<rest>{_SMALL}))?)?\b",
    re.IGNORECASE,
)
# "one" where it is a pronoun.
_PRONOUN = re.compile(
    r"\b(?:no|each|every|any|some|which|this|that|the|other|another)\s+one\b|\bone\s+(?:of|another|can|"
    r"could|would|should|might|may|must|has|knows?|who)\b",
    re.IGNORECASE,
)


def worded_numbers(text: str) -> list[str]:
    """Return the numbers that a text has as words, in order, as digits."""
    text = _PRONOUN.sub(" ", text)
    return [str(_value(found)) for found in _WORD.finditer(text)]


def _value(found: re.Match[str]) -> int:
    scale = _SCALES[found["scale"].lower()] if found["scale"] else 1
    return _small(found["small"]) * scale + (_small(found["rest"]) if found["rest"] else 0)


def _small(words: str) -> int:
    parts = re.split(r"[\s-]", words.lower())
    return sum(20 + 10 * _TENS.index(p) if p in _TENS else _UNITS.index(p) for p in parts)
