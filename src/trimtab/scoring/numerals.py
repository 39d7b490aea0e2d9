"""How numbers are written: what a numeral is, where a text has one, and what it is worth."""

import re
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

# Longer ones are compared as text: models do write thousands of digits.
_MOST_DIGITS = 400
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_VULGAR = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5",
    "⅗": "3/5", "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip
_CURRENCY = r"(?:[$€£¥₹]|US\$|(?:USD|EUR|GBP|Rs\.?)\s)"
_DIGITS = (
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]{1,3}(?:[\u00a0\u202f][0-9]{3})+(?![0-9])"
    r"|[0-9]{1,3}(?:\ [0-9]{3})+(?![0-9]|-|\ ?(?:g|mg|ml|mm)\b)|[0-9]+)"
)
_TIMES_TEN_TO = r"\s*[x\u00d7*]\s*10\s*(?:\^|\*\*)\s*\(?"
_NUMERAL = re.compile(
    rf"""
    # A minus is a sign where nothing stands before it that could be taken from.
    (?P<sign>(?<![\w.)\]%])(?<![0-9)\]%]\ )-(?={_CURRENCY}?\s?\.?[0-9½¼¾])|)
    (?P<money>{_CURRENCY}\s?(?P<inner>-(?=[0-9])|)|)
    (?P<body>
      [0-9]+\ +[0-9]+/[0-9]+(?![/0-9])                                # mixed fraction
    | [0-9]+/[0-9]+(?![/0-9])                                         # fraction
    | [0-9]*\s?[{"".join(_VULGAR)}]
    | {_DIGITS}(?:\.[0-9]+)?                                          # times a power of ten
      (?:{_TIMES_TEN_TO}-?[0-9]{{1,3}}\)?|[eE][+-]?[0-9]{{1,3}}(?!\w))
    | {_DIGITS}(?:\.[0-9]+)?
    | \.[0-9]+
    )
    (?P<scale>(?:\s(?:thousand|million|billion|trillion)\b)?)
    (?P<percent>\s?%|\s(?:percent|per\ cent)\b|)
    """,
    re.VERBOSE,
)
_DECIMAL = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")


class Numeral(NamedTuple):
    """A number in a text.

    Attributes:
        start: its first character in the text, sign and currency included.
        end: the first character after it.
        value: plain text: digits with no separators (`1234.5`), a fraction in lowest terms where
            no decimal is exact (`1/3`), and a `%` behind where the text has one.
        money: whether a currency stands before it.
    """

    start: int
    end: int
    value: str
    money: bool


def numerals(text: str) -> list[Numeral]:
    """Return the numbers of a text, in order."""
    found = []
    for match in _NUMERAL.finditer(text):
        value = _written(match)
        if value is not None:
            found.append(Numeral(match.start(), match.end(), value, bool(match["money"])))
    return found


def numeral(text: str) -> str | None:
    """Return the value of a text that is one number as a whole, such as `$1,200`; else None."""
    match = _NUMERAL.fullmatch(text.strip())
    return _written(match) if match else None


def canonical(value: Fraction) -> str:
    """Return the shortest exact text: a decimal if there is one, else a fraction."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
    digits = str(abs(int(value * 10**places))).rjust(places + 1, "0")
    whole, part = digits[: len(digits) - places], digits[len(digits) - places :]
    return ("-" if value < 0 else "") + whole + ("." + part if part else "")


def worth(value: str) -> Fraction | None:
    """Return what a plain number (`-3.0`, `1/3`, no `%`) is worth, or None if it is none."""
    if len(value) > _MOST_DIGITS:
        return None
    top, slash, bottom = value.partition("/")
    if not _DECIMAL.fullmatch(top) or (slash and not re.fullmatch(r"[0-9]+", bottom)):
        return None
    if slash and int(bottom) == 0:
        return None
    return Fraction(Decimal(top)) / (int(bottom) if slash else 1)


def _written(match: re.Match[str]) -> str | None:
    sign = "-" if match["sign"] or match["inner"] else ""
    body = re.sub(
        r"(?<=[0-9])[,\u00a0\u202f](?=[0-9]{3})|(?<=[0-9])\ (?=[0-9]{3}(?![0-9/]))",
        "",
        match["body"],
    )
    value = _decimal(sign + body)
    if value is None:
        exact = _composed(body)
        if exact is None:
            return None
        value = canonical(-exact if sign else exact)
    if match["scale"]:
        exact = worth(value)
        value = canonical(exact * _SCALES[match["scale"].strip()]) if exact is not None else value
    return value + ("%" if match["percent"] else "")


def _decimal(body: str) -> str | None:
    """Shorten a plain decimal as text, however long it is."""
    if not _DECIMAL.fullmatch(body):
        return None
    sign, digits = ("-", body[1:]) if body.startswith("-") else ("", body)
    whole, _, part = digits.partition(".")
    whole, part = whole.lstrip("0") or "0", part.rstrip("0")
    shortened = whole + ("." + part if part else "")
    return shortened if shortened == "0" else sign + shortened


def _composed(body: str) -> Fraction | None:
    """Work out a fraction, a mixed fraction or a number in scientific notation."""
    for sign, fraction in _VULGAR.items():
        body = body.replace(sign, f" {fraction}")
    power = re.fullmatch(rf"([0-9.]+)(?:{_TIMES_TEN_TO}|[eE])([+-]?[0-9]+)\)?", body)
    if power:
        number = worth(power[1])
        return number * Fraction(10) ** int(power[2]) if number is not None else None
    parts = [worth(part) for part in body.split()]
    exact = [part for part in parts if part is not None]
    return sum(exact, Fraction(0)) if len(exact) == len(parts) else None
