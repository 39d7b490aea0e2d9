"""What the numbers of a text are together: equations, expressions, measures in two units."""

import itertools
import re

from trimtab.reading.numerals import Numeral, canonical, worth
from trimtab.reading.statements import before

# What makes a number a part of an expression that is not worked out: "5 + 7", "x + 3".
_GOES_ON = re.compile(
    r"(?:\s?\^|/(?=[$(]?[0-9])|(?:\s?[a-z]+)?(?:\s*[+*\u00d7÷±·]|\s*-(?=\s*[$(]?[0-9])|\s:(?=\s?[0-9])"
    r"|\s*x(?=\s?[0-9(])|\s+(?:log|ln|mod|plus|minus|times|divided\s+by|multiplied\s+by)))\s*[$(√-]*(?:[0-9]|[a-z]\b)",
    re.I,
)
_GOES_BEFORE = re.compile(
    r"(?:[√<≤≥]|(?<![=-])>)\s*[({]?[$]?$|\b(?:twice|double|triple|half)\s+(?:of\s+)?$|(?:[0-9)%]|\b[b-hj-z]|π)(?:\s*[*\u00d7÷±·/^]\s*|\s?[-+]\s?|\s+(?:log|mod|plus|minus|times)\s+)[$(]*$",
    re.I,
)
# An equation that is to be solved.
UNSOLVED = re.compile(
    r"\b[0-9]*[b-hj-wyz]\b\s*[-+*/^]|[-+*/^]\s*[0-9]*[b-hj-wyz]\b|[0-9]x\b|\bx\s*[-+*/^]\s"
)
EQUALS = re.compile(r"(?<![<>=])[=≈](?![>=])")
# Measures in two units, the smaller one second.
_TWO_UNITS = re.compile(
    r"\s*(?:(?P<money>dollars?|euros?)|hours?|hrs?|h|minutes?|mins?|feet|foot|ft|'|pounds?|lbs?|years?|months?|weeks?"
    r"|days?|yards?|meters?|metres?|m|kilograms?|kg|gallons?)[\s,]*(?:and\s+)?",
    re.I,
)
_SMALLER = re.compile(
    r"\s*(?:(?P<money>cents?)|minutes?|mins?|seconds?|secs?|inch(?:es)?|in|\"|ounces?|oz|months?|weeks?|days?|hours?"
    r"|centimeters?|centimetres?|cm|grams?|g|quarts?|pints?)\b",
    re.I,
)


def result_of(found: list[Numeral], text: str, start: int, end: int) -> Numeral | None:
    """Return the number that an equation, or a part of a sentence without one, comes to.

    This is the last side of the equation that is a number by itself; None where none is.
    """
    signs = [sign.start() for sign in EQUALS.finditer(text, start, end)]
    edges = [start, *signs, end]
    sides = [
        next((one for one in found if a <= one.start < b), None)
        for a, b in itertools.pairwise(edges)
    ]
    alone = [one for one in sides if one and not is_part(one, text)]
    if len(alone) > 1 and len(signs) == 1 and text[signs[0]] == "≈" and "/" in str(alone[0].value):
        return alone[0]  # 1/3 is about 0.333
    return alone[-1] if alone else None


def is_part(one: Numeral, text: str) -> bool:
    """Whether a number is a part of an expression."""
    return bool(_GOES_ON.match(text, one.end) or _GOES_BEFORE.search(before(text, one.start)))


def compounded(found: list[Numeral], text: str) -> list[Numeral]:
    """Make one of what two units share: dollars and cents add up, all others are not read."""
    compounded: list[Numeral] = []
    for one in found:
        last = compounded[-1] if compounded else None
        joint = last and _TWO_UNITS.fullmatch(text[last.end : one.start])
        smaller = _SMALLER.match(text, one.end)
        if not last or not joint or not smaller:
            compounded.append(one)
            continue
        whole, part = worth(last.value or ""), worth(one.value or "")
        value = None
        if joint["money"] and smaller["money"] and whole is not None and part is not None:
            value = canonical(whole + part / 100)
        compounded[-1] = Numeral(last.start, one.end, value, last.money)
    return compounded
