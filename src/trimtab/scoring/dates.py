"""Reading a date."""

import re
from datetime import date

from trimtab.scoring.markup import plain
from trimtab.scoring.statements import own_answer, stated, taken_back

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
# A month's name, whole or short; the first three letters tell which.
MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_MONTH = rf"(?P<{{}}>{MONTH})"
_DAY = r"(?P<{}>[0-9]{{1,2}})(?:st|nd|rd|th)?"
_DATE = re.compile(
    r"(?<![0-9/-])(?:"
    r"(?P<month>[0-9]{1,2})(?P<sep>[/-])(?P<day>[0-9]{1,2})(?P=sep)(?P<year>[0-9]{4})"
    r"|(?P<iso_year>[0-9]{4})(?P<iso_sep>[/-])(?P<iso_month>[0-9]{1,2})(?P=iso_sep)(?P<iso_day>[0-9]{1,2})"
    rf"|\b{_MONTH.format('us_name')}\s+(?:the\s+)?{_DAY.format('us_day')},?\s+(?P<us_year>[0-9]{{4}})"
    rf"|{_DAY.format('uk_day')}\s+(?:of\s+)?{_MONTH.format('uk_name')},?\s+(?P<uk_year>[0-9]{{4}})"
    r")(?![0-9]|[/-][0-9])",
    re.IGNORECASE,
)


def read_date(text: str) -> str | None:
    """Return the date that a text gives as its answer, as MM/DD/YYYY, or None.

    The last statement that holds a date counts, its first date, or the one with which the text
    later corrects it; without a statement the text's last date. Read are `5/1/2021` and
    `05-01-2021` (month first), `2021-05-01`, "May 1, 2021" and "1 May 2021". What is no date of
    the calendar, such as `25/12/2020`, is not read.
    """
    text = plain(own_answer(text))
    for statement in reversed(stated(text)):
        found = _dates(statement.text)
        if found:
            back = taken_back(text, statement.start)
            corrected = _dates(text[back:]) if back is not None else []
            return (corrected or found[:1])[-1]
    found = _dates(text)
    return found[-1] if found else None


def _dates(text: str) -> list[str]:
    found = [_written(match) for match in _DATE.finditer(text)]
    return [one for one in found if one is not None]


def _written(match: re.Match[str]) -> str | None:
    year = match["year"] or match["iso_year"] or match["us_year"] or match["uk_year"]
    day = match["day"] or match["iso_day"] or match["us_day"] or match["uk_day"]
    name = match["us_name"] or match["uk_name"]
    month = _MONTHS.index(name[:3].lower()) + 1 if name else match["month"] or match["iso_month"]
    try:
        return date(int(year), int(month), int(day)).strftime("%m/%d/") + year
    except ValueError:
        return None
