"""Reading a date."""

import re
from datetime import date

from trimtab.reading.spoken import spoken
from trimtab.reading.statements import UNKNOWN, affirmed, before, stated_either_way, taken_back

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"]
# A month's name, whole or short; the first three letters tell which.
MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_MONTH = rf"(?P<{{}}>{MONTH})"
_DAY = rf"(?:(?P<{{0}}>[0-9]{{{{1,2}}}})(?:st|nd|rd|th)?|(?P<{{0}}_word>{'|'.join(_ORDINALS)})\b)"
_SEP = r"\s?[/-]\s?"
_DATE = re.compile(
    r"(?<![0-9/.-])(?:"
    rf"(?P<month>[0-9]{{1,2}})(?P<sep>{_SEP})(?P<day>[0-9]{{1,2}})(?P=sep)(?P<year>[0-9]{{4}})"
    rf"|(?P<iso_year>[0-9]{{4}})(?P<iso_sep>{_SEP})(?P<iso_month>[0-9]{{1,2}})(?P=iso_sep)(?P<iso_day>[0-9]{{1,2}})"
    r"|(?P<far_year>[0-9]{4})年\s?(?P<far_month>[0-9]{1,2})月\s?(?P<far_day>[0-9]{1,2})日"
    r"|(?P<dot_day>[0-9]{1,2})\.\s?(?P<dot_month>[0-9]{1,2})\.\s?(?P<dot_year>[0-9]{4})"
    rf"|\b{_MONTH.format('us_name')}(?:\s+(?:the\s+)?|-){_DAY.format('us_day')}(?:,?\s+|-)(?P<us_year>[0-9]{{4}})"
    rf"|\b{_DAY.format('uk_day')}(?:\s+(?:day\s+)?(?:of\s+)?|-){_MONTH.format('uk_name')}(?:,?\s+|-)(?P<uk_year>[0-9]{{4}})"
    rf"|(?P<far_us_year>[0-9]{{4}})\s+{_MONTH.format('far_us_name')}\s+{_DAY.format('far_us_day')}"
    r"|(?P<unread>[0-9]{1,4}(?P<any>[/.-])[0-9]{1,2}(?P=any)[0-9]{1,4})"
    r")(?![0-9]|[/-][0-9])",
    re.IGNORECASE,
)
_DENIED = re.compile(r"\bnot\s+(?:on\s+)?$", re.I)
# What leaves open which of two dates is meant.
_OR = re.compile(r"\s*,?\s*(?:or|and|to|until|-|\u2013)\s*", re.I)


def read_date(text: str) -> str | None:
    """Return the date that a text gives as its answer, as MM/DD/YYYY, or None.

    The last statement that holds a date counts, its first date, or the one with which the text
    later corrects it; without a statement the text's last date. Read are `5/1/2021` and
    `05-01-2021` (month first), `2021-05-01`, "May 1, 2021" and "1 May 2021". What is no date of
    the calendar, such as `25/12/2020`, is not read, nor is a choice of two.
    """
    text = spoken(text)
    for statement in reversed(stated_either_way(text)):
        meant = affirmed(statement)
        first = _DATE.search(meant.text) if meant else None
        if meant is None or UNKNOWN.search(
            meant.text, 0, first.start() if first else len(meant.text)
        ):
            return None
        if first:
            back = taken_back(text, meant.start)
            corrected = list(_DATE.finditer(text, back)) if back is not None else []
            return _written(corrected[-1]) if corrected else _only(first, meant.text)
    found = [one for one in _DATE.finditer(text) if not _DENIED.search(before(text, one.start()))]
    return _written(found[-1]) if found else None


def whole_date(text: str) -> str | None:
    """Return the date that a text is as a whole, as MM/DD/YYYY, or None."""
    found = _DATE.fullmatch(spoken(text).rstrip("."))
    return _written(found) if found else None


def _only(first: re.Match[str], text: str) -> str | None:
    """Return a date, unless another one stands beside it to choose from."""
    second = _DATE.search(text, first.end())
    found = _written(first)
    if second and _OR.fullmatch(text[first.end() : second.start()]) and _written(second) != found:
        return None
    return found


def _written(match: re.Match[str]) -> str | None:
    parts = {name: value for name, value in match.groupdict().items() if value}

    def part(what: str) -> str | None:
        return next((value for name, value in parts.items() if name.endswith(what)), None)

    year, name, word = part("year"), part("name"), part("day_word")
    month = _MONTHS.index(name[:3].lower()) + 1 if name else part("month")
    day = _ORDINALS.index(word.lower()) + 1 if word else part("day")
    if year is None or month is None or day is None:
        return None
    # With full stops the day is first in some countries, the month in others.
    if match["dot_day"] and int(day) <= 12:
        return None
    try:
        return date(int(year), int(month), int(day)).strftime("%m/%d/") + year
    except ValueError:
        return None
