"""How numbers are written: what a numeral is, where a text has one, and what it is worth."""

import re
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

# Longer ones are compared as text: models do write thousands of digits.
_MOST_DIGITS = 400
_SCALES = {
    "k": 10**3, "m": 10**6, "mn": 10**6, "b": 10**9, "bn": 10**9, "thousand": 10**3, "lakh": 10**5,
    "lakhs": 10**5, "million": 10**6, "crore": 10**7, "crores": 10**7, "billion": 10**9,
    "trillion": 10**12,
}  # fmt: skip
_CURRENCY = r"(?:(?:US|R|A|C|HK)?\$|[€£¥₹₽₩]|(?:USD|EUR|GBP|CHF|INR|Rs\.?)\s)"
_MONEY_AFTER = re.compile(r"\s?(?:[€£¥₹₽$]|(?:EUR|euros?|USD|GBP|CHF)\b)", re.IGNORECASE)
# Thousands apart by commas, by commas in India, by full stops, spaces, apostrophes, underscores;
# the decimal point is a comma where full stops or spaces group.
_DIGITS = (
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}(?:\.[0-9]+)?"
    r"|[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+|[0-9]{1,3}(?:\.[0-9]{3}){2,}"
    r"|[0-9]{1,3}(?:\ [0-9]{3})+(?![0-9]|-|\ ?(?:g|mg|ml|mm)\b)(?:[.,][0-9]+)?"
    r"|[0-9]{1,3}(?:'[0-9]{3})+(?:\.[0-9]+)?|[0-9]{1,3}(?:_[0-9]{3})+(?:\.[0-9]+)?"
    r"|[0-9]+,[0-9]{2}(?![0-9])|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?![.,'_:/]?[0-9])"
)
_TIMES_TEN_TO = r"\s*[x\u00d7*·]\s*10\s*\^\s*\(?"
_SIGN = (
    # A minus is a sign where nothing stands before it that could be taken from.
    rf"(?<![\w.)\]%])(?<![0-9)\]%]\ )-(?=\(?{_CURRENCY}?\s?\.?[0-9])"
    rf"|\bnegative\s+(?={_CURRENCY}?\s?\.?[0-9])"
    r"|(?:(?<=\bis\s)|(?<=\bwas\s)|(?<=\bbe\s)|(?<=\bequals\s)|(?<=\bby\s)|(?<=\bto\s)|(?<=[:=]\s)|^)"
    rf"minus\s+(?={_CURRENCY}?\s?\.?[0-9])"
)
_NUMERAL = re.compile(
    rf"""
    (?P<sign>{_SIGN}|)
    (?P<money>{_CURRENCY}\s?(?P<inner>-(?=[0-9])|)|)
    (?:
      (?P<body>
        [0-9]+\ +(?:and\ +)?[0-9]+/[0-9]+(?![/0-9])                   # mixed fraction
      | [0-9]+/[0-9]+(?![/0-9]|\.[0-9])                               # fraction
      | {_DIGITS}(?:{_TIMES_TEN_TO}-?[0-9]{{1,3}}\)?|[eE][+-]?[0-9]{{1,3}}(?!\w))
      | {_DIGITS}\s?\^\s?\(?[+-]?[0-9]{{1,9}}\)?(?![.,]?[0-9])         # power
      | {_DIGITS}
      )
      # A coefficient, a root, a factorial and a number to another base are none by themselves.
      (?!\s?[π√\^]|[enxyz](?:[0-9^]|(?!\w))|_\{{?[0-9]|\.\(|!(?=[.,!]))
    | (?P<unread>[0-9](?:[0-9]|[.,'_:/^](?=[0-9]))*)
    )
    (?P<scale>(?:k|K|M|mn|bn|B)\b|\s(?:thousand|lakhs?|million|crores?|billion|trillion)\b|)
    (?P<unit>\s?%|\s(?:percent|per\ cent|dozen)\b|)
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
            no decimal is exact (`1/3`), and a `%` or " dozen" behind where the text has one; None
            where it is written in a way that is not read.
        money: whether a currency stands before it.
    """

    start: int
    end: int
    value: str | None
    money: bool


def numerals(text: str) -> list[Numeral]:
    """Return the numbers of a text, in order, also those that are not read."""
    return [
        Numeral(match.start(), match.end(), _written(match), bool(match["money"]))
        for match in _NUMERAL.finditer(text)
    ]


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
    if match["body"] is None:
        return None
    sign = "-" if match["sign"] or match["inner"] else ""
    body = match["body"]
    if re.fullmatch(r"[0-9]+,[0-9]{2}", body):  # 4,50 is no list only where it is money
        if not match["money"] and not _MONEY_AFTER.match(match.string, match.end()):
            return None
        body = body.replace(",", ".")
    body = _ungrouped(body)
    value = _decimal(sign + body)
    if value is None:
        exact = _composed(body)
        if exact is None:
            return None
        value = canonical(-exact if sign else exact)
    if match["scale"]:
        exact = worth(value)
        scale = _SCALES[match["scale"].strip().lower()]
        value = canonical(exact * scale) if exact is not None else value
    unit = match["unit"].strip().lower()
    return value + (" dozen" if unit == "dozen" else "%" if unit else "")


def _ungrouped(body: str) -> str:
    """Return a numeral without what sets its thousands apart, its decimal point a full stop."""
    if re.match(r"[0-9]{1,3}(?:\.[0-9]{3})+,|[0-9]{1,3}(?:\.[0-9]{3}){2,}", body):
        return body.replace(".", "").replace(",", ".")
    if re.fullmatch(r"[0-9]{1,3}(?:\ [0-9]{3})+,[0-9]+", body):
        body = body.replace(",", ".")
    return re.sub(r"(?<=[0-9])[,'_](?=[0-9]{2,3})|(?<=[0-9])\ (?=[0-9]{3}(?![0-9/]))", "", body)


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
    """Work out a fraction, a mixed fraction, a power or a number in scientific notation."""
    raised = re.fullmatch(
        rf"(?P<base>[0-9.]+)(?:(?P<ten>{_TIMES_TEN_TO}|[eE])|\s?\^\s?\(?)(?P<to>[+-]?[0-9]+)\)?",
        body,
    )
    if raised:
        base, exponent = worth(raised["base"]), int(raised["to"])
        if base is None or (base == 0 and exponent <= 0):
            return None
        if abs(exponent) * (1 if raised["ten"] else len(raised["base"])) > _MOST_DIGITS:
            return None
        return base * Fraction(10) ** exponent if raised["ten"] else base**exponent
    parts = [worth(part) for part in re.split(r"\s+(?:and\s+)?", body)]
    exact = [part for part in parts if part is not None]
    return sum(exact, Fraction(0)) if len(exact) == len(parts) else None
