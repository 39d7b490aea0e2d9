"""Reading the final answer out of a text."""

import re
from decimal import Decimal, InvalidOperation

# A sign counts only where no word or number stands before it: "7-2" ends in 2, "is -2" in -2.
_NUMBER = re.compile(r"(?:(?<![\w.)])-)?\d+(?:,\d{3})*(?:\.\d+)?")
_FINAL = re.compile(r"answer is:?\s*(.+?)\s*[.!]?\s*$", re.IGNORECASE | re.MULTILINE)
# What GSM8K writes before its answers.
_MARK = "####"


def last_number(text: str) -> str | None:
    """Return the last number in `text` without thousands separators, or None."""
    numbers = _NUMBER.findall(text)
    return numbers[-1].replace(",", "") if numbers else None


def same_number(prediction: str | None, target: str) -> bool:
    """Whether two numbers, as text, have the same value."""
    try:
        return prediction is not None and Decimal(prediction) == Decimal(target)
    except InvalidOperation:
        return False


def gold_number(target: str) -> str | None:
    """Return the number that a target is, or that it ends in after `####`; None if it is text."""
    stated = target.rpartition(_MARK)[2].strip().strip("$%.").replace(",", "")
    return stated if re.fullmatch(r"-?\d+(\.\d+)?", stated) else None


def final_phrase(text: str) -> str | None:
    """Return what follows the last "answer is", or None."""
    last = text.lower().rfind("answer is")
    found = _FINAL.match(text, last) if last >= 0 else None
    return found[1].strip("\"'") if found else None
