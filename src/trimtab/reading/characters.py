"""One form for each character: digits, spaces, dashes and letters that Unicode has several of."""

import re
import unicodedata

_SUPERSCRIPT = re.compile(r"[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_VULGAR = re.compile(r"(?<=[0-9])\s?(?=[¼-¾⅐-⅞])")
_REPLACED = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u201a": "'", "\u201b": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u201f": '"', "\u00ab": '"', "\u00bb": '"',
        "\u300c": '"', "\u300d": '"',
        "\u2010": "-", "\u2011": "-", "\u2212": "-", "\ufe63": "-", "\uff0d": "-",
        "\u2044": "/", "\u2215": "/", "\u3002": ". ",
        "\u2028": "\n", "\u2029": "\n", "\u0085": "\n", "\x0b": "\n", "\x0c": "\n",
        "\u066b": ".", "\u066c": ",",
    }
)  # fmt: skip
# An en dash that joins, or that is a sign; between spaces it is a pause.
_JOINING = re.compile(r"\u2013(?=\w)")


def one_form(text: str) -> str:
    """Return a text with one form for characters that mean the same, and without unseen ones.

    Digits of all scripts become 0 to 9, superscripts `^2`; full width, ligatures and the like
    become plain letters; composed letters are one character; zero-width ones are left out.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _SUPERSCRIPT.sub(lambda found: "^" + unicodedata.normalize("NFKC", found[0]), text)
    text = unicodedata.normalize("NFKC", _VULGAR.sub(" ", text)).translate(_REPLACED)
    return _JOINING.sub("-", "".join(_plain(one) for one in text))


def _plain(one: str) -> str:
    if one.isascii():
        return one
    kind = unicodedata.category(one)
    if kind == "Nd":
        return str(unicodedata.decimal(one))
    # Unseen ones, and what only says whether an emoji has colours.
    return "" if kind == "Cf" or "\ufe00" <= one <= "\ufe0f" else one
